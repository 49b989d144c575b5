"""A quantized model whose scales and norms can be trained, and the loss it is trained on. Knows no text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ragqa.gptq.checkpoint import Checkpoint
from ragqa.gptq.model import LoadOptions, build_empty, check_names, fill_plain, scaled_config
from ragqa.gptq.packing import PackedLinear, unpack

WARMUP = 5
"""Steps in which the rate rises."""
HEAD_ROWS = 128
"""Tokens whose logits are in memory at a time."""
CHECKS = 12
"""Measurements on the windows kept apart, spread over a run, but none before ten more steps."""
OnStep = Callable[[int, int], None]
Pair = tuple[Tensor, Tensor]
"""A window, and the full model's final states for it."""


def ignore_step(_done: int, _of: int) -> None:
    """Report to nobody."""


class _Product(torch.autograd.Function):
    """inputs · (levels · scales[index]); keeps neither the weight nor its gradient between the passes."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, levels: Tensor, scales: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(inputs, levels, scales, index)
        return inputs @ (scales[index].mul_(levels))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor, None]:
        inputs, levels, scales, index = ctx.saved_tensors
        rows = gradient.reshape(-1, gradient.shape[-1])
        of_weight = inputs.reshape(-1, inputs.shape[-1]).T @ rows
        of_scales = torch.zeros_like(scales).index_add_(0, index, of_weight.mul_(levels))
        return gradient @ scales[index].mul_(levels).T, None, of_scales, None


class ScaledLinear(nn.Module):
    """A packed layer with scales, shape (groups, outputs), of `stored · (1 + change)`; `change` is trained.

    Holds code minus zero in a byte each (two at 8 bits).
    """

    tensor = "scales"

    def __init__(self, packed: PackedLinear, bias: Tensor | None) -> None:
        super().__init__()
        codes, zeros = unpack(packed)
        self.index = packed.g_idx.long()
        self.levels = (codes - zeros[self.index]).to(torch.int8 if packed.bits == 4 else torch.int16)
        self.stored = packed.scales.float()
        self.change = nn.Parameter(torch.zeros_like(self.stored))
        self.bias = bias

    def forward(self, inputs: Tensor) -> Tensor:
        scales = self.stored * (1 + self.change)
        product: Tensor = _Product.apply(inputs, self.levels, scales, self.index)  # type: ignore[no-untyped-call]
        return product if self.bias is None else product + self.bias

    def tuned(self) -> Tensor:
        """The scales as they are now."""
        return self.stored * (1 + self.change.detach())


class ScaledNorm(nn.Module):
    """A norm whose output is multiplied by `1 + change`, which is trained."""

    tensor = "weight"

    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.norm = norm
        self.change = nn.Parameter(torch.zeros_like(norm.weight))

    def forward(self, states: Tensor) -> Tensor:
        normed: Tensor = self.norm(states)
        return normed * (1 + self.change)

    def tuned(self) -> Tensor:
        """The norm's weight as it is now."""
        weight: Tensor = self.norm.weight
        return weight * (1 + self.change.detach())


@dataclass(frozen=True, slots=True)
class Tuned:
    """KL on the windows kept apart before and after `steps`, the best number of them; 0 if none helped."""

    before: float
    after: float
    steps: int


class Student:
    """The quantized model in fp32, its scales and norms to be trained."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        module = build_empty(scaled_config(checkpoint.config, LoadOptions()))
        check_names(checkpoint, module)
        self.parts: dict[str, ScaledLinear | ScaledNorm] = {}
        for name in checkpoint.quantized_layers:
            has_bias = module.get_submodule(name).bias is not None
            bias = checkpoint.tensor(f"{name}.bias").float() if has_bias else None
            self._put(module, name, ScaledLinear(checkpoint.packed(name), bias))
        fill_plain(checkpoint, module, torch.float32, lambda _name: torch.device("cpu"))
        module.model.rotary_emb = type(module.model.rotary_emb)(module.config)
        for name in [name for name, _ in module.named_modules() if name.endswith("norm")]:
            self._put(module, name, ScaledNorm(module.get_submodule(name)))
        self._model, self._head = module.model, module.lm_head.weight.float()

    def _put(self, module: Any, name: str, part: ScaledLinear | ScaledNorm) -> None:
        owner, _, last = name.rpartition(".")
        setattr(module.get_submodule(owner), last, part)
        self.parts[name] = part

    def states(self, window: Tensor) -> Tensor:
        """What the head is given, (tokens, width)."""
        states: Tensor = self._model(window, use_cache=False).last_hidden_state[0]
        return states

    @torch.no_grad()
    def loss(self, pairs: Sequence[Pair]) -> float:
        """Mean KL over windows, each with the full model's final states."""
        return sum(divergence(self.states(w), states, self._head)[0] for w, states in pairs) / len(pairs)

    def tune(self, pairs: Sequence[Pair], apart: Sequence[Pair], rate: float, progress: OnStep) -> Tuned:
        """One step of Adam a window, once through `pairs`; the best state on the way, on `apart`, stays.

        Measured before, `CHECKS` times on the way and after the last; the state before is one of them.
        """
        changes = [part.change for part in self.parts.values()]
        optimizer = torch.optim.Adam(changes, lr=rate, betas=(0.9, 0.99))
        before = after = self.loss(apart)
        best, taken = [change.detach().clone() for change in changes], 0
        pace = max(10, -(-len(pairs) // CHECKS))
        for step, (window, wanted) in enumerate(pairs, 1):
            left = max(1 - (step - 1) / len(pairs), 0.05)
            optimizer.param_groups[0]["lr"] = rate * min(step / WARMUP, 1) * left
            states = self.states(window)
            _, gradient = divergence(states.detach(), wanted, self._head)
            torch.autograd.backward(states, gradient)
            optimizer.step()
            optimizer.zero_grad()
            if (step % pace == 0 or step == len(pairs)) and (found := self.loss(apart)) < after:
                after, taken = found, step
                best = [change.detach().clone() for change in changes]
            progress(step, len(pairs))
        for change, kept in zip(changes, best, strict=True):
            change.data.copy_(kept)
        return Tuned(before, after, taken)

    def tuned(self) -> dict[str, Tensor]:
        """The changed tensors, fp32, by their names in the checkpoint."""
        return {f"{name}.{part.tensor}": part.tuned() for name, part in self.parts.items()}


@torch.no_grad()
def divergence(states: Tensor, wanted: Tensor, head: Tensor) -> tuple[float, Tensor]:
    """Mean KL(wanted ‖ states) of the next token's distributions, and its gradient by `states`.

    states, wanted: what the head is given, (tokens, width). head: (vocabulary, width).
    """
    total, gradient = 0.0, torch.empty_like(states)
    for first in range(0, len(states), HEAD_ROWS):
        part = slice(first, first + HEAD_ROWS)
        aim = torch.log_softmax(wanted[part] @ head.T, -1)
        found = torch.log_softmax(states[part] @ head.T, -1)
        chances = aim.exp()
        total += float((chances * (aim - found)).sum())
        gradient[part] = found.exp_().sub_(chances) @ head
    return total / len(states), gradient.div_(len(states))
