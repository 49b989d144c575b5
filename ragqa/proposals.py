"""Answers that a reader points at: spans of the text, for a writer to choose among. Pure.

The reader says of each word how likely it is part of the answer, and says it well; where an answer begins
and ends, and which of two names fits the question, a language model knows better. So the first proposes and
the second chooses (`ragqa.gptq.choosing`), and every answer is words of the document.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ragqa.reader import Reading, Word, log_sum
from ragqa.windows import Passage

MAX_PROPOSALS = 32
MAX_WORDS = 12
"""In a span: of squad2's and nq_gold's answers, even halves, 99 in 100 are not longer (n = 1,752)."""
WORD_COST = 0.25
"""Log-odds that each further word of a span must bring to be proposed before the shorter one."""
ASKS_YES_OR_NO = re.compile(
    r"\W*(?:is|are|was|were|am|do|does|did|has|have|had|can|could|will|would|shall|should|may|might|must)\b",
    re.IGNORECASE,
)
"""How a question begins that no span of a text answers."""
EDGES = " ,;:.()[]\"'“”‘’"
"""What a span neither begins nor ends with."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A span and the log-odds that the answer stands in it."""

    text: str
    odds: float


@dataclass(frozen=True, slots=True)
class ReadSentence:
    """A sentence of the block `key`, and what a reader says of each of its words."""

    key: str
    text: str
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Proposals:
    """Spans of the sentences that a reader read."""

    read: tuple[ReadSentence, ...] = ()

    def within(self, keys: Collection[str]) -> "Proposals":
        """Those of some blocks alone."""
        return Proposals(tuple(one for one in self.read if one.key in keys))

    def best(self) -> tuple[Proposal, ...]:
        """At most MAX_PROPOSALS spans, best first, each wording once."""
        ranked: dict[str, tuple[float, Proposal]] = {}
        for sentence in self.read:
            for one, rank in _spans(sentence.text, sentence.words):
                if one.text and (one.text not in ranked or ranked[one.text][0] < rank):
                    ranked[one.text] = rank, one
        order = sorted(ranked.values(), key=lambda pair: (-pair[0], pair[1].text))
        return tuple(one for _, one in order[:MAX_PROPOSALS])

    def odds_of(self, text: str) -> float | None:
        """The log-odds of a text that stands in a sentence, whatever its case; None where none has it."""
        wanted = text.strip(EDGES).casefold()
        found = [
            log_sum(np.asarray([one.odds for one in sentence.words if one.start < end and start < one.end]))
            for sentence in self.read
            for start, end in _places(sentence.text.casefold(), wanted)
        ]
        return max(found, default=None)


NONE = Proposals()


@dataclass(frozen=True, slots=True)
class Opinion:
    """What is known of question and blocks before a model answers.

    `odds`: how surely the blocks hold the answer, log-odds, 0 where it would neither answer nor refuse.
    """

    odds: float
    proposals: Proposals = NONE


def proposals_of(passages: Sequence[Passage], readings: Sequence[Reading]) -> Proposals:
    """Of passages and their readings, in one order."""
    return Proposals(
        tuple(
            ReadSentence(passage.key, text, words)
            for passage, reading in zip(passages, readings, strict=True)
            for text, words in zip(passage.sentences, reading.words, strict=False)
            if words
        )
    )


def as_answer(span: str) -> str:
    """A span as an answer that stands alone: a capital, and a stop unless it ends otherwise."""
    text = " ".join(span.split()).strip(" ,;")
    if not text:
        return text
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?\"'" else ".")


def _spans(sentence: str, words: Sequence[Word]) -> Iterator[tuple[Proposal, float]]:
    """All spans of at most MAX_WORDS words, each with what it is ranked by."""
    masses = np.exp(np.minimum([word.odds for word in words], 60.0))
    for first, word in enumerate(words):
        held = np.log(np.cumsum(masses[first : first + MAX_WORDS]))
        for more, odds in enumerate(held):
            text = sentence[word.start : words[first + more].end].strip(EDGES)
            yield Proposal(text, float(odds)), float(odds) - WORD_COST * more


def _places(sentence: str, wanted: str) -> Iterator[tuple[int, int]]:
    """Where the text stands as whole words."""
    if wanted:
        for match in re.finditer(rf"(?<!\w){re.escape(wanted)}(?!\w)", sentence):
            yield match.span()
