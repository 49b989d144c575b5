"""Whether a sentence says of one thing what its quote says of another. Pure.

Both are laid side by side, word by word. Where the same words stand around a name, number or unit of the
answer and around a different one of the quote, the answer's was put in the other's place, wherever else it
may occur.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache

from ragqa.citations.facts import has_variant
from ragqa.citations.measures import MONTHS, UNITS
from ragqa.citations.words import NEGATIONS, STOP_STEMS, capitalised_names, number_form, stem, tokens

_LONGEST = 8  # words that one fact or its stand-in may take with what is around it
_FLANK = 2  # content words that must be the same beside the place
# Months are compared as parts of dates.
_NO_NAMES = STOP_STEMS | frozenset(map(stem, MONTHS))
_MOST = 300  # words of a quote that are laid beside a sentence: time grows with their product


@dataclass(frozen=True, slots=True)
class Row:
    """The words of a text in order; `kinds` tells names, numbers and units from the rest ("")."""

    forms: tuple[str, ...]
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Places:
    """Forms of the answer that stand in a quote's same place, and those that took another's place.

    `common` is how many content words the two have in the same order.
    """

    same: frozenset[str]
    taken: frozenset[str]
    common: int


@lru_cache(maxsize=1024)
def row(text: str, seen_in_lower_case: frozenset[str]) -> Row:
    """The text as it is laid beside another."""
    found = tokens(text)
    names = {token.start for run in capitalised_names(found, seen_in_lower_case) for token in run}
    forms: list[str] = []
    kinds: list[str] = []
    for token in found:
        if token.is_stop or token.text == "s" or len(forms) == _MOST:
            continue
        if token.is_number:
            # "Version 3.10" beside "Python 3.10": which places numbers have is no matter of their zeros.
            form, kind = number_form(token.form[1:].removesuffix("th")), "number"
        elif token.start in names and token.form not in _NO_NAMES:
            form, kind = token.form, "name"
        else:
            form, kind = UNITS.get(token.form, token.form), "unit" if token.form in UNITS else ""
        forms.append(form)
        kinds.append(kind)
    return Row(tuple(forms), tuple(kinds))


def places(answer: Row, quote: Row) -> Places:
    """What of the answer stands in the same place in the quote, and what in another's."""
    same: set[str] = set()
    taken: set[str] = set()
    common = 0
    codes = SequenceMatcher(None, answer.forms, quote.forms, autojunk=False).get_opcodes()
    said = frozenset(answer.forms)
    for number, (code, start, end, first, last) in enumerate(codes):
        if code == "equal":
            content = [form for form in answer.forms[start:end] if _is_content(form)]
            common += len(content)
            same.update(content if len(content) > 1 else ())
        if code != "replace" or end - start > _LONGEST or last - first > _LONGEST:
            continue
        around = codes[max(0, number - 1) : number + 2]
        flanks = [answer.forms[low:high] for beside, low, high, _, _ in around if beside == "equal"]
        if sum(_is_content(form) for flank in flanks for form in flank) < _FLANK:
            continue
        for kind in ("name", "number", "unit"):
            ours = _of_kind(answer, start, end, kind)
            theirs = _of_kind(quote, first, last, kind)
            new = [form for form in ours if form not in theirs and not has_variant(set(theirs), form)]
            lost = [form for form in theirs if form not in said and not has_variant(said, form)]
            if new and lost and not _abbreviates(ours, theirs):
                taken.update(new)
    beside, instead = _beside(answer, quote)
    same |= beside
    return Places(frozenset(same), frozenset((taken | instead) - same), common)


def _beside(answer: Row, quote: Row) -> tuple[set[str], set[str]]:
    """Facts behind or before the same two words in both, and those that take another's place there."""
    same: set[str] = set()
    taken: set[str] = set()
    said = frozenset(answer.forms)
    for step in (1, -1):
        theirs = _by_context(quote, step)
        for context, places_of in _by_context(answer, step).items():
            for form, kind in places_of:
                there = theirs.get(context, ())
                others = {other for other, k in there if k == kind}
                if form in others or has_variant(others, form):
                    same.add(form)
                elif others and not any(other in said or has_variant(said, other) for other in others):
                    taken.add(form)
    return same, taken


def _by_context(line: Row, step: int) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Names, numbers and units by the two words before them (`step` 1) or behind them (-1)."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    forms, kinds = line.forms[::step], line.kinds[::step]
    for at in range(2, len(forms)):
        if kinds[at] and any(map(_is_content, forms[at - 2 : at])):
            found.setdefault((forms[at - 2], forms[at - 1]), []).append((forms[at], kinds[at]))
    return found


def misplaced(answer: Row, quotes: Sequence[Row]) -> frozenset[str]:
    """Forms that took another's place in a quote, but for those that stand in their own in a closer one."""
    sides = [places(answer, quote) for quote in quotes]
    own: dict[str, int] = {}
    for side in sides:
        own |= {form: max(side.common, own.get(form, 0)) for form in side.same}
    return frozenset(form for side in sides for form in side.taken if side.common >= own.get(form, 0))


def _of_kind(line: Row, start: int, end: int, kind: str) -> list[str]:
    return [form for form, k in zip(line.forms[start:end], line.kinds[start:end], strict=True) if k == kind]


def _abbreviates(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether one is the initials of the other: "UN" and "United Nations"."""
    initials = ["".join(form[0] for form in forms) for forms in (one, other)]
    return initials[0] in other or initials[1] in one


def _is_content(form: str) -> bool:
    return form not in STOP_STEMS and form not in NEGATIONS
