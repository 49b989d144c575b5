"""Fusion of ranked lists into one. Pure: no index, no model, no disk."""

from collections.abc import Mapping, Sequence
from math import isfinite, sqrt

Ranking = Sequence[tuple[int, float]]
"""Chunk ids with their scores by one retriever; higher is better, in any order, an id at most once."""

Fused = tuple[int, float, tuple[tuple[str, int], ...]]
"""Chunk id, fused score, and (retriever, rank from 1) for each retriever that found it."""


def fuse(rankings: Mapping[str, Ranking], weights: Mapping[str, float]) -> list[Fused]:
    """Every id of any ranking, best first, by the weighted mean of its standardised scores.

    Each retriever's scores are z-normalised over its own list (Montague and Aslam, "Relevance Score
    Normalization for Metasearch", CIKM 2001), so that a retriever's scale and offset do not matter. An id
    that a list lacks gets that list's lowest value. Ties go to the smaller id. Fused scores compare within
    one query only.

    Raises `ValueError` for a ranking without a weight, a weight below 0, or a score that is not finite.
    """
    found = {name: ranking for name, ranking in rankings.items() if ranking}
    total = sum(_weight(weights, name) for name in found)
    if not found or total == 0:
        return []
    ids = sorted({chunk_id for ranking in found.values() for chunk_id, _ in ranking})
    scores = dict.fromkeys(ids, 0.0)
    ranks: dict[int, list[tuple[str, int]]] = {chunk_id: [] for chunk_id in ids}
    for name in sorted(found):
        standard, absent = standardise(found[name])
        share = _weight(weights, name) / total
        for chunk_id in ids:
            scores[chunk_id] += share * standard.get(chunk_id, absent)
        for rank, chunk_id in enumerate(_best_first(found[name]), start=1):
            ranks[chunk_id].append((name, rank))
    order = sorted(ids, key=lambda chunk_id: (-scores[chunk_id], chunk_id))
    return [(chunk_id, scores[chunk_id], tuple(ranks[chunk_id])) for chunk_id in order]


def standardise(ranking: Ranking) -> tuple[dict[int, float], float]:
    """The z-scores of a non-empty ranking by id, and the value that stands for an id it lacks.

    Where all scores are equal there is no spread to divide by: those found get 1, those absent 0.
    """
    values = [score for _, score in ranking]
    if not all(isfinite(value) for value in values):
        raise ValueError("A score to fuse is not a finite number.")
    lowest, highest = min(values), max(values)
    mean = sum(values) / len(values)
    deviation = sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    if deviation <= 1e-12 * max(abs(lowest), abs(highest)):
        return {chunk_id: 1.0 for chunk_id, _ in ranking}, 0.0
    return {chunk_id: (score - mean) / deviation for chunk_id, score in ranking}, (lowest - mean) / deviation


def _weight(weights: Mapping[str, float], name: str) -> float:
    weight = weights.get(name)
    if weight is None or not weight >= 0:
        raise ValueError(f"The retriever {name!r} needs a weight of 0 or more, not {weight!r}.")
    return weight


def _best_first(ranking: Ranking) -> list[int]:
    return [chunk_id for chunk_id, _ in sorted(ranking, key=lambda pair: (-pair[1], pair[0]))]
