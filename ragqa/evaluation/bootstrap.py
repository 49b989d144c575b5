"""Intervals by resampling questions. Pure and seeded: the same figures give the same interval."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
COVERAGE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over `n` questions with its interval; `low` and `high` are equal to `value` for a single one."""

    value: float
    low: float
    high: float
    n: int


def mean_with_interval(values: Sequence[float], resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """The mean with its 95 % percentile bootstrap interval (Efron and Tibshirani, 1993, chapter 13).

    No values: `ValueError`.
    """
    if not len(values):
        raise ValueError("An interval needs at least one value.")
    sample = np.asarray(values, dtype=np.float64)
    draws = np.random.default_rng(seed).integers(0, len(sample), size=(resamples, len(sample)))
    return _estimate(float(sample.mean()), sample[draws].mean(axis=1), len(sample))


def two_sample_with_interval(
    statistic: Callable[[Sequence[float], Sequence[float]], float],
    first: Sequence[float],
    second: Sequence[float],
    resamples: int = 500,
    seed: int = 0,
) -> Estimate:
    """A statistic of two groups with its interval, each group resampled on its own.

    An empty group: `ValueError`.
    """
    if not len(first) or not len(second):
        raise ValueError("An interval needs at least one value in each group.")
    draw = np.random.default_rng(seed)
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    values = [
        statistic(
            one[draw.integers(0, len(one), len(one))].tolist(),
            other[draw.integers(0, len(other), len(other))].tolist(),
        )
        for _ in range(resamples)
    ]
    return _estimate(statistic(list(first), list(second)), np.asarray(values), len(one) + len(other))


def paired_difference(
    new: Sequence[float], old: Sequence[float], resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """The mean of `new - old` over the same questions in the same order, with its interval."""
    return mean_with_interval([a - b for a, b in zip(new, old, strict=True)], resamples, seed)


def _estimate(value: float, resampled: np.ndarray, n: int) -> Estimate:
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Estimate(value, float(low), float(high), n)
