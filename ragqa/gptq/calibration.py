"""Which tokens a quantizer watches the model on. Knows no model."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ragqa.errors import CheckpointError

DEFAULT_TEXT = "assets/calibration.txt"


def calibration_text(path: Path | None) -> str:
    """The text of a file, or the project's own where none is named. Raises CheckpointError if it cannot be
    read."""
    if path is None:
        return (files("ragqa") / DEFAULT_TEXT).read_text(encoding="utf-8")
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise CheckpointError(f"the calibration text {path} cannot be read: {error.strerror}") from error


def calibration_windows(text: str, tokenizer: Any, samples: int, length: int) -> tuple[Tensor, ...]:
    """Up to `samples` windows of `length` token ids, spread evenly over the text, shape (1, tokens) each.

    Begins each window with the tokenizer's BOS where it has the habit. A text shorter than that gives fewer
    windows, the last of which may be shorter. Raises CheckpointError for a text of fewer than 64 tokens.
    """
    start = tokenizer("", add_special_tokens=True)["input_ids"][:1]
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    if len(ids) < 64:
        raise CheckpointError(
            f"the calibration text has {len(ids)} tokens; give one of at least a few thousand"
        )
    length -= len(start)
    whole = max(len(ids) // length, 1)
    if whole <= samples:
        offsets = list(range(0, len(ids), length))[: samples + 1]
    else:
        offsets = [(len(ids) - length) * number // max(samples - 1, 1) for number in range(samples)]
    windows = [torch.tensor([start + ids[offset : offset + length]]) for offset in offsets]
    return tuple(window for window in windows if window.shape[1] >= 32)[:samples]
