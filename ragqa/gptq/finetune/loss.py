"""The loss of one training row. Knows no optimizer and no files."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ragqa.gptq.finetune.rows import Row

CHUNK = 256
"""Positions whose logits are held at once: 49,152 words × 256 × 4 bytes are 50 MB."""

RECOMPUTE_ABOVE = 3072
"""Longer rows recompute each layer in the backward pass; a token's activations take 1.3 MB otherwise."""


def hidden_states(model: Any, row: Row, device: torch.device) -> Tensor:
    """Last hidden states of a row, (tokens, hidden); each question sees the shared part and itself."""
    ids = torch.tensor([row.ids], device=device)
    positions = torch.tensor([row.positions], device=device)
    out = model.model(
        input_ids=ids, position_ids=positions, attention_mask=_mask(row, device), use_cache=False
    )
    hidden: Tensor = out.last_hidden_state[0]
    return hidden


def backward(model: Any, row: Row, total: float, device: torch.device) -> float:
    """Add the row's gradient to the adapter's; returns its weighted loss in nats, to be divided by `total`.

    The head's gradient is formed chunk by chunk, so a long row never holds all its logits.
    """
    _recompute(model, len(row.ids) > RECOMPUTE_ABOVE)
    hidden = hidden_states(model, row, device)
    cut = hidden.detach().requires_grad_()
    loss = 0.0
    for places, targets, weights in _chunks(row, device):
        part = _weighted(model, cut[places], targets, weights) / total
        part.backward()  # type: ignore[no-untyped-call]
        loss += float(part.detach()) * total
    hidden.backward(cut.grad)  # type: ignore[no-untyped-call]
    return loss


@torch.no_grad()
def forward(model: Any, row: Row, device: torch.device) -> float:
    """The row's weighted loss in nats, no gradient."""
    hidden = hidden_states(model, row, device)
    return sum(float(_weighted(model, hidden[places], t, w)) for places, t, w in _chunks(row, device))


@torch.no_grad()
def log_probabilities(model: Any, row: Row, device: torch.device) -> tuple[float, ...]:
    """For each segment from 1, the weighted sum of its tokens' log-probabilities."""
    hidden = hidden_states(model, row, device)
    sums = [0.0] * max(row.segments)
    for places, targets, weights in _chunks(row, device):
        losses = functional.cross_entropy(_logits(model, hidden[places]), targets, reduction="none")
        for place, value in zip(places.tolist(), (-losses * weights).tolist(), strict=True):
            sums[row.segments[place + 1] - 1] += value
    return tuple(sums)


def _recompute(model: Any, wanted: bool) -> None:
    if wanted and not model.model.layers[0].gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    elif not wanted and model.model.layers[0].gradient_checkpointing:
        model.gradient_checkpointing_disable()


def _chunks(row: Row, device: torch.device) -> list[tuple[Tensor, Tensor, Tensor]]:
    """(place before, token, weight) of the tokens that count, CHUNK at a time."""
    counted = [place for place, weight in enumerate(row.weights) if weight > 0]
    chunks = []
    for start in range(0, len(counted), CHUNK):
        part = counted[start : start + CHUNK]
        chunks.append(
            (
                torch.tensor([place - 1 for place in part], device=device),
                torch.tensor([row.ids[place] for place in part], device=device),
                torch.tensor([row.weights[place] for place in part], device=device),
            )
        )
    return chunks


def _weighted(model: Any, hidden: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    losses = functional.cross_entropy(_logits(model, hidden), targets, reduction="none")
    return (losses * weights).sum()


def _logits(model: Any, hidden: Tensor) -> Tensor:
    logits: Tensor = model.lm_head(hidden).float()
    return logits


def _mask(row: Row, device: torch.device) -> Tensor | None:
    """(1, 1, tokens, tokens), true where a token may look; None where plain causal attention is meant.

    Positions that jump need the mask though it is the plain one: without, transformers takes a jump for the
    border between two packed texts.
    """
    if not any(row.segments) and row.positions[-1] == len(row.ids) - 1:
        return None
    segments = torch.tensor(row.segments, device=device)
    same = (segments[None, :] == segments[:, None]) | (segments[None, :] == 0)
    return torch.tril(same)[None, None]
