"""Reads a GPTQ model folder and refuses what it cannot vouch for. Knows no model classes and no kernel.

Weights are memory-mapped safetensors, read one tensor at a time. Writing is in `ragqa.gptq.writing`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ragqa.errors import CheckpointError
from ragqa.gptq.configuration import ModelConfiguration, read_configuration
from ragqa.gptq.packing import PackedLinear
from ragqa.gptq.quantization import Quantization
from ragqa.gptq.writing import packed_tensors, write_checkpoint

__all__ = ["Checkpoint", "open_checkpoint", "packed_tensors", "write_checkpoint"]

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
PARTS = ("qweight", "qzeros", "scales", "g_idx")
LEGACY = (".rotary_emb.inv_freq", ".masked_bias")
"""Buffers that old checkpoints hold and models compute."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where a tensor lies, and what its file's header says of it."""

    file: Path
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An opened folder: headers read, no weights yet. `tensors` leaves out the legacy buffers."""

    configuration: ModelConfiguration
    tensors: Mapping[str, TensorInfo]

    @property
    def folder(self) -> Path:
        return self.configuration.folder

    @property
    def config(self) -> Mapping[str, Any]:
        """The content of `config.json`."""
        return self.configuration.values

    @property
    def quantization(self) -> Quantization:
        return self.configuration.quantization

    @property
    def quantized_layers(self) -> tuple[str, ...]:
        """Names of the layers that any of the four tensors is there for, in the order of the files."""
        names = (name.rpartition(".") for name in self.tensors)
        return tuple(dict.fromkeys(layer for layer, _, part in names if part in PARTS))

    def tensor(self, name: str) -> Tensor:
        """One tensor, memory-mapped. Raises CheckpointError if its file was cut short."""
        try:
            with safe_open(self.tensors[name].file, framework="pt") as file:
                tensor: Tensor = file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{self.tensors[name].file} cannot be read: {error}") from error
        return tensor

    def packed(self, layer: str) -> PackedLinear:
        """The four tensors of a quantized layer, their shapes and values checked against the settings.

        Raises CheckpointError naming the tensor that is missing, misshapen, of a wrong type or out of range.
        """
        for part in PARTS[:3]:
            if f"{layer}.{part}" not in self.tensors:
                raise CheckpointError(f"{self.folder}: {layer} is quantized but {layer}.{part} is missing.")
        self._check_shapes(layer)
        scales = self.tensor(f"{layer}.scales")
        if not torch.isfinite(scales).all():
            raise CheckpointError(f"{self.folder}: {layer}.scales holds values that are not finite.")
        return PackedLinear(
            qweight=self.tensor(f"{layer}.qweight"),
            qzeros=self.tensor(f"{layer}.qzeros"),
            scales=scales,
            g_idx=self._group_index(layer, scales.shape[0]),
            bits=self.quantization.bits,
        )

    def _check_shapes(self, layer: str) -> None:
        bits, weight = self.quantization.bits, self.tensors[f"{layer}.qweight"]
        if len(weight.shape) != 2:
            raise CheckpointError(
                f"{self.folder}: {layer}.qweight has shape {weight.shape}, expected two sides."
            )
        inputs, outputs = weight.shape[0] * 32 // bits, weight.shape[1]
        groups = self.quantization.groups(inputs)
        expected = {
            "qweight": (("I32",), weight.shape),
            "qzeros": (("I32",), (groups, outputs * bits // 32)),
            "scales": (("F16", "BF16", "F32"), (groups, outputs)),
            "g_idx": (("I32", "I64"), (inputs,)),
        }
        for part, (dtypes, shape) in expected.items():
            info = self.tensors.get(f"{layer}.{part}")
            if info is not None and info.dtype not in dtypes:
                raise CheckpointError(
                    f"{self.folder}: {layer}.{part} is of type {info.dtype}, expected {' or '.join(dtypes)}."
                )
            if info is not None and info.shape != shape:
                raise CheckpointError(
                    f"{self.folder}: {layer}.{part} has shape {info.shape}, but {bits} bits and group size "
                    f"{self.quantization.group_size} need {shape}."
                )

    def _group_index(self, layer: str, groups: int) -> Tensor:
        size, name = self.quantization.group_size, f"{layer}.g_idx"
        inputs = self.tensors[f"{layer}.qweight"].shape[0] * 32 // self.quantization.bits
        in_order = torch.arange(inputs, dtype=torch.int32) // (inputs if size == -1 else size)
        if name not in self.tensors:
            if self.quantization.desc_act and groups > 1:
                raise CheckpointError(
                    f"{self.folder}: {name} is missing, and desc_act means it cannot be guessed."
                )
            return in_order
        index = self.tensor(name).to(torch.int32)
        if not 0 <= int(index.min()) <= int(index.max()) < groups:
            raise CheckpointError(f"{self.folder}: {name} points outside the {groups} groups of the layer.")
        if not self.quantization.desc_act and not torch.equal(index, in_order):
            raise CheckpointError(
                f"{self.folder}: {name} is not in order, but the settings say desc_act false."
            )
        return index


def open_checkpoint(folder: Path) -> Checkpoint:
    """Read the configuration and the headers of the weights.

    Raises CheckpointError for what cannot be vouched for.
    """
    configuration = read_configuration(folder)
    files, index = _weight_files(configuration)
    tensors: dict[str, TensorInfo] = {}
    for path in files:
        for name, info in _read_header(path).items():
            if name in tensors:
                raise CheckpointError(f"{folder}: {name} is in {tensors[name].file.name} and in {path.name}.")
            if index is not None and index.get(name) != path:
                raise CheckpointError(
                    f"{folder}: {path.name} holds {name}, which the index does not place there."
                )
            tensors[name] = info
    for name, path in (index or {}).items():
        if name not in tensors:
            raise CheckpointError(f"{folder}: the index places {name} in {path.name}, but it is not there.")
    kept = {name: info for name, info in tensors.items() if not name.endswith(LEGACY)}
    return Checkpoint(configuration, kept)


def _read_header(path: Path) -> dict[str, TensorInfo]:
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            return {
                name: TensorInfo(path, tuple(part.get_shape()), part.get_dtype())
                for name, part in slices.items()
            }
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is no whole safetensors file: {error}") from error


def _weight_files(configuration: ModelConfiguration) -> tuple[list[Path], dict[str, Path] | None]:
    """The files of weights, and which file each tensor lies in where an index says so."""
    folder, quantization = configuration.folder, configuration.quantization
    indexes = sorted(folder.glob("*.safetensors.index.json"))
    if len(indexes) == 1:
        index = _read_index(folder, indexes[0])
        return list(dict.fromkeys(index.values())), index
    usual = f"gptq_model-{quantization.bits}bit-{quantization.group_size}g"
    names = ["model", usual] if configuration.basename is None else [configuration.basename, "model", usual]
    for name in names:
        if (folder / _inside(folder, f"{name.removesuffix('.safetensors')}.safetensors")).is_file():
            return [_resolved(folder, f"{name.removesuffix('.safetensors')}.safetensors")], None
    found = sorted(path.name for path in folder.glob("*.safetensors"))
    if len(found) == 1:
        return [_resolved(folder, found[0])], None
    if found:
        raise CheckpointError(f"{folder} holds {', '.join(found)} and nothing says which are the weights.")
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLED)
    if pickled:
        raise CheckpointError(
            f"{folder} holds its weights as {pickled[0]}, a pickle, which can run code when loaded. "
            "Use a safetensors version of the model."
        )
    raise CheckpointError(f"{folder} holds no weights. Looked for {', '.join(names)} with .safetensors.")


def _read_index(folder: Path, path: Path) -> dict[str, Path]:
    try:
        weight_map = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        items = [(str(name), str(file)) for name, file in weight_map.items()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is no index of safetensors: {error!r}") from error
    return {name: _resolved(folder, file) for name, file in items}


def _inside(folder: Path, name: str) -> str:
    """A plain file name; anything that could lead elsewhere is refused."""
    if name in ("", ".", "..") or any(mark in name for mark in ("/", "\\", "\0", ":")):
        raise CheckpointError(f"{folder}: the weights are said to lie in {name!r}, which leaves the folder.")
    return name


def _resolved(folder: Path, name: str) -> Path:
    """The file of that name. A link may lead into the blobs of the same hub repository, and nowhere else."""
    path = folder / _inside(folder, name)
    if not path.is_file():
        raise CheckpointError(
            f"{folder} lacks {name}, which its index names; the download may have been cut short."
        )
    real, home = path.resolve(), folder.resolve()
    blobs = home.parent.parent / "blobs"
    if not real.is_relative_to(home) and not (home.parent.name == "snapshots" and real.is_relative_to(blobs)):
        raise CheckpointError(f"{folder}: {name} is a link that leaves the folder.")
    return path
