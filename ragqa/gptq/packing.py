"""The AutoGPTQ v1 tensor layout of one linear layer. Knows no model, no file and no kernel.

A layer with `inputs` columns and `outputs` rows is held as

    qweight  int32  (inputs * bits / 32, outputs)   codes packed along the inputs, lowest bits first
    qzeros   int32  (groups, outputs * bits / 32)   zero points minus one, packed along the outputs
    scales   fp16   (groups, outputs)
    g_idx    int32  (inputs,)                        the group of each input column

and stands for `weight[o, i] = (code[i, o] - zero[g_idx[i], o]) * scale[g_idx[i], o]`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ragqa.gptq.quantization import BITS


@dataclass(frozen=True, slots=True)
class PackedLinear:
    """The four tensors of one quantized layer, as a checkpoint holds them."""

    qweight: Tensor
    qzeros: Tensor
    scales: Tensor
    g_idx: Tensor
    bits: int

    @property
    def inputs(self) -> int:
        """Input columns of the layer."""
        return self.qweight.shape[0] * 32 // self.bits

    @property
    def outputs(self) -> int:
        """Output rows of the layer."""
        return self.qweight.shape[1]


def pack(codes: Tensor, zeros: Tensor, scales: Tensor, g_idx: Tensor, bits: int) -> PackedLinear:
    """Pack one layer.

    codes: integers in [0, 2**bits), shape (inputs, outputs): the transpose of `torch.nn.Linear.weight`.
    zeros: integers in [0, 2**bits), shape (groups, outputs): the true zero points. One is subtracted here;
        zero itself wraps to 2**bits - 1. This project and most readers mask it back, exllama's kernels do
        not: a quantizer that keeps zeros in [1, 2**bits) writes folders that every runtime reads alike.
    scales: floats, shape (groups, outputs); stored as fp16, so quantize with the rounded ones.
    g_idx: integers in [0, groups), shape (inputs,).

    Raises ValueError for other bits than 4 and 8, shapes that disagree, sides not divisible by 32 / bits, and
    values out of range.
    """
    check_bits(bits)
    inputs, outputs = codes.shape
    if zeros.shape != scales.shape or zeros.shape[1] != outputs or g_idx.shape != (inputs,):
        raise ValueError(
            f"codes {tuple(codes.shape)}, zeros {tuple(zeros.shape)}, scales {tuple(scales.shape)} and "
            f"g_idx {tuple(g_idx.shape)} do not belong to one layer"
        )
    if not 0 <= int(g_idx.min()) <= int(g_idx.max()) < zeros.shape[0]:
        raise ValueError(f"g_idx must lie in [0, {zeros.shape[0]})")
    for name, values in (("codes", codes), ("zeros", zeros)):
        if not 0 <= int(values.min()) <= int(values.max()) < 2**bits:
            raise ValueError(f"{name} must lie in [0, {2**bits})")
    return PackedLinear(
        qweight=pack_rows(codes, bits),
        qzeros=pack_rows(((zeros - 1) & (2**bits - 1)).T, bits).T.contiguous(),
        scales=scales.to(torch.float16).contiguous(),
        g_idx=g_idx.to(torch.int32).contiguous(),
        bits=bits,
    )


def unpack(packed: PackedLinear) -> tuple[Tensor, Tensor]:
    """The integers of a layer: codes (inputs, outputs) and true zeros (groups, outputs), both int32."""
    codes = unpack_rows(packed.qweight, packed.bits)
    stored = unpack_rows(packed.qzeros.T, packed.bits).T
    return codes, ((stored + 1) & (2**packed.bits - 1)).contiguous()


def dequantize(packed: PackedLinear, dtype: torch.dtype = torch.float32) -> Tensor:
    """The weight that the layer stands for, shape (outputs, inputs) as `torch.nn.Linear` holds it."""
    codes, zeros = unpack(packed)
    groups = packed.g_idx.long()
    scales = packed.scales.to(torch.float32)
    return ((codes - zeros[groups]) * scales[groups]).T.to(dtype).contiguous()


def pack_rows(values: Tensor, bits: int) -> Tensor:
    """Pack along dimension 0, lowest bits first: (rows, columns) -> int32 (rows * bits / 32, columns)."""
    check_bits(bits)
    per_word = 32 // bits
    if values.shape[0] % per_word:
        raise ValueError(f"{values.shape[0]} rows of {bits} bits do not fill whole 32-bit words")
    words = values.to(torch.int32).reshape(-1, per_word, values.shape[1])
    packed = torch.zeros(words.shape[0], words.shape[2], dtype=torch.int32, device=values.device)
    for place in range(per_word):
        packed |= words[:, place] << (bits * place)
    return packed


def unpack_rows(packed: Tensor, bits: int) -> Tensor:
    """The inverse of `pack_rows`: int32 (words, columns) -> int32 (words * 32 / bits, columns)."""
    check_bits(bits)
    shifts = torch.arange(0, 32, bits, dtype=torch.int32, device=packed.device).reshape(1, -1, 1)
    words: Tensor = (packed.unsqueeze(1) >> shifts) & (2**bits - 1)
    return words.reshape(-1, packed.shape[1])


def check_bits(bits: int) -> None:
    """Raise ValueError for widths the format's 32-bit words do not hold evenly here."""
    if bits not in BITS:
        raise ValueError(f"{bits} bits: only {' and '.join(map(str, BITS))} are supported")
