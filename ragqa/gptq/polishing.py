"""Codes and scales that GPTQ found, each in turn the best for the other. Knows no model, no file and no text.

GPTQ fixes a code for good when its column's turn comes, and a scale before the first of its group. Both can
be found anew afterwards, by the same aim: the least tr(DHDᵀ), D the difference of the weights. A column's
codes are then the nearest to where the other columns leave the minimum (coordinate descent, as Behdin et al.
2023, arXiv 2309.01885); a row's scales are a least-squares problem with one unknown a group.
"""

import torch
from torch import Tensor

BLOCK = 128
"""Columns whose changes reach the columns to their right in one product."""
ROWS = 1024
"""Rows whose scales are solved for at once."""
RIDGE = 1e-6
"""How much a scale is held to what it was, as a part of the mean diagonal: enough for a group of zeros."""


def polish(
    weight: Tensor, hessian: Tensor, codes: Tensor, scales: Tensor, zeros: Tensor, bits: int, sweeps: int
) -> tuple[Tensor, Tensor]:
    """Better codes (outputs, inputs) and scales (outputs, groups) for `weight` (outputs, inputs).

    Columns are grouped in runs of equal length; zeros (outputs, groups) stay. The Hessian (inputs, inputs)
    is damped by the caller. Every step lowers the error of each row or leaves the row as it is.
    """
    for _ in range(sweeps):
        codes = _nearer_codes(weight, hessian, codes, scales, zeros, 2**bits - 1)
        scales = torch.cat(
            [
                _fitted_scales(weight[part], hessian, codes[part], scales[part], zeros[part])
                for part in (slice(start, start + ROWS) for start in range(0, len(weight), ROWS))
            ]
        )
    return codes, scales


def _spread(values: Tensor, inputs: int) -> Tensor:
    """A value a group as a value a column."""
    return values.repeat_interleave(inputs // values.shape[1], dim=1)


def _nearer_codes(
    weight: Tensor, hessian: Tensor, codes: Tensor, scales: Tensor, zeros: Tensor, top: int
) -> Tensor:
    inputs = weight.shape[1]
    scales, zeros, codes = _spread(scales, inputs), _spread(zeros, inputs), codes.clone()
    pull = (weight - (codes - zeros) * scales) @ hessian
    for start in range(0, inputs, BLOCK):
        stop = min(start + BLOCK, inputs)
        changes = torch.empty_like(weight[:, start:stop])
        for column in range(start, stop):
            scale, code = scales[:, column], codes[:, column]
            moved = torch.round(code + pull[:, column] / (hessian[column, column] * scale)).clamp(0, top)
            change = ((moved - code) * scale).unsqueeze(1)
            changes[:, column - start : column - start + 1] = change
            pull[:, column:stop].addmm_(change, hessian[column : column + 1, column:stop], alpha=-1.0)
            codes[:, column] = moved
        # Columns to the left have had their turn, and the next sweep begins anew.
        pull[:, stop:].addmm_(changes, hessian[start:stop, stop:], alpha=-1.0)
    return codes


def _fitted_scales(weight: Tensor, hessian: Tensor, codes: Tensor, scales: Tensor, zeros: Tensor) -> Tensor:
    rows, groups = scales.shape
    inputs = weight.shape[1]
    units = codes - _spread(zeros, inputs)
    products = torch.empty(rows, groups, groups, device=weight.device)
    for group, columns in enumerate(torch.arange(inputs, device=weight.device).chunk(groups)):
        reached = (units[:, columns] @ hessian[columns]) * units
        products[:, group] = reached.reshape(rows, groups, -1).sum(2)
    wanted = ((weight @ hessian) * units).reshape(rows, groups, -1).sum(2)
    ridge = RIDGE * products.diagonal(dim1=1, dim2=2).mean(1, keepdim=True).clamp(min=1e-30)
    products.diagonal(dim1=1, dim2=2).add_(ridge)
    found, failed = torch.linalg.solve_ex(products, wanted + ridge * scales)
    # As they are stored; a scale that is not positive, or no number, is none.
    found = found.half().float()
    sound = (found > 0).all(1) & found.isfinite().all(1) & (failed == 0)
    before = _errors(weight, hessian, units * _spread(scales, inputs))
    better = _errors(weight, hessian, units * _spread(found, inputs)) < before
    return torch.where((sound & better).unsqueeze(1), found, scales)


def _errors(weight: Tensor, hessian: Tensor, quantized: Tensor) -> Tensor:
    difference = weight - quantized
    return ((difference @ hessian) * difference).sum(1)
