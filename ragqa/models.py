"""Names of models in, what the `model` commands do with them out. Loads torch when called, not before."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest.progress import Progress
from ragqa.errors import RagqaError
from ragqa.gptq.finetune.making import UNTUNED

if TYPE_CHECKING:
    from ragqa.gptq.check import CheckReport
    from ragqa.gptq.fit import FitReport
    from ragqa.gptq.perplexity import Curve, PerplexityOptions
    from ragqa.gptq.presets import Preset


def weights_of(name: str) -> Path:
    """The weights of that name: a path as it is, or the small model, fetched on the first call."""
    if name != UNTUNED or Path(name).exists():
        return Path(name)
    from ragqa.gptq.smollm2 import fetch_gguf

    return fetch_gguf()


def check_model(name: str, tick: Progress, *, quick: bool) -> "CheckReport":
    """Check the folder, hub id or preset of that name, with the scaling the preset supplies."""
    from ragqa.gptq.check import check
    from ragqa.gptq.model import LoadOptions
    from ragqa.gptq.needles import Needle
    from ragqa.llm.gptq import find_model, preset_options

    done: list[Needle] = []

    def told(needle: Needle) -> None:
        done.append(needle)
        tick("needles", len(done), None)

    preset, folder = find_model(name)
    options = preset_options(preset, LoadOptions())
    return check(folder, options, quick=quick, declared_factor=options.rope_factor, on_needle=told)


def measure_curves(
    named: Sequence[tuple[str, float | None]], text: Path, options: "PerplexityOptions", tick: Progress
) -> "list[Curve]":
    """The perplexity curve of each (model, rope factor) on a text file, in fp32 throughout: what is compared
    is the weights.

    Raises RagqaError where the text cannot be read or is too short.
    """
    from ragqa.gptq.dense import load_any, load_tokenizer
    from ragqa.gptq.model import LoadOptions
    from ragqa.gptq.perplexity import Curve, perplexity
    from ragqa.gptq.quantize import peak_memory

    try:
        content = text.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RagqaError(f"{text} cannot be read as UTF-8 text: {error}") from error
    curves = []
    for name, factor in named:
        shown = name if factor is None else f"{name}@{factor:g}"
        path = weights_of(name)
        ids = load_tokenizer(path)(content)["input_ids"]
        loaded = load_any(path, LoadOptions(rope_factor=factor, dtype="float32", kernels="reference"))
        began = time.monotonic()
        points = perplexity(loaded.module, ids, options, partial(tick, shown))
        curves.append(Curve(name, loaded.rope_factor, points, time.monotonic() - began, peak_memory()))
    return curves


def fit_of(name: str, context: int, memory: int) -> "FitReport":
    """What the model of that name needs for `context` positions, against `memory` bytes.

    A preset whose sizes are known is computed without its files. Other runtimes are given the hub id, or the
    folder.
    """
    from ragqa.gptq.configuration import read_configuration
    from ragqa.gptq.fit import fit
    from ragqa.gptq.model import LoadOptions, scaled_config
    from ragqa.gptq.presets import preset_of
    from ragqa.gptq.quantization import Quantization
    from ragqa.llm.gptq import find_model, preset_options

    known = preset_of(name)
    if known is not None and known.sizes is not None:
        # auto-gptq's own settings with act-order: their quantize_config.json has 184 bytes, as those come to.
        values, quantization = config_of(known, known.sizes), Quantization(4, 128, desc_act=True, sym=True)
        config = scaled_config(values, preset_options(known, LoadOptions()))
        return fit(config, quantization, context, memory, known.repository or name)
    preset, folder = find_model(name)
    read = read_configuration(folder)
    config = scaled_config(read.values, preset_options(preset, LoadOptions()))
    shown = preset.repository if preset and preset.repository else str(folder)
    return fit(config, read.quantization, context, memory, shown)


def config_of(preset: "Preset", sizes: tuple[int, int, int, int]) -> dict[str, Any]:
    """The `config.json` of a Llama of the preset's sizes."""
    hidden, intermediate, layers, heads = sizes
    return {
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "vocab_size": 32_000,
        "max_position_embeddings": preset.trained_positions or preset.window,
    }
