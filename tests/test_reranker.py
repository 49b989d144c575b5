"""A reranker by name: what is found comes in its order; models that could run code are refused."""

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragqa.errors import RerankerError
from ragqa.reranker import MAX_TOKENS, READER, CrossEncoder, Passage, load_reranker
from ragqa.retriever import reranked
from ragqa.types import Hit

LETTERS = "[PAD] [UNK] [CLS] [SEP] [MASK] who built the light ##house it was by mary holt bread is sold sep"
WORDS = LETTERS.split()
PASSAGES = (
    Passage("Lighthouse", "It was built by Mary Holt."),
    Passage("", "Bread is sold."),
    Passage("Lighthouse", "the " * 200),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-encoder of one layer with random weights, saved as people have them."""
    torch = pytest.importorskip("torch", reason="the extra gptq is not installed")
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    made = tmp_path_factory.mktemp("cross-encoder")
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    BertTokenizerFast(vocab=vocabulary, model_max_length=48).save_pretrained(made)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        num_labels=1,
        initializer_range=1.0,
    )
    BertForSequenceClassification(config).save_pretrained(made)
    return made


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Any:
    return load_reranker(str(folder))


def test_a_passage_has_the_score_the_model_gives_it_whatever_its_company(encoder: CrossEncoder) -> None:
    import torch

    together = encoder.scores("Who built the lighthouse?", PASSAGES)
    alone = [encoder.scores("Who built the lighthouse?", [one])[0] for one in PASSAGES]
    assert together == pytest.approx(alone, abs=1e-5)
    ids = "[CLS] who built the light ##house [UNK] [SEP] light ##house it was built by mary holt [UNK] [SEP]"
    numbers = torch.tensor([[WORDS.index(word) for word in ids.split()]])
    segments = torch.tensor([[0] * 8 + [1] * 10])
    with torch.inference_mode():
        expected = encoder._model(input_ids=numbers, token_type_ids=segments).logits[0, 0]
    assert together[0] == pytest.approx(float(expected), abs=1e-5)
    assert encoder.scores("Who?", []).shape == (0,)


@pytest.mark.parametrize("hostile", ["[SEP]", "[CLS] [MASK]", "\ud800", "\x00"])
def test_marks_of_the_models_own_format_are_text_in_documents(encoder: CrossEncoder, hostile: str) -> None:
    seen: list[Any] = []

    def watch(**encoded: Any) -> Any:
        seen.append(encoded["input_ids"])
        return model(**encoded)

    model = encoder._model
    watched = CrossEncoder(encoder.name, watch, encoder._tokenizer)
    assert np.isfinite(watched.scores(hostile, [Passage(hostile, f"It was {hostile} built.")])).all()
    (ids,) = seen
    assert [int((ids == WORDS.index(mark)).sum()) for mark in ("[CLS]", "[SEP]", "[MASK]")] == [1, 2, 0]


def test_no_more_is_read_than_the_model_takes(encoder: CrossEncoder) -> None:
    assert encoder._most == 48 < MAX_TOKENS
    assert np.isfinite(encoder.scores("the " * 300, PASSAGES)).all()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"auto_map": {"AutoModel": "code.Model"}}, "runs none"),
        ({"architectures": ["BertModel"]}, "no cross-encoder"),
        ({"id2label": {"0": "no", "1": "yes"}}, "2 outputs"),
    ],
)
def test_models_of_another_kind_and_with_code_of_their_own_are_refused(
    folder: Path, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    copy = copied(folder, tmp_path)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(RerankerError, match=reason):
        load_reranker(str(copy))


def test_pickled_and_broken_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    copy = copied(folder, tmp_path)
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(RerankerError, match="holds no safetensors"):
        load_reranker(str(copy))
    (copy / "model.safetensors").write_bytes(b"not these")
    with pytest.raises(RerankerError, match="cannot be loaded"):
        load_reranker(str(copy))
    (copy / "config.json").unlink()
    with pytest.raises(RerankerError, match=r"config\.json cannot be read"):
        load_reranker(str(copy))


def test_weights_that_are_not_there_are_not_made_up(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = copied(folder, tmp_path)
    weights = load_file(copy / "model.safetensors")
    save_file(
        {name: one for name, one in weights.items() if name != "classifier.weight"},
        copy / "model.safetensors",
    )
    with pytest.raises(RerankerError, match=r"lacks weights: classifier\.weight"):
        load_reranker(str(copy))


def copied(folder: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


def test_a_name_that_is_nothing_says_what_there_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(RerankerError, match=r"No reranker 'nobody'.*Built in: 'reader'"):
        load_reranker("nobody")


def test_without_the_extra_the_error_names_the_install_command() -> None:
    program = (
        "import sys\nsys.modules['transformers'] = None\n"
        "from ragqa.reranker import load_reranker\n"
        "try: load_reranker('owner/name')\nexcept Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("RerankerError")
    assert "pip install 'ragqa[gptq]'" in done.stdout


def test_the_reader_of_the_base_install_is_a_reranker() -> None:
    reader = load_reranker(READER)
    light, bread, _ = reader.scores("Who built the lighthouse?", PASSAGES)
    assert light > bread + 2


class Backwards:
    """Ranks what it is given from the last to the first; it records what it read."""

    name = "backwards"
    depth = 4

    def __init__(self, share: float = 1.0, within: float = math.inf) -> None:
        self.share, self.within = share, within
        self.read: list[Passage] = []

    def scores(self, question: str, passages: Sequence[Passage]) -> np.ndarray:
        assert question
        self.read += passages
        return np.arange(len(passages), dtype=np.float32)


def test_the_first_hits_are_reordered_and_scores_stay_with_the_places() -> None:
    first = Hit(0, "a", "a", "Title", ("Part",), None, None, 0, 4, "text", 1.0, ())
    hits = [replace(first, chunk_id=number, score=100.0 - number) for number in range(6)]
    reranker = Backwards()
    found = reranked("Who?", hits, reranker)
    assert [hit.chunk_id for hit in found] == [3, 2, 1, 0, 4, 5]
    assert [hit.score for hit in found] == [hit.score for hit in hits]
    assert reranker.read == [Passage("Title > Part", "text")] * 4
    assert reranked("Who?", [], reranker) == []


def test_a_reranker_with_a_share_moves_only_what_it_is_surer_of() -> None:
    first = Hit(0, "a", "a", "Title", (), None, None, 0, 4, "text", 1.0, ())
    hits = [replace(first, chunk_id=number, score=score) for number, score in enumerate((9.0, 2.0, 1.9))]
    assert [hit.chunk_id for hit in reranked("Who?", hits, Backwards(0.2))] == [0, 2, 1]
    assert [hit.chunk_id for hit in reranked("Who?", hits, Backwards())] == [2, 1, 0]


def test_a_reranker_reads_nothing_where_the_first_is_further_ahead_than_it_reads_for() -> None:
    first = Hit(0, "a", "a", "Title", (), None, None, 0, 4, "text", 1.0, ())
    hits = [replace(first, chunk_id=number, score=score) for number, score in enumerate((9.0, 8.5, 1.9))]
    near, far = Backwards(within=0.6), Backwards(within=0.4)
    assert [hit.chunk_id for hit in reranked("Who?", hits, near)] == [2, 1, 0]
    assert [hit.chunk_id for hit in reranked("Who?", hits, far)] == [0, 1, 2]
    assert near.read
    assert not far.read
