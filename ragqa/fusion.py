"""Fusion of ranked lists into one, and links between passages. Pure: no index, no model, no disk."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite, sqrt
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ragqa.types import Hit

Ranking = Sequence[tuple[int, float]]
"""Chunk ids with their scores by one retriever; higher is better, in any order, an id at most once."""

Fused = tuple[int, float, tuple[tuple[str, int], ...]]
"""Chunk id, fused score, and (retriever, rank from 1) for each retriever that found it."""

WORD = re.compile(r"\w+")
TRAILING_BRACKETS = re.compile(r"\s*\([^()]*\)$")
# Chosen on the even half of the multi-hop questions: all supports among ten went from 0.70 to 0.84 there, and
# from 0.74 to 0.83 on the odd half; nothing changed on sets whose titles are sentences (docs/decisions.md).
LINKING_HITS = 3
NAMED_IN_QUESTION = 1.0
NAMED_IN_BEST = 2.0
# Chosen on the even halves of covidqa, cranfield, multihop, the four sets in one index and financebench, read
# together (docs/decisions.md).
COVERAGE = 3.0
FEEDBACK_VECTORS = 0.6
FEEDBACK_SHARE = 0.3
LONG_QUESTION = 11
BEST_FEW = 50


def fuse(
    rankings: Mapping[str, Ranking],
    weights: Mapping[str, float],
    unfound: Mapping[str, float] = MappingProxyType({}),
) -> list[Fused]:
    """Every id of any ranking, best first, by the weighted mean of its standardised scores.

    Each retriever's scores are z-normalised over its own list (Montague and Aslam, "Relevance Score
    Normalization for Metasearch", CIKM 2001), so that a retriever's scale and offset do not matter. An id
    that a list lacks gets that list's lowest value. Ties go to the smaller id. Fused scores compare within
    one query only.

    `unfound` is the score of what a retriever does not find, where that is known (BM25 gives 0 to a chunk
    without any of the words). A list of it that is shorter than the longest is filled up to that length
    with such scores, or else a word that one chunk alone holds would count no more than a common one.

    Raises `ValueError` for a ranking without a weight, a weight below 0, or a score that is not finite.
    """
    found = {name: ranking for name, ranking in rankings.items() if ranking}
    total = sum(_weight(weights, name) for name in found)
    if not found or total == 0:
        return []
    ids = sorted({chunk_id for ranking in found.values() for chunk_id, _ in ranking})
    scores = dict.fromkeys(ids, 0.0)
    ranks: dict[int, list[tuple[str, int]]] = {chunk_id: [] for chunk_id in ids}
    longest = max(map(len, found.values()))
    for name in sorted(found):
        lacking = [unfound[name]] * (longest - len(found[name])) if name in unfound else []
        standard, absent = standardise(found[name], lacking)
        share = _weight(weights, name) / total
        for chunk_id in ids:
            scores[chunk_id] += share * standard.get(chunk_id, absent)
        for rank, chunk_id in enumerate(_best_first(found[name]), start=1):
            ranks[chunk_id].append((name, rank))
    order = sorted(ids, key=lambda chunk_id: (-scores[chunk_id], chunk_id))
    return [(chunk_id, scores[chunk_id], tuple(ranks[chunk_id])) for chunk_id in order]


def standardise(ranking: Ranking, unfound: Sequence[float] = ()) -> tuple[dict[int, float], float]:
    """The z-scores of a non-empty ranking by id, and the value that stands for an id it lacks.

    `unfound` are scores of candidates that the ranking leaves out, none above those it holds: they count for
    the mean and the deviation. Where all scores are equal there is no spread to divide by: those found get 1,
    those absent 0.
    """
    values = [*(score for _, score in ranking), *unfound]
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


def is_long(question: str) -> bool:
    """Whether a question describes its subject at length: then the best passages' words help to find more.

    A short question names what it asks for, and more words lead away from it.
    """
    return len(set(WORD.findall(question.lower()))) >= LONG_QUESTION


def nearer(vector: NDArray[np.float32], found: NDArray[np.float32]) -> NDArray[np.float32]:
    """A question's unit vector (d,) moved towards the passages found for it (n, d), at unit length.

    Rocchio, "Relevance feedback in information retrieval" (1971), without negative examples.
    """
    moved = vector + FEEDBACK_VECTORS * found.mean(axis=0)
    length = float(np.linalg.norm(moved))
    return (moved / length).astype(np.float32) if length else vector


def reward_coverage(hits: Sequence[Hit], coverage: Mapping[int, float]) -> list[Hit]:
    """The hits, best first, those raised whose own text holds much of the question.

    `coverage` is that share by chunk id. It counts the more, the fewer documents the best hits come from:
    among the passages of one long paper, its title and subject, which all of them share, tell nothing.
    """
    best = hits[:BEST_FEW]
    alike = 1 - len({hit.document_id for hit in best}) / len(best) if best else 0.0
    weight = COVERAGE * alike
    raised = [replace(hit, score=hit.score + weight * coverage[hit.chunk_id]) for hit in hits]
    return sorted(raised, key=lambda hit: -hit.score)


def link_titles(question: str, hits: Sequence[Hit]) -> list[Hit]:
    """The hits reordered: those whose title the question or one of the best hits names are moved up.

    A question that needs several documents names one of them; the passage found first names the next. Of
    the titles only exact mentions count (white space, case and signs apart, a trailing "(…)" left out), and
    of titles of one word only rare ones, and of several passages under one title only the best moves. `hits`
    is all of the fused candidates, best first; scores get a bonus in standard deviations. Ties keep the
    order of `hits`.
    """
    texts = [_plain(hit.text) for hit in hits]
    asked = _plain(question)
    best = [(_title(hit), text) for hit, text in zip(hits[:LINKING_HITS], texts, strict=False)]
    linked = []
    moved: set[str] = set()
    for hit in hits:
        title = _title(hit)
        bonus = 0.0
        if title not in moved and _names_something(title, texts):
            bonus += NAMED_IN_QUESTION * (title in asked)
            # A passage that names its own document says nothing about that document's other passages.
            bonus += NAMED_IN_BEST * any(title in text for other, text in best if other != title)
            moved |= {title} if bonus else set()
        linked.append(replace(hit, score=hit.score + bonus) if bonus else hit)
    return sorted(linked, key=lambda hit: -hit.score)


def _names_something(title: str, texts: Sequence[str]) -> bool:
    """Whether a title can be taken for a name: several words, or one that few of the passages hold."""
    words = title.split()
    if len(words) != 1:
        return bool(words)
    return len(words[0]) > 1 and 10 * sum(title in text for text in texts) <= len(texts)


def _title(hit: Hit) -> str:
    return _plain(TRAILING_BRACKETS.sub("", hit.title))


def _plain(text: str) -> str:
    """Lower-case words set apart by single spaces, one before the first and one after the last."""
    return f" {' '.join(WORD.findall(text.lower()))} "
