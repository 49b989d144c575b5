"""Proposals: spans of the text that the reader points at, each with its odds."""

import numpy as np
import pytest

from ragqa.proposals import EDGES, MAX_WORDS, Proposals, ReadSentence, as_answer, proposals_of
from ragqa.reader import Reader, Window, Word
from ragqa.windows import Passage

LIGHTHOUSE = Window(
    "Corran lighthouse",
    (
        "The lighthouse stands on the southern tip of the island.",
        "It was built in 1874 by the engineer Mary Holt, who was thirty.",
        "Its lamp can be seen from 19 miles away.",
    ),
)


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.load()


def proposed(reader: Reader, question: str) -> Proposals:
    return proposals_of(
        [Passage("", LIGHTHOUSE.sentences, "a", (0, 1, 2))], reader.read(question, [LIGHTHOUSE])
    )


@pytest.mark.parametrize(
    ("question", "answer"),
    [("Who built the lighthouse?", "Mary Holt"), ("When was the lighthouse built?", "1874")],
)
def test_the_answer_is_among_the_first(reader: Reader, question: str, answer: str) -> None:
    texts = [one.text for one in proposed(reader, question).best()]
    assert answer in texts[:6]


def test_every_proposal_stands_in_one_sentence_and_says_nothing_twice(reader: Reader) -> None:
    best = proposed(reader, "Who built the lighthouse?").best()
    texts = [one.text for one in best]
    assert len(set(texts)) == len(texts) > 10
    for text in texts:
        assert any(text in sentence for sentence in LIGHTHOUSE.sentences)
        assert text == text.strip(EDGES)
        assert len(text.split()) <= MAX_WORDS


def test_a_text_is_looked_up_whatever_its_case_and_length(reader: Reader) -> None:
    found = proposed(reader, "Who built the lighthouse?")
    assert found.odds_of("mary holt.") == pytest.approx(
        next(one.odds for one in found.best() if one.text == "Mary Holt")
    )
    assert found.odds_of(LIGHTHOUSE.sentences[1]) > found.odds_of("Mary Holt")
    assert found.odds_of("Mary Holtby") is None
    assert found.odds_of("Mary Ho") is None
    assert found.odds_of(" . ") is None


def test_odds_are_those_of_the_words_together() -> None:
    words = (Word(0, 3, 1.0), Word(4, 8, 2.0), Word(9, 13, -3.0))
    found = Proposals((ReadSentence("a", "Ada Lark sang.", words),))
    assert found.odds_of("Ada Lark") == pytest.approx(np.logaddexp(1.0, 2.0))
    assert found.best()[0].text == "Ada Lark"
    assert Proposals().best() == ()


def test_a_span_becomes_an_answer_that_stands_alone() -> None:
    assert as_answer("the red  key") == "The red key."
    assert as_answer("why not?") == "Why not?"
    assert as_answer("") == ""


def test_proposals_of_some_blocks_leave_out_the_others(reader: Reader) -> None:
    found = proposed(reader, "Who built the lighthouse?")
    assert found.within({"a", "b"}) == found
    assert found.within({"b"}).best() == ()
