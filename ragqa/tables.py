"""Rows of tables as people read them: each cell behind the name of its column. Pure.

A row is a line with tabs, as ingest writes tables, or with pipes, as plain text draws them. Which row names
the columns is not stored with the text, and of a sheet or a page ingest guesses it, too: it is told from the
rows.
"""

import re
from collections.abc import Sequence

AS_WIDE = 0.8
"""Share of the rows of a table that must be as wide as its header for its columns to be named."""

_BAR = re.compile(r"(?:^|\s)\|(?=\s|$)")
_PIPES = re.compile(r"\|.*\|")
_RULE = re.compile(r"[\s|:+=_-]+")
_YEAR = re.compile(r"(?:1[89]|20)\d\d")
_NUMBER = re.compile(r"\d")
_VALUE = re.compile(r"[\W_]*(?:(?:EUR|USD|GBP|CHF)\s*)?\d")
LABELS = frozenset(("source", "sources", "reference", "references", "citation", "citations"))
"""Names of columns that a reply must not begin a line with: there they announce its sources."""


def cells_of(line: str) -> tuple[str, ...]:
    """The cells of a row, each on one line; none where the line is no row."""
    line = line.strip("\n\r ")
    if "\t" in line.strip():
        parts = line.split("\t")
    elif _PIPES.fullmatch(line):
        parts = line[1:-1].split("|")
    else:
        return ()
    cells = tuple(" ".join(part.split()) for part in parts)
    return cells if sum(map(bool, cells)) > 1 else ()


def row_start(text: str, start: int) -> int:
    """Where the row at a place begins: before the tabs of its empty first cells, where it has such cells.

    Spans of sentences are trimmed of white space, and the row would be narrower than its table.
    """
    begin = start
    while begin and text[begin - 1] == "\t":
        begin -= 1
    return begin if begin == 0 or text[begin - 1] == "\n" else start


def row_end(text: str, end: int) -> int:
    """Where the row that ends at a place ends with its empty last cells: behind the tabs of its line."""
    last = end
    while last < len(text) and text[last] == "\t":
        last += 1
    return last if last == len(text) or text[last] == "\n" else end


def as_wide_as_above(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The rows, the last as wide as the one above it: the empty cells at a block's end are cut off."""
    if len(rows) < 3 or len(rows[-1]) >= len(rows[-2]):
        return rows
    return [*rows[:-1], (*rows[-1], *[""] * (len(rows[-2]) - len(rows[-1])))]


def without_margin(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The rows without the columns on the left that are empty in all of them: an indented table."""
    margin = min((next(n for n, cell in enumerate(row) if cell) for row in rows), default=0)
    return [row[margin:] for row in rows]


def names_of(columns: str) -> tuple[str, ...]:
    """The names of columns from their line of metadata, `| Basic | Pro`: those without a name are empty."""
    return tuple(name.strip() for name in _BAR.split(columns))


def is_rule(line: str) -> bool:
    """Whether a line only draws: `|---|---|`."""
    return "|" in line and _RULE.fullmatch(line) is not None


def header_rows(rows: Sequence[Sequence[str]]) -> tuple[int, tuple[str, ...]]:
    """How many of the first rows of a table head it, and the names of its columns; (0, ()) where none do.

    Rows that begin with an empty cell head the ones below them. A first row without values is a header, with
    the next where cells of it span columns; of two columns only where it has no number (years aside) and
    every other row has one in the second, as such tables are often a list of names with their values.
    Columns have no names where rows differ in width: a page does not always show where its columns part.
    """
    if len(rows) < 2:
        return 0, ()
    above = next((number for number, row in enumerate(rows) if row[0]), len(rows))
    if not 0 < above < len(rows):
        above = 1 if heads(rows[0], rows[1:]) else 0
        if above and len(rows) > 2 and _goes_on(rows[0], rows[1], rows[2]):
            above = 2
    names = _joined(rows[:above])
    as_wide = sum(len(row) == len(names) for row in rows[above:])
    return above, names if as_wide >= AS_WIDE * (len(rows) - above) else ()


def _goes_on(first: Sequence[str], second: Sequence[str], below: Sequence[str]) -> bool:
    """Whether the second row continues the header: `Zone; Letter; Parcel` below `Zone; Price; Price`."""
    spans = len(set(filter(None, first))) < len(first)
    corner = ("", first[0])
    return spans and second[0] in corner and below[0] not in corner and not any(map(has_number, second))


def _joined(rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The names of columns from the rows that head a table, `Zone`, `Price Letter`, `Price Parcel`.

    Where it is not known which columns a cell spans, those behind it are empty: the fullest row names them.
    """
    columns = list(zip(*rows, strict=False))
    alike = all(len(row) == len(rows[0]) for row in rows)
    if alike and all(all(column) or not any(column) for column in columns):
        return tuple(" ".join(dict.fromkeys(column)) for column in columns)
    return tuple(max(reversed(rows), key=lambda row: sum(map(bool, row))))


def heads(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row of a table names its columns.

    Of three columns and more the names may have numbers in them (`Q1`, `Tier 1`, `TG-400S`, `At 20 °C`), but
    for what the cells below have, too: `Level 1` above `Level 2` is a first row.
    """
    if len(first) > 2:
        return not any(
            is_value(cell) or any(_is_numbered_alike(cell, row[place]) for row in rows if place < len(row))
            for place, cell in enumerate(first)
        )
    return not any(map(has_number, first)) and all(any(map(has_number, row[1:])) for row in rows)


def has_number(cell: str) -> bool:
    """Whether a cell holds a number that is no year; the raised digit of m³ is part of a unit."""
    return any(map(str.isdecimal, _YEAR.sub("", cell)))


def is_value(cell: str) -> bool:
    """Whether a cell begins with a number that is no year, or with a currency and one: `£185`, `30 m`."""
    return _VALUE.match(_YEAR.sub("", cell)) is not None


def _is_numbered_alike(cell: str, other: str) -> bool:
    """Whether two cells say the same up to a number: `Level 1`, `Level 2`."""
    return has_number(cell) and has_number(other) and _up_to_number(cell) == _up_to_number(other)


def _up_to_number(cell: str) -> str:
    return _NUMBER.split(_YEAR.sub("", cell), maxsplit=1)[0].casefold()


def in_words(row: Sequence[str], names: Sequence[str]) -> str:
    """`Region: London; Meals per day: £46`; of two cells `Meals per day: £46`; else the cells alone."""
    filled = tuple(filter(None, row))
    if len(filled) == 2 and filled == tuple(row[:2]) and (len(row) == 2 or not names):
        return " ".join(filled) if row[0].casefold() in LABELS else f"{row[0].rstrip(':')}: {row[1]}"
    if not names or len(row) > len(names):
        return " ".join(filled)
    named = [
        f"{name}: {cell}" if name and (place or name.casefold() not in LABELS) else cell
        for place, (name, cell) in enumerate(zip(names, row, strict=False))
        if cell
    ]
    return "; ".join(named)
