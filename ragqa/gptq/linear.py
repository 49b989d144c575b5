"""Our GPTQ linear layer on PyTorch's operators. Knows no file and no model.

One copy of the weights is resident. Layers that torch's int4 kernel can serve lie in the kernel's own
layout, with the columns permuted once so that each group of an act-order layer is contiguous; short inputs
go through the kernel, long ones through weights dequantized tile by tile. All others keep the checkpoint's
layout and are
dequantized and multiplied: that is the reference, on any device.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ragqa.gptq.int4 import (
    TileLayout,
    kernel_group_size,
    learn_layout,
    multiply,
    pack_codes,
    unpack_tiles,
)
from ragqa.gptq.packing import PackedLinear, dequantize, unpack

Kernels = Literal["auto", "reference"]

LONGEST_PACKED_INPUT = 48
"""Rows up to which the int4 kernel is faster than dequantizing (`benchmarks/gptq.py crossover`): between 32
and 64 on AVX2, for layers of 576 to 5,632 columns."""

PARTS = ("qweight", "qzeros", "scales", "g_idx")

DEQUANTIZED_ELEMENTS = 1 << 20
"""Weights dequantized at a time: 4 MB in fp32, which stays in the cache while the product reads it."""


class GptqLinear(nn.Module):
    """A linear layer in the checkpoint's layout: dequantize, multiply. The reference for every kernel.

    Takes (…, inputs), gives (…, outputs) in the type of what it was given.
    """

    def __init__(self, packed: PackedLinear, bias: Tensor | None = None) -> None:
        super().__init__()
        self.bits, self.in_features, self.out_features = packed.bits, packed.inputs, packed.outputs
        for name in PARTS:
            self.register_buffer(name, getattr(packed, name))
        self.register_buffer("bias", bias)

    def dequantized(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The weight this layer stands for, (outputs, inputs), columns in the model's order."""
        qweight, qzeros, scales, g_idx = (self.get_buffer(name) for name in PARTS)
        return dequantize(PackedLinear(qweight, qzeros, scales, g_idx, self.bits), dtype)

    def forward(self, inputs: Tensor) -> Tensor:
        bias = None if self.bias is None else self.get_buffer("bias").to(inputs.dtype)
        return functional.linear(inputs, self.dequantized(inputs.dtype), bias)


@dataclass(frozen=True, slots=True)
class TiledWeights:
    """A weight in the int4 kernel's layout. `order` is the model's column at each place, None for in order.

    codes uint8 (outputs, inputs / 2); scales fp16 and zeros uint8 (tiles, groups, rows of a tile).
    """

    codes: Tensor
    scales: Tensor
    zeros: Tensor
    order: Tensor | None
    group_size: int
    layout: TileLayout

    @property
    def outputs(self) -> int:
        return self.codes.shape[0]

    @property
    def inputs(self) -> int:
        return self.codes.shape[1] * 2

    def rows(self, start: int, end: int) -> "TiledWeights":
        """Outputs start … end as views; both must be whole tiles."""
        tile = slice(start // self.layout.rows, end // self.layout.rows)
        return TiledWeights(
            self.codes[start:end],
            self.scales[tile],
            self.zeros[tile],
            self.order,
            self.group_size,
            self.layout,
        )

    def kernel_constants(self) -> Tensor:
        """(groups, outputs, 2) in bf16 as the kernel reads them: `(code - 8) * scale + zero`."""
        scales, zeros = self.scales.float(), self.zeros.float()
        pairs = torch.stack((scales, (8 - zeros) * scales), dim=-1)
        return pairs.transpose(0, 1).reshape(pairs.shape[1], -1, 2).to(torch.bfloat16).contiguous()

    def dequantize_into(self, target: Tensor, first: int) -> None:
        """Fill target (inputs, columns) with the transposed weight of the outputs from `first` on.

        Columns stay in the permuted order. `first` and the number of columns must be whole tiles.
        """
        rows = self.layout.rows
        tiles = slice(first // rows, (first + target.shape[1]) // rows)
        codes = unpack_tiles(self.codes[first : first + target.shape[1]], self.layout)
        grouped = codes.reshape(codes.shape[0], -1, self.group_size, rows)
        scales = self.scales[tiles].to(target.dtype).unsqueeze(2)
        # Differences of 4-bit codes are exact in every type; scales are rounded to the target's.
        centred = grouped.view(torch.int8) - self.zeros[tiles].view(torch.int8).unsqueeze(2)
        view = target.view(grouped.shape[1], self.group_size, grouped.shape[0], rows).permute(2, 0, 1, 3)
        torch.mul(centred, scales, out=view)


def tile_weights(packed: PackedLinear) -> TiledWeights | None:
    """The kernel's form of a layer, or None where the kernel cannot serve it.

    It serves 4 bits with groups of 32 columns or more that are all equally large, and whole tiles of outputs.
    """
    layout = learn_layout()
    groups = packed.scales.shape[0]
    if packed.bits != 4 or layout is None or packed.outputs % layout.rows or packed.inputs % groups:
        return None
    own = packed.inputs // groups
    size = kernel_group_size(packed.inputs, own)
    index = packed.g_idx.long()
    if size is None or not bool((torch.bincount(index, minlength=groups) == own).all()):
        return None
    in_order = bool((index.diff() >= 0).all())
    order = None if in_order else torch.argsort(index, stable=True)
    codes, zeros = unpack(packed)
    turned = codes if order is None else codes[order]

    def by_tile(values: Tensor) -> Tensor:
        finer = values.repeat_interleave(own // size, 0)
        return finer.reshape(finer.shape[0], -1, layout.rows).transpose(0, 1).contiguous()

    return TiledWeights(
        codes=pack_codes(turned.T),
        scales=by_tile(packed.scales.to(torch.float16)),
        zeros=by_tile(zeros.to(torch.uint8)),
        order=order,
        group_size=size,
        layout=layout,
    )


class TiledLinear(nn.Module):
    """A linear layer over `TiledWeights`: the int4 kernel for short inputs, dequantized tiles for long ones.

    With kernels="reference" every input is multiplied by dequantized weights. The kernel computes in bf16
    whatever it is given, with a relative error of about 3e-3.
    """

    def __init__(self, weights: TiledWeights, bias: Tensor | None = None, kernels: Kernels = "auto") -> None:
        super().__init__()
        self.in_features, self.out_features = weights.inputs, weights.outputs
        self.weights = weights
        self.register_buffer("bias", bias)
        self.longest_packed = LONGEST_PACKED_INPUT if kernels == "auto" else 0
        self._constants: Tensor | None = None

    def resident_tensors(self) -> list[Tensor]:
        """Weights, scales, zeros, order and the kernel's constants, as far as they are in memory."""
        held = (
            self.weights.codes,
            self.weights.scales,
            self.weights.zeros,
            self.weights.order,
            self._constants,
        )
        return [one for one in held if one is not None]

    def forward(self, inputs: Tensor) -> Tensor:
        flat = inputs if inputs.dim() == 2 else inputs.reshape(-1, self.in_features)
        if self.weights.order is not None:
            flat = flat.index_select(1, self.weights.order)
        product = self._packed(flat) if flat.shape[0] <= self.longest_packed else self._dequantized(flat)
        if self.bias is not None:
            product += self.get_buffer("bias")
        return product if inputs.dim() == 2 else product.reshape(*inputs.shape[:-1], self.out_features)

    def dequantized(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The weight this layer stands for, (outputs, inputs), columns in the model's order."""
        weight = torch.empty(self.in_features, self.out_features, dtype=dtype)
        self.weights.dequantize_into(weight, 0)
        if self.weights.order is not None:
            weight = torch.empty_like(weight).index_copy_(0, self.weights.order, weight)
        return weight.T.contiguous()

    def _packed(self, flat: Tensor) -> Tensor:
        if self._constants is None:
            self._constants = self.weights.kernel_constants()
        narrow = flat.to(torch.bfloat16)
        return multiply(narrow, self.weights.codes, self.weights.group_size, self._constants).to(flat.dtype)

    def _dequantized(self, flat: Tensor) -> Tensor:
        rows, kind = self.weights.layout.rows, product_dtype(flat.dtype)
        wide = flat.to(kind)
        step = max(1, DEQUANTIZED_ELEMENTS // (self.in_features * rows)) * rows
        product = torch.empty(flat.shape[0], self.out_features, dtype=kind)
        target = torch.empty(self.in_features * min(step, self.out_features), dtype=kind)
        for first in range(0, self.out_features, step):
            columns = min(step, self.out_features - first)
            part = target[: self.in_features * columns].view(self.in_features, columns)
            self.weights.dequantize_into(part, first)
            torch.mm(wide, part, out=product[:, first : first + columns])
        return product.to(flat.dtype)


def product_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type to multiply in on a CPU: fp32 for bf16 where the processor has no bf16 product of its own.

    Measured with AVX2 alone, 512 rows: ten times faster in fp32.
    """
    if dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return dtype
    return torch.float32


def gptq_linear(
    packed: PackedLinear, bias: Tensor | None, device: torch.device, kernels: Kernels = "auto"
) -> nn.Module:
    """The fastest of our layers for these weights on this device."""
    tiled = tile_weights(packed) if device.type == "cpu" else None
    if tiled is not None:
        return TiledLinear(tiled, bias, kernels)
    return GptqLinear(packed, bias).to(device)
