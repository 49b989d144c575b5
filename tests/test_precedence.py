"""Which sentence comes first for what a question names or repeats."""

from ragqa.candidates import Candidate
from ragqa.precedence import answering_first, naming_first
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
