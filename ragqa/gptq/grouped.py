"""A layer's integers with the columns of each group side by side, as int4 kernels want them.

Knows no device and no kernel's layout.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ragqa.gptq.kernels import LayerShape, kernel_group_size
from ragqa.gptq.packing import PackedLinear, unpack


@dataclass(frozen=True, slots=True)
class GroupedWeights:
    """codes int32 (outputs, inputs); scales fp16 and zeros int32 (groups, outputs), groups of `group_size`
    columns.

    `order` is the model's column at each place, None for in order.
    """

    codes: Tensor
    scales: Tensor
    zeros: Tensor
    order: Tensor | None
    group_size: int

    def constants(self) -> Tensor:
        """(groups, outputs, 2) in bf16 as the kernels read them: a weight is `(code - 8) * scale + zero`."""
        return kernel_constants(self.scales, self.zeros)


def shape_of(packed: PackedLinear) -> LayerShape:
    """What choosing a kernel needs to know of a layer."""
    groups = packed.scales.shape[0]
    members = torch.bincount(packed.g_idx.long(), minlength=groups)
    even = packed.inputs % groups == 0 and bool((members == packed.inputs // groups).all())
    return LayerShape(packed.bits, packed.inputs, packed.outputs, packed.inputs // groups if even else None)


def group_columns(packed: PackedLinear) -> GroupedWeights:
    """Permute the columns of an act-order layer once, so that each group is contiguous.

    Groups larger than a kernel takes are split. Raises ValueError where groups differ in size or no kernel
    takes their size.
    """
    own = shape_of(packed).group_size
    size = None if own is None else kernel_group_size(own)
    if own is None or size is None:
        raise ValueError("groups of unequal size, or of a size that no kernel takes, cannot be laid out")
    index = packed.g_idx.long()
    in_order = bool((index.diff() >= 0).all())
    order = None if in_order else torch.argsort(index, stable=True)
    codes, zeros = unpack(packed)
    turned = codes if order is None else codes[order]
    return GroupedWeights(
        codes=turned.T,
        scales=packed.scales.to(torch.float16).repeat_interleave(own // size, 0),
        zeros=zeros.repeat_interleave(own // size, 0),
        order=order,
        group_size=size,
    )


def kernel_constants(scales: Tensor, zeros: Tensor) -> Tensor:
    """scales and zeros (groups, outputs) to (groups, outputs, 2) in bf16: scale, and `(8 - zero) * scale`."""
    wide = scales.float()
    pairs = torch.stack((wide, (8 - zeros.float()) * wide), dim=-1)
    return pairs.to(torch.bfloat16).contiguous()
