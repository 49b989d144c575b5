"""Torch's int4 kernel for CUDA: its operators, its layout, and a layer over them. Knows no file and no model.

Never run on a card: there was none. The layer itself is tested with the CPU's operators, which take the same
scales and zeros; CUDA's with PyTorch's own shape functions and with the layout that its source spells out.
Each layer is compared with the reference before it serves (`ragqa.gptq.trial`).
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ragqa.gptq.grouped import GroupedWeights
from ragqa.gptq.kernels import TILE_COLUMNS, TILE_OUTPUTS, inner_tiles

LONGEST_INT4_INPUT = 128
"""Rows up to which the kernel is faster than dequantizing and multiplying: 0.27 against 0.37 ms at 128, 0.52
against 0.36 at 256 (4,096 x 4,096 on an A6000, measured by torchao, torchao/prototype/hqq/README.md)."""

DEQUANTIZED_ELEMENTS = 1 << 24
"""Weights dequantized at a time: 64 MB while they are integers."""

PIECE_OUTPUTS = 64
"""Outputs that are whole tiles in CUDA's layout and in the CPU's."""

CODES_A_WORD = 8


@dataclass(frozen=True, slots=True)
class Int4Operators:
    """One device's int4 kernel.

    pack: codes (outputs, inputs) to the kernel's own bytes. unpack: the way back; None where the layout is
    not known, and then no input is too long for the kernel. multiply: inputs (rows, inputs) bf16, packed
    codes, group size, constants (groups, outputs, 2) bf16 -> (rows, outputs) bf16.
    """

    pack: Callable[[Tensor], Tensor]
    unpack: Callable[[Tensor], Tensor] | None
    multiply: Callable[[Tensor, Tensor, int, Tensor], Tensor]


class Int4Linear(nn.Module):
    """A linear layer over packed codes alone: multiplied as they are, or dequantized piece by piece where the
    input is long.

    Products are of bf16, whatever it is given; takes (…, inputs), gives (…, outputs) in the type of what it
    was given.
    """

    def __init__(self, weights: GroupedWeights, operators: Int4Operators, bias: Tensor | None = None) -> None:
        super().__init__()
        self.out_features, self.in_features = weights.codes.shape
        self.group_size, self.operators = weights.group_size, operators
        self.longest_packed = LONGEST_INT4_INPUT
        self.register_buffer("codes", operators.pack(weights.codes))
        self.register_buffer("constants", weights.constants())
        self.register_buffer("order", weights.order)
        self.register_buffer("bias", bias)

    def forward(self, inputs: Tensor) -> Tensor:
        flat = inputs.reshape(-1, self.in_features)
        if self.order is not None:
            flat = flat.index_select(1, self.get_buffer("order"))
        narrow = flat.to(torch.bfloat16).contiguous()
        if self.operators.unpack is None or narrow.shape[0] <= self.longest_packed:
            codes, constants = self.get_buffer("codes"), self.get_buffer("constants")
            product = self.operators.multiply(narrow, codes, self.group_size, constants)
        else:
            product = torch.cat([narrow @ part.T for part in self._pieces(self.operators.unpack)], dim=1)
        product = product.to(inputs.dtype)
        if self.bias is not None:
            product += self.get_buffer("bias")
        return product.reshape(*inputs.shape[:-1], self.out_features)

    def _pieces(self, unpack: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
        """The weight in bf16, its outputs in turn, columns as they lie."""
        codes, constants = self.get_buffer("codes"), self.get_buffer("constants")
        step = max(1, DEQUANTIZED_ELEMENTS // (self.in_features * PIECE_OUTPUTS)) * PIECE_OUTPUTS
        parts = torch.split(codes, step * codes.shape[0] // self.out_features)
        for part, own in zip(parts, torch.split(constants, step, dim=1), strict=True):
            yield dequantize(unpack(part), own)


def dequantize(codes: Tensor, constants: Tensor) -> Tensor:
    """codes (outputs, inputs) in [0, 16), constants (groups, outputs, 2) -> the weight in bf16."""
    groups = constants.shape[0]
    wide = (codes.reshape(codes.shape[0], groups, -1).to(torch.int8) - 8).to(torch.float32)
    scale, zero = (part.T.unsqueeze(2).float() for part in constants.unbind(-1))
    return torch.addcmul(zero, wide, scale).reshape(codes.shape).to(torch.bfloat16)


def cuda_operators(inputs: int, device: torch.device) -> Int4Operators:
    """The operators for layers of that many columns, which `choose_kernel` found to fit, on that card."""
    tiles = inner_tiles(inputs)
    if tiles is None:
        raise ValueError(f"{inputs} columns fill no tiles of CUDA's int4 layout")

    def pack(codes: Tensor) -> Tensor:
        return pack_for_cuda(codes.to(torch.uint8).to(device), tiles)

    places = learn_places(tiles, device)
    unpack = None if places is None else functools.partial(unpack_tiles, places=places)
    return Int4Operators(pack, unpack, multiply_on_cuda)


def pack_for_cuda(codes: Tensor, tiles: int) -> Tensor:
    """codes (outputs, inputs) to int32 (outputs / 8, inputs / (16 · tiles), 32, tiles / 2)."""
    packed: Tensor = torch.ops.aten._convert_weight_to_int4pack(two_a_byte(codes), tiles)
    return packed


def multiply_on_cuda(inputs: Tensor, packed: Tensor, group_size: int, constants: Tensor) -> Tensor:
    """As `Int4Operators.multiply` has it."""
    product: Tensor = torch.ops.aten._weight_int4pack_mm(inputs, packed, group_size, constants)
    return product


def two_a_byte(codes: Tensor) -> Tensor:
    """codes (outputs, inputs) to uint8 (outputs, inputs / 2), the even column in the upper half."""
    halves = codes.to(torch.uint8)
    return (halves[:, ::2] << 4 | halves[:, 1::2]).contiguous()


@functools.cache
def learn_places(tiles: int, device: torch.device) -> Tensor | None:
    """Where the layout puts each code of a tile, as `places_of` finds it on this card."""
    places = places_of(lambda codes: pack_for_cuda(codes.to(device), tiles), tiles)
    return None if places is None else places.to(device)


def places_of(pack: Callable[[Tensor], Tensor], tiles: int) -> Tensor | None:
    """The place of each code of a tile, row by row, among the codes of its packed words.

    Learned, as documented nowhere: matrices are packed whose codes spell out their own position. None where
    tiles of TILE_OUTPUTS rows and TILE_COLUMNS · tiles columns are not what `pack` keeps together.
    """
    wide = TILE_COLUMNS * tiles
    position = torch.arange(4 * TILE_OUTPUTS * wide).reshape(2 * TILE_OUTPUTS, 2 * wide)
    digits = (in_words(pack((position >> 4 * digit) & 15)).cpu().long() << 4 * digit for digit in range(3))
    found = functools.reduce(torch.bitwise_or, digits)
    row, column = torch.arange(2).reshape(2, 1, 1) * TILE_OUTPUTS, torch.arange(2).reshape(1, 2, 1) * wide
    if found.shape != (2, 2, TILE_OUTPUTS * wide):
        return None
    if not torch.equal(found, found[0, 0] + row * 2 * wide + column):
        return None
    local = found[0, 0] // (2 * wide) * wide + found[0, 0] % (2 * wide)
    return torch.argsort(local)


def unpack_tiles(packed: Tensor, places: Tensor) -> Tensor:
    """The kernel's words back to codes uint8 (outputs, inputs)."""
    codes = in_words(packed).index_select(2, places)
    rows, columns = codes.shape[:2]
    tiles = codes.reshape(rows, columns, TILE_OUTPUTS, -1).transpose(1, 2)
    return tiles.reshape(rows * TILE_OUTPUTS, -1)


def in_words(packed: Tensor) -> Tensor:
    """int32 (rows of tiles, columns of tiles, lanes, words) to the codes of each tile as they lie, lowest
    bits first, uint8."""
    shifts = torch.arange(0, 4 * CODES_A_WORD, 4, device=packed.device, dtype=torch.int32)
    codes = ((packed.unsqueeze(-1) >> shifts) & 15).to(torch.uint8)
    return codes.reshape(packed.shape[0], packed.shape[1], -1)
