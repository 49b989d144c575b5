"""Sentences that change words of another document."""

import pytest

from ragqa.amendments import amendment_of
from ragqa.candidates import Candidate
from tests.blocks import make_block

NOTICE = "The Tenant may end this lease on 24 March 2024 by giving not less than six (6) months' notice."
DEED = (
    'In clause 7.1 the words "24 March 2024" shall be replaced by "24 March 2026" and the words '
    '"six (6) months" shall be replaced by "nine (9) months".'
)


def candidate(text: str, source: str = "a.md", title: str = "") -> Candidate:
    return Candidate(make_block(source, text, title=title), 0, len(text), text, text)


def changed_by(said: str, change: str) -> bool:
    return amendment_of(candidate(said), [candidate(said), candidate(change, "b.md")]) is not None


@pytest.mark.parametrize(
    ("said", "change"),
    [
        (NOTICE, DEED),
        (
            "There is parking for six (6) cars.",
            "In paragraph 2 “six (6) cars” is replaced by “four (4) cars”.",
        ),
        (
            "I give £15,000 to my grandson Toby Marsh.",
            "I revoke the legacy of £15,000 to my grandson Toby Marsh and give him £20,000 in its place.",
        ),
        (
            "The insured shall notify a claim within 30 days.",
            "The time to notify a claim is reduced from 30 days to 21 days.",
        ),
    ],
)
def test_a_sentence_that_takes_the_words_away_is_found(said: str, change: str) -> None:
    assert changed_by(said, change)


@pytest.mark.parametrize(
    ("said", "change"),
    [
        (
            "There is parking for four cars.",
            "In paragraph 2 “six cars” is replaced by “four cars”.",
        ),  # the new
        (NOTICE, 'In clause 3 the words "the Landlord" shall be replaced by "the Owner".'),
        (NOTICE, "The tenant must give notice in writing."),
        ("The Annual Rent is in arrear.", 'The definition of "Annual Rent" is replaced by the following.'),
        ("A claim is answered within 30 days.", "The time to complain is reduced from 30 days to 21 days."),
        ("The pump was replaced on 3 May.", 'The "pump" was replaced by a valve.'),
        ("The word is valid.", 'The word "valid" is replaced by "true".'),  # too little to know a place by
        (DEED, 'In clause 7.1 the words "24 March 2024" shall be replaced by "24 March 2028".'),
    ],
)
def test_other_sentences_are_not(said: str, change: str) -> None:
    assert not changed_by(said, change)


def test_a_document_does_not_change_itself() -> None:
    assert amendment_of(candidate(NOTICE), [candidate(DEED)]) is None


def test_what_changes_another_contract_changes_not_this_one() -> None:
    lease = candidate(NOTICE, title="Lease of Harbour House")
    assert amendment_of(lease, [candidate(DEED, "b.md", "First deed of variation, Harbour House")])
    assert amendment_of(lease, [candidate(f"{DEED} So the Lease is varied.", "b.md", "First deed")])
    assert amendment_of(lease, [candidate(DEED, "b.md", "Agency agreement, amendment")]) is None
