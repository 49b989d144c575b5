"""A quantized folder's group scales and norms, tuned against the full-precision model; codes and zeros stay.

The step of EfficientQAT that trains step sizes end to end (Chen et al. 2024, arXiv 2407.11062), with another
aim: not a text's next token but the full model's distribution of it (Hinton et al. 2015, arXiv 1503.02531).
The full model runs first, a layer in memory at a time, and leaves its final states; after it the quantized
one is held in fp32 with a byte a code, and the activations of one window.
"""

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ragqa.errors import CheckFailedError, CheckpointError
from ragqa.gptq.calibration import calibration_text, calibration_windows
from ragqa.gptq.checkpoint import Checkpoint, open_checkpoint
from ragqa.gptq.dense import load_tokenizer
from ragqa.gptq.model import LoadOptions, scaled_config
from ragqa.gptq.quantize import layer_tensors, peak_memory
from ragqa.gptq.record import layer_digest, recorded_settings, write_record
from ragqa.gptq.sequential import Skeleton, run_layer
from ragqa.gptq.source import Source, open_source
from ragqa.gptq.student import OnStep, Student, ignore_step
from ragqa.gptq.writing import shards_of, write_checkpoint

MOST_APART = 16
"""Windows kept apart to measure on, each time as long as a third of a step each."""
SIDES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size")


@dataclass(frozen=True, slots=True)
class DistilOptions:
    """How a folder is tuned. One window of `window_tokens` is a step; one in ten, at most MOST_APART, is kept
    apart to measure on.

    `rate` is Adam's highest step, as a part of a scale or norm weight; it falls to a twentieth. `memory` in
    bytes is what a run may take, the machine's if None.
    """

    calibration: Path | None = None
    windows: int = 256
    window_tokens: int = 512
    rate: float = 5e-4
    seed: int = 0
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class DistilReport:
    """What was written: the state after `steps`, the best. `before` and `after`: KL in nats a token to the
    full model, on windows kept apart."""

    folder: Path
    before: float
    after: float
    steps: int
    windows: int
    seconds: float
    peak_memory: int


def distil(
    folder: Path, source: Path, out: Path, options: DistilOptions, progress: OnStep = ignore_step
) -> DistilReport:
    """Write the folder `out`: `folder` with scales and norms tuned towards `source`, which it was made from.

    `out` appears whole or not at all. Files other than weights, settings and tokenizer are not carried over.
    Raises CheckpointError for a folder or source that is refused, a pair that does not belong together, an
    `out` that is there, and a model too large for the memory; CheckFailedError where tuning made it worse.
    """
    began = time.monotonic()
    checkpoint, full = open_checkpoint(folder), open_source(source)
    _refuse(checkpoint, full, out, options)
    text = calibration_text(options.calibration)
    asked = options.windows + _apart(options.windows)
    windows = calibration_windows(text, load_tokenizer(folder), asked, options.window_tokens)
    order = torch.randperm(len(windows), generator=torch.Generator().manual_seed(options.seed)).tolist()
    kept_apart = min(_apart(options.windows), max(len(order) // 11, 1))
    apart, tuned_on = order[:kept_apart], order[kept_apart:]
    wanted = final_states(full, checkpoint.config, windows)
    pairs = list(zip(windows, wanted, strict=True))
    student = Student(checkpoint)
    used, kept = ([pairs[place] for place in places] for places in (tuned_on, apart))
    tuned = student.tune(used, kept, options.rate, progress)
    if not tuned.steps:
        raise CheckFailedError(
            f"{out} is not written: on windows kept apart the KL to the full model was {tuned.before:.4f} "
            "and no step brought it down. Take more windows, or a lower --rate."
        )
    _write(out, checkpoint, student.tuned(), {**asdict(options), **asdict(tuned)})
    seconds = time.monotonic() - began
    return DistilReport(out, tuned.before, tuned.after, tuned.steps, len(tuned_on), seconds, peak_memory())


@torch.no_grad()
def final_states(source: Source, config: Mapping[str, Any], windows: Sequence[Tensor]) -> list[Tensor]:
    """What the full-precision model gives its head for each window, (tokens, width); one layer in memory.

    config: of the quantized folder, so that both models have the same positions.
    """
    values = scaled_config(config, LoadOptions())
    skeleton = Skeleton(values, torch.device("cpu"))
    embedding = source.tensor("model.embed_tokens.weight").float()
    hidden = [functional.embedding(window, embedding) for window in windows]
    for index in range(skeleton.layers):
        run_layer(skeleton.layer(index, layer_tensors(source, index)), hidden, skeleton)
        skeleton.release(index)
    weight, epsilon = source.tensor("model.norm.weight").float(), float(values["rms_norm_eps"])
    return [functional.rms_norm(states[0], weight.shape, weight, epsilon) for states in hidden]


def _apart(windows: int) -> int:
    """How many windows are kept apart to measure on, beside so many to tune on."""
    return min(max(windows // 10, 1), MOST_APART)


def needed_bytes(checkpoint: Checkpoint, tokens: int) -> int:
    """About what tuning holds: codes, plain tensors with gradient and moments, a window's activations."""
    bits, config = checkpoint.quantization.bits, checkpoint.config
    sizes = {name: prod(info.shape) for name, info in checkpoint.tensors.items()}
    codes = sum(size for name, size in sizes.items() if name.endswith(".qweight")) * 32 // bits
    plain = sum(size for name, size in sizes.items() if name.endswith((".scales", ".weight")))
    kept = tokens * (20 * int(config["hidden_size"]) + 8 * int(config["intermediate_size"]))
    return codes * (1 if bits == 4 else 2) + 16 * plain + 4 * kept * int(config["num_hidden_layers"])


def _refuse(checkpoint: Checkpoint, source: Source, out: Path, options: DistilOptions) -> None:
    """Raise CheckpointError for a pair that does not belong together, an `out` in use, and want of memory."""
    folder = checkpoint.folder
    if out.exists():
        raise CheckpointError(f"{out} is there already; choose another folder or delete it")
    for key in SIDES:
        found, needed = source.config.get(key), checkpoint.config.get(key)
        if found != needed:
            raise CheckpointError(
                f"{folder} was not made from this model: {key} is {needed} there and {found} here"
            )
    if "lm_head" in checkpoint.quantized_layers:
        raise CheckpointError(f"{folder}: its head is quantized; only models with a plain head can be tuned")
    needed = needed_bytes(checkpoint, options.window_tokens)
    memory = options.memory or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory:
        raise CheckpointError(
            f"tuning {folder} takes about {needed / 2**30:.1f} GiB and there are {memory / 2**30:.1f}; "
            "take a smaller model or a larger machine"
        )


def _write(
    out: Path, checkpoint: Checkpoint, tuned: Mapping[str, Tensor], settings: Mapping[str, Any]
) -> None:
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shards = shards_of(_tensors(checkpoint, tuned))
    write_checkpoint(part, checkpoint.config, checkpoint.quantization, shards, checkpoint.folder)
    written = open_checkpoint(part)
    digests = {name: layer_digest(written.packed(name)) for name in written.quantized_layers}
    kept = {name: value for name, value in settings.items() if name not in ("calibration", "memory")}
    write_record(part, {**recorded_settings(checkpoint.folder), "distilled": kept}, digests)
    part.replace(out)


def _tensors(checkpoint: Checkpoint, tuned: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    for name in checkpoint.tensors:
        stored = checkpoint.tensor(name)
        yield {name: tuned[name].to(stored.dtype) if name in tuned else stored}
