"""Dates in any of the usual forms, and numbers with their units. Pure."""

import re
from collections.abc import Iterator, Set

from ragqa.citations.words import CURRENCIES, Token, number_form, stem

Date = tuple[int | None, int, int | None]
"""Year, month, day; None where it is not said."""

_FULL_MONTHS = "january february march april june july august september october november december sept"
_MONTH_NAMES = "jan feb mar apr may jun jul aug sep oct nov dec"
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES.split(), 1)}
MONTHS = (*_MONTHS, *_FULL_MONTHS.split())
_MONTH = (
    r"(?P<month>(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)(?:uary|ruary|ch|il|e|y|ust|tember|ober|ember|t)?)"
    r"\b\.?"
)
_DIGIT = re.compile(r"\d")
_DAY = r"(?<!\d)(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_DATES = (
    re.compile(r"(?<!\d)(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})(?!\d)"),
    re.compile(rf"{_DAY}(?: of)? {_MONTH}(?: ?,? ?(?P<year>\d{{4}})(?!\d))?"),
    re.compile(rf"\b{_MONTH} {_DAY}(?!\d)(?: ?,? ?(?P<year>\d{{4}})(?!\d))?"),
    re.compile(rf"\b{_MONTH} ?,?(?: of)? ?(?P<year>\d{{4}})(?!\d)"),
)

_UNIT_NAMES = {
    "percent": "percent percentage", "dollar": "dollar usd", "euro": "euro eur",
    "pound": "pound gbp",
    "metre": "metre meter m", "kilometre": "kilometre kilometer km", "centimetre": "centimetre centimeter cm",
    "millimetre": "millimetre millimeter mm", "mile": "mile mi", "foot": "foot feet ft",
    "inch": "inch inches",
    "yard": "yard yd", "gram": "gram gramme", "kilogram": "kilogram kilo kg", "milligram": "milligram mg",
    "tonne": "tonne ton", "litre": "litre liter", "millilitre": "millilitre milliliter ml",
    "second": "second sec",
    "minute": "minute min", "hour": "hour hr", "day": "day", "week": "week", "month": "month", "year": "year",
    "decade": "decade", "century": "century", "degree": "degree", "celsius": "celsius",
    "fahrenheit": "fahrenheit",
    "watt": "watt", "kilowatt": "kilowatt kw", "volt": "volt", "byte": "byte", "megabyte": "megabyte mb",
    "gigabyte": "gigabyte gb", "acre": "acre", "hectare": "hectare ha", "yen": "yen", "hertz": "hertz hz",
}  # fmt: skip
UNITS = {stem(word): unit for unit, words in _UNIT_NAMES.items() for word in words.split()}


def dates(text: str) -> Iterator[tuple[Date, int, int]]:
    """The dates of a text with their spans: `2021-03-01`, `1 March 2021`, `March 1, 2021`, `March 2021`."""
    if not _DIGIT.search(text):
        return
    taken = bytearray(len(text))
    for pattern in _DATES:
        for match in pattern.finditer(text):
            start, end = match.span()
            parts = match.groupdict()
            month = parts["month"]
            number = int(month) if month.isdigit() else _MONTHS[month[:3].lower()]
            day, year = parts.get("day"), parts.get("year")
            if 1 <= number <= 12 and (day is None or 1 <= int(day) <= 31) and not any(taken[start:end]):
                taken[start:end] = b"x" * (end - start)
                yield (int(year) if year else None, number, int(day) if day else None), start, end


def date_occurs(date: Date, known: Set[Date], forms: Set[str]) -> bool:
    """Whether one of the known dates says all that this one does; its year may stand apart, as a number."""
    year, month, day = date
    for other_year, other_month, other_day in known:
        same_year = year is None or year == other_year
        if other_year is None and year is not None:
            same_year = number_form(str(year)) in forms
        if month == other_month and same_year and (day is None or day == other_day):
            return True
    return False


def quantities(found: tuple[Token, ...]) -> Iterator[tuple[Token, str, str]]:
    """Each number with a unit beside it: the number, the unit, both as written."""
    for place, token in enumerate(found):
        if not token.is_number:
            continue
        after = found[place + 1] if place + 1 < len(found) else None
        before = found[place - 1] if place else None
        if [other.form for other in found[place + 1 : place + 3]] == ["per", "cent"]:
            yield token, "percent", f"{token.text} per cent"
        elif after is not None and after.form in UNITS and after.start - token.end <= 1:
            yield token, UNITS[after.form], f"{token.text} {after.text}"
        elif before is not None and before.text in CURRENCIES:
            yield token, UNITS[before.form], f"{before.text}{token.text}"
