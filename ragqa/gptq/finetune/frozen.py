"""The frozen base in 4 or 8 bits while an adapter is trained beside it. Knows no adapter and no data.

QLoRA (Dettmers et al. 2023, https://arxiv.org/abs/2305.14314) with our packed layers in place of its number
format: the weights are rounded to nearest by groups, and dequantized for each product, forward and back, so
a layer's weight is dense only while it is multiplied. The adapter is merged into the full-precision base.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ragqa.errors import CheckpointError
from ragqa.gptq.linear import GptqLinear
from ragqa.gptq.packing import pack
from ragqa.gptq.solver import Recipe, round_to_nearest


class _Product(torch.autograd.Function):
    """x Wᵀ; keeps neither x nor the dense W for the way back."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, layer: GptqLinear) -> Tensor:
        ctx.layer = layer
        return inputs @ layer.dequantized(inputs.dtype).T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return gradient @ ctx.layer.dequantized(gradient.dtype), None


class FrozenLinear(nn.Module):
    """A packed linear layer that gradients go through and that has none of its own."""

    def __init__(self, packed: GptqLinear) -> None:
        super().__init__()
        self.packed = packed
        self.in_features, self.out_features = packed.in_features, packed.out_features

    def forward(self, inputs: Tensor) -> Tensor:
        """`inputs` (…, in) to (…, out)."""
        product: Tensor = _Product.apply(inputs, self.packed)  # type: ignore[no-untyped-call]
        if self.packed.bias is None:
            return product
        return product + self.packed.get_buffer("bias").to(product.dtype)


def freeze_in_bits(model: nn.Module, bits: int, group_size: int) -> None:
    """Put a packed layer in the place of every linear layer of the model's blocks, one after another.

    Raises CheckpointError where a layer's width is not a multiple of the group size.
    """
    found = [
        (name, part) for name, part in model.named_modules() if type(part) is nn.Linear and ".layers." in name
    ]
    for name, linear in found:
        if linear.in_features % group_size:
            raise CheckpointError(
                f"{name} has {linear.in_features} columns, which groups of {group_size} do not divide"
            )
        path, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(path), leaf, FrozenLinear(_packed(linear, bits, group_size)))


def _packed(linear: nn.Linear, bits: int, group_size: int) -> GptqLinear:
    recipe = Recipe(bits, group_size, desc_act=False, sym=False)
    rounded = round_to_nearest(linear.weight.detach().float(), None, recipe)
    packed = pack(rounded.codes, rounded.zeros, rounded.scales, rounded.g_idx, bits)
    bias = None if linear.bias is None else linear.bias.detach().clone()
    return GptqLinear(packed, bias).requires_grad_(requires_grad=False)
