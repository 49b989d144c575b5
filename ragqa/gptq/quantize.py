"""Full-precision model in, AutoGPTQ v1 folder out: GPTQ, layer by layer, resumable.

Keeps one decoder layer and the calibration's activations in memory, as the quantized layers give them and
as the full ones do. Each finished layer lies in `OUT/unfinished/` until the checkpoint is whole; a restart
runs the calibration data through the finished layers and goes on from there.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ragqa.errors import CheckpointError
from ragqa.gptq.calibration import calibration_text, calibration_windows
from ragqa.gptq.packing import PackedLinear, dequantize, pack
from ragqa.gptq.quantization import BITS, Quantization
from ragqa.gptq.record import layer_digest, write_record
from ragqa.gptq.sequential import STAGES, Calibration, Skeleton, quantize_layer, run_layer
from ragqa.gptq.solver import Recipe, column_order, quantize_matrix, round_to_nearest
from ragqa.gptq.source import Source, open_source, portable_config
from ragqa.gptq.unfinished import open_work, read_layer, save_layer, settings_of
from ragqa.gptq.writing import packed_tensors, shards_of, write_checkpoint


@dataclass(frozen=True, slots=True)
class QuantizeOptions:
    """How a model is quantized; the defaults are what measured best (docs/model.md).

    `calibration` is a text file, the project's own text if None; `samples` windows of `sample_tokens` are
    taken from it. `sink_share` is the weight of their first tokens (`sequential.Calibration`). `correct` has
    each matrix make up for what those before it lost (`correction`). `method` "rtn" rounds to nearest: the
    baseline.
    """

    bits: int = 4
    group_size: int = 128
    desc_act: bool = True
    symmetric: bool = False
    damp: float = 0.05
    clip_search: bool = True
    calibration: Path | None = None
    samples: int = 32
    sample_tokens: int = 2048
    sink_share: float = 0.3
    correct: bool = True
    method: Literal["gptq", "rtn"] = "gptq"
    device: str = "cpu"

    @property
    def recipe(self) -> Recipe:
        """The part that concerns a single matrix."""
        ordered = self.desc_act and self.method == "gptq"
        return Recipe(self.bits, self.group_size, ordered, self.symmetric, self.damp, self.clip_search)

    @property
    def quantization(self) -> Quantization:
        """The part that the checkpoint states."""
        recipe = self.recipe
        return Quantization(recipe.bits, recipe.group_size, recipe.desc_act, recipe.sym, recipe.damp)


@dataclass(frozen=True, slots=True)
class QuantizeProgress:
    """`done` of `layers` decoder layers are finished; `eta` is the estimate of what is left, in seconds."""

    done: int
    layers: int
    seconds: float
    eta: float


@dataclass(frozen=True, slots=True)
class LayerError:
    """Relative squared error of one matrix's output on the calibration data."""

    name: str
    error: float


@dataclass(frozen=True, slots=True)
class QuantizeReport:
    """What was written. `resumed` layers were found finished; `peak_memory` is the process's, in bytes."""

    folder: Path
    options: QuantizeOptions
    errors: tuple[LayerError, ...]
    calibration_tokens: int
    resumed: int
    seconds: float
    peak_memory: int


OnProgress = Callable[[QuantizeProgress], None]


def ignore_progress(_progress: QuantizeProgress) -> None:
    """Report to nobody."""


@torch.no_grad()
def quantize(
    source: Path, out: Path, options: QuantizeOptions, progress: OnProgress = ignore_progress
) -> QuantizeReport:
    """Write the folder `out`, quantized from the safetensors folder or GGUF file `source`.

    Safe to kill: called again with the same arguments it goes on after the last finished layer and writes
    the same bytes. Raises CheckpointError for a source that is refused, a group size that does not divide
    the model's widths (naming those that do), an `out` that holds a model, or the remains of a run with
    other settings.
    """
    began = time.monotonic()
    opened = open_source(source)
    skeleton = Skeleton(opened.config, torch.device(options.device))
    check_shape(skeleton, options)
    tokenizer = opened.tokenizer()
    windows: tuple[Tensor, ...] = ()
    if options.method == "gptq":
        text = calibration_text(options.calibration)
        windows = calibration_windows(text, tokenizer, options.samples, options.sample_tokens)
    settings = settings_of(source, asdict(options), windows)
    work = open_work(out, source, settings)
    errors, resumed = _quantize_layers(opened, skeleton, windows, options, work, progress)
    tokenizer.save_pretrained(work / "tokenizer")
    _write(out, opened, skeleton.layers, options, settings, work)
    shutil.rmtree(work)
    tokens = sum(window.shape[1] for window in windows)
    return QuantizeReport(out, options, errors, tokens, resumed, time.monotonic() - began, peak_memory())


def check_shape(skeleton: Skeleton, options: QuantizeOptions) -> None:
    """Raise CheckpointError if bits or group size do not fit, naming the group sizes that do."""
    if options.bits not in BITS:
        raise CheckpointError(f"{options.bits} bits are not supported; choose {' or '.join(map(str, BITS))}")
    widths = sorted({skeleton.width(name) for stage in STAGES for name in stage})
    if options.group_size == -1 or (
        options.group_size > 0 and all(width % options.group_size == 0 for width in widths)
    ):
        return
    fitting = [size for size in (32, 64, 128, 256, 512, 1024) if all(width % size == 0 for width in widths)]
    raise CheckpointError(
        f"group size {options.group_size} does not divide the model's widths {', '.join(map(str, widths))}; "
        f"these do: {', '.join(map(str, [*fitting, -1]))} (-1 is one group for the whole width)"
    )


def peak_memory() -> int:
    """The most memory this process has held so far, in bytes."""
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _quantize_layers(
    source: Source,
    skeleton: Skeleton,
    windows: tuple[Tensor, ...],
    options: QuantizeOptions,
    work: Path,
    progress: OnProgress,
) -> tuple[tuple[LayerError, ...], int]:
    embedding = source.tensor("model.embed_tokens.weight").float()
    hidden = [torch.nn.functional.embedding(window, embedding) for window in windows]
    del embedding
    full = [states.clone() for states in hidden] if options.correct else []
    calibration = Calibration(hidden, skeleton, options.sink_share, full)
    errors: list[LayerError] = []
    resumed, began = 0, time.monotonic()
    for index in range(skeleton.layers):
        weights = layer_tensors(source, index)
        path = work / f"layer-{index:05d}.safetensors"
        if path.exists():
            packed, found = read_layer(path, options.bits)
            run_layer(skeleton.layer(index, weights), full, skeleton)
            weights.update({f"{name}.weight": dequantize(layer) for name, layer in packed.items()})
            run_layer(skeleton.layer(index, weights), hidden, skeleton)
            resumed += 1
        else:
            packed, found = _quantize_one(index, weights, calibration, options.recipe)
            save_layer(path, packed, found)
        skeleton.release(index)
        errors += [LayerError(f"model.layers.{index}.{name}", error) for name, error in found.items()]
        seconds = time.monotonic() - began
        left = seconds / (index + 1) * (skeleton.layers - index - 1)
        progress(QuantizeProgress(index + 1, skeleton.layers, seconds, left))
    return tuple(errors), resumed


def _quantize_one(
    index: int, weights: Mapping[str, Tensor], calibration: Calibration, recipe: Recipe
) -> tuple[dict[str, PackedLinear], dict[str, float]]:
    layer = calibration.skeleton.layer(index, weights)
    packed: dict[str, PackedLinear] = {}
    errors: dict[str, float] = {}

    def quantize_stage(names: tuple[str, ...], hessian: Tensor | None) -> None:
        weights = [layer.get_submodule(name).weight for name in names]
        order = None if hessian is None else column_order(weights, hessian, recipe)
        for name, weight in zip(names, weights, strict=True):
            solved = (
                round_to_nearest(weight, None, recipe)
                if hessian is None
                else quantize_matrix(weight, hessian, recipe, order)
            )
            packed[name] = pack(solved.codes, solved.zeros, solved.scales, solved.g_idx, recipe.bits)
            errors[name] = solved.error
            weight.copy_(dequantize(packed[name]))

    if calibration.hidden:
        quantize_layer(layer, calibration, quantize_stage)
    else:
        for names in STAGES:
            quantize_stage(names, None)
    return packed, errors


def layer_tensors(source: Source, index: int) -> dict[str, Tensor]:
    """The tensors of one decoder layer, named within it."""
    prefix = f"model.layers.{index}."
    return {name[len(prefix) :]: source.tensor(name) for name in source.names if name.startswith(prefix)}


def _write(
    out: Path, source: Source, layers: int, options: QuantizeOptions, settings: Mapping[str, Any], work: Path
) -> None:
    digests: dict[str, str] = {}
    shards = shards_of(_checkpoint_tensors(source, layers, options.bits, work, digests))
    config = {**portable_config(source.config), "torch_dtype": "float16"}
    write_checkpoint(out, config, options.quantization, shards, tokenizer_from=work / "tokenizer")
    write_record(out, settings, digests)


def _checkpoint_tensors(
    source: Source, layers: int, bits: int, work: Path, digests: dict[str, str]
) -> Iterator[dict[str, Tensor]]:
    """Everything the checkpoint holds, a decoder layer at a time, plain tensors in fp16; fills `digests`."""
    tied = bool(source.config.get("tie_word_embeddings"))
    for name in source.names:
        if not name.startswith("model.layers.") and not (tied and name == "lm_head.weight"):
            yield {name: source.tensor(name).to(torch.float16)}
    for index in range(layers):
        packed, _ = read_layer(work / f"layer-{index:05d}.safetensors", bits)
        prefix = f"model.layers.{index}."
        tensors: dict[str, Tensor] = {}
        for name, layer in packed.items():
            tensors.update(packed_tensors(prefix + name, layer))
            digests[prefix + name] = layer_digest(layer)
        for name in source.names:
            if name.startswith(prefix) and name[len(prefix) :].removesuffix(".weight") not in packed:
                tensors[name] = source.tensor(name).to(torch.float16)
        yield tensors
