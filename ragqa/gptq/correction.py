"""Weights that make up for what the quantized layers before them lost. Knows no model and no file.

GPTQ keeps each matrix to what its own weights make of the inputs it gets, which the layers before have
already changed. Asymmetric calibration (Li et al. 2025, arXiv 2504.02692) keeps it to what the full-precision
model has in that place. Here that is a ridge regression before the matrix is quantized, not a term of each
column's update: the change D of least Σ |Dx - m|² + λ|D|², x an input, m what is missing from the output.
"""

import torch
from torch import Tensor

CORRECTION_DAMP = 0.05
"""λ, as a part of the Hessian's mean diagonal: what the calibration text does not show stays as it was."""


class Shortfall:
    """2/n · MᵀX over the n rows seen so far: M is what is missing where X comes in, a running mean as
    `solver.Hessian` is one."""

    def __init__(self) -> None:
        self._mean: Tensor | None = None
        self._rows = 0

    @property
    def matrix(self) -> Tensor:
        """Shape (width of what is missing, inputs), as of now. Raises ValueError if no row was added."""
        if self._mean is None:
            raise ValueError("nothing was added to the shortfall")
        return self._mean

    def add(self, missing: Tensor, inputs: Tensor, importance: Tensor) -> None:
        """Add rows of shape (…, width) and (…, inputs); importance (…): the weight of each row's squared
        error."""
        rows = missing.reshape(-1, missing.shape[-1]).float() * importance.reshape(-1, 1).float()
        columns = inputs.reshape(-1, inputs.shape[-1]).float()
        if self._mean is None:
            self._mean = torch.zeros(rows.shape[1], columns.shape[1], device=rows.device)
        total = self._rows + rows.shape[0]
        self._mean.addmm_(rows.T, columns, beta=self._rows / total, alpha=2.0 / total)
        self._rows = total


def correction(shortfall: Tensor, hessian: Tensor, damp: float = CORRECTION_DAMP) -> Tensor:
    """What to add to a weight (outputs, inputs) whose outputs fall short by `shortfall` (outputs, inputs).

    All zeros where the inputs are, so that no damping makes the Hessian positive definite.
    """
    damped = hessian.float().clone()
    damped.diagonal().add_(damp * damped.diagonal().mean())
    lower, failed = torch.linalg.cholesky_ex(damped)
    if int(failed):
        return torch.zeros_like(shortfall)
    return torch.cholesky_solve(shortfall.T, lower).T
