"""Which sentence comes first for what a question names or repeats."""

import pytest

from ragqa.candidates import Candidate
from ragqa.precedence import answering_first, defining_first, naming_first
from tests.blocks import make_block


def test_a_yes_or_no_answer_is_of_what_the_question_names() -> None:
    texts = ("TideView runs on macOS 12 or newer.", "It costs nothing.", "It does not run on Linux.")
    block = make_block("faq.md", " ".join(texts), title="Support")
    found = [Candidate(block, 0, 1, text, text, score=-place) for place, text in enumerate(texts)]
    ordered = naming_first("Does TideView run on Linux?", found)
    assert [one.shown for one in ordered] == [texts[2], texts[0], texts[1]]
    assert ordered[0].score == 0
    assert naming_first("Does TideView run on a Mac?", found) == tuple(found)
    assert naming_first("Does it run on Solaris?", found) == tuple(found)


def test_below_the_same_question_the_first_sentence_answers() -> None:
    texts = (
        "Q: How do I reset the password?",
        "Hold the button for 12 seconds.",
        "The password is then tidal.",
    )
    block = make_block("faq.md", " ".join(texts), title="FAQ")
    found = [
        Candidate(block, 0, 1, texts[place], texts[place], lead=texts[0], place=place, score=float(place))
        for place in (2, 1)
    ]
    first = answering_first("How can I reset my password?", found)
    assert [(one.place, one.score) for one in first] == [(1, 2.0), (2, 2.0)]
    assert answering_first("What is the password after a reset of the device?", found) == tuple(found)


def test_filler_below_the_question_stays_where_it_is() -> None:
    block = make_block("faq.md", "…", title="FAQ")
    lead = "How do I reset the router?"
    found = [
        Candidate(block, 0, 1, "", "Hold the button.", lead=lead, place=2, score=6.0),
        Candidate(block, 0, 1, "", "Good question!", lead=lead, place=1, score=-1.0),
    ]
    assert answering_first(lead, found) == tuple(found)


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("What does WARN mean?", 1),
        ("What does WARN mean in the self-test?", 1),
        ("What is meant by “WARN”?", 1),
        ("What does FAIL stand for?", 2),
        ("What is the PASS?", 3),
        ("What does ERROR mean?", 0),
        ("What does the self-test end with?", 0),
        ("When does WARN mean harm?", 0),
    ],
)
def test_the_sentence_that_defines_what_is_asked_comes_first(question: str, first: int) -> None:
    texts = (
        "The self-test ends with PASS, WARN or FAIL.",
        "WARN means that a part is worn.",
        '"FAIL" (red) stands for a fault.',
        "PASS is the rule.",
    )
    block = make_block("service.pdf", " ".join(texts))
    found = [Candidate(block, 0, 1, text, text, score=9.0 - place) for place, text in enumerate(texts)]
    ordered = defining_first(question, found)
    assert (ordered[0].shown, ordered[0].score) == (texts[first], 9.0)
    assert len(ordered) == len(found)


def test_what_defines_is_left_where_it_is_behind_a_definition_a_row_or_another_block() -> None:
    block, other = make_block("a.md", "…"), make_block("b.md", "…")
    warns = Candidate(block, 0, 1, "", "WARN means worn.", score=5.0)
    for best in (
        Candidate(block, 0, 1, "", "WARN is short for worn.", score=6.0),
        Candidate(block, 0, 1, "", "Code: WARN; Meaning: worn", score=6.0, is_row=True),
        Candidate(other, 0, 1, "", "It ends with WARN.", score=6.0),
    ):
        assert defining_first("What is WARN?", [best, warns]) == (best, warns)
