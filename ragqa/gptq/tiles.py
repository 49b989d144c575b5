"""A weight in the layout of torch's int4 kernel on the CPU. Knows no file, no module and no model."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ragqa.gptq.grouped import group_columns, kernel_constants, shape_of
from ragqa.gptq.int4 import TileLayout, learn_layout, pack_codes, unpack_tiles
from ragqa.gptq.kernels import Place, choose_kernel
from ragqa.gptq.packing import PackedLinear


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
        turned = (part.transpose(0, 1).reshape(part.shape[1], -1) for part in (self.scales, self.zeros))
        return kernel_constants(*turned)

    def dequantize_into(self, target: Tensor) -> None:
        """Fill target (inputs, outputs) with the transposed weight, columns in the permuted order."""
        rows, groups = self.layout.rows, self.scales.shape[1]
        codes = unpack_tiles(self.codes, self.layout)
        grouped = codes.reshape(codes.shape[0], groups, self.group_size, rows)
        # Differences of 4-bit codes are exact in every type; scales are rounded to the target's.
        centred = grouped.view(torch.int8) - self.zeros.view(torch.int8).unsqueeze(2)
        view = target.view(groups, self.group_size, grouped.shape[0], rows).permute(2, 0, 1, 3)
        torch.mul(centred, self.scales.to(target.dtype).unsqueeze(2), out=view)


def tile_weights(packed: PackedLinear) -> TiledWeights | None:
    """The kernel's form of a layer, or None where the kernel cannot serve it.

    It serves 4 bits with groups of 32 columns or more that are all equally large, and whole tiles of outputs.
    """
    layout = learn_layout()
    if layout is None:
        return None
    place = Place("cpu", torch.float32, tile_rows=layout.rows)
    if choose_kernel(shape_of(packed), place) != "tiled":
        return None
    grouped = group_columns(packed)

    def by_tile(values: Tensor) -> Tensor:
        return values.reshape(values.shape[0], -1, layout.rows).transpose(0, 1).contiguous()

    return TiledWeights(
        codes=pack_codes(grouped.codes),
        scales=by_tile(grouped.scales),
        zeros=by_tile(grouped.zeros.to(torch.uint8)),
        order=grouped.order,
        group_size=grouped.group_size,
        layout=layout,
    )


def fuse(parts: list[TiledWeights]) -> TiledWeights | None:
    """One weight whose outputs are those of the parts in turn; None where their columns or groups differ."""
    first = parts[0]
    for other in parts[1:]:
        if (other.order is None) != (first.order is None) or other.group_size != first.group_size:
            return None
        if first.order is not None and other.order is not None and not torch.equal(first.order, other.order):
            return None
    return TiledWeights(
        codes=torch.cat([part.codes for part in parts]),
        scales=torch.cat([part.scales for part in parts]),
        zeros=torch.cat([part.zeros for part in parts]),
        order=first.order,
        group_size=first.group_size,
        layout=first.layout,
    )
