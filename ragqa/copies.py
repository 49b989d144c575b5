"""Which passages are copies: the same text up to spaces, punctuation and a few added words. Pure.

A word put in another's place is no small change: it may be the one fact in which two passages differ. Nor is
the same word at another place: "28 days full-time, 14 part-time".
"""

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property

WORD = re.compile(r"\w+")
ADDED_SHARE = 0.1
"""Most words of both texts together that one of two copies may have alone."""
ADDED_WORDS = 2
"""As many are allowed in shorter texts, too, from this many words on."""
SHORT_TEXT = 12
NEGATIONS = frozenset({"no", "not", "never", "none", "nor", "neither", "without", "cannot", "non", "un"})


@dataclass(frozen=True)
class Wording:
    """A text as copies are told: its words in order."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> "Wording":
        return cls(tuple(WORD.findall(text.lower())))

    @cached_property
    def known(self) -> frozenset[str]:
        return frozenset(self.words)


def are_copies(one: Wording, other: Wording) -> bool:
    """Whether two texts differ in a few words that one of them adds, none of them a number or a negation.

    Where words are cut in other places ("do n't" for "don't") they are the same words.
    """
    if one.words == other.words:
        return bool(one.words)
    union = len(one.known | other.known)
    allowed = max(ADDED_SHARE * union, ADDED_WORDS if union >= SHORT_TEXT else 0)
    if len(one.known ^ other.known) > 4 * allowed:  # far from it: what follows takes its time
        return False
    added: tuple[set[str], set[str]] = (set(), set())
    matcher = SequenceMatcher(None, one.words, other.words, autojunk=False)
    for kind, *places in matcher.get_opcodes():
        ours, theirs = one.words[places[0] : places[1]], other.words[places[2] : places[3]]
        if kind == "equal" or _same_letters(ours, theirs):
            continue
        if (ours and theirs) or any(map(_counts, (*ours, *theirs))):
            return False
        added[0].update(ours)
        added[1].update(theirs)
    return not all(added) and len(added[0] | added[1]) <= allowed


def _same_letters(ours: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    letters = "".join(ours)
    return letters == "".join(theirs) and not any(map(str.isdigit, letters))


def _counts(word: str) -> bool:
    """Whether a word is no mere addition: a number, a negation ("t" of "can't"), a letter that names."""
    return len(word) == 1 or word in NEGATIONS or any(map(str.isdigit, word))
