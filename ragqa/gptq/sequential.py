"""One decoder layer at a time, its matrices in the order that data flows through them. Knows no file and no
text.

Fits the Llama family as transformers builds it: attention after one norm, a gated MLP after another.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ragqa.errors import CheckpointError
from ragqa.gptq.configuration import FAMILIES
from ragqa.gptq.correction import Shortfall, correction
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


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a layer is quantized on: activations before it, one tensor (1, tokens, width) a window.

    `sink_share` is the part of each Hessian that the windows' first tokens make up. Most attention heads
    rest on the first token (Xiao et al. 2023, arXiv 2309.17453), so an error in it reaches all the others:
    one token in a thousand caused two fifths of SmolLM2's loss (docs/model.md). That tokens may be weighed is
    from Sung et al. 2025, arXiv 2503.01820.

    `full` holds the same windows as the full-precision model has them before the layer. With it, each matrix
    is changed before it is quantized so that it makes up for what the ones before it lost (`correction`);
    empty, each is kept to its own weights.
    """

    hidden: Sequence[Tensor]
    skeleton: Skeleton
    sink_share: float = 0.0
    full: Sequence[Tensor] = ()

    def importance(self, tokens: int) -> Tensor:
        """The weight of each token of a window in the Hessian; 1 for all but the first."""
        weights = torch.ones(tokens, device=self.skeleton.device)
        weights[0] = max(1.0, self.sink_share / (1.0 - self.sink_share) * (tokens - 1))
        return weights


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What a stage is quantized by. `missing` is what its inputs lack; where `of_outputs`, its outputs."""

    hessian: Hessian
    missing: Shortfall
    of_outputs: bool


def quantize_layer(layer: Any, calibration: Calibration, quantize_stage: QuantizeStage) -> None:
    """Quantize the layer stage by stage and turn the calibration's activations, in place, into its output.

    Each stage's Hessian comes from what reaches it through the stages already quantized. Holds, beside the
    activations, the inputs of one stage at a time, and, of a calibration with `full`, the layer's output in
    full precision.
    """
    skeleton, full = calibration.skeleton, calibration.full
    attend = partial(_attention, layer, skeleton=skeleton)
    feed = partial(_feed_forward, layer, device=skeleton.device)
    evidence = _reading(layer.input_layernorm, STAGES[0], calibration)
    after = _advance(layer, calibration)
    _settle(layer, STAGES[0], evidence, calibration, quantize_stage)
    _quantize_adding(layer, STAGES[1], attend, calibration, full, quantize_stage)
    evidence = _reading(layer.post_attention_layernorm, STAGES[2], calibration)
    _settle(layer, STAGES[2], evidence, calibration, quantize_stage)
    _quantize_adding(layer, STAGES[3], feed, calibration, after, quantize_stage)
    for states, reached in zip(full, after, strict=True):
        states.copy_(reached)


def _advance(layer: Any, calibration: Calibration) -> list[Tensor]:
    """Move the full-precision stream, in place, behind the attention; returns it behind the whole layer."""
    after = []
    for states in calibration.full:
        states.add_(_attention(layer, states, calibration.skeleton).to(states.device))
        output = _feed_forward(layer, states, calibration.skeleton.device).to(states.device)
        after.append(output.add_(states))
    return after


def _reading(norm: nn.Module, names: tuple[str, ...], calibration: Calibration) -> _Evidence:
    """What is known of a stage that reads the residual stream through its norm."""
    device = calibration.skeleton.device
    hessian, missing = Hessian(calibration.skeleton.width(names[0]), device), Shortfall()
    for place, states in enumerate(calibration.hidden):
        inputs, importance = norm(states.to(device)), calibration.importance(states.shape[1])
        hessian.add(inputs, importance)
        if calibration.full:
            missing.add(norm(calibration.full[place].to(device)) - inputs, inputs, importance)
    return _Evidence(hessian, missing, of_outputs=False)


def _settle(
    layer: Any,
    names: tuple[str, ...],
    evidence: _Evidence,
    calibration: Calibration,
    quantize_stage: QuantizeStage,
) -> None:
    """Correct the stage's weights where there is a full-precision stream, then have them quantized."""
    hessian = evidence.hessian.matrix
    for name in names if calibration.full else ():
        weight = layer.get_submodule(name).weight
        short = evidence.missing.matrix
        weight.add_(correction(short if evidence.of_outputs else weight @ short, hessian))
    quantize_stage(names, hessian)


def _quantize_adding(
    layer: Any,
    names: tuple[str, ...],
    run: Callable[[Tensor], Tensor],
    calibration: Calibration,
    full: Sequence[Tensor],
    quantize_stage: QuantizeStage,
) -> None:
    """A stage whose output is added to the residual stream; `full` is that sum in full precision, if known.

    All that reads the sum divides it by its root mean square, so a token's squared error counts by the
    inverse of the sum's mean square. Unweighted, the few tokens that a model makes thousands of times
    larger than the rest (Sun et al. 2024, arXiv 2402.17762) would be all that the Hessian holds.
    """
    device, matrix = calibration.skeleton.device, layer.get_submodule(names[0])
    hessian, missing = Hessian(calibration.skeleton.width(names[0]), device), Shortfall()
    reached = []
    for place, states in enumerate(calibration.hidden):
        inputs = _before(matrix, partial(run, states))
        total = states.to(device) + matrix(inputs)
        size = total.square().mean(-1).clamp(min=torch.finfo(total.dtype).tiny)
        importance = calibration.importance(states.shape[1]) / size
        hessian.add(inputs, importance)
        if full:
            missing.add(full[place].to(device) - total, inputs, importance)
        reached.append(inputs.cpu())
    _settle(layer, names, _Evidence(hessian, missing, of_outputs=True), calibration, quantize_stage)
    for states, inputs in zip(calibration.hidden, reached, strict=True):
        states.add_(matrix(inputs.to(device)).to(states.device))


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
        raise _Reached(inputs[0])

    handle = matrix.register_forward_pre_hook(stop)
    try:
        run()
    except _Reached as reached:
        inputs: Tensor = reached.args[0]
        return inputs
    finally:
        handle.remove()
    raise RuntimeError("the pass never reached the matrix")
