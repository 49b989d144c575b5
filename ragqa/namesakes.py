"""Sentences about another thing of the kind that a question names: crane 5 for crane 6. Pure.

Passages about near things share every word but the one that counts, and neither likeness nor a model that
reads tells them apart. What is compared is small and certain: a number or letter behind the same word
("crane 6", "site B"), a code with the same letters ("FM-90"), a name or an ordinal before the same word
("York depot", "third payment"), the month in a heading. A sentence that has another in its place, and has the
one asked for neither in itself nor above it, is about something else. So are a table's rows beside the one
whose first cell the question names (named_rows.py, numbered_rows.py), and what says the opposite
(opposites.py).
"""

import re
from calendar import month_name
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from functools import lru_cache

from ragqa.candidates import Candidate
from ragqa.features import stem
from ragqa.forms import ORDINALS, PART, STOP, WORD, codes, form, forms_of, neighbours, solid
from ragqa.named_rows import OPEN, beside_named_rows
from ragqa.numbered_rows import beside_numbered_rows
from ragqa.opposites import denials_of, turned

_NUMBER = re.compile(r"\d+(?:\.\d+)*[A-Za-z]?")
_YEAR = re.compile(r"(?:1\d|20)\d\d")
_LETTER = re.compile(r"[A-HJ-Z]")  # not the pronoun
_IDENTIFIER = re.compile(r"(?<![\w./@-])(?=\w*_|[a-z]+\.[a-z])[A-Za-z]\w+(?:[._]\w+)*(?![\w@/])")
"""A word joined with underscores or dots."""
_NAMES_NO_OPTION = frozenset(
    """
    com conf csv de doc docx edu eu exe fr go gov html io js json md net org pdf py txt uk xlsx xml yaml zip
    """.split()  # noqa: SIM905
)
"""What addresses, programs and the names of files end in."""
_RELEASE = re.compile(r"(?<![\d.])\d+\.\d+\.\d+(?![\d.]*\d)")
_CONDITION = re.compile(r"\bat (?:an? \w+ of )?(-?\d+(?:[.,]\d+)?) ?(°C|°F|[^\W\d]{1,4}\b|%)")
_BOUND = re.compile(
    r"\b(?:up to|more|less|over|under|least|most|between|from|below|above|beyond|to|than|within|until)\b"
    r"|[<>≤≥–±]",
    re.IGNORECASE,
)
_TITLES = frozenset(
    """
    mr mrs ms miss dr doctor prof professor sir lord lady dame president chancellor minister secretary king
    queen prince princess pope saint st mount mt captain general colonel judge justice sergeant
    """.split()  # noqa: SIM905
)
"""Before a name, one person's or place's as often as another's."""
_RANGE = re.compile(r"\s*(?:[–—-]|,|/|(?:to|and|or|through|until|plus)\b)")
"""Behind a number or letter that is not alone."""
_MONTHS = tuple(name.lower() for name in month_name[1:])
_NO_KIND = STOP | frozenset(_MONTHS)
_MONTH_OF_YEAR = re.compile(rf"\b({'|'.join(_MONTHS)}) ((?:19|20)\d\d)\b", re.IGNORECASE)
_MEASURES = frozenset(
    map(
        stem,
        """
        hundred thousand million billion trillion percent per seconds minutes hours days weeks months years
        decades centuries times people persons metres meters miles kilometres kilometers litres liters grams
        tons tonnes dollars euros pounds cents points degrees inches feet acres
        """.split(),  # noqa: SIM905  # a list of quoted words could not be read
    )
)
BEHIND = 2.0
"""Scores that the best sentence about the thing asked for may lie below one about another thing."""
MISSPELT = 0.72
"""Likeness (difflib's ratio) from which one name is taken for the other, misspelt."""

Labels = dict[tuple[str, bool], frozenset[str]]


def of_what_is_asked(question: str, candidates: Sequence[Candidate]) -> list[int]:
    """The places of the candidates, best first, that are about what the question names.

    Where the best is about another thing of its kind, only those that name the one asked for, and none where
    they score far less: what comes next says something else.
    """
    numbered = beside_numbered_rows(question, candidates)
    beside = beside_named_rows(question, candidates).union(numbered)
    wanted = missing(question, candidates[0]).union(numbered.get(0, ())) if candidates else frozenset()
    kept = [
        place
        for place, one in enumerate(candidates)
        if place not in beside and (not wanted or wanted <= _held(one)) and not missing(question, one)
    ]
    return [] if kept and wanted and candidates[kept[0]].score < candidates[0].score - BEHIND else kept


def missing(question: str, one: Candidate) -> frozenset[str]:
    """What the question names and the candidate has another of in its place; as forms of words."""
    if OPEN.search(question):
        return frozenset()
    said, above = one.shown, one.above
    found = {
        *_other_labels(question, said, above),
        *_other_codes(question, f"{said} {above}"),
        *_other_identifiers(question, f"{above} {one.block.text}"),
        *_other_releases(question, f"{said} {above}"),
        *_other_conditions(question, said, above),
        *_other_names(question, said, above, one.block.text),
        *_other_ordinals(question, said, above),
        *turned(question, one),
        *_other_months(question, said, above),
    }
    return frozenset(found)


def _held(one: Candidate) -> frozenset[str]:
    return forms_of(one.around) | denials_of(one.around)


def _other_labels(question: str, said: str, above: str) -> Iterator[str]:
    """Numbers and letters that other ones stand for, behind the same word."""
    here, there, forms = _labels(said), _labels(above), forms_of(f"{said} {above}")
    for key, asked in _labels(question).items():
        others = here.get(key, frozenset()) | there.get(key, frozenset())
        # A letter alone is an article or a list's mark elsewhere; a number stands for itself.
        if others and not asked & (others | forms if key[1] else others):
            yield from asked


def _other_codes(question: str, text: str) -> Iterator[str]:
    asked, held, letters_of_text = codes(question), codes(text), solid(text)
    for code, letters in asked.items():
        if code not in letters_of_text and any(
            letters == own and one not in asked for one, own in held.items()
        ):
            yield code


def _other_identifiers(question: str, text: str) -> Iterator[str]:
    """Names of options, fields and functions that stand nowhere in the block, however they are joined."""
    names = [one for one in _IDENTIFIER.findall(question) if one.rpartition(".")[2] not in _NAMES_NO_OPTION]
    here = solid(text) if names else ""
    yield from (form(name) for name in names if solid(name) not in here)


def _other_releases(question: str, text: str) -> Iterator[str]:
    """Numbers of releases ("3.4.2") where the text has others of as many parts."""
    asked, held = set(_RELEASE.findall(question)), set(_RELEASE.findall(text))
    yield from (form(one) for one in asked - held if held and not asked & held)


def _other_conditions(question: str, said: str, above: str) -> Iterator[str]:
    """Measures that something holds at ("at 5 °C"), where the sentence has it at another alone."""
    held = _conditions(said)
    for unit, asked in _conditions(question).items():
        others = held.get(unit, frozenset())
        if others and not asked & (others | set(_NUMBER.findall(f"{said} {above}"))):
            yield from map(form, asked)


def _conditions(text: str) -> dict[str, frozenset[str]]:
    """By unit, the numbers that stand alone behind "at": ranges and bounds hold for others, too."""
    found: dict[str, set[str]] = {}
    for number, unit in _CONDITION.findall(text):
        found.setdefault(unit, set()).add(number)
    return {} if _BOUND.search(text) else {unit: frozenset(numbers) for unit, numbers in found.items()}


def _other_names(question: str, said: str, above: str, block: str) -> Iterator[str]:
    """Names that others stand for, before the same word.

    Before a name ("Cold War", "Jesse James") only those that the whole block lacks, as people have several
    names, and where the other begins its sentence, as any word does with a capital; nor those whose letters
    the block's words begin with ("EU"), or that are misspelt.
    """
    asked = forms_of(question)
    held = [(name, form(word)) for name, word in _named(said) if form(name) not in asked]
    for name, word in list(_named(question, skip_first=True)) if held else ():
        others = [one for one, follower in held if follower == form(word)]
        wide = word[0].isupper() or any(said.startswith(one) for one in others)
        text = f"{said} {above} {block if wide else ''}"
        if not others or form(name) in forms_of(text) or any(_stands_for(one, question) for one in others):
            continue
        near = (one for one in PART.findall(text) if form(one) != form(word))
        if not _stands_for(name, text) and not any(_alike(name, one) for one in near):
            yield form(name)


def _other_ordinals(question: str, said: str, above: str) -> Iterator[str]:
    """Ordinals that another one stands for, before the same word at the beginning of the sentence."""
    asked, forms = forms_of(question), forms_of(f"{said} {above}")
    begins = " ".join(WORD.findall(said)[:4])
    held = {word for ordinal, word in _ordered(begins) if ordinal not in asked}
    yield from (ordinal for ordinal, word in _ordered(question) if ordinal not in forms and word in held)


@lru_cache(maxsize=4096)
def _ordered(text: str) -> tuple[tuple[str, str], ...]:
    """Ordinals, and the form of the word behind each."""
    pairs = ((form(one), form(word)) for one, word, _ in neighbours(text))
    return tuple((one, word) for one, word in pairs if one in ORDINALS.values())


def _other_months(question: str, said: str, above: str) -> Iterator[str]:
    """The month asked for, where what stands above is of another month of that year."""
    for month, year in _months(question):
        others = {one for one, of in _months(above) if of == year}
        if others and month not in others and month not in said.casefold():
            yield form(month)


def names_in(question: str) -> frozenset[str]:
    """The forms of the words with a capital, but for the first."""
    words = WORD.findall(question)[1:]
    return frozenset(form(word) for word in words if word[0].isupper() and word.lower() not in STOP)


@lru_cache(maxsize=4096)
def _labels(text: str) -> Labels:
    """By the form of a word and whether they are numbers: the numbers or letters behind it.

    "crane 6" has one, "6 cranes", "after 6", "10 June" and "within 14 days" have none, nor "weeks 1 to 4".
    """
    found: dict[tuple[str, bool], set[str]] = {}
    ranges: set[tuple[str, bool]] = set()
    for word, label, behind in neighbours(text):
        if word.lower() in _NO_KIND or len(word) < 2 or not word.isalpha() or word.endswith("ed"):
            continue
        number = _NUMBER.fullmatch(label) is not None
        measure = WORD.match(behind.lstrip())
        counts = number and (_YEAR.fullmatch(label) or (measure and form(measure.group()) in _MEASURES))
        if not counts and (number or _LETTER.fullmatch(label)):
            found.setdefault((form(word), number), set()).add(form(label))
            ranges |= {(form(word), number)} if _RANGE.match(behind) else set()
    return {key: frozenset(labels) for key, labels in found.items() if key not in ranges}


@lru_cache(maxsize=4096)
def _named(text: str, *, skip_first: bool = False) -> tuple[tuple[str, str], ...]:
    """Capitalised words and the word behind each; a question's first word is a capital by its place."""
    first = WORD.search(text)
    return tuple(
        (name, word)
        for name, word, _ in neighbours(text)
        if name[0].isupper()
        and len(name) > 1
        and not {name.lower(), word.lower()} & STOP
        and name.lower() not in _TITLES
        and not any(map(str.isdigit, name + word))
        and not name.endswith(("'s", "’s"))  # whose it is: what it has may have other names
        and not word.endswith("ed")  # what was done, not what it is
        and not (skip_first and first and first.group() == name)
    )


@lru_cache(maxsize=4096)
def _months(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((month.casefold(), year) for month, year in _MONTH_OF_YEAR.findall(text))


def _stands_for(name: str, text: str) -> bool:
    """Whether the name is made of the first letters of words of the text."""
    return name.isupper() and name in "".join(word[0] for word in PART.findall(text))


def _alike(one: str, other: str) -> bool:
    return SequenceMatcher(None, form(one), form(other)).ratio() >= MISSPELT
