"""Which kernel multiplies by a quantized layer.

Pure: shapes, types and what a device says of itself in, a name out. The conditions for CUDA are those that
PyTorch's source checks (aten/src/ATen/native/cuda/int4mm.cu), asked for beforehand.
"""

from dataclasses import dataclass
from typing import Literal

import torch

Kernel = Literal["gptqmodel", "tiled", "int4", "reference"]
"""gptqmodel: whichever of that package's kernels takes the layer; tiled: loops over the CPU's int4 layout;
int4: torch's int4 kernel for CUDA; reference: dequantize and multiply."""

NARROW = (torch.float16, torch.bfloat16)
"""Types that gptqmodel's kernels take."""

GROUP_SIZES = (256, 128, 64, 32)
"""Group sizes that torch's int4 kernels take, largest first."""

INNER_TILES = (8, 4, 2)
"""Tiles of TILE_COLUMNS that CUDA's layout may keep together, those that load fastest first."""
TILE_COLUMNS = 16
TILE_OUTPUTS = 8

OLDEST_CAPABILITY = (8, 0)
"""CUDA's compute capability from which on the tensor cores multiply bf16."""


@dataclass(frozen=True, slots=True)
class LayerShape:
    """A quantized layer. `group_size` is None where not every group has equally many columns."""

    bits: int
    inputs: int
    outputs: int
    group_size: int | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a layer runs, and what its inputs are held in.

    capability: CUDA's compute capability; None elsewhere, and on AMD's cards, whose layout is another.
    tile_rows: outputs of a tile of the CPU's int4 layout; None where this processor has none.
    gptqmodel: whether its kernels are to be tried there.
    """

    device: str
    dtype: torch.dtype
    capability: tuple[int, int] | None = None
    tile_rows: int | None = None
    gptqmodel: bool = False


def choose_kernel(shape: LayerShape, place: Place) -> Kernel:
    """The kernel to try first; the reference takes all layers.

    Where gptqmodel's do not serve, the next is that for the same place without them.
    """
    if place.gptqmodel and place.dtype in NARROW and shape.group_size is not None:
        return "gptqmodel"
    if shape.bits != 4 or shape.group_size is None or kernel_group_size(shape.group_size) is None:
        return "reference"
    if place.device == "cpu" and place.tile_rows and shape.outputs % place.tile_rows == 0:
        return "tiled"
    if (
        place.capability is not None
        and place.capability >= OLDEST_CAPABILITY
        and place.dtype == torch.bfloat16
        and shape.outputs % TILE_OUTPUTS == 0
        and inner_tiles(shape.inputs) is not None
    ):
        return "int4"
    return "reference"


def kernel_group_size(group_size: int) -> int | None:
    """The size that an int4 kernel is told for groups of that many columns: the largest that divides it."""
    return next((size for size in GROUP_SIZES if group_size % size == 0), None)


def inner_tiles(inputs: int) -> int | None:
    """How many tiles of columns CUDA's layout keeps together for that many columns; None if none fits."""
    return next((tiles for tiles in INNER_TILES if inputs % (tiles * TILE_COLUMNS) == 0), None)
