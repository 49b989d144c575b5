"""Workbooks as rows: .xlsx through openpyxl, .xls through xlrd.

unstructured keeps neither the sheet's name, nor which row is the header, nor how a number is shown.
"""

import io
import os
import re
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from typing import Any

from ingest.parse.canonical import Piece
from ingest.parse.problems import encrypted
from ingest.parse.tables import LABEL, block_pieces

_MAX_COLUMNS = 1000


def xlsx_pieces(data: bytes) -> list[Piece]:
    """Each sheet: a heading with its name, then its rows. Values as last calculated, not formulas."""
    from openpyxl import load_workbook

    book = load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
    try:
        pieces: list[Piece] = []
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # files lie about them, and openpyxl then drops cells
            rows = ([_shown(cell) for cell in row[:_MAX_COLUMNS]] for row in sheet.iter_rows())
            with sheet._get_source() as part:  # openpyxl reads merged cells with the whole sheet only
                merged = _MERGED.findall(part.read())
            pieces += sheet_pieces(sheet.title, _with_merged(rows, merged))
        return pieces
    finally:
        book.close()


_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\s[^>]*?ref="([A-Z]{1,3})(\d{1,7}):[A-Z]{1,3}(\d{1,7})"')


def _with_merged(
    rows: Iterable[list[str]], merged: Iterable[tuple[bytes, bytes, bytes]]
) -> Iterator[list[str]]:
    """The rows, each with the labels of the cells above that are merged into it, unless it is empty."""
    from openpyxl.utils import column_index_from_string

    starts: dict[int, list[tuple[int, int]]] = {}
    for letters, top, bottom in merged:
        starts.setdefault(int(top), []).append((column_index_from_string(letters.decode()) - 1, int(bottom)))
    held: dict[int, tuple[int, str]] = {}  # by column: the last row of a merged cell, and what it says
    for number, row in enumerate(rows, start=1):
        held = {column: cell for column, cell in held.items() if number <= cell[0]}
        if any(cell.strip() for cell in row):
            row += [""] * (max(held, default=-1) + 1 - len(row))
            for column, (_, label) in held.items():
                row[column] = row[column] or label
        for column, last in starts.get(number, ()):
            if last > number and column < len(row) and len(row[column]) <= LABEL:
                held[column] = last, row[column]
        yield row


def xls_pieces(data: bytes) -> list[Piece]:
    """The same for the format of 1997 to 2003."""
    import xlrd

    with open(os.devnull, "w") as silence:  # noqa: PTH123  xlrd prints warnings to stdout otherwise
        try:
            book = xlrd.open_workbook(file_contents=data, formatting_info=False, logfile=silence)
        except xlrd.XLRDError as error:
            if "encrypted" in str(error).lower():
                raise encrypted("The workbook") from None
            raise
        pieces: list[Piece] = []
        for sheet in book.sheets():
            rows = ([_xls_shown(cell, book.datemode) for cell in sheet.row(n)] for n in range(sheet.nrows))
            pieces += sheet_pieces(sheet.name, rows)
        return pieces


def sheet_pieces(name: str, rows: Iterable[list[str]]) -> list[Piece]:
    """A sheet's heading and its blocks: an empty row ends a table, a lone cell above one is its title."""
    pieces: list[Piece] = []
    block: list[list[str]] = []
    for row in (*rows, []):
        if any(cell.strip() for cell in row):
            block.append(row)
        elif block:
            pieces += block_pieces(block)
            block = []
    return [Piece("heading", name, depth=1), *pieces] if pieces else []


# In number formats, ECMA-376 part 1, 18.8.31: characters as they are, words, widths, fillings, conditions.
_NO_DIGITS = re.compile(r'\\.|"[^"]*"|_.|\*.|\[[^\]]*\]', re.DOTALL)


def number_text(value: float, number_format: str = "General") -> str:
    """1200.0 as 1200; a share as its cell shows it, 0.125 under `0.0%` as 12.5%."""
    shown = _NO_DIGITS.sub(lambda part: "\0" if part[0].strip('\\" ') == "%" else "", number_format)
    shown = shown.split(";")[0]
    if "%" in shown:
        decimals = re.search(r"\.([0#?]*)", shown)
        return f"{value * 100:.{min(len(decimals[1]) if decimals else 0, 10)}f}%"
    plain = str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:.15g}"
    return plain + "%" * ("\0" in shown)  # a sign as it is: the number is a percentage already


def _shown(cell: Any) -> str:
    value = cell.value
    match value:
        case None:
            return ""
        case bool():
            return "TRUE" if value else "FALSE"
        case int() | float():
            finite = value == value and abs(value) != float("inf")
            return number_text(value, str(cell.number_format or "")) if finite else str(value)
        case _:
            return _moment(value)


def _moment(value: object) -> str:
    if isinstance(value, datetime):
        bare = value.time() == time(0)
        return value.date().isoformat() if bare else value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value) if not isinstance(value, timedelta) else str(value).split(".")[0]


def _xls_shown(cell: Any, datemode: int) -> str:
    import xlrd

    match cell.ctype:
        case xlrd.XL_CELL_NUMBER:
            return number_text(cell.value)
        case xlrd.XL_CELL_DATE:
            try:
                return _moment(xlrd.xldate_as_datetime(cell.value, datemode))
            except (ValueError, OverflowError):
                return number_text(cell.value)
        case xlrd.XL_CELL_BOOLEAN:
            return "TRUE" if cell.value else "FALSE"
        case xlrd.XL_CELL_ERROR:
            return str(xlrd.error_text_from_code.get(cell.value, ""))
        case _:
            return str(cell.value)
