"""The remains of a quantizing run that was cut short: its settings, and each layer that it finished."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ragqa.errors import CheckpointError
from ragqa.gptq.packing import PackedLinear

UNFINISHED = "unfinished"
PARTS = ("qweight", "qzeros", "scales", "g_idx")


def settings_of(source: Path, options: Mapping[str, Any], windows: tuple[Tensor, ...]) -> dict[str, Any]:
    """All that decides the result: options, the source's files by size and time, the calibration tokens."""
    files = sorted(p for p in (source.iterdir() if source.is_dir() else [source]) if p.is_file())
    digest = hashlib.sha256()
    for window in windows:
        digest.update(window.numpy().tobytes())
    chosen = {name: value for name, value in options.items() if name not in ("calibration", "device")}
    stamps = [[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in files]
    return {"options": chosen, "source": stamps, "calibration_sha256": digest.hexdigest()}


def open_work(out: Path, source: Path, settings: Mapping[str, Any]) -> Path:
    """The folder in `out` where layers lie until all are done.

    Raises CheckpointError for an `out` that holds a model, and for the remains of a run with other settings.
    """
    if (out / "config.json").exists() or out.resolve() == source.resolve():
        raise CheckpointError(f"{out} already holds a model; choose another folder or delete it")
    work = out / UNFINISHED
    path = work / "settings.json"
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != settings:
        raise CheckpointError(
            f"{work} was left by a run with other settings; delete it or choose another folder"
        )
    work.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=2), encoding="utf-8")
    return work


def save_layer(path: Path, packed: Mapping[str, PackedLinear], errors: Mapping[str, float]) -> None:
    """Write a finished layer, its matrices' errors beside them; either whole or not at all."""
    from safetensors.torch import save_file

    tensors = {f"{name}.{part}": getattr(layer, part) for name, layer in packed.items() for part in PARTS}
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata={name: repr(error) for name, error in errors.items()})
    part.replace(path)


def read_layer(path: Path, bits: int) -> tuple[dict[str, PackedLinear], dict[str, float]]:
    """What `save_layer` wrote."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        errors = {name: float(error) for name, error in file.metadata().items()}
        packed = {
            name: PackedLinear(**{part: file.get_tensor(f"{name}.{part}") for part in PARTS}, bits=bits)
            for name in errors
        }
    return packed, errors
