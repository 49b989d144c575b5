"""From words with boxes to lines in reading order. Pure: no PDF library.

Words come in drawing order: reading order on most pages.
"""

from itertools import pairwise

from ingest.parse.boxes import PageText, Row, Segment, Word, on_one_line, segment_of

_CELL_GAP = 1.5  # in font sizes; the spaces of justified text stay below one
_LEAST_GUTTER = 6.0


def page_rows(page: PageText) -> list[Row]:
    """The page's rows in reading order."""
    rows = _join_rows(_segments(page.words), page.number)
    if page.filled_in or _is_disordered(rows):
        return _cut([segment for row in rows for segment in row.segments], page.number, depth=0)
    return _split_columns(rows)


def _segments(words: tuple[Word, ...]) -> list[Segment]:
    found: list[Segment] = []
    current: list[Word] = []
    for word in words:
        if current and not _continues(current[-1], word):
            found.append(segment_of(current))
            current = []
        current.append(word)
    if current:
        found.append(segment_of(current))
    return found


def _continues(before: Word, word: Word) -> bool:
    size = max(before.size, word.size, 1.0)
    gap = word.x0 - before.x1
    return -0.6 * size < gap < _CELL_GAP * size and on_one_line(before, word)


def _join_rows(segments: list[Segment], page: int) -> list[Row]:
    """Segments that the page draws one after the other from left to right on one line."""
    rows: list[list[Segment]] = []
    for segment in segments:
        if rows and on_one_line(rows[-1][-1], segment) and segment.x0 >= rows[-1][-1].x1 - 1.0:
            gap = segment.x0 - rows[-1][-1].x1
            if gap < _CELL_GAP * max(segment.size, 1.0):
                rows[-1][-1] = segment_of([*rows[-1][-1].words, *segment.words])
            else:
                rows[-1].append(segment)
        else:
            rows.append([segment])
    return [Row(tuple(row), page) for row in rows]


def _is_disordered(rows: list[Row]) -> bool:
    """Whether the page is drawn neither downwards nor column by column."""
    upward = 0
    for before, row in pairwise(rows):
        rises = row.y0 > before.y1
        if rises and row.x0 < before.x1 - 1.0:
            upward += 1
    return upward > max(3, 0.08 * len(rows))


def _split_columns(rows: list[Row]) -> list[Row]:
    """Prose in columns that is drawn line by line across them is read column by column."""
    ordered: list[Row] = []
    start = 0
    while start < len(rows):
        end, gutter = _column_band(rows, start)
        if end - start >= 4:
            left: list[Row] = []
            right: list[Row] = []
            for row in rows[start:end]:
                for side, taken in ((left, True), (right, False)):
                    kept = tuple(s for s in row.segments if (s.x1 <= gutter + 1) is taken)
                    if kept:
                        side.append(Row(kept, row.page))
            ordered += left + right
            start = end
        else:
            ordered.append(rows[start])
            start += 1
    return ordered


def _column_band(rows: list[Row], start: int) -> tuple[int, float]:
    """How far the rows from `start` are prose on both sides of one gutter, and where it is."""
    first = rows[start]
    if len(first.segments) != 2 or not all(_is_prose(segment) for segment in first.segments):
        return start, 0.0
    left, right = first.segments[0].x1, first.segments[1].x0
    end, both = start, 0
    for row in rows[start:]:
        if len(row.segments) > 2 or (end > start and row.y0 > rows[end - 1].y1):
            break
        inner_left = max([left, *(s.x1 for s in row.segments if s.x0 < right - 1 and s.x1 < right)])
        inner_right = min([right, *(s.x0 for s in row.segments if s.x0 > inner_left)])
        crossing = any(s.x0 < inner_left - 1 and s.x1 > inner_right + 1 for s in row.segments)
        if crossing or inner_right - inner_left < _LEAST_GUTTER:
            break
        left, right = inner_left, inner_right
        both += len(row.segments) == 2 and all(_is_prose(segment) for segment in row.segments)
        end += 1
    return (end, (left + right) / 2) if both >= 4 and 2 * both >= end - start else (start, 0.0)


def _is_prose(segment: Segment) -> bool:
    return len(segment.words) >= 4 and sum(len(word.text) for word in segment.words) >= 18


def _cut(segments: list[Segment], page: int, depth: int) -> list[Row]:
    """Recursive XY-cut (Nagy and Seth 1984): columns of prose first, then the widest empty band."""
    if depth < 12 and len(segments) >= 6:
        gutter = _gutter(segments)
        if gutter is not None:
            left = [s for s in segments if s.x1 <= gutter]
            right = [s for s in segments if s.x1 > gutter]
            return _cut(left, page, depth + 1) + _cut(right, page, depth + 1)
        level = _widest_band(segments)
        if level is not None:
            above = [s for s in segments if s.middle > level]
            below = [s for s in segments if s.middle <= level]
            return _cut(above, page, depth + 1) + _cut(below, page, depth + 1)
    return _by_position(segments, page)


def _by_position(segments: list[Segment], page: int) -> list[Row]:
    lines: list[list[Segment]] = []
    for segment in sorted(segments, key=lambda s: (-s.middle, s.x0)):
        if lines and on_one_line(lines[-1][0], segment):
            lines[-1].append(segment)
        else:
            lines.append([segment])
    rows: list[Row] = []
    for line in lines:
        rows += _join_rows(sorted(line, key=lambda s: s.x0), page)
    return rows


def _gutter(segments: list[Segment]) -> float | None:
    """Where a vertical strip stays empty between two sides that are both prose."""
    edge, best, best_width = -1e9, None, _LEAST_GUTTER
    for segment in sorted(segments, key=lambda s: s.x0):
        if edge > -1e9 and segment.x0 - edge > best_width:
            middle = (segment.x0 + edge) / 2
            sides = ([s for s in segments if s.x1 <= middle], [s for s in segments if s.x1 > middle])
            if all(len(side) >= 3 and 2 * sum(map(_is_prose, side)) >= len(side) for side in sides):
                best, best_width = middle, segment.x0 - edge
        edge = max(edge, segment.x1)
    return best


def _widest_band(segments: list[Segment]) -> float | None:
    """The middle of the widest horizontal strip without text, if it is wider than a line is apart."""
    edge, best, best_width = None, None, 0.0
    for segment in sorted(segments, key=lambda s: -s.y1):
        if edge is not None and edge - segment.y1 > max(best_width, 0.3 * segment.size):
            best, best_width = (edge + segment.y1) / 2, edge - segment.y1
        edge = segment.y0 if edge is None else min(edge, segment.y0)
    return best
