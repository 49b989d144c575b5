"""Measures of a ranked list of document ids against the gold ids. Pure."""

from collections.abc import Collection, Sequence
from math import log2


def ndcg(ranked: Sequence[str], gold: Collection[str], depth: int = 10) -> float:
    """Normalised discounted cumulative gain with binary relevance, in [0, 1].

    Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20(4), 2002, with
    the discount log2(rank + 1) as trec_eval computes it. `ranked` holds an id at most once. No gold id:
    `ValueError`.
    """
    if not gold:
        raise ValueError("nDCG is not defined for a question without gold documents.")
    gain = sum(1 / log2(rank + 1) for rank, found in enumerate(ranked[:depth], start=1) if found in gold)
    ideal = sum(1 / log2(rank + 1) for rank in range(1, min(depth, len(gold)) + 1))
    return gain / ideal


def recall(ranked: Sequence[str], gold: Collection[str], depth: int) -> float:
    """The share of the gold ids among the first `depth`. No gold id: `ValueError`."""
    if not gold:
        raise ValueError("Recall is not defined for a question without gold documents.")
    return len(set(ranked[:depth]) & set(gold)) / len(set(gold))


def success(ranked: Sequence[str], gold: Collection[str], depth: int) -> float:
    """1 where any gold id is among the first `depth` (Success@k of ir-measures), else 0.

    No gold id: `ValueError`.
    """
    return float(recall(ranked, gold, depth) > 0)


def all_support(ranked: Sequence[str], gold: Collection[str], depth: int) -> float:
    """1 where every gold id is among the first `depth` (the all-recall of multi-hop sets), else 0."""
    return float(recall(ranked, gold, depth) == 1)
