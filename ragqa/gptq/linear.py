"""Our GPTQ linear layer. Knows no file and no model.

One copy of the weights is resident. Layers that torch's int4 kernel can serve lie in its layout
(`ragqa.gptq.tiles`): short inputs are multiplied by the packed codes, long ones by weights dequantized piece
by piece. Loops compiled for this processor do both where llvmlite is installed, torch's operators elsewhere.
On CUDA torch's int4 kernel serves in the same way (`ragqa.gptq.cuda`) where `ragqa.gptq.kernels` finds that
it takes the layer, or before it gptqmodel's where that is installed; each such layer only after it has been
compared with the reference (`ragqa.gptq.trial`). All other layers keep the checkpoint's layout and are
dequantized and multiplied: that is the reference, on any device.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ragqa.gptq.compiled import Loops, compiled_loops
from ragqa.gptq.cuda import Int4Linear, cuda_operators
from ragqa.gptq.gptqmodel_kernels import DEQUANTIZING, PLAIN, gptqmodel_candidates, is_installed
from ragqa.gptq.grouped import group_columns, shape_of
from ragqa.gptq.int4 import learn_layout, multiply
from ragqa.gptq.kernels import Kernel, Place, choose_kernel
from ragqa.gptq.packing import PackedLinear, dequantize
from ragqa.gptq.tiles import TiledWeights, tile_weights
from ragqa.gptq.trial import Candidate, Refusal, first_right

Kernels = Literal["auto", "reference", "gptqmodel"]
"""auto: the fastest, gptqmodel's on CUDA alone; reference: dequantize and multiply; gptqmodel: its kernels on
the CPU too, to compare them."""

LONGEST_COMPILED_INPUT = 16
"""Rows up to which the compiled product is faster than dequantizing (`benchmarks/gptq.py crossover`)."""

LONGEST_PACKED_INPUT = 48
"""The same of torch's int4 kernel, without llvmlite: between 32 and 64 on AVX2, for 576 to 5,632 columns."""

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


class TiledLinear(nn.Module):
    """A linear layer over `TiledWeights`: packed codes for short inputs, dequantized pieces for long ones.

    With kernels="reference" every input is multiplied by dequantized weights. The compiled product computes
    in fp32 (relative error about 3e-7), torch's int4 kernel in bf16 whatever it is given (about 3e-3).
    `loops` None is torch's operators alone.
    """

    def __init__(
        self,
        weights: TiledWeights,
        bias: Tensor | None = None,
        kernels: Kernels = "auto",
        loops: Loops | None = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = weights.inputs, weights.outputs
        self.weights, self.loops = weights, loops
        self.register_buffer("bias", bias)
        longest = LONGEST_PACKED_INPUT if loops is None else LONGEST_COMPILED_INPUT
        self.longest_packed = 0 if kernels == "reference" else longest
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
        if flat.shape[0] > self.longest_packed:
            product = self._dequantized(self._ordered(flat))
        elif self.loops is None:
            product = self._packed(self._ordered(flat))
        else:
            wide = flat.float().contiguous()
            product = self.loops.multiply(wide, self.weights).to(flat.dtype)
        if self.bias is not None:
            product += self.get_buffer("bias")
        return product if inputs.dim() == 2 else product.reshape(*inputs.shape[:-1], self.out_features)

    def dequantized(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The weight this layer stands for, (outputs, inputs), columns in the model's order."""
        weight = torch.empty(self.in_features, self.out_features, dtype=dtype)
        self.weights.dequantize_into(weight)
        if self.weights.order is not None:
            weight = torch.empty_like(weight).index_copy_(0, self.weights.order, weight)
        return weight.T.contiguous()

    def _ordered(self, flat: Tensor) -> Tensor:
        return flat if self.weights.order is None else flat.index_select(1, self.weights.order)

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
            part = self.weights.rows(first, min(first + step, self.out_features))
            columns = target[: self.in_features * part.outputs].view(self.in_features, part.outputs)
            if self.loops is None:
                part.dequantize_into(columns)
            else:
                self.loops.dequantize_into(columns, part)
            torch.mm(wide, columns, out=product[:, first : first + part.outputs])
        return product.to(flat.dtype)


def product_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type to multiply in on a CPU: fp32 for bf16 where the processor has no bf16 product of its own.

    Measured with AVX2 alone, 512 rows: ten times faster in fp32.
    """
    if dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return dtype
    return torch.float32


@dataclass(frozen=True, slots=True)
class ChosenLinear:
    """The layer that serves, and why the kernels that should have been faster do not."""

    layer: nn.Module
    refusals: tuple[Refusal, ...] = ()


def gptq_linear(
    packed: PackedLinear,
    bias: Tensor | None,
    device: torch.device,
    kernels: Kernels = "auto",
    dtype: torch.dtype = torch.bfloat16,
) -> ChosenLinear:
    """The fastest layer for these weights on this device, whose inputs come in `dtype`.

    Kernels that were not run where this was written are compared with the reference first.
    """
    shape, place = shape_of(packed), place_of(device, dtype, kernels)
    own = choose_kernel(shape, replace(place, gptqmodel=False))
    candidates: list[Candidate] = []
    if kernels != "reference" and choose_kernel(shape, place) == "gptqmodel":
        left_out = PLAIN if own == "reference" else DEQUANTIZING
        candidates += gptqmodel_candidates(packed, device, dtype, left_out)
    if kernels != "reference" and own == "int4":
        candidates.append(Candidate("PyTorch's int4 kernel", lambda: int4_linear(packed, device)))
    layer, refusals = first_right(candidates, packed, device, dtype)
    if layer is None:
        layer = own_linear(packed, own, kernels)
    layer.register_buffer("bias", bias)
    return ChosenLinear(layer.to(device), tuple(refusals))


def own_linear(packed: PackedLinear, kernel: Kernel, kernels: Kernels) -> nn.Module:
    """A layer that was run where this was written, without its bias: over tiles, or the reference."""
    tiled = tile_weights(packed) if kernel == "tiled" else None
    if tiled is not None:
        return TiledLinear(tiled, None, kernels, compiled_loops())
    return GptqLinear(packed)


def int4_linear(packed: PackedLinear, device: torch.device) -> nn.Module:
    """PyTorch's int4 kernel on a card that takes the layer, without its bias."""
    return Int4Linear(group_columns(packed), cuda_operators(packed.inputs, device)).to(device)


def place_of(device: torch.device, dtype: torch.dtype, kernels: Kernels = "auto") -> Place:
    """What choosing a kernel needs to know of a device."""
    foreign = kernels == "gptqmodel" and is_installed()
    if device.type == "cpu":
        layout = learn_layout()
        return Place("cpu", dtype, tile_rows=None if layout is None else layout.rows, gptqmodel=foreign)
    capability = capability_of(device)
    foreign = foreign or (kernels == "auto" and capability is not None and is_installed())
    return Place(device.type, dtype, capability, gptqmodel=foreign)


def capability_of(device: torch.device) -> tuple[int, int] | None:
    """CUDA's compute capability; None for all that is not one of NVIDIA's cards."""
    if device.type != "cuda" or torch.version.hip is not None:
        return None
    return torch.cuda.get_device_capability(device)
