"""Words of questions and sentences in the form that tells near things apart. Pure."""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

from ragqa.citations.words import STOP_WORDS as PLAIN_WORDS
from ragqa.features import STOP_WORDS, stem

STOP = STOP_WORDS | PLAIN_WORDS
WORD = re.compile(r"\d{1,3}(?:,\d{3})+|[^\W_]+(?:[.’'/-][^\W_]+)*")
PART = re.compile(r"[^\W_]+")
ORDINALS = dict(
    zip(
        ("1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "9th", "10th"),
        ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"),
        strict=True,
    )
)
_CODE = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[A-Za-z\d./-]+")
_NO_CODE = re.compile(
    r"\d+(?:\.\d+)?(?:st|nd|rd|th|s|am|pm|[kmc]?g|[kcm]?m|m?l|k?w|v|[kmg]?hz|[kmgt]b|h|min|sec|bn|ad|bc|d|x)"
    r"|\d+(?:st|nd|rd|th)?-[a-z]{3,}",
    re.IGNORECASE,
)
_UP_TO = re.compile(r"\bup to \S+", re.IGNORECASE)
"""What holds for a code and for those below it."""


@lru_cache(maxsize=4096)
def form(word: str) -> str:
    """The word as it is compared: without case, accents and common endings."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", word.lower()) if not unicodedata.combining(c))
    plain = bare.replace(",", "").removesuffix(".0")
    return ORDINALS.get(plain) or stem(plain)


@lru_cache(maxsize=4096)
def forms_of(text: str) -> frozenset[str]:
    """The forms of a text's words, of their parts, and its codes."""
    words = [*WORD.findall(text), *PART.findall(text)]
    return frozenset((*map(form, words), *codes(text)))


@lru_cache(maxsize=4096)
def codes(text: str) -> dict[str, str]:
    """Words of letters and digits, without signs, and the letters that each begins with."""
    words = [word for word in WORD.findall(_UP_TO.sub(" ", text)) if _CODE.fullmatch(word)]
    without_signs = (solid(word) for word in words if not _NO_CODE.fullmatch(word))
    return {one: letters[0] for one in without_signs if (letters := re.match(r"[a-z]+", one))}


def solid(text: str) -> str:
    """Letters and digits alone, numbers without zeros before them: "E-05" and "E5" alike."""
    return re.sub(r"(?<=[a-z])0+(?=[1-9])", "", re.sub(r"[^a-z0-9]", "", text.lower()))


def neighbours(text: str) -> Iterator[tuple[str, str, str]]:
    """Words that nothing but a space parts, and what stands behind them."""
    for one, other in pairwise(WORD.finditer(text)):
        if text[one.end() : other.start()] in (" ", "\n", "\u00a0", " #"):
            yield one.group(), other.group(), text[other.end() : other.end() + 20]
