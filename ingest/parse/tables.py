"""Tables as rows: comma- and tab-separated text, and the rows of an HTML table.

unstructured makes a whole csv one Table element and loses which row is the header: rows are read here.
"""

import csv
import io
import re
from collections.abc import Sequence

from ingest.parse.canonical import Piece, one_line

_AMOUNT = re.compile(r"[\s\d⁰¹²³⁴-⁹$€£¥%()+.,'\-–—]*(?:%|[a-zA-Z]{1,3})?\)?")
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_MAX_SPAN = 100
LABEL = 60
"""Characters; a longer cell names no row and no column, and is not said again in each that it spans."""
_Held = dict[int, tuple[int, str]]  # by column: how many rows below a cell still spans, and its words


def table_pieces(
    rows: Sequence[Sequence[str]], *, header: int | None = None, page: int | None = None
) -> list[Piece]:
    """One piece a row, cells joined by tabs. `header` is how many first rows name the columns; None: as they
    seem to.

    Rows are as wide as their table, empty cells at their ends included: of a narrower one nobody could tell
    below which names its cells stand.
    """
    kept = [cells for row in rows if any(cells := [one_line(cell) for cell in row])]
    if not kept:
        return []
    headers = count_header_rows(kept) if header is None else header
    width = max(max(place for place, cell in enumerate(cells, 1) if cell) for cells in kept)
    pieces = []
    for number, cells in enumerate(kept):
        kind = "table_header" if number < headers else "table_row"
        alone = sum(map(bool, cells)) == 1  # a line between rows, not one of them
        text = "\t".join(cells).rstrip("\t") if alone else "\t".join((*cells, *[""] * width)[:width])
        pieces.append(Piece(kind, text, page=page, joined=number > 0))  # type: ignore[arg-type]
    return pieces


def block_pieces(rows: Sequence[Sequence[str]]) -> list[Piece]:
    """A block of a sheet as people write it: lone cells above the table are its title, not its header."""
    kept = [list(row) for row in rows if any(cell.strip() for cell in row)]
    if not kept:
        return []
    left = min(next(n for n, cell in enumerate(row) if cell.strip()) for row in kept)
    rest = [row[left:] for row in kept]
    widths = [sum(1 for cell in row if cell.strip()) for row in rest]
    lone = next((number for number, width in enumerate(widths) if width > 1), 0)
    titles = [Piece("paragraph", one_line(" ".join(row))) for row in rest[:lone]]
    return titles + table_pieces(rest[lone:])


def count_header_rows(rows: Sequence[Sequence[str]]) -> int:
    """How many first rows name the columns: none, one, or two where the second holds years or dates."""
    if len(rows) > 2 and _is_dated(rows[1]) and not any(is_amount(cell) for cell in rows[0]):
        return 2
    return 1 if len(rows) > 1 and _names_columns(rows) else 0


def _names_columns(rows: Sequence[Sequence[str]]) -> bool:
    """Two cells or more, half as many as a row has, none an amount; all different or all dates."""
    first = [cell for cell in rows[0] if cell]
    widest = max(sum(1 for cell in row if any(map(str.isalnum, cell))) for row in rows)
    if len(first) < 2 or 2 * len(first) < widest or any(is_amount(cell) for cell in first):
        return False
    return len(set(first)) == len(first) or _is_dated(first)


def _is_dated(cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if cell]
    return len(filled) > 1 and all(_YEAR.search(cell) and not is_amount(cell) for cell in filled)


def is_amount(text: str) -> bool:
    """A number with nothing but a sign, a currency or a unit to it; a year names a column and is none."""
    without_years = _YEAR.sub("", text)
    return bool(_AMOUNT.fullmatch(without_years)) and any(map(str.isdecimal, without_years))


def separated_pieces(text: str, suffix: str) -> list[Piece]:
    """The rows of csv or tsv text."""
    text = text.removeprefix("\ufeff").replace("\0", "\ufffd")
    delimiter = "\t" if suffix in (".tsv", ".tab") else _delimiter(text[:20_000])
    csv.field_size_limit(2**31 - 1)
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    return block_pieces(rows)


# What the separators in it part are words.
_QUOTED = re.compile(r'(?:^|(?<=[,;|\t]))"(?:[^"]|"")*+"(?=[,;|\t\r\n]|\Z)', re.MULTILINE)


def _delimiter(sample: str) -> str:
    """The separator whose count per line is highest and steady, one of the first line if that has any.

    csv.Sniffer takes letters for separators.
    """
    lines = [line for line in _QUOTED.sub('""', sample).splitlines() if line.strip()][:50]
    scores: dict[str, tuple[bool, float]] = {",": (False, 0.0)}
    for candidate in (",", ";", "\t", "|"):
        counts = [line.count(candidate) for line in lines]
        typical = max(set(counts), key=counts.count) if counts else 0
        if typical:
            scores[candidate] = counts[0] > 0, typical * counts.count(typical) / len(counts)
    return max(scores, key=lambda candidate: scores[candidate])


def html_table_pieces(markup: str, page: int | None = None) -> list[Piece]:
    """The rows of one HTML table. A short cell that spans rows stands in each; none stands twice in one."""
    from lxml import html

    tree = html.fragment_fromstring(markup, create_parent="div")
    captions = [Piece("paragraph", one_line(c.text_content()), page=page) for c in tree.iter("caption")]
    rows: list[list[str]] = []
    header = 0
    named_beside = False
    held: _Held = {}
    for row in tree.iter("tr"):
        cells: list[str] = []
        named = row.getparent() is not None and row.getparent().tag == "thead"
        tags = set()
        empty = True
        for cell in row.iterchildren("td", "th"):
            _fill_held(cells, held)
            width, height = span(cell, "colspan"), span(cell, "rowspan")
            words = [one_line(cell.text_content()), *[""] * (width - 1)]
            for column, text in enumerate(words, len(cells)):
                held[column] = height - 1, text if len(text) <= LABEL else ""
            cells += words
            tags.add(cell.tag)
            empty = empty and not words[0]
        _fill_held(cells, held)
        if empty:
            continue
        if len(rows) == header and (named or tags == {"th"}) and (not rows or len(cells) > 1):
            header += 1
        elif len(rows) == header and len(cells) == 2:
            named_beside = tags == {"th", "td"}  # "Owner" beside "P. Nair": no row names columns
        rows.append(cells)
    return captions + table_pieces(rows, header=header or (0 if named_beside else None), page=page)


def _fill_held(cells: list[str], held: _Held) -> None:
    while (column := len(cells)) in held and held[column][0] > 0:
        rows, text = held[column]
        held[column] = rows - 1, text
        cells.append(text)


def span(cell: object, name: str) -> int:
    """How many columns (`colspan`) or rows (`rowspan`) a cell of an HTML table claims."""
    value = cell.get(name, "1")  # type: ignore[attr-defined]
    # Python refuses numbers of thousands of digits.
    return min(int(value), _MAX_SPAN) or 1 if value.isdecimal() and len(value) < 9 else 1
