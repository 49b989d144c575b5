"""Cells of a page's tables: those that wrap over lines made whole, all placed in their columns. Pure.

A page only draws words. A table is recognised where its rows agree: a cell's next line stands close below it
and aligned with it, and every gap between two cells of a row lies over a strip that all rows leave empty.
Where they do not agree, nothing is changed.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

from ingest.parse.boxes import Row, Segment, Word, segment_of

_GUTTER = 0.6
"""Least width of the strip between two columns, in font sizes: the space between two words is about 0.3."""
_LEADING = 1.45
"""Most distance of two lines of one cell, in font sizes, where the page's lines are no farther apart."""
_LOOSER = 1.1
"""The same, in the page's distances of lines; rows of tables that wrap have padding, too."""
_GAP = 1.5
"""Most empty height between two rows of a table, in font sizes."""
_OVERLAP = 0.3
"""Most height, in font sizes, by which boxes of two rows may overlap: they are taller than the letters."""
_ALIGNED = 2.0
"""Points by which lines of a cell may differ on the side on which they are aligned."""
_MOST_LINES = 24
_ROWS_COMPARED = 20
_PROSE_LINES = 3
_PROSE_WORDS = 5
_MARK = re.compile(r"[•‣◦▪●○■□*·–—-]|\(?(?:\d{1,3}|[a-zA-Z]|[ivxlc]+)[.)]")
"""What stands before an item of a list, often with a wide gap."""
_CURRENCY = re.compile(r"[$€£¥(]+")
_BEHIND = re.compile(r"[%)]+")

Cells = list[list[Segment]]


def with_whole_cells(rows: Sequence[Row], leading: float) -> list[Row]:
    """The rows of a page, where a table's cells take several lines one row for them all.

    `leading` is the usual distance of the page's lines, in font sizes.
    """
    step = max(_LEADING, _LOOSER * leading)
    found: list[Row] = []
    place = 0
    while place < len(rows):
        start, table = place, list[Row]()
        while place < len(rows):
            end, row = _whole_row(rows, place, step)
            row = row if len(row.segments) > 1 else _parted(table, row)
            if len(row.segments) < 2 or _is_item(row) or (table and not _follows(table[-1], row)):
                break
            table.append(row)
            place = end
        found += table if in_columns(table) else rows[start:place]
        if place == start:
            found.append(rows[place])
            place += 1
    return found


def in_columns(rows: Sequence[Row]) -> list[Row] | None:
    """The rows with each word in its column, empty cells told; None where their columns do not agree.

    A line alone between rows stays as it is.
    """
    table = [row for row in rows if len(row.segments) > 1]
    gutters = _gutters(table) if len(table) > 1 else []
    parted = all(
        any(left.x1 <= gutter <= right.x0 for gutter in gutters)
        or _CURRENCY.fullmatch(left.text)
        or _BEHIND.fullmatch(right.text)
        for row in table
        for left, right in pairwise(row.segments)
    )
    if not gutters or not parted:
        return None
    placed = [_placed(row, gutters) if len(row.segments) > 1 else row for row in rows]
    # Names above the middle of numbers that end on one side may seem to have a column of their own.
    full = sum(len(row.segments) == row.columns for row in placed)
    return placed if full > 1 else None


def _gutters(rows: Sequence[Row]) -> list[float]:
    """The middles of the strips that every row leaves empty, and where two of them show a gap."""
    size = max(row.size for row in rows)
    found: list[float] = []
    edge: float | None = None
    for x0, x1 in sorted((word.x0, word.x1) for row in rows for word in row.words):
        if edge is not None and x0 - edge >= _GUTTER * size:
            found.append((edge + x0) / 2)
        edge = x1 if edge is None else max(edge, x1)
    gaps = [(left.x1, right.x0) for row in rows for left, right in pairwise(row.segments)]
    shown = [gutter for gutter in found if sum(left <= gutter <= right for left, right in gaps) > 1]
    return _without_signs(rows, shown)


def _without_signs(rows: Sequence[Row], gutters: Sequence[float]) -> list[float]:
    """The gutters without those between a number and its currency or per cent sign."""
    columns: list[list[str]] = [[] for _ in range(len(gutters) + 1)]
    for word in (word for row in rows for word in row.words):
        columns[sum(gutter < word.x0 for gutter in gutters)].append(word.text)
    return [
        gutter
        for place, gutter in enumerate(gutters)
        if not all(map(_CURRENCY.fullmatch, columns[place]))
        and not all(map(_BEHIND.fullmatch, columns[place + 1]))
    ]


def _parted(table: Sequence[Row], row: Row) -> Row:
    """A line below a table whose words leave the table's gutters empty, its narrow gaps taken for them."""
    table = table[-_ROWS_COMPARED:]
    gutters = _gutters(table) if len(table) > 1 and abs(table[-1].x0 - row.x0) < _ALIGNED else []
    placed = _placed(row, gutters)
    wide = all(right.x0 - left.x1 >= _GUTTER * row.size for left, right in pairwise(placed.segments))
    return Row(placed.segments, row.page) if wide and in_columns((*table, placed)) else row


def _is_item(row: Row) -> bool:
    return len(row.segments) == 2 and _MARK.fullmatch(row.segments[0].text) is not None


def _placed(row: Row, gutters: Sequence[float]) -> Row:
    cells: list[list[Word]] = [[] for _ in range(len(gutters) + 1)]
    for word in row.words:
        cells[sum(gutter < word.x0 for gutter in gutters)].append(word)
    return Row(
        tuple(segment_of(words) for words in cells if words),
        row.page,
        tuple(place for place, words in enumerate(cells) if words),
        len(cells),
    )


def _follows(above: Row, row: Row) -> bool:
    size = max(row.size, 1.0)
    return -_OVERLAP * size < above.y0 - row.y1 < _GAP * size


def _whole_row(rows: Sequence[Row], place: int, step: float) -> tuple[int, Row]:
    """The row that begins at a place with the lines that belong to its cells, and the place behind them.

    What stands beside what was drawn, right of it all, is a cell of the same row. A line close
    below a cell goes on with it; below a first cell, where the next row may begin, only if more cells follow.
    """
    cells: Cells = [[segment] for segment in rows[place].segments]
    sure, end = [list(cell) for cell in cells], place + 1
    for number in range(place + 1, min(len(rows), place + _MOST_LINES)):
        row = rows[number]
        if row.segments[0].upright != rows[place].segments[0].upright:
            break
        goes_on = _cell_above(cells, row, step)
        if _stands_beside(cells, row):
            cells += [[segment] for segment in row.segments]
        elif goes_on is not None:
            cells[goes_on].append(row.segments[0])
        else:
            break
        if goes_on != 0:
            sure, end = [list(cell) for cell in cells], number + 1
    if end == place + 1 or sum(map(_is_prose, sure)) > 1:
        return place + 1, rows[place]
    made = (segment_of([word for segment in cell for word in segment.words]) for cell in sure)
    return end, Row(tuple(made), rows[place].page)


def _stands_beside(cells: Cells, row: Row) -> bool:
    """Whether the line is right of all that was drawn, and not below it; a taller cell may begin above."""
    drawn = [segment for cell in cells for segment in cell]
    right, top = max(segment.x1 for segment in drawn), max(segment.y1 for segment in drawn)
    bottom = min(segment.y0 for segment in drawn)
    return row.x0 >= right - 1 and row.y1 > bottom + 1 and row.y0 < top + _GAP * max(row.size, 1.0)


def _cell_above(cells: Cells, row: Row, step: float) -> int | None:
    """The place of the cell that the row goes on with."""
    if len(row.segments) > 1:
        return None
    line = row.segments[0]
    size = max(line.size, 1.0)
    for place, cell in enumerate(cells):
        last = cell[-1]
        near = 0.3 * size < last.y0 - line.y0 < step * size and abs(last.size - line.size) < 0.1 * size
        middles = (last.x0 + last.x1 - line.x0 - line.x1) / 2
        sides = (last.x0 - line.x0, last.x1 - line.x1, middles)
        clear = place + 1 == len(cells) or line.x1 < min(one.x0 for one in cells[place + 1])
        if near and clear and any(abs(side) < _ALIGNED for side in sides):
            return place
    return None


def _is_prose(cell: Sequence[Segment]) -> bool:
    """Whether it is a column of text rather than a cell."""
    return len(cell) >= _PROSE_LINES and all(len(line.words) >= _PROSE_WORDS for line in cell[:-1])
