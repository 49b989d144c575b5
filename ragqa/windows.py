"""What a reader is given: the best candidates with the sentences around them. Pure.

A row of a table has the names of its columns in it, or goes with its header rows, whatever stands between.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ingest.chunk import count_tokens
from ragqa.candidates import Candidate, Pieces
from ragqa.features import Numbers

MAX_WINDOWS = 6
"""Windows read for a question, each about 0.06 s of one CPU. The gold sentence is in one of the first four
for 97 of 100 questions of the sample's tune split, in one of the first six for all, on Wikipedia sooner."""
WINDOW_TOKENS = 165
"""By estimate: question, title and window must fit the 256 tokens that the reader takes."""
LIMIT = 12.0
"""Log-odds are cut at this: beyond it a model is sure, and how sure says nothing."""

READ_FEATURES = ("base", "sentence")
READ_CONFIDENCE = ("base", "answerable", "sentence_best", "answer_lacks", "lacks_asked")


class Reading(Protocol):
    """What a reader says of a window, as log-odds: that it answers, and that each sentence of it does.

    `answers` are the words of each sentence that look like the answer itself; empty where that is not known.
    """

    @property
    def answerable(self) -> float: ...

    @property
    def sentences(self) -> Sequence[float]: ...
    @property
    def answers(self) -> Sequence[Sequence[str]]: ...


@dataclass(frozen=True, slots=True)
class Passage:
    """Sentences to be read; `places` are their places among the block's pieces, -1 for column names."""

    title: str
    sentences: tuple[str, ...]
    key: str
    places: tuple[int, ...]


def passages_of(ranked: Sequence[Candidate], found: Sequence[Pieces]) -> list[Passage]:
    """At most MAX_WINDOWS passages around the best candidates, in their order, each candidate in one."""
    by_key = {pieces.block.key: pieces for pieces in found}
    passages: list[Passage] = []
    held: set[tuple[str, int]] = set()
    for one in ranked:
        if len(passages) == MAX_WINDOWS:
            break
        if (one.block.key, one.place) not in held:
            passage = around(by_key[one.block.key], one.place)
            passages.append(passage)
            held.update((passage.key, place) for place in passage.places)
    return passages


def around(pieces: Pieces, place: int) -> Passage:
    """The piece with its neighbours, nearest first, as many as fit, and the header of its table."""
    header = [number for number in pieces.headers[place] if number != place]
    columns = dict(pieces.block.metadata).get("columns", "") if place in pieces.columns else ""
    room = WINDOW_TOKENS - sum(count_tokens(pieces.lines[number]) for number in (*header, place))
    room -= count_tokens(columns) if columns else 0
    first, last = place, place + 1
    ahead = behind = True
    while ahead or behind:
        ahead = ahead and last < len(pieces.lines) and count_tokens(pieces.lines[last]) <= room
        if ahead:
            room -= count_tokens(pieces.lines[last])
            last += 1
        behind = behind and first > 0 and count_tokens(pieces.lines[first - 1]) <= room
        if behind:
            first -= 1
            room -= count_tokens(pieces.lines[first])
    places = (*(number for number in header if number < first), *range(first, last))
    sentences = tuple(pieces.lines[number] for number in places)
    if columns:
        places, sentences = (-1, *places), (columns, *sentences)
    return Passage(pieces.block.title, sentences, pieces.block.key, places)


def read_features(
    ranked: Sequence[Candidate], passages: Sequence[Passage], readings: Sequence[Reading]
) -> tuple[list[int], Numbers]:
    """Which of the ranked candidates were read, and a row for each, shape (n, len(READ_FEATURES))."""
    found: dict[tuple[str, int], float] = {}
    for passage, reading in zip(passages, readings, strict=True):
        for place, odds in zip(passage.places, reading.sentences, strict=True):
            key = passage.key, place
            found[key] = max(found.get(key, -LIMIT), cut(odds))
    read = [number for number, one in enumerate(ranked) if (one.block.key, one.place) in found]
    rows = [(ranked[n].score, found[ranked[n].block.key, ranked[n].place]) for n in read]
    return read, np.asarray(rows, dtype=np.float64).reshape(-1, len(READ_FEATURES))


def read_answers(passages: Sequence[Passage], readings: Sequence[Reading]) -> dict[tuple[str, int], str]:
    """What each piece answers with, by its block's key and its place in it; of two readings the surer one."""
    found: dict[tuple[str, int], tuple[float, str]] = {}
    for passage, reading in zip(passages, readings, strict=True):
        for place, odds, words in zip(passage.places, reading.sentences, reading.answers, strict=False):
            key = passage.key, place
            found[key] = max(found.get(key, (-math.inf, "")), (odds, " ".join(words)))
    return {key: words for key, (_, words) in found.items() if words}


def expected_answer(
    ranked: Sequence[Candidate], passages: Sequence[Passage], readings: Sequence[Reading]
) -> float:
    """Log-odds that the answer is read where it is expected: the mean over windows, each weighed by the share
    of its best candidate in a softmax of the scores without a reader.

    The highest of all windows would be the higher the more windows there are of one article.
    """
    scores = {(one.block.key, one.place): one.score for one in ranked}
    best = [
        max(scores[one.key, place] for place in one.places if (one.key, place) in scores) for one in passages
    ]
    shares = np.exp(np.asarray(best) - max(best))
    sure = 1 / (1 + np.exp(-np.asarray([cut(reading.answerable) for reading in readings])))
    mean = float(shares @ sure / shares.sum())
    return cut(math.log(mean / (1 - mean)))


def read_confidence(
    base: float, answerable: float, best: Sequence[float], *, answer_lacks: bool, lacks_asked: bool
) -> Numbers:
    """What says whether the best candidate answers, shape (len(READ_CONFIDENCE),).

    `base` is the log-odds without a reader, `answerable` those of `expected_answer`, `best` the best
    candidate's row of `read_features`; `answer_lacks` and `lacks_asked` are of `ragqa.kinds`.
    """
    return np.asarray([base, answerable, best[1], answer_lacks, lacks_asked], dtype=np.float64)


def cut(odds: float) -> float:
    return max(-LIMIT, min(LIMIT, float(odds)))
