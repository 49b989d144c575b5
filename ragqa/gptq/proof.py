"""The proven length of a model folder, kept beside it and void when its files change. Knows no model; no
torch."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROOF = "ragqa_check.json"
CHECKED = (".safetensors", ".json", ".jinja", ".model", ".txt")


def read_proven_length(folder: Path, rope_factor: float) -> int | None:
    """Tokens up to which the model was shown to read at this factor; None if never, or if a file changed
    since."""
    try:
        proof = json.loads((folder / PROOF).read_text(encoding="utf-8"))
        same = proof["rope_factor"] == rope_factor and unchanged(folder, proof["files"])
        return (int(proof["proven_length"]) or None) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_proof(folder: Path, rope_factor: float, length: int, report: Mapping[str, Any]) -> int:
    """Write the proof and return the proven length, which is an earlier, longer one where that still
    holds."""
    length = max(length, read_proven_length(folder, rope_factor) or 0)
    proof = {
        "schema_version": 1,
        "proven_length": length,
        "rope_factor": rope_factor,
        "files": fingerprints(folder),
        **report,
    }
    part = folder / f"{PROOF}.part"
    part.write_text(json.dumps(proof, indent=1) + "\n", encoding="utf-8")
    part.replace(folder / PROOF)
    return length


def withdraw_proof(folder: Path) -> None:
    """Remove the proof of a model that failed its check."""
    (folder / PROOF).unlink(missing_ok=True)


def fingerprints(folder: Path) -> dict[str, dict[str, Any]]:
    """Size, time and sha256 of every file that decides what the model computes."""
    return {
        path.name: {"size": path.stat().st_size, "mtime_ns": path.stat().st_mtime_ns, "sha256": _sha256(path)}
        for path in _files(folder)
    }


def unchanged(folder: Path, recorded: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the files are those recorded. One whose size and time agree is not read again."""
    files = _files(folder)
    return {path.name for path in files} == set(recorded) and all(
        _same(path, recorded[path.name]) for path in files
    )


def _same(path: Path, recorded: Mapping[str, Any]) -> bool:
    found = path.stat()
    if found.st_size != recorded["size"]:
        return False
    return bool(found.st_mtime_ns == recorded["mtime_ns"]) or _sha256(path) == recorded["sha256"]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in CHECKED and path.name != PROOF)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
