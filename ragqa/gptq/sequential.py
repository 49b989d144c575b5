"""One decoder layer at a time, its matrices in the order that data flows through them. Knows no file and no text.

Fits the Llama family as transformers builds it: attention after one norm, a gated MLP after another.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ragqa.errors import CheckpointError
from ragqa.gptq.solver import Hessian

FAMILIES = ("llama", "mistral", "qwen2")
STAGES = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("mlp.down_proj",),
)
"""Matrices that see the same input, in the order of `true_sequential`: each stage sees the ones before quantized."""

QuantizeStage = Callable[[tuple[str, ...], Tensor], None]
"""Given a stage's names and its Hessian, puts quantized weights into the layer."""
Positions = tuple[Tensor, Tensor]


class Skeleton:
    """A model without weights that lends out its decoder layers. Raises CheckpointError for other families."""

    def __init__(self, config: Mapping[str, Any], device: torch.device) -> None:
        from transformers import AutoConfig, AutoModelForCausalLM

        family = str(config.get("model_type"))
        if family not in FAMILIES:
            raise CheckpointError(f"models of type {family} cannot be quantized; only {', '.join(FAMILIES)}")
        self.config = AutoConfig.for_model(**config)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(self.config, attn_implementation="sdpa")
        self.device = device
        self._layers = model.model.layers
        self._rotary = type(model.model.rotary_emb)(config=self.config).to(device)

    @property
    def layers(self) -> int:
        return len(self._layers)

    def width(self, name: str) -> int:
        """Input columns of a matrix, as in `mlp.down_proj`."""
        return int(self._layers[0].get_submodule(name).in_features)

    def layer(self, index: int, weights: Mapping[str, Tensor]) -> nn.Module:
        """Layer `index` with the given weights, named within the layer. Raises CheckpointError if any is missing."""
        layer: nn.Module = self._layers[index]
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
    layer: nn.Module, hidden: Sequence[Tensor], skeleton: Skeleton, quantize_stage: QuantizeStage
) -> None:
    """Quantize the layer stage by stage and turn `hidden`, in place, into the quantized layer's output.

    hidden: activations before the layer, one tensor (1, tokens, width) a calibration window. Each stage's Hessian comes
    from what reaches it through the stages already quantized.
    """
    device = skeleton.device
    hessian = Hessian(skeleton.width(STAGES[0][0]), device)
    for states in hidden:
        hessian.add(layer.input_layernorm(states.to(device)))
    quantize_stage(STAGES[0], hessian.matrix)

    hessian = Hessian(skeleton.width(STAGES[1][0]), device)
    handle = layer.self_attn.o_proj.register_forward_pre_hook(lambda _module, inputs: hessian.add(inputs[0]))
    for states in hidden:
        _attention(layer, states.to(device), skeleton)
    handle.remove()
    quantize_stage(STAGES[1], hessian.matrix)

    hessian = Hessian(skeleton.width(STAGES[2][0]), device)
    for states in hidden:
        states.add_(_attention(layer, states.to(device), skeleton).to(states.device))
        hessian.add(layer.post_attention_layernorm(states.to(device)))
    quantize_stage(STAGES[2], hessian.matrix)

    hessian = Hessian(skeleton.width(STAGES[3][0]), device)
    handle = layer.mlp.down_proj.register_forward_pre_hook(lambda _module, inputs: hessian.add(inputs[0]))
    for states in hidden:
        layer.mlp(layer.post_attention_layernorm(states.to(device)))
    handle.remove()
    quantize_stage(STAGES[3], hessian.matrix)
    for states in hidden:
        states.add_(layer.mlp(layer.post_attention_layernorm(states.to(device))).to(states.device))


def run_layer(layer: nn.Module, hidden: Sequence[Tensor], skeleton: Skeleton) -> None:
    """Turn `hidden`, in place, into the layer's output: to the bit what `quantize_layer` leaves."""
    device = skeleton.device
    for states in hidden:
        states.add_(_attention(layer, states.to(device), skeleton).to(states.device))
        states.add_(layer.mlp(layer.post_attention_layernorm(states.to(device))).to(states.device))


def _attention(layer: nn.Module, states: Tensor, skeleton: Skeleton) -> Tensor:
    # No mask: a single sequence without padding is causal by the module's own flag.
    result: Tensor = layer.self_attn(
        hidden_states=layer.input_layernorm(states),
        position_embeddings=skeleton.positions(states.shape[1]),
        attention_mask=None,
    )[0]
    return result
