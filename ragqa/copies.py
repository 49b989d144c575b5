"""Which passages are copies: the same text up to spaces, punctuation and a few added words. Pure.

A word put in another's place is no small change: it may be the one fact in which two passages differ.
"""

import re
from dataclasses import dataclass

WORD = re.compile(r"\w+")
ADDED_SHARE = 0.1
"""Most words of both texts together that one of two copies may have alone."""
ADDED_WORDS = 2
"""As many are allowed in shorter texts, too, from this many words on."""
SHORT_TEXT = 12
NEGATIONS = frozenset({"no", "not", "never", "none", "nor", "neither", "without", "cannot"})


@dataclass(frozen=True, slots=True)
class Wording:
    """A text as copies are told: its words, and its letters and digits without anything between."""

    words: frozenset[str]
    letters: str

    @classmethod
    def of(cls, text: str) -> "Wording":
        found = WORD.findall(text.lower())
        return cls(frozenset(found), "".join(found))


def are_copies(one: Wording, other: Wording) -> bool:
    """Whether two texts differ in a few words that one of them adds, none of them a number or a negation."""
    differing = one.words ^ other.words
    if any(word.isdigit() or word in NEGATIONS for word in differing):
        return False
    ours, theirs = _new_in(one, other), _new_in(other, one)
    union = len(one.words | other.words)
    allowed = max(ADDED_SHARE * union, ADDED_WORDS if union >= SHORT_TEXT else 0)
    return union > 0 and not (ours and theirs) and len(ours | theirs) <= allowed


def _new_in(one: Wording, other: Wording) -> frozenset[str]:
    """The words of a text that the other has not even in pieces ("do n't" for "don't")."""
    return frozenset(word for word in one.words - other.words if word not in other.letters)
