"""Measures of refusals and of the confidence behind them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class TradeOff:
    """Refusing everything below `threshold`: the unanswerable caught, and the answerable lost with them."""

    threshold: float
    refusal_recall: float
    over_refusal: float


def auroc(answerable: Sequence[float], unanswerable: Sequence[float]) -> float:
    """The chance that an answerable question has the higher confidence of a random pair; ties count half.

    Hanley and McNeil, "The meaning and use of the area under a ROC curve", Radiology 143, 1982, computed from
    mean ranks (Mann-Whitney). Either side empty: `ValueError`.
    """
    if not answerable or not unanswerable:
        raise ValueError("AUROC needs answerable and unanswerable questions.")
    _, inverse, counts = np.unique(
        np.concatenate([answerable, unanswerable]), return_inverse=True, return_counts=True
    )
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    positive = len(answerable)
    rank_sum = float(mean_rank[inverse[:positive]].sum())
    return (rank_sum - positive * (positive + 1) / 2) / (positive * len(unanswerable))


def trade_off(answerable: Sequence[float], unanswerable: Sequence[float]) -> list[TradeOff]:
    """Every choice of threshold that differs, from refusing nothing to refusing all."""
    good, bad = np.sort(answerable), np.sort(unanswerable)
    thresholds = np.append(np.unique(np.concatenate([good, bad])), np.inf)
    caught = np.searchsorted(bad, thresholds) / max(1, len(bad))
    lost = np.searchsorted(good, thresholds) / max(1, len(good))
    return list(map(TradeOff, thresholds.tolist(), caught.tolist(), lost.tolist()))


def recall_at_over_refusal(
    answerable: Sequence[float], unanswerable: Sequence[float], allowed: float = 0.15
) -> TradeOff:
    """The trade-off that refuses the most unanswerable questions, and at most `allowed` of the others."""
    fitting = [point for point in trade_off(answerable, unanswerable) if point.over_refusal <= allowed]
    return max(fitting, key=lambda point: (point.refusal_recall, -point.over_refusal))
