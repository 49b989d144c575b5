"""Rows of tables beside those whose number the question names: 500 pieces, week 43, 60 °C. Pure.

The first cells of all rows must be numbers. What the question's number counts must be what the column's name
says, or its unit; then a row with another number is no answer, even where none has the one asked for. A large
number that no word ties to the column counts where one row has it.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ragqa.candidates import Candidate
from ragqa.forms import PART, STOP, form
from ragqa.tables import cells_of

_DIGITS = r"[-−+]?\d+(?:,\d{3})*(?:\.\d+)?"
_UNIT = r"[^\W\d_]+|[°%µμΩ][^\W\d_]*"
_CELL = re.compile(rf"({_DIGITS})\s?({_UNIT})?")
_ASKED = re.compile(
    rf"(?:\b([^\W\d_]+)\s+(?:(?:no\.?|number|#)\s*)?)?(?<![\w.,/−+-])({_DIGITS})(?:\s?({_UNIT}))?(?![\w/-]|[.,]\d)"
)
_NAMED_UNIT = re.compile(rf"[(\[_]\s*({_UNIT})\s*[)\]]?$|\bin ({_UNIT})$")
_COMPARES = re.compile(
    r"\b(?:besides|other|apart|except|instead|or|than|after|before|from|follow\w*|next|below|above|over|under"
    r"|least|most|up to|within|between|until|through|exceed\w*|beyond|min\w*|max\w*|per)\b"
    r"|\d\s*(?:-|–|—|to|and)\s*\d",
    re.IGNORECASE,
)
"""A question with one of these may be answered by a row with another number."""
_PIECES = frozenset(map(form, ("piece", "pieces", "pcs", "pc", "unit", "units", "item", "items")))
_QUANTITIES = frozenset(map(form, ("quantity", "qty", "pieces", "pcs", "units")))
_SMALL = 100
"""Smaller numbers count days, people, ranks; they stand in a question for many reasons."""
_YEARS = range(1500, 2101)


@dataclass(frozen=True, slots=True)
class _Number:
    """A number with its unit or counted word; in a question, `before` is the word before it."""

    digits: str
    unit: str
    before: str = ""

    @property
    def value(self) -> float:
        return float(self.digits.replace(",", "").replace("−", "-"))


def beside_numbered_rows(question: str, candidates: Sequence[Candidate]) -> dict[int, frozenset[str]]:
    """The places of rows that begin with another number than the one asked for, each with the forms of the
    numbers asked for where no row of its table has one of them.
    """
    asked = [] if _COMPARES.search(question) else list(_asked_for(question))
    if not asked:
        return {}
    tables: dict[tuple[str, str], dict[int, _Number | None]] = defaultdict(dict)
    for place, one in enumerate(candidates):
        if one.is_row and (cells := cells_of(one.text)):
            tables[one.block.key, _column(one.shown, cells[0])][place] = _number_of(cells[0])
    beside: dict[int, frozenset[str]] = {}
    for (_, column), rows in tables.items():
        keys = {place: key for place, key in rows.items() if key is not None}
        if len(keys) == len(rows) and _is_named(asked, column, list(keys.values())):
            values = {number.value for number in asked}
            others = [place for place, key in keys.items() if key.value not in values]
            lacking = (
                frozenset(form(number.digits) for number in asked)
                if len(others) == len(keys)
                else frozenset()
            )
            beside |= dict.fromkeys(others, lacking)
    return beside


def _asked_for(question: str) -> Iterator[_Number]:
    for before, digits, unit in _ASKED.findall(question):
        yield _Number(digits, unit, before)


def _number_of(cell: str) -> _Number | None:
    found = _CELL.fullmatch(cell.strip())
    return _Number(found[1], found[2] or "") if found else None


def _column(shown: str, cell: str) -> str:
    """The name of a row's first column; empty where it has none."""
    name, colon, _ = shown.partition(f": {cell}")
    return name if colon else ""


def _is_named(asked: Sequence[_Number], column: str, keys: Sequence[_Number]) -> bool:
    """Whether the question names one of the numbers of the column, or one that it lacks."""
    if any(_is_of(number, column, keys) for number in asked):
        return True
    counted = _PIECES | STOP | set(map(form, PART.findall(column))) | {""}
    large = {
        one.value
        for one in asked
        if abs(one.value) >= _SMALL and one.value not in _YEARS and form(one.unit) in counted
    }
    return len(keys) > 1 and sum(key.value in large for key in keys) == 1


def _is_of(number: _Number, column: str, keys: Sequence[_Number]) -> bool:
    """Whether the column counts what the number counts: week 43, 500 cycles, 500 pieces, 60 °C."""
    words = frozenset(map(form, PART.findall(column)))
    if number.before and form(number.before) in words:
        return True
    if not number.unit:
        return False
    named = _NAMED_UNIT.search(column)
    units = {key.unit for key in keys} | ({named[1] or named[2]} if named else set())
    return (
        number.unit.casefold() == column.casefold()
        or (form(number.unit) in _PIECES and bool(words & _QUANTITIES))
        or units - {""} == {number.unit}
    )
