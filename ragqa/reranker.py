"""Question and passage read together, to put what was found in a better order. Knows no index.

A reranker goes by name: `reader`, which is in the base install, or a cross-encoder of the kind that
sentence-transformers has, a folder or a hub id `owner/name`. Nothing in a folder is executed: safetensors
only, no code of its own.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ingest.sentences import sentence_spans
from ragqa.errors import RerankerError
from ragqa.reader import Reader, Window

READER = "reader"
INSTALL = "A cross-encoder needs torch and transformers: pip install 'ragqa[gptq]'"
BATCH = 8
MAX_TOKENS = 512
"""Tokens of question and passage together, where the model's tokenizer does not say less."""

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Passage:
    """What is read beside the question: the text, and the title or heading trail above it."""

    title: str
    text: str


class Reranker(Protocol):
    """Something that reads a question with passages. `name` is what it was asked for by.

    `share`, in (0, 1], is how much its scores count against those that the passages were found with. It reads
    the first `depth` passages, and only where the scores of the first two lie closer than `within`.
    """

    @property
    def name(self) -> str: ...
    @property
    def share(self) -> float: ...
    @property
    def depth(self) -> int: ...
    @property
    def within(self) -> float: ...

    def scores(self, question: str, passages: Sequence[Passage]) -> Scores:
        """Shape (len(passages),): the higher, the better it answers; they compare within one call alone."""
        ...


def load_reranker(name: str) -> Reranker:
    """The reranker of that name: `reader`, a folder, or a hub id, downloaded where it is not in the cache.

    Raises RerankerError where the extra is missing, or where the model is not here or is refused.
    """
    if name == READER:
        return ReaderReranker(Reader.load())
    return load_cross_encoder(name)


class ReaderReranker:
    """The reader of the base install: how surely an answer stands in the passage."""

    name = READER
    # Alone it puts right passages down: it judges a sentence beside others of a passage, not passages beside
    # each other. 0.2 is the best of 0.2, 0.35, 0.5, 0.65 and 1 on even halves; eight passages, and those of
    # the one question in five that is close, do what thirty of every question did (docs/decisions.md).
    share = 0.2
    depth = 8
    within = 0.2

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def scores(self, question: str, passages: Sequence[Passage]) -> Scores:
        """Log-odds of an answer; of a long passage its first 200 tokens are read."""
        windows = [
            Window(one.title, tuple(one.text[start:end] for start, end in sentence_spans(one.text)))
            for one in passages
        ]
        return np.asarray([one.answerable for one in self._reader.read(question, windows)], np.float32)


class CrossEncoder:
    """A sequence classifier with one output, from transformers. Made to rank, it ranks alone."""

    share = 1.0
    # The prompt gets 24; each takes tens of milliseconds.
    depth = 30
    within = math.inf

    def __init__(self, name: str, model: Any, tokenizer: Any) -> None:
        self.name = name
        self._model, self._tokenizer = model, tokenizer
        self._most = min(MAX_TOKENS, tokenizer.model_max_length)

    def scores(self, question: str, passages: Sequence[Passage]) -> Scores:
        """The model's logits. What does not fit its window is not read."""
        texts = ["\n".join(filter(None, (one.title, one.text))) for one in passages]
        parts = [
            self._logits(question, texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def _logits(self, question: str, texts: Sequence[str]) -> Scores:
        import torch

        # Lone surrogates are no text to a tokenizer; marks of its own format are text in documents.
        sound = [one.encode("utf-8", "replace").decode("utf-8") for one in (question, *texts)]
        encoded = self._tokenizer(
            sound[:1] * len(texts),
            sound[1:],
            padding=True,
            truncation="longest_first",
            max_length=self._most,
            split_special_tokens=True,
            return_tensors="pt",
        )
        with torch.inference_mode():
            logits = self._model(**encoded).logits
        scores: Scores = logits[:, 0].float().numpy()
        return scores


def load_cross_encoder(name: str) -> CrossEncoder:
    """The cross-encoder in a folder or of a hub id. Raises RerankerError."""
    try:
        from safetensors import SafetensorError
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
    except ImportError as error:
        raise RerankerError(INSTALL) from error
    folder = find_folder(name)
    require_safe(folder)
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        model, told = AutoModelForSequenceClassification.from_pretrained(
            folder, use_safetensors=True, dtype="float32", output_loading_info=True, **options
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RerankerError(f"The reranker {name} cannot be loaded: {reason}") from error
    if told["missing_keys"]:
        raise RerankerError(f"The reranker {name} lacks weights: {min(told['missing_keys'])} for one.")
    return CrossEncoder(name, model.eval(), tokenizer)


def find_folder(name: str) -> Path:
    """The folder itself, or the snapshot of a hub id: from the cache, else downloaded, as it was named."""
    from ragqa.errors import RagqaError
    from ragqa.gptq.configuration import find_folder as find

    local = Path(name).expanduser()
    if local.is_dir():
        return local
    try:
        return cached(name) or find(name)
    except RagqaError as error:
        raise RerankerError(f"No reranker {name!r}: {error} Built in: {READER!r}.") from error


def cached(name: str) -> Path | None:
    """The snapshot of a hub id in the cache, without asking the hub; None where it is not whole."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    repository, _, revision = name.partition("@")
    try:
        folder = Path(snapshot_download(repository, revision=revision or None, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError, ValueError):
        return None
    return folder if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")) else None


def require_safe(folder: Path) -> None:
    """Raise RerankerError unless the folder is a cross-encoder in safetensors, without code of its own."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RerankerError(f"{path} cannot be read: {error}. Name the folder of a cross-encoder.") from error
    if "auto_map" in config:
        raise RerankerError(f"{path} asks for code of its own (auto_map); ragqa runs none.")
    kinds = [str(one) for one in config.get("architectures") or ()]
    if not any(one.endswith("ForSequenceClassification") for one in kinds):
        raise RerankerError(
            f"{folder} is no cross-encoder: it is a {', '.join(kinds) or 'model of no kind'}."
        )
    labels = len(config.get("id2label") or {0: "", 1: ""})
    if labels != 1:
        raise RerankerError(f"{folder} has {labels} outputs; a reranker has one.")
    if not any(folder.glob("*.safetensors")):
        raise RerankerError(f"{folder} holds no safetensors; convert its weights, pickled ones can run code.")
