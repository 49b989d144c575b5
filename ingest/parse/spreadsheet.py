"""Workbooks as rows: .xlsx through openpyxl, .xls through xlrd.

unstructured keeps neither the sheet's name, nor which row is the header, nor how a number is shown.
"""

import io
import os
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from typing import Any

from ingest.parse.canonical import Piece
from ingest.parse.problems import encrypted
from ingest.parse.tables import block_pieces

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
            pieces += sheet_pieces(sheet.title, rows)
        return pieces
    finally:
        book.close()


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


def number_text(value: float, number_format: str = "General") -> str:
    """1200.0 as 1200; a share as its cell shows it, 0.125 under `0.0%` as 12.5%."""
    plain = number_format.split(";")[0]
    if plain.endswith("%"):
        decimals = len(plain.rstrip("%").rpartition(".")[2]) if "." in plain else 0
        return f"{value * 100:.{min(decimals, 10)}f}%"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:.15g}"


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
