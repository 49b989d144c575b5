"""Perplexity against context length: one pass over the longest length gives every shorter one.

Works on any causal model of transformers, quantized or not. Knows no file but the two it writes.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ragqa.errors import RagqaError

LENGTHS = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
TAIL = 1024
"""Tokens at the end of a length whose own mean is given too: what the mean over all of them hides."""
HEAD_ROWS = 128
"""Hidden states turned into logits at once: 25 MB in fp32 at 49,152 words, where a full pass needs
gigabytes."""

OnTokens = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Point:
    """Perplexity over the first `length` tokens, and over the last 1,024 of them (all, where there are
    fewer)."""

    length: int
    perplexity: float
    tail: float


@dataclass(frozen=True, slots=True)
class Curve:
    """One model's perplexity by context length. `seconds` and `peak_memory` (bytes, of the process) are its
    cost."""

    model: str
    rope_factor: float
    points: tuple[Point, ...]
    seconds: float
    peak_memory: int


def ignore_tokens(_done: int, _total: int) -> None:
    """Report to nobody."""


@dataclass(frozen=True, slots=True)
class PerplexityOptions:
    """Context lengths in tokens, tokens fed at a time, and over how many windows, spread over the text, the
    mean is taken."""

    lengths: tuple[int, ...] = LENGTHS
    chunk: int = 512
    windows: int = 1


def perplexity(
    model: Any,
    ids: Sequence[int],
    options: PerplexityOptions = PerplexityOptions(),
    on_tokens: OnTokens = ignore_tokens,
) -> tuple[Point, ...]:
    """The model's perplexity over the first L tokens of each window of `ids`, for each length L.

    The first token is not predicted, so L tokens give L - 1 losses. `on_tokens` is told how many tokens of
    how many are done. Raises RagqaError if the text is too short.
    """
    check_lengths(len(ids), options.lengths)
    rows = []
    for number, window in enumerate(spread_windows(ids, max(options.lengths), options.windows)):

        def told(done: int, total: int, before: int = number) -> None:
            on_tokens(before * total + done, options.windows * total)

        rows.append(token_losses(model, window, options.chunk, told))
    return points_of(torch.stack(rows), options.lengths)


def check_lengths(tokens: int, lengths: Sequence[int]) -> None:
    """Raise RagqaError unless every length is at least 2 and the text has that many tokens."""
    if not lengths or min(lengths) < 2:
        raise RagqaError("perplexity needs lengths of at least 2 tokens")
    if max(lengths) > tokens:
        raise RagqaError(
            f"the text has {tokens} tokens, fewer than the length {max(lengths)}; give a longer one"
        )


@torch.no_grad()
def token_losses(
    model: Any, ids: Sequence[int], chunk: int = 512, on_tokens: OnTokens = ignore_tokens
) -> Tensor:
    """Negative log-likelihood in nats of ids[1:], each given all before it; float64, shape (len(ids) - 1,).

    Feeds `chunk` tokens at a time through a KV cache; what comes out differs from one full pass by rounding
    alone.
    """
    from transformers import DynamicCache

    device = model.get_input_embeddings().weight.device
    tokens = torch.tensor(ids, dtype=torch.long, device=device)
    cache = DynamicCache()
    losses: list[Tensor] = []
    for start in range(0, len(tokens) - 1, chunk):
        part = tokens[start : min(start + chunk, len(tokens) - 1)]
        states = model.model(part.unsqueeze(0), past_key_values=cache, use_cache=True).last_hidden_state[0]
        losses.append(_losses(model.lm_head, states, tokens[start + 1 : start + 1 + len(part)]))
        on_tokens(start + len(part), len(tokens) - 1)
    return torch.cat(losses)


def _losses(head: Any, states: Tensor, targets: Tensor) -> Tensor:
    pieces = [
        torch.nn.functional.cross_entropy(
            head(states[row : row + HEAD_ROWS]).float(), targets[row : row + HEAD_ROWS], reduction="none"
        )
        for row in range(0, len(targets), HEAD_ROWS)
    ]
    return torch.cat(pieces).double().cpu()


def spread_windows(ids: Sequence[int], length: int, count: int) -> list[Sequence[int]]:
    """`count` windows of `length` tokens, spread evenly from beginning to end; one is the beginning."""
    room = len(ids) - length
    starts = [room * number // max(count - 1, 1) for number in range(count)]
    return [ids[start : start + length] for start in starts]


def points_of(losses: Tensor, lengths: Sequence[int]) -> tuple[Point, ...]:
    """The points of a curve from the losses of the longest length, shape (…, longest - 1); a window a row."""
    return tuple(
        Point(
            length,
            _perplexity(losses[..., : length - 1]),
            _perplexity(losses[..., max(0, length - 1 - TAIL) : length - 1]),
        )
        for length in lengths
    )


def _perplexity(losses: Tensor) -> float:
    mean = float(losses.mean())
    return math.exp(mean) if mean < 700 else math.inf


def table(curves: Sequence[Curve]) -> str:
    """The comparison as Markdown: a row a length, two columns a model (all tokens, last 1,024)."""
    lengths = sorted({point.length for curve in curves for point in curve.points})
    heads = [f"{_label(curve)} | last {TAIL:,}" for curve in curves]
    rows = ["| context | " + " | ".join(heads) + " |", "|---:|" + "---:|---:|" * len(curves)]
    for length in lengths:
        cells = []
        for curve in curves:
            point = next((point for point in curve.points if point.length == length), None)
            cells += ["", ""] if point is None else [_figure(point.perplexity), _figure(point.tail)]
        rows.append(f"| {length} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def as_json(curves: Sequence[Curve]) -> str:
    """The comparison as one JSON object; a perplexity too large for a number is null."""
    models = [
        {
            "model": curve.model,
            "rope_factor": curve.rope_factor,
            "seconds": round(curve.seconds, 1),
            "peak_memory_bytes": curve.peak_memory,
            "points": [
                {"length": p.length, "perplexity": _finite(p.perplexity), f"last_{TAIL}": _finite(p.tail)}
                for p in curve.points
            ],
        }
        for curve in curves
    ]
    return json.dumps({"schema_version": 1, "models": models}, indent=2)


def write_plot(curves: Sequence[Curve], path: Path, title: str = "Perplexity by context length") -> None:
    """Draw the curves to a PNG, both axes logarithmic; the last 1,024 tokens dashed.

    Raises RagqaError where matplotlib is missing, naming the extra.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise RagqaError("plots need matplotlib: pip install 'ragqa[plot]'") from error
    figure = Figure(figsize=(7, 4.2), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, curve in enumerate(curves):
        for dashed in (False, True):
            values = [(p.length, p.tail if dashed else p.perplexity) for p in curve.points]
            shown = [(length, value) for length, value in values if math.isfinite(value)]
            label = f"{_label(curve)}, last {TAIL:,}" if dashed else _label(curve)
            axes.plot(*zip(*shown, strict=True), "--" if dashed else "o-", color=f"C{number}", label=label)
    axes.set(xscale="log", yscale="log", xlabel="context length (tokens)", ylabel="perplexity", title=title)
    ticks = sorted({point.length for curve in curves for point in curve.points})
    axes.set_xticks(ticks, labels=[str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(path, format="png")


def _label(curve: Curve) -> str:
    return curve.model if curve.rope_factor == 1.0 else f"{curve.model} ×{curve.rope_factor:g}"


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _figure(value: float) -> str:
    return f"{value:.2f}" if value < 1000 else f"{value:.0f}" if value < 1e6 else "very big"
