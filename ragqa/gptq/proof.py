"""The length at which a model folder was seen to work, kept beside it. Pure JSON: no torch."""

import json
from pathlib import Path

FILE = "ragqa_check.json"


def read_proven_length(folder: Path, rope_factor: float) -> int | None:
    """The proven length, or None where the folder was never checked, or with another rope factor."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        proven, factor = found["proven_length"], found["rope_factor"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return int(proven) if isinstance(proven, int) and factor == rope_factor else None


def write_proven_length(folder: Path, length: int, rope_factor: float) -> None:
    """Record that the folder answers up to `length` positions with this factor."""
    value = {"proven_length": length, "rope_factor": rope_factor}
    (folder / FILE).write_text(json.dumps(value) + "\n", encoding="utf-8")
