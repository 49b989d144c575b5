"""The two JSON files of a model folder, read and cross-checked. No torch, no weights.

A folder is either local or a snapshot of a hub repository. Nothing in it is ever executed.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragqa.errors import CheckpointError, EngineUnavailableError
from ragqa.gptq.quantization import BITS, Quantization

FAMILIES = ("llama", "mistral", "qwen2")
"""Values of `model_type` whose layers are known here."""
SIZES = ("hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers", "vocab_size")
SHARED_KEYS = ("bits", "group_size", "desc_act", "sym")
"""Settings that both files may hold and must agree on.

Calibration settings may differ: no reader needs them.
"""


@dataclass(frozen=True, slots=True)
class ModelConfiguration:
    """A model folder's two JSON files: `values` is `config.json`, `basename` the weights' name if the folder
    gives one.
    """

    folder: Path
    values: Mapping[str, Any]
    quantization: Quantization
    basename: str | None


def find_folder(model: str, revision: str | None = None) -> Path:
    """A local folder, or the snapshot of a hub repository: `owner/name`, or `owner/name@commit`.

    Honours `HF_HOME` and `HF_HUB_OFFLINE`. Only JSON, tokenizer files and safetensors are downloaded. Raises
    EngineUnavailableError where the repository can be had neither from the cache nor from the hub.
    """
    local = Path(model).expanduser()
    if local.is_dir():
        return local
    named = re.fullmatch(r"([\w.-]+/[\w.-]+)(?:@([\w.-]+))?", model)
    if named is None or ".." in model:
        raise CheckpointError(f"{model} is no folder, and no hub id of the form owner/name@revision.")
    repository, revision = named[1], revision or named[2]
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError as error:
        raise EngineUnavailableError("Hub models need the gptq extra: pip install 'ragqa[gptq]'") from error
    patterns = ["*.json", "*.safetensors", "tokenizer.model", "*.jinja", "merges.txt"]
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EngineUnavailableError(
            f"{model} is not in the cache and could not be downloaded: {reason} Give the path of a local "
            "folder instead."
        ) from error


def read_configuration(folder: Path) -> ModelConfiguration:
    """Read and cross-check `config.json` and `quantize_config.json`.

    Raises CheckpointError, never guesses.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is no folder.")
    values = _read_object(folder / "config.json")
    if values is None:
        raise CheckpointError(
            f"{folder} has no config.json; it is no model folder, or its download was cut short."
        )
    _refuse_remote_code(folder, values)
    family = values.get("model_type")
    if family not in FAMILIES:
        raise CheckpointError(
            f"{folder}: models of type {family!r} are not known here, only {', '.join(FAMILIES)}."
        )
    for key in (*SIZES, "max_position_embeddings"):
        if not isinstance(values.get(key), int) or values[key] <= 0:
            raise CheckpointError(
                f"{folder}/config.json: {key} is {values.get(key)!r}, expected a whole number."
            )
    quantization, basename = _read_quantization(folder, values)
    return ModelConfiguration(folder, values, quantization, basename)


def _read_object(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds a {type(value).__name__}, expected an object.")
    return value


def _refuse_remote_code(folder: Path, values: Mapping[str, Any]) -> None:
    if "auto_map" in values:
        raise CheckpointError(
            f"{folder}/config.json asks to run code of its own (auto_map); ragqa runs none. Use a model of "
            "a known family."
        )


def _read_quantization(folder: Path, values: Mapping[str, Any]) -> tuple[Quantization, str | None]:
    own = _read_object(folder / "quantize_config.json")
    inner = values.get("quantization_config")
    if own is None and inner is None:
        raise CheckpointError(
            f"{folder} says nowhere how it was quantized: neither quantize_config.json nor "
            "quantization_config in "
            "config.json. Quantize it with `ragqa model quantize`, or restore the missing file."
        )
    if inner is not None and not isinstance(inner, dict):
        raise CheckpointError(f"{folder}/config.json: quantization_config is no object.")
    found = [settings for settings in (own, inner) if settings is not None]
    if len(found) == 2:
        for key in SHARED_KEYS:
            if key in found[0] and key in found[1] and found[0][key] != found[1][key]:
                raise CheckpointError(
                    f"{folder}: quantize_config.json says {key} {found[0][key]}, config.json says "
                    f"{found[1][key]}. "
                    "One of them belongs to other weights."
                )
    merged = {**found[-1], **found[0]}
    for settings in found:
        _check_format(folder, settings)
    basename = merged.get("model_file_base_name") or merged.get("model_basename")
    return _quantization(folder, merged), None if basename is None else str(basename)


def _check_format(folder: Path, settings: Mapping[str, Any]) -> None:
    method = settings.get("quant_method", "gptq")
    if method != "gptq":
        raise CheckpointError(f"{folder} is quantized with {method}, not with gptq.")
    layout = settings.get("checkpoint_format", "gptq")
    if layout != "gptq" or settings.get("is_marlin_format"):
        name = "marlin" if settings.get("is_marlin_format") else layout
        raise CheckpointError(
            f"{folder} holds its weights in {name} layout; only AutoGPTQ's v1 layout is read."
        )


def _quantization(folder: Path, settings: Mapping[str, Any]) -> Quantization:
    bits, group = settings.get("bits"), settings.get("group_size")
    if bits not in BITS or isinstance(bits, bool):
        raise CheckpointError(
            f"{folder} is quantized to {bits!r} bits; only {' and '.join(map(str, BITS))} are read."
        )
    if not isinstance(group, int) or isinstance(group, bool) or not (group == -1 or group >= 8):
        raise CheckpointError(f"{folder}: group_size is {group!r}; expected -1 or a number of columns.")
    flags = {key: settings.get(key, default) for key, default in (("desc_act", False), ("sym", True))}
    for key, value in flags.items():
        if not isinstance(value, bool):
            raise CheckpointError(f"{folder}: {key} is {value!r}, expected true or false.")
    damp = settings.get("damp_percent", 0.01)
    sequential = bool(settings.get("true_sequential", True))
    return Quantization(bits, group, flags["desc_act"], flags["sym"], float(damp or 0.01), sequential)
