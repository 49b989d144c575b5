"""What our quantizer notes beside the model it made: settings, and the hash of each layer in its place."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ragqa.gptq.packing import PackedLinear

RECORD = "ragqa_quantized.json"


def layer_digest(packed: PackedLinear) -> str:
    """sha256 over the four tensors of a layer."""
    digest = hashlib.sha256()
    for tensor in (packed.qweight, packed.qzeros, packed.scales, packed.g_idx):
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def write_record(folder: Path, settings: Mapping[str, Any], layers: Mapping[str, str]) -> None:
    """Write the record: the settings as they are, and digests by layer name."""
    record = {"schema_version": 1, "settings": settings, "layers": layers}
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def recorded_layers(folder: Path) -> dict[str, str] | None:
    """Digests by layer name; None where the folder was made elsewhere."""
    record = _record(folder)
    return None if record is None else dict(record["layers"])


def recorded_settings(folder: Path) -> dict[str, Any]:
    """The settings; empty where the folder was made elsewhere."""
    return dict((_record(folder) or {}).get("settings", {}))


def _record(folder: Path) -> dict[str, Any] | None:
    path = folder / RECORD
    if not path.is_file():
        return None
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record
