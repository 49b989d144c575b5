"""The GPTQ algorithm for one matrix (Frantar et al. 2022, arXiv 2210.17323). Knows no model, no file and no
text.

Weights are shaped (outputs, inputs), as `torch.nn.Linear` holds them; a group is a run of input columns, in
the order they are quantized, that share one scale and zero point per output row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ragqa.gptq.polishing import polish

BLOCK = 128
"""Columns whose updates of the columns to their right are gathered into one product (section 3.3 of the
paper)."""
PRODUCT = 256
"""Columns of the Hessian that are multiplied at once."""
CLIP_STEPS = 24
CLIP_FLOOR = 0.55
"""The clip search tries ranges from this fraction of the full one up to all of it."""
SMALLEST = 2.0**-24
"""fp16's smallest subnormal: the least scale. A row of zeros gets it, and any scale is right for it."""
FITS = 3
"""How often a grid's scale is fitted to the codes that the scale before it gives."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one matrix is quantized.

    `sym` fixes the zero point at the middle code. `damp` is the fraction of the mean diagonal added to the
    Hessian's diagonal. `clip_search` looks for the range of least squared error instead of taking the
    group's extremes. `sweeps`: how often codes and scales are found anew afterwards (`polishing`).
    """

    bits: int = 4
    group_size: int = 128
    desc_act: bool = True
    sym: bool = False
    damp: float = 0.01
    clip_search: bool = True
    sweeps: int = 2

    def width(self, inputs: int) -> int:
        """Columns in a group of a matrix with `inputs` input columns."""
        return inputs if self.group_size == -1 else self.group_size


@dataclass(frozen=True, slots=True)
class QuantizedMatrix:
    """codes (inputs, outputs), zeros and scales (groups, outputs), g_idx (inputs,), as `packing.pack` takes
    them.

    `error` is the relative squared error of the layer's output on the calibration data: tr(DHDᵀ) /
    tr(WHWᵀ), D being the difference of the weights.
    """

    codes: Tensor
    zeros: Tensor
    scales: Tensor
    g_idx: Tensor
    error: float


class Hessian:
    """2/n · XᵀX over the n input rows seen so far, kept as a running mean so that it never overflows."""

    def __init__(self, inputs: int, device: torch.device) -> None:
        self._upper = torch.zeros(inputs, inputs, dtype=torch.float32, device=device)
        self.rows = 0

    @property
    def matrix(self) -> Tensor:
        """The whole matrix, as of now."""
        return self._upper.triu() + self._upper.triu(1).T

    def add(self, inputs: Tensor, importance: Tensor | None = None) -> None:
        """Add inputs of shape (…, inputs). importance (…): the weight of each row's squared error; 1 if None.

        The matrix is symmetric: only the blocks on and above the diagonal are multiplied.
        """
        rows = inputs.reshape(-1, inputs.shape[-1]).float()
        total = self.rows + rows.shape[0]
        if importance is not None:
            rows = rows * importance.reshape(-1, 1).float().sqrt()
        for start in range(0, rows.shape[1], PRODUCT):
            stop = start + PRODUCT
            product = self._upper[start:stop, start:]
            product.addmm_(rows[:, start:stop].T, rows[:, start:], beta=self.rows / total, alpha=2.0 / total)
        self.rows = total


def quantize_matrix(
    weight: Tensor, hessian: Tensor, recipe: Recipe, order: Tensor | None = None
) -> QuantizedMatrix:
    """Quantize column by column, moving each column's error onto the columns not yet done.

    `order` (inputs,) is the columns as they are quantized; `column_order` of this weight alone if None. A
    group's scales are found when its first column's turn comes, on weights that hold the errors so far.
    Columns that saw no input (zero on the Hessian's diagonal) are set to zero. Raises ValueError for a
    group size that does not divide the width, and where no damping makes the Hessian positive definite.
    """
    order = column_order([weight], hessian, recipe) if order is None else order
    weight, hessian = weight.float()[:, order], hessian.float()[order][:, order]
    original, seen = weight.clone(), hessian.clone()
    group = recipe.width(weight.shape[1])
    dead = hessian.diagonal() == 0
    hessian.diagonal()[dead] = 1.0
    weight[:, dead] = 0.0
    aim = weight.clone()
    damped, factor = _inverse_factor(hessian, recipe.damp)
    codes, scales, zeros = _run_columns(weight, factor, group, recipe)
    codes, scales = polish(aim, damped, codes, scales, zeros, recipe.bits, recipe.sweeps)
    places = torch.arange(len(order), device=weight.device) // group
    error = _error(original, (codes - zeros[:, places]) * scales[:, places], seen)
    back = torch.argsort(order)
    return QuantizedMatrix(
        codes[:, back].T.to(torch.int32),
        zeros.T.to(torch.int32),
        scales.T,
        places[back].to(torch.int32),
        error,
    )


def column_order(weights: Sequence[Tensor], hessian: Tensor, recipe: Recipe) -> Tensor:
    """The columns (inputs,) in the order in which matrices with the same inputs are quantized.

    With `desc_act`, columns whose weights are alike in size share a group, since a group has one range a
    row; groups, and columns within one, go by falling activation. One order for all of `weights`, each
    (outputs, inputs): readers that join them into one matrix keep one `g_idx`. Raises ValueError for a
    group size that does not divide the width.
    """
    activation = hessian.diagonal()
    group = recipe.width(len(activation))
    if len(activation) % group:
        raise ValueError(f"group size {group} does not divide the width {len(activation)}")
    if not recipe.desc_act:
        return torch.arange(len(activation), device=hessian.device)
    size = torch.cat([weight.detach().float() for weight in weights]).abs().mean(0)
    alike = size.argsort(descending=True, stable=True).reshape(-1, group)
    alike = alike[activation[alike].mean(1).argsort(descending=True, stable=True)]
    inside = activation[alike].argsort(dim=1, descending=True, stable=True)
    return alike.gather(1, inside).flatten()


def round_to_nearest(weight: Tensor, hessian: Tensor | None, recipe: Recipe) -> QuantizedMatrix:
    """Quantize each weight on its own: the baseline GPTQ is judged by. Groups are runs of neighbouring
    columns."""
    weight = weight.float()
    outputs, inputs = weight.shape
    group = recipe.width(inputs)
    if inputs % group:
        raise ValueError(f"group size {group} does not divide the width {inputs}")
    grouped = weight.reshape(outputs * (inputs // group), group)
    scale, zero = find_grid(grouped, recipe, None)
    codes = _nearest(grouped, scale, zero, recipe.bits)
    quantized = ((codes - zero) * scale).reshape(outputs, inputs)
    g_idx = (torch.arange(inputs, device=weight.device) // group).to(torch.int32)
    error = float("nan") if hessian is None else _error(weight, quantized, hessian.float())
    return QuantizedMatrix(
        codes.reshape(outputs, inputs).T.to(torch.int32),
        zero.reshape(outputs, -1).T.to(torch.int32),
        scale.reshape(outputs, -1).T,
        g_idx,
        error,
    )


def find_grid(weight: Tensor, recipe: Recipe, importance: Tensor | None) -> tuple[Tensor, Tensor]:
    """Scale and zero point of each row of `weight` (rows, group), both shaped (rows, 1).

    Scales are already rounded to fp16, as they are stored. Zero points lie in [1, 2**bits): the format
    stores them minus one, and its readers disagree on what a stored minus one means. importance (group,):
    the weight of each column's squared error in the clip search.
    """
    low = weight.amin(1, keepdim=True).clamp(max=0.0)
    high = weight.amax(1, keepdim=True).clamp(min=0.0)
    best_scale, best_zero = _grid(low, high, recipe)
    if not recipe.clip_search:
        return best_scale, best_zero
    best = _Grids(weight, importance, recipe.bits, best_scale, best_zero)
    for step in range(1, CLIP_STEPS + 1):
        shrink = 1.0 - (1.0 - CLIP_FLOOR) * step / CLIP_STEPS
        best.offer(*_grid(low * shrink, high * shrink, recipe))
    for shift in (0.0,) if recipe.sym else (0.0, 1.0, -1.0):
        scale, zero = best.scale, (best.zero + shift).clamp(1, 2**recipe.bits - 1)
        for _ in range(FITS):
            scale = best.fitted(scale, zero)
            best.offer(scale, zero)
    return best.scale, best.zero


class _Grids:
    """The grid of least squared error, for each row of `weight`, of those offered so far."""

    def __init__(
        self, weight: Tensor, importance: Tensor | None, bits: int, scale: Tensor, zero: Tensor
    ) -> None:
        self._weight, self._bits = weight, bits
        self._importance = torch.ones_like(weight[:1]) if importance is None else importance
        self.scale, self.zero = scale, zero
        self._error = self._error_of(scale, zero)

    def _error_of(self, scale: Tensor, zero: Tensor) -> Tensor:
        difference = (_nearest(self._weight, scale, zero, self._bits) - zero).mul_(scale).sub_(self._weight)
        return difference.square_().mul_(self._importance).sum(1, keepdim=True)

    def offer(self, scale: Tensor, zero: Tensor) -> None:
        error = self._error_of(scale, zero)
        better = error < self._error
        self._error = torch.where(better, error, self._error)
        self.scale, self.zero = torch.where(better, scale, self.scale), torch.where(better, zero, self.zero)

    def fitted(self, scale: Tensor, zero: Tensor) -> Tensor:
        """The scale of least squared error for the codes that `scale` gives, as it is stored."""
        units = _nearest(self._weight, scale, zero, self._bits) - zero
        share = units * self._importance
        found = (share * self._weight).sum(1, keepdim=True) / (share * units).sum(1, keepdim=True)
        return torch.where(found > SMALLEST, found, scale).half().float()


def _grid(low: Tensor, high: Tensor, recipe: Recipe) -> tuple[Tensor, Tensor]:
    top = 2**recipe.bits - 1
    if recipe.sym:
        high = torch.maximum(-low, high)
        low = -high
    scale = ((high - low) / top).to(torch.float16).float()
    scale = scale.clamp(min=SMALLEST)
    if recipe.sym:
        return scale, torch.full_like(scale, 2.0 ** (recipe.bits - 1))
    return scale, torch.round(-low / scale).clamp(1, top)


def _nearest(weight: Tensor, scale: Tensor, zero: Tensor, bits: int) -> Tensor:
    return (torch.round(weight / scale) + zero).clamp(0, 2**bits - 1)


def _inverse_factor(hessian: Tensor, damp: float) -> tuple[Tensor, Tensor]:
    """The damped Hessian, and the upper Cholesky factor of its inverse (step 3 of the paper's algorithm)."""
    mean = hessian.diagonal().mean()
    for strength in (damp, damp * 10, damp * 100, 1.0):
        damped = hessian.clone()
        damped.diagonal().add_(strength * mean)
        lower, failed = torch.linalg.cholesky_ex(damped)
        if int(failed):
            continue
        upper: Tensor
        upper, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
        if not int(failed) and bool(torch.isfinite(upper).all()):
            return damped, upper
    raise ValueError("the calibration data gives a Hessian that no damping makes positive definite")


def _block(group: int) -> int:
    """The block width near `BLOCK` at whose borders groups begin or end, so that a group never sees stale
    columns."""
    if group <= BLOCK:
        return group * (BLOCK // group)
    return BLOCK if group % BLOCK == 0 else group


def _run_columns(weight: Tensor, factor: Tensor, group: int, recipe: Recipe) -> tuple[Tensor, Tensor, Tensor]:
    """Codes (outputs, inputs), scales and zeros (outputs, groups), columns in the order given."""
    inputs = weight.shape[1]
    codes = torch.empty_like(weight)
    scales: list[Tensor] = []
    zeros: list[Tensor] = []
    block = _block(group)
    for start in range(0, inputs, block):
        stop = min(start + block, inputs)
        errors = torch.empty_like(weight[:, start:stop])
        for column in range(start, stop):
            if column % group == 0:
                spread = factor.diagonal()[column : column + group].square().reciprocal()
                scale, zero = find_grid(weight[:, column : column + group], recipe, spread)
                scales.append(scale)
                zeros.append(zero)
            code = _nearest(weight[:, column : column + 1], scales[-1], zeros[-1], recipe.bits)
            codes[:, column : column + 1] = code
            rest = weight[:, column : column + 1] - (code - zeros[-1]) * scales[-1]
            error = rest / factor[column, column]
            errors[:, column - start : column - start + 1] = error
            weight[:, column:stop].addmm_(error, factor[column : column + 1, column:stop], alpha=-1.0)
        weight[:, stop:].addmm_(errors, factor[start:stop, stop:], alpha=-1.0)
    return codes, torch.cat(scales, 1), torch.cat(zeros, 1)


def _error(original: Tensor, quantized: Tensor, hessian: Tensor) -> float:
    difference = original - quantized
    whole = float(((original @ hessian) * original).sum())
    return float(((difference @ hessian) * difference).sum()) / whole if whole > 0 else 0.0
