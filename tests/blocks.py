"""Blocks without an index, and vectors without a model."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ragqa.features import content_words
from ragqa.types import ContextBlock


def make_block(source: str, text: str, score: float = 1.0, *, start: int = 0, **changes: Any) -> ContextBlock:
    """A block of a document named as its source, which is its one line; `changes` to its other fields."""
    made = ContextBlock(
        key=source, source=source, document_id=source, text_sha256="", title="", section=(), page=None,
        page_end=None, start=start, end=start + len(text), text=text, metadata=(("source", source),),
        score=score,
    )  # fmt: skip
    return replace(made, **changes)


def embed(texts: Sequence[str]) -> np.ndarray:
    """Unit vectors of hashed words: similar where words are shared, and a function of the text alone."""
    rows = np.full((len(texts), 64), 1e-3, dtype=np.float32)
    for row, text in zip(rows, texts, strict=True):
        for word in content_words(text):
            row[sum(map(ord, word)) % 64] += 1
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
