"""The embedder: unit vectors that do not depend on company, from weights that are the ones expected."""

from pathlib import Path

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding

from ingest import embed
from ingest.embed import (
    LangChainEmbedder,
    MiniLM,
    batches_by_length,
    embedding_text,
    load_embedder,
    verify_sha256,
)
from ingest.errors import EmbedderError
from ingest.types import Chunk


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    return MiniLM()


def test_like_texts_are_nearer_than_unlike_ones(minilm: MiniLM) -> None:
    dog, puppy, tax = minilm.embed(
        ["The dog sleeps.", "A puppy is asleep.", "Value added tax is due in May."]
    )
    assert dog @ puppy > 0.5 > 0.2 > dog @ tax


def test_vectors_are_of_unit_length_and_do_not_depend_on_their_batch(minilm: MiniLM) -> None:
    texts = [f"Sentence {n} " + "about the weather " * (n % 7) for n in range(20)]
    together, alone = minilm.embed(texts), np.concatenate([minilm.embed([text]) for text in texts])
    assert together.shape == (20, 384)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert np.abs(together - alone).max() < 1e-5


@pytest.mark.parametrize("text", ["", "\ud800", "\x00", "word " * 5_000, "日本語" * 300])
def test_any_text_has_a_vector(minilm: MiniLM, text: str) -> None:
    assert np.isfinite(minilm.embed([text])).all()


def test_no_texts_give_no_rows(minilm: MiniLM) -> None:
    assert minilm.embed([]).shape == (0, 384)


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    changed = tmp_path / "model.onnx"
    changed.write_bytes(b"not the model")
    with pytest.raises(EmbedderError, match="not the file expected"):
        verify_sha256(changed, embed.WEIGHTS_SHA256)


def test_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(EmbedderError, match="provider:model"):
        load_embedder("word2vec")


def test_a_missing_langchain_provider_is_named() -> None:
    with pytest.raises(EmbedderError, match="openai:text-embedding-3-small"):
        load_embedder("openai:text-embedding-3-small")


def test_any_langchain_model_gives_unit_rows() -> None:
    embedder = LangChainEmbedder("fake:8", DeterministicFakeEmbedding(size=8))
    vectors = embedder.embed(["one", "two", "one"])
    assert (embedder.dimensions, vectors.shape) == (8, (3, 8))
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert np.array_equal(vectors[0], vectors[2])
    assert embedder.embed([]).shape == (0, 8)


def test_a_langchain_model_that_fails_is_an_error_for_people() -> None:
    class Broken(DeterministicFakeEmbedding):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            raise ConnectionError(f"no route for {len(texts)} texts")

    with pytest.raises(EmbedderError, match="no route"):
        LangChainEmbedder("fake:8", Broken(size=8))


def test_the_embedded_text_holds_what_the_chunk_lacks() -> None:
    chunk = Chunk(0, 0, 4, None, None, ("Tariffs", "Night"), "Hour\tPrice")
    assert embedding_text("Prices", chunk, "Night 22\t0.11") == "Prices\nTariffs\nHour\tPrice\nNight 22\t0.11"


def test_batches_hold_every_row_once_and_little_padding() -> None:
    lengths = [5, 250, 7, 90, 100, 3, 256]
    batches = batches_by_length(lengths)
    assert sorted(row for batch in batches for row in batch) == list(range(7))
    assert all(len(b) == 1 or max(lengths[r] for r in b) * len(b) <= embed.BATCH_TOKENS for b in batches)
