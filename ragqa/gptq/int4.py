"""Torch's own int4 kernel on the CPU: what it takes, and how its packed weights are read back.

The kernel's memory layout depends on the processor (32 rows a tile with AVX2, 64 with AVX-512) and is
documented nowhere, so it is learned once a process: packing matrices whose codes spell out their own position
shows where each code went. A layout that does not fit the expected form disables the kernel.
"""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class TileLayout:
    """Rows of a tile in the order their codes lie: the low half bytes first, then the high ones."""

    rows: int
    order: tuple[int, ...]


def pack_codes(codes: Tensor) -> Tensor:
    """Codes (outputs, inputs) in [0, 16) to the kernel's bytes (outputs, inputs / 2)."""
    # The last argument is the tile depth of the CUDA layout; the CPU ignores it.
    packed: Tensor = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes.to(torch.int32).contiguous(), 1)
    return packed


def multiply(inputs: Tensor, packed: Tensor, group_size: int, scales_and_zeros: Tensor) -> Tensor:
    """inputs (rows, inputs) bf16, scales_and_zeros (groups, outputs, 2) bf16 -> (rows, outputs) bf16.

    The weight is `(code - 8) * scale + zero`.
    """
    product: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(inputs, packed, group_size, scales_and_zeros)
    return product


@functools.cache
def learn_layout() -> TileLayout | None:
    """The tile layout of this processor, or None if there is no kernel or its layout has another form."""
    try:
        for rows in (64, 32, 16):
            layout = _probe(rows)
            if layout is not None:
                return layout
    except (AttributeError, NotImplementedError, RuntimeError):
        return None
    return None


def _probe(rows: int) -> TileLayout | None:
    inputs, outputs = 32, rows * 3
    position = torch.arange(outputs * inputs).reshape(outputs, inputs)
    low = torch.zeros(outputs * inputs // 2, dtype=torch.int64)
    high = torch.zeros_like(low)
    for digit in range(4):
        packed = pack_codes((position >> (4 * digit)) & 15).flatten().long()
        low |= (packed & 15) << (4 * digit)
        high |= (packed >> 4) << (4 * digit)
    found = torch.cat([half.reshape(3, inputs, rows // 2) for half in (low, high)], dim=2)
    order = found[0, 0] // inputs
    tile = torch.arange(3).reshape(3, 1, 1) * rows
    column = torch.arange(inputs).reshape(1, inputs, 1)
    expected = (tile + order) * inputs + column
    if not torch.equal(found, expected):
        return None
    return TileLayout(rows, tuple(order.tolist()))


def unpack_tiles(packed: Tensor, layout: TileLayout) -> Tensor:
    """The kernel's bytes (tiles * layout.rows, inputs / 2) to codes uint8 (tiles, inputs, layout.rows).

    Rows of a tile come in their own order, so that the last axis counts outputs.
    """
    halves = layout.rows // 2
    tiles = packed.reshape(-1, packed.shape[1] * 2, halves)
    codes = torch.cat((tiles & 15, tiles >> 4), dim=2)
    if layout.order == tuple(range(layout.rows)):
        return codes
    place = torch.argsort(torch.tensor(layout.order, device=packed.device))
    return codes.index_select(2, place)
