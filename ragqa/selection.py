"""Which sentences of the blocks answer the question, and how surely. Pure but for what it is handed to embed
and to read with.

Two linear models over `ragqa.features` rank the sentences and say from the best of them whether the
documents hold the answer. Where there is a reader, it reads the best of them with their neighbours, and two
small models over what it says and what was known before have the last word. `benchmarks/selection_fit.py`
fits all four; weights and the data they come from are in `assets/selection.json`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ragqa.amendments import amendment_of
from ragqa.candidates import Candidate, Pieces, pieces_of
from ragqa.completing import completed
from ragqa.features import Numbers, Passage, confidence_features, features, lexical_scores
from ragqa.fitted import Linear, Model, load_models
from ragqa.kinds import answer_lacks, lacks_asked
from ragqa.layouts import plain
from ragqa.namesakes import of_what_is_asked
from ragqa.precedence import answering_first, defining_first, naming_first
from ragqa.proposals import ASKS_YES_OR_NO, NONE, Proposals, proposals_of
from ragqa.reader import Reading, Window
from ragqa.types import ContextBlock
from ragqa.versions import is_quoted, of_another_time, outdated
from ragqa.voices import amended_by, both_sides, claim_of, differ, other_side
from ragqa.windows import expected_answer, passages_of, read_answers, read_confidence, read_features

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
# Embedding is most of the cost of an answer without a reader: 64 sentences are about 1,900 tokens, 0.8 s of
# one CPU. The rest is left out by shared words and block.
EMBEDDED_SENTENCES = 64
ANSWER_SENTENCES = 3
AMENDMENT = 3.0
"""Scores by which a sentence may fall behind the best where one of the two amends the other's document."""
REPLY = 6.0
"""The same, where a mail answers what it quotes: the quoted words are often the plainer ones."""
OUTDATED = 2.0
"""Scores by which a sentence falls where another version of its document is asked about."""


class Reader(Protocol):
    """Reads question and windows together (`ragqa.reader`)."""

    def read(self, question: str, windows: Sequence[Window]) -> Sequence[Reading]: ...


@dataclass(frozen=True, slots=True)
class Selection:
    """The sentences that answer, best first; the confidence in [0, 1] that the documents hold the answer.

    Where another document answers differently, `differs` says so and its sentence is the second.
    """

    sentences: tuple[Candidate, ...]
    confidence: float
    refuses: bool
    differs: bool = False


@dataclass(frozen=True, slots=True)
class Ranked:
    """Candidates, best first, and what was seen of each, shape (n, len(FEATURES)), in that order."""

    candidates: tuple[Candidate, ...]
    rows: Numbers
    pieces: tuple[Pieces, ...]
    outdated: frozenset[str]

    @property
    def scores(self) -> Numbers:
        return np.asarray([one.score for one in self.candidates])

    def about(self, question: str) -> "Ranked":
        """Those candidates that are about what the question names, not about another of its kind."""
        kept = of_what_is_asked(question, self.candidates)
        chosen = tuple(self.candidates[place] for place in kept)
        return replace(self, candidates=chosen, rows=self.rows[kept])


@dataclass(frozen=True, slots=True)
class Judgement:
    """All candidates, best first, the log-odds that the documents hold the answer, and, where a reader read
    them and the question asks for more than yes or no, the spans that it proposes as the answer.
    """

    candidates: tuple[Candidate, ...]
    odds: float
    model: Model
    outdated: frozenset[str]
    proposals: Proposals = NONE
    question: str = ""
    pieces: tuple[Pieces, ...] = ()

    def selection(self, *, strict: bool = False) -> Selection:
        """The best candidate and what scores close to it, each wording once, of one version of a document;
        or the best candidate and that of another document which takes its words away (amendments.py) or
        answers differently. Where nothing differs, with what belongs to the best: the list that it is of,
        the sentence beside it (completing.py).
        """
        if not self.candidates:
            return Selection((), 0.0, True)
        best = self._answered_back(self.candidates[0])
        same_age = [one for one in self.candidates if self._is_outdated(one) == self._is_outdated(best)]
        if best is not self.candidates[0]:
            same_age = [one for one in same_age if not is_quoted(one.block)]
        chosen: dict[str, Candidate] = {}
        for one in same_age:
            if len(chosen) < ANSWER_SENTENCES and one.score >= best.score - self.model.margin:
                chosen.setdefault(plain(one.said), one)
        sentences = tuple(chosen.values())
        everything = [one for made in self.pieces for one in made.candidates]
        other = amendment_of(best, everything)
        if other is None:
            near = [one for one in same_age if one.score >= best.score - AMENDMENT]
            high = [one for one in same_age if one.score >= self.model.other_side]
            found = filter(None, (amended_by(best, near), other_side(best, high)))
            other = max(found, key=lambda one: one.score, default=None)
        if other is not None:
            sentences = both_sides(best, other, sentences)[:ANSWER_SENTENCES]
        else:
            sentences = completed(self.question, sentences, same_age, self.pieces)
        confidence = 1 / (1 + math.exp(-max(-30.0, min(30.0, self.odds))))
        refuses = confidence < (self.model.strict if strict else self.model.threshold)
        return Selection(sentences, confidence, refuses, other is not None)

    def _answered_back(self, best: Candidate) -> Candidate:
        """What a mail says itself in place of what it quotes of an older one, where the best is quoted."""
        own = (
            one
            for one in self.candidates
            if one.block.document_id == best.block.document_id and not is_quoted(one.block)
        )
        near = (one for one in own if one.score >= best.score - REPLY and differ(best.claim, one.claim))
        return next(near, best) if is_quoted(best.block) else best

    @property
    def surplus(self) -> float:
        """The log-odds by which the documents hold the answer more surely than the threshold asks for."""
        return self.odds - math.log(self.model.threshold / (1 - self.model.threshold))

    def _is_outdated(self, one: Candidate) -> bool:
        return one.block.document_id in self.outdated


def select(
    question: str, blocks: Sequence[ContextBlock], embed: Embed, reader: Reader | None = None
) -> Selection:
    """At most three sentences that answer the question, best first; refuses below the threshold."""
    return judge(question, blocks, embed, reader).selection()


def judge(
    question: str, blocks: Sequence[ContextBlock], embed: Embed, reader: Reader | None = None
) -> Judgement:
    """What of the blocks answers the question, and how surely; with a reader, what it did not read is out.

    Where a document of another time than the one asked about answers best, nothing does (versions.py), nor
    where a sentence about another thing does and none is about the one named (namesakes.py).
    """
    plainly, reading = load_models()
    pieces, rows = candidate_features(question, blocks, embed)
    ranked = rank(question, blocks, pieces, rows, plainly.ranking).about(question)
    astray = of_another_time(question, blocks)
    nothing = Judgement((), -math.inf, plainly, frozenset())
    if not ranked.candidates or ranked.candidates[0].block.document_id in astray:
        return nothing
    odds = float(plainly.confidence(confidence_features(question, ranked.rows, ranked.scores)[None, :])[0])
    past = ranked.outdated | astray
    if reader is None:
        candidates = defining_first(question, ranked.candidates)
        return Judgement(candidates, odds, plainly, past, NONE, question, ranked.pieces)
    candidates, seen, proposals = read(question, ranked, odds, reader, reading.ranking)
    if candidates[0].block.document_id in astray:
        return nothing
    candidates = defining_first(question, answering_first(question, candidates))
    if ASKS_YES_OR_NO.match(question):
        candidates = naming_first(question, candidates)
    surely = float(reading.confidence(seen[None, :])[0])
    return Judgement(candidates, surely, reading, past, proposals, question, ranked.pieces)


def rank(
    question: str, blocks: Sequence[ContextBlock], pieces: Sequence[Pieces], rows: Numbers, ranking: Linear
) -> Ranked:
    """The candidates of the pieces, whose features `rows` are, best first."""
    candidates = [one for made in pieces for one in made.candidates]
    if not candidates:
        return Ranked((), rows, (), frozenset())
    past = outdated(question, blocks)
    falls = [OUTDATED * (one.block.document_id in past) for one in candidates]
    scores = ranking(rows) - np.asarray(falls)
    order = np.argsort(-scores, kind="stable")
    best = tuple(replace(candidates[row], score=float(scores[row])) for row in order)
    return Ranked(best, rows[order], tuple(pieces), past)


def read(
    question: str, ranked: Ranked, odds: float, reader: Reader, ranking: Linear
) -> tuple[tuple[Candidate, ...], Numbers, Proposals]:
    """The candidates that were read, best first, what says whether they answer (READ_CONFIDENCE), and the
    answers that the reader proposes, of documents whose other version is not the one asked about.
    """
    passages = passages_of(ranked.candidates, ranked.pieces)
    readings = reader.read(question, [Window(one.title, one.sentences) for one in passages])
    places, rows = read_features(ranked.candidates, passages, readings)
    falls = [OUTDATED * (ranked.candidates[place].block.document_id in ranked.outdated) for place in places]
    scores = ranking(rows) - np.asarray(falls)
    order = np.argsort(-scores, kind="stable")
    answers = read_answers(passages, readings)
    claims = {key: claim_of(question, answer) for key, answer in answers.items()}
    found = ((ranked.candidates[places[row]], float(scores[row])) for row in order)
    best = tuple(
        replace(one, score=score, claim=claims.get((one.block.key, one.place), frozenset()))
        for one, score in found
    )
    there = expected_answer(ranked.candidates, passages, readings)
    seen = read_confidence(
        odds,
        there,
        rows[order[0]],
        answer_lacks=answer_lacks(question, answers.get((best[0].block.key, best[0].place), "")),
        lacks_asked=lacks_asked(question, best[0].shown, is_row=best[0].is_row),
    )
    asked_about = {one.block.key for one in ranked.candidates if one.block.document_id not in ranked.outdated}
    spans = NONE if ASKS_YES_OR_NO.match(question) else proposals_of(passages, readings).within(asked_about)
    return best, seen, spans


def candidate_features(
    question: str, blocks: Sequence[ContextBlock], embed: Embed
) -> tuple[list[Pieces], Numbers]:
    """The blocks cut up, best first, and a row for each of their candidates in order."""
    pieces = pieces_of(blocks)
    passages = [
        Passage(
            tuple(one.shown for one in made.candidates),
            " ".join((made.block.title, *made.block.section)),
            made.block.score,
            tuple(one.lead for one in made.candidates),
            tuple(one.is_row for one in made.candidates),
        )
        for made in pieces
    ]
    return pieces, features(question, passages, similarities(question, passages, embed))


def similarities(question: str, passages: Sequence[Passage], embed: Embed) -> list[list[float]]:
    """Cosine of the question and each sentence; NaN for those too far down to be worth embedding."""
    lexical = lexical_scores(question, passages)
    best = max((passage.score for passage in passages), default=0.0)
    worth = [
        (-(words + 0.15 * (passage.score - best)), place, number)
        for place, passage in enumerate(passages)
        for number, words in enumerate(lexical[place])
    ]
    kept = [(place, number) for _, place, number in sorted(worth)[:EMBEDDED_SENTENCES]]
    cosines = [[math.nan] * len(passage.sentences) for passage in passages]
    if kept:
        vectors = embed([question, *(passages[place].sentences[number] for place, number in kept)])
        for (place, number), cosine in zip(kept, vectors[1:] @ vectors[0], strict=True):
            cosines[place][number] = float(cosine)
    return cosines
