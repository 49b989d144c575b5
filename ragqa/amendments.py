"""Sentences that change words of another document: 'the words "six months" shall be replaced by …'. Pure.

Such a sentence names a clause and the words it takes away, and hardly ever what they are about, so that no
question finds it. Whoever is shown the words that it takes away must see it.
"""

import re
from collections.abc import Sequence

from ragqa.candidates import Candidate
from ragqa.features import content_words
from ragqa.forms import WORD

_AMENDS = re.compile(
    r"\b(?:amend(?:ed|s)?|replaced?|substitut(?:ed?|es|ing)|delet(?:ed?|es)|supersed(?:ed?|es)|varied|revok(?:ed?|es)"
    r"|repeal(?:ed|s)?|(?:reduced|increased|raised|lowered|extended|shortened|changed) from)\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[\"“„«]\s*([^\"“”„«»]{3,200}?)\s*[\"”“»]")
_SUM = re.compile(
    r"[£$€]\s?\d[\d,.]*\d|\b\d[\d,.]*\d?\s(?:days?|weeks?|months?|years?|per cent|percent|%|[A-Z]{3}\b)"
)
_SHARED_BESIDE_A_SUM = 2
"""Content words besides a sum that both must have where nothing is quoted."""


def amendment_of(one: Candidate, candidates: Sequence[Candidate]) -> Candidate | None:
    """The first candidate of another document that takes away words of the one; None if there is none.

    It quotes them, or names a sum of them ("30 days", "£15,000") and other words of the sentence.
    """
    others = (other for other in candidates if other.block.document_id != one.block.document_id)
    found = (other for other in others if _takes_away(other.shown, one.shown))
    return next((other for other in found if _names_document(other, one)), None)


def _names_document(change: Candidate, one: Candidate) -> bool:
    """Whether what stands around the change has a word of the title of what it changes."""
    titled = set(content_words(one.block.title))
    near = (*content_words(change.block.title), *content_words(change.block.text))
    return not titled or not titled.isdisjoint(near)


def _takes_away(change: str, said: str) -> bool:
    verb = _AMENDS.search(change)
    if verb is None or _AMENDS.search(said):
        return False
    plainly = _plain(said)
    quoted = [_plain(words) for words in _QUOTED.findall(change)]
    if quoted:
        return any(f" {words} " in f" {plainly} " for words in quoted[::2] if _tells(words))
    sums = {_plain(found) for found in _SUM.findall(change)}
    held = [found for found in sums if f" {found} " in f" {plainly} "]
    numbers = {word for found in held for word in content_words(found)}
    shared = (set(content_words(change)) & set(content_words(said))) - numbers
    return bool(held) and len(shared) >= _SHARED_BESIDE_A_SUM


def _tells(words: str) -> bool:
    """Whether the words are enough to know a place by: a number, or three; two may be a defined term."""
    return len(words.split()) > 2 or any(map(str.isdigit, words))


def _plain(text: str) -> str:
    """The words of a text alone, in small letters."""
    return " ".join(word.casefold() for word in WORD.findall(text))
