"""What a sentence answers with, and whether two sentences of different documents answer differently. Pure.

Of several documents that say the same, one is enough; of two that differ a person should see both, as it
cannot be told from here which of them is wrong.
"""

import re
from collections.abc import Sequence

from ragqa.candidates import Candidate
from ragqa.citations.facts import has_variant
from ragqa.citations.words import tokens
from ragqa.kinds import CALENDAR_DATE, kind_of

Claim = frozenset[str]
"""The words of an answer as they are compared, without those of the question."""

_YEAR = re.compile(r"#(?:1\d|20)\d\d")
_SHARED_WORDS = 3
"""Words that a sentence and what it amends have in common, at least, where no more is known of them."""
_AMENDS = re.compile(
    r"\b(?:is|are|be)(?: hereby)? (?:amended|replaced|superseded|deleted|varied"
    r"|(?:increased|reduced|raised|lowered|extended|shortened) (?:from|to))\b|\bwith effect from\b",
    re.IGNORECASE,
)


def claim_of(question: str, answer: str) -> Claim:
    """What an answer says that the question does not; nothing where a number is asked for and it has none."""
    claim = _forms(answer) - _forms(question)
    kind = kind_of(question)
    numeric = kind is not None and kind[0] in ("time", "count")
    return frozenset() if numeric and not _years(claim) | _numbers(claim) else claim


def differ(one: Claim, other: Claim) -> bool:
    """Whether two answers to one question exclude each other: of one kind, and without a word in common.

    A year says nothing against a day or a name, nor a number against a name.
    """
    for kind in (_years, _numbers, _words):
        ours, theirs = kind(one), kind(other)
        if ours and theirs:
            return not any(form in theirs or has_variant(theirs, form) for form in ours)
        if ours or theirs:
            return False
    return False


def other_side(best: Candidate, candidates: Sequence[Candidate]) -> Candidate | None:
    """The first of the candidates that is of another document than the best and answers differently.

    A sentence that says what the other answers with, too, does not contradict it.
    """
    others = (one for one in candidates if one.block.document_id != best.block.document_id)
    return next(
        (
            one
            for one in others
            if differ(best.claim, one.claim) and not _says(best, one.claim) and not _says(one, best.claim)
        ),
        None,
    )


def amends(one: Candidate) -> bool:
    """Whether the sentence says that it changes what another document says, as amendments of contracts do."""
    return _AMENDS.search(one.said) is not None


def amended_by(best: Candidate, candidates: Sequence[Candidate]) -> Candidate | None:
    """The first of the candidates of another document that changes what the best says, or is changed by it.

    Where the reader found no words that answer, the two have to share words, and each to name a number that
    the other has not.
    """
    for one in candidates:
        if one.block.document_id != best.block.document_id and (amends(one) or amends(best)):
            read = best.claim and one.claim
            if _contradict(best, one) if read else _count_otherwise(best.shown, one.shown):
                return one
    return None


def _contradict(best: Candidate, one: Candidate) -> bool:
    """Whether they answer differently, and not both with both answers."""
    both = _says(best, one.claim) and _says(one, best.claim)
    return differ(best.claim, one.claim) and not both


def _count_otherwise(ours: str, theirs: str) -> bool:
    """Whether two sentences on one thing have numbers of their own, dates aside."""
    one, other = (_forms(CALENDAR_DATE.sub("", text)) for text in (ours, theirs))
    shared = len(_words(one) & _words(other)) >= _SHARED_WORDS
    return shared and bool(_numbers(one - other) and _numbers(other - one))


def both_sides(best: Candidate, other: Candidate, near: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """One sentence for each side, then those near the best that are no more than another voice for it."""
    first = [one for one in near if one not in (best, other) and not _repeats(one, best, other)]
    return (best, other, *first)


def _repeats(one: Candidate, *sides: Candidate) -> bool:
    """Whether a sentence of another document answers as a side does."""
    return any(
        one.block.document_id != side.block.document_id and not one.claim.isdisjoint(side.claim)
        for side in sides
    )


def _says(one: Candidate, claim: Claim) -> bool:
    """Whether the sentence has every word of the claim."""
    return claim <= _forms(one.shown)


def _forms(text: str) -> Claim:
    """The content words of a text as claims have them."""
    return frozenset(
        token.form.removesuffix("th") if token.is_number else token.form
        for token in tokens(text)
        if token.is_content
    )


def _years(claim: Claim) -> Claim:
    return frozenset(form for form in claim if _YEAR.fullmatch(form))


def _numbers(claim: Claim) -> Claim:
    return frozenset(form for form in claim if form[0] == "#" and not _YEAR.fullmatch(form))


def _words(claim: Claim) -> Claim:
    return frozenset(form for form in claim if form[0] != "#")
