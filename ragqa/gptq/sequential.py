"""One decoder layer at a time, its matrices in the order that data flows through them. Knows no file and no
text.

Fits the Llama family as transformers builds it: attention after one norm, a gated MLP after another.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ragqa.errors import CheckpointError
from ragqa.gptq.configuration import FAMILIES
from ragqa.gptq.model import build_empty
from ragqa.gptq.rope import normalise_rope
from ragqa.gptq.solver import Hessian

STAGES = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("mlp.down_proj",),
)
"""Matrices that see the same input, in the order of `true_sequential`: each stage sees the ones before
quantized."""

QuantizeStage = Callable[[tuple[str, ...], Tensor], None]
"""Given a stage's names and its Hessian, puts quantized weights into the layer."""
Positions = tuple[Tensor, Tensor]


class Skeleton:
    """A model without weights that lends out its decoder layers. Raises CheckpointError for other
    families."""

    def __init__(self, config: Mapping[str, Any], device: torch.device) -> None:
        family = str(config.get("model_type"))
        if family not in FAMILIES:
            raise CheckpointError(f"models of type {family} cannot be quantized; only {', '.join(FAMILIES)}")
        model = build_empty(normalise_rope(config))
        self.device = device
        self._layers = model.model.layers
        self._rotary = type(model.model.rotary_emb)(config=model.config).to(device)

    @property
    def layers(self) -> int:
        return len(self._layers)

    def width(self, name: str) -> int:
        """Input columns of a matrix, as in `mlp.down_proj`."""
        return int(self._layers[0].get_submodule(name).in_features)

    def layer(self, index: int, weights: Mapping[str, Tensor]) -> Any:
        """Layer `index` with the given weights, named within the layer. Raises CheckpointError if any is
        missing."""
        layer = self._layers[index]
        placed = {name: weight.to(self.device, torch.float32) for name, weight in weights.items()}
        try:
            layer.load_state_dict(placed, strict=True, assign=True)
        except RuntimeError as error:
            raise CheckpointError(f"layer {index} does not fit its configuration: {error}") from error
        return layer.eval().requires_grad_(False)

    def release(self, index: int) -> None:
        """Drop the layer's weights again."""
        self._layers[index].to("meta")

    def positions(self, tokens: int) -> Positions:
        """cos and sin of positions 0 … tokens-1, as the model's own rotary module gives them."""
        ids = torch.arange(tokens, device=self.device).unsqueeze(0)
        cos, sin = self._rotary(torch.zeros(1, device=self.device), ids)
        return cos, sin


def quantize_layer(
    layer: Any, hidden: Sequence[Tensor], skeleton: Skeleton, quantize_stage: QuantizeStage
) -> None:
    """Quantize the layer stage by stage and turn `hidden`, in place, into the quantized layer's output.

    hidden: activations before the layer, one tensor (1, tokens, width) a calibration window. Each stage's
    Hessian comes from what reaches it through the stages already quantized. Holds, beside `hidden`, the
    inputs of one stage at a time.
    """
    device = skeleton.device
    hessian = Hessian(skeleton.width(STAGES[0][0]), device)
    for states in hidden:
        hessian.add(layer.input_layernorm(states.to(device)))
    quantize_stage(STAGES[0], hessian.matrix)

    mixed = [_before(layer.self_attn.o_proj, partial(_attention, layer, s, skeleton)) for s in hidden]
    quantize_stage(STAGES[1], _hessian_of(mixed, device))
    for states, inputs in zip(hidden, mixed, strict=True):
        states.add_(layer.self_attn.o_proj(inputs.to(device)).to(states.device))
    del mixed

    hessian = Hessian(skeleton.width(STAGES[2][0]), device)
    for states in hidden:
        hessian.add(layer.post_attention_layernorm(states.to(device)))
    quantize_stage(STAGES[2], hessian.matrix)

    gated = [_before(layer.mlp.down_proj, partial(_feed_forward, layer, s, device)) for s in hidden]
    quantize_stage(STAGES[3], _hessian_of(gated, device))
    for states, inputs in zip(hidden, gated, strict=True):
        states.add_(layer.mlp.down_proj(inputs.to(device)).to(states.device))


def run_layer(layer: Any, hidden: Sequence[Tensor], skeleton: Skeleton) -> None:
    """Turn `hidden`, in place, into the layer's output: to the bit what `quantize_layer` leaves."""
    for states in hidden:
        states.add_(_attention(layer, states, skeleton).to(states.device))
        states.add_(_feed_forward(layer, states, skeleton.device).to(states.device))


def _attention(layer: Any, states: Tensor, skeleton: Skeleton) -> Tensor:
    # No mask: a single sequence without padding is causal by the module's own flag.
    result: Tensor = layer.self_attn(
        hidden_states=layer.input_layernorm(states.to(skeleton.device)),
        position_embeddings=skeleton.positions(states.shape[1]),
        attention_mask=None,
    )[0]
    return result


def _feed_forward(layer: Any, states: Tensor, device: torch.device) -> Tensor:
    result: Tensor = layer.mlp(layer.post_attention_layernorm(states.to(device)))
    return result


class _Reached(Exception):  # noqa: N818 (not an error: it ends a pass early)
    """Carries the input of the matrix that a pass was to be run up to."""


def _before(matrix: nn.Module, run: Callable[[], Tensor]) -> Tensor:
    """What `run` feeds to `matrix`, without running `matrix` or what comes after it."""

    def stop(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        raise _Reached(inputs[0].cpu())

    handle = matrix.register_forward_pre_hook(stop)
    try:
        run()
    except _Reached as reached:
        inputs: Tensor = reached.args[0]
        return inputs
    finally:
        handle.remove()
    raise RuntimeError("the pass never reached the matrix")


def _hessian_of(inputs: Sequence[Tensor], device: torch.device) -> Tensor:
    hessian = Hessian(inputs[0].shape[-1], device)
    for part in inputs:
        hessian.add(part.to(device))
    return hessian.matrix
