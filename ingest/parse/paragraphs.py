"""From rows in reading order to pieces: paragraphs, list items, table rows. Cut words join. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from ingest.parse.boxes import PageText, Row, Word, turn
from ingest.parse.canonical import REPLACEMENT, Piece, valid
from ingest.parse.columns import in_columns, with_whole_cells
from ingest.parse.tables import count_header_rows
from ingest.types import ElementKind, Line

_BULLET = re.compile(r"(?:[•‣◦▪●○■–—*]|\(?\d{1,3}[.)]|\(?[a-z][.)]|\([ivx]+\))(?:\s|$)")
_ENDS = (".", "!", "?", ":", "”", '."', ".)")
_NUMBER = re.compile(r"\(?(\d{1,2})([.)]?)\s+(?=\W?[^\W\d])")
_NEAR = 12  # items above in which the one before is looked for
_ALIGNED = 7.0  # points; the digits of 9 and 10 may be set flush right
_HYPHENS = "-\u2010\u00ad"
_BETWEEN = ("and", "or", "und", "oder")  # "pre- and post-war"
_OUTER = re.compile(r"^\W+|\W+$")


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that make one element."""

    kind: ElementKind
    rows: tuple[Row, ...]
    depth: int = 0
    joined: bool = False

    @property
    def text(self) -> str:
        return " ".join(row.text for row in self.rows)


def page_blocks(lines: Sequence[Row], counted: frozenset[Row] = frozenset()) -> list[Block]:
    """A page's blocks in reading order, without headings: those need the whole document.

    `counted`: rows that start with the number of an item.
    """
    leading = _leading(lines)
    rows = with_whole_cells(lines, leading)
    blocks: list[Block] = []
    for group in _tables(rows):
        if len(group) >= 2:
            blocks += _table_blocks(group)
        else:
            blocks += [Block("paragraph", (group[0],))] if len(group[0].segments) > 1 else []
            if len(group[0].segments) == 1:
                _extend(blocks, group[0], leading, _is_marked(group[0], blocks, counted))
    return blocks


def counted_rows(pages: Iterable[Sequence[Row]]) -> frozenset[Row]:
    """Rows that start with a number, with a dot or without, and have a neighbour in counting near them."""
    found: set[Row] = set()
    recent: list[tuple[int, str, Row]] = []
    for row in (row for rows in pages for row in rows if len(row.segments) == 1):
        match = _NUMBER.match(row.text)
        if not match:
            continue
        number = int(match[1])
        for other, mark, above in recent[-_NEAR:]:
            if other + 1 == number and mark == match[2] and abs(above.x0 - row.x0) < _ALIGNED:
                found |= {above, row}
        recent.append((number, match[2], row))
    return frozenset(found)


def _is_marked(row: Row, blocks: Sequence[Block], counted: frozenset[Row]) -> bool:
    """Whether the row starts an item, and not with a number of the sentence above it."""
    number = _NUMBER.match(row.text)
    if number is None:
        return bool(_BULLET.match(row.text))
    if not blocks or blocks[-1].text.endswith((*_ENDS, ";")):
        return bool(number[2]) or row in counted
    above = _NUMBER.match(blocks[-1].text)
    follows = above is not None and int(above[1]) + 1 == int(number[1])
    return row in counted and (bool(number[2]) or follows or number[1] == "1")


def _leading(rows: Sequence[Row]) -> float:
    """The usual distance of baselines, in font sizes."""
    steps = [
        (before.y0 - row.y0) / max(row.size, 1.0)
        for before, row in pairwise(rows)
        if 0.5 < (before.y0 - row.y0) / max(row.size, 1.0) < 2.5 and abs(before.size - row.size) < 0.5
    ]
    return median(steps) if steps else 1.2


def _tables(rows: Sequence[Row]) -> Iterable[list[Row]]:
    """Rows one by one, but those of a table together: two or more with cells, and the labels between them."""
    start = 0
    while start < len(rows):
        end = start
        while end < len(rows) and _is_next_of_table(rows, start, end):
            end += 1
        if end - start >= 2:
            yield list(rows[start:end])
            start = end
        else:
            yield [rows[start]]
            start += 1


def _is_next_of_table(rows: Sequence[Row], start: int, place: int) -> bool:
    row = rows[place]
    below = place == start or row.y0 < rows[place - 1].y1
    if len(row.segments) > 1:
        return below and not (place == start + 1 and _is_far_above(rows, start))
    # "Operating expenses:" between rows of amounts
    label = place - start >= 2 and place + 1 < len(rows) and len(row.text) < 80
    if not (label and below and len(rows[place - 1].segments) > 1 and len(rows[place + 1].segments) > 1):
        return False
    steps = (rows[place - 1].y0 - row.y0, row.y0 - rows[place + 1].y0)
    return (
        all(0 < step < 2.5 * max(row.size, 1.0) for step in steps) and abs(row.x0 - rows[place + 1].x0) < 40
    )


def _is_far_above(rows: Sequence[Row], start: int) -> bool:
    """Whether the row is a line of its own above a table that has a header and much closer rows."""
    if start + 2 >= len(rows):
        return False
    above, first, second = rows[start : start + 3]
    worded = all(re.search(r"[^\W\d_]", cell.text) for row in (above, first) for cell in row.segments[1:])
    if not worded or above.bold != first.bold:  # the header of amounts, or one in bold, may be far above them
        return False
    size = max(first.size, 1.0)
    gap, step = above.y0 - first.y1 + size, first.y0 - second.y1 + size
    return gap > 2.2 * size and gap > 1.6 * step > 0


def _table_blocks(rows: Sequence[Row]) -> list[Block]:
    rows = in_columns(rows) or rows
    headers = count_header_rows([row.text.split("\t") for row in rows])
    return [
        Block("table_header" if number < headers else "table_row", (row,), joined=number > 0)
        for number, row in enumerate(rows)
    ]


def _extend(blocks: list[Block], row: Row, leading: float, marked: bool) -> None:
    """Add the row to the last block if it goes on there, else start one."""
    last = blocks[-1] if blocks else None
    if (
        last is not None
        and last.kind in ("paragraph", "list_item")
        and not marked
        and _goes_on(last, row, leading)
    ):
        blocks[-1] = Block(last.kind, (*last.rows, row), joined=last.joined)
        return
    listed = last is not None and last.kind == "list_item"
    blocks.append(Block("list_item" if marked else "paragraph", (row,), joined=marked and listed))


def _goes_on(block: Block, row: Row, leading: float) -> bool:
    before = block.rows[-1]
    size = max(row.size, 1.0)
    if len(before.segments) > 1 or abs(before.size - row.size) > 0.09 * size or before.bold != row.bold:
        return False
    step = (before.y0 - row.y0) / size
    if not 0.3 < step < 1.3 * max(leading, 1.0) or min(before.x1, row.x1) <= max(before.x0, row.x0):
        return False
    if before.words[-1].hyphen:
        return True
    first = row.words[0]
    if block.kind == "list_item" and before.x1 + (first.x1 - first.x0) + size < row.x1:
        return False  # its first word had room on the line above: that ended there
    indent = (row.x0 - before.x0) / size
    if len(block.rows) >= 2 and 0.7 < indent < 5 and block.kind == "paragraph":
        return False  # the first line of the next paragraph
    right = max(one.x1 for one in block.rows)
    width = max(right - min(one.x0 for one in block.rows), 1.0)
    short = before.x1 < right - 0.2 * width
    return not (short and before.text.endswith(_ENDS) and len(block.rows) > 1)


def over_breaks(pages: Iterable[Sequence[Block]]) -> list[Block]:
    """The blocks of all pages; what goes on from one page or column to the next follows on the next line."""
    found: list[Block] = []
    for blocks in pages:
        for number, block in enumerate(blocks):
            place = len(found)
            if number == 0 or _starts_column(blocks[number - 1], block):
                place -= _count_notes(found, block)
                if place and _goes_over(found[place - 1], block):
                    found.insert(place, replace(block, joined=True))
                    continue
            found.append(block)
    return found


def _starts_column(last: Block, block: Block) -> bool:
    """Whether the block starts above the last one and on its right."""
    before, row = last.rows[-1], block.rows[0]
    return row.y0 > before.y1 and row.x0 > max(one.x0 for one in last.rows)


def _count_notes(blocks: Sequence[Block], following: Block) -> int:
    """How many blocks in smaller type, notes and captions, part a paragraph from what stood before them."""
    count = 0
    while following.kind == "paragraph" and count < len(blocks):
        block = blocks[-1 - count]
        smaller = block.rows[0].size < 0.95 * following.rows[0].size
        if block.kind not in ("paragraph", "list_item") or not smaller:
            break
        if block.rows[0].page != blocks[-1].rows[0].page:
            break
        count += 1
    return count


def _goes_over(last: Block, first: Block) -> bool:
    """Whether a list, or a sentence that has not ended, goes on at the top of the next page or column."""
    if first.kind == "list_item":
        return last.kind == "list_item"
    prose = first.kind == "paragraph" and last.kind in ("paragraph", "list_item")
    cells = len(first.rows[0].segments) > 1 or len(last.rows[-1].segments) > 1
    before, row = last.rows[-1], first.rows[0]
    same_type = abs(before.size - row.size) <= 0.09 * row.size
    return prose and same_type and not cells and first.text[:1].islower() and not last.text.endswith(_ENDS)


def vocabulary(pages: Iterable[PageText]) -> frozenset[str]:
    """The document's words in lower case, without the cut ones: what a hyphenated line end is judged by."""
    found = set()
    for page in pages:
        for word in page.words:
            if not word.hyphen and not word.text.endswith(tuple(_HYPHENS)):
                found.add(_OUTER.sub("", word.text).lower())
    return frozenset(found)


def block_piece(block: Block, words: frozenset[str], quarter_turns: int = 0) -> tuple[Piece, int]:
    """The block's text with a Line for each row, boxes turned back, and how many characters were replaced."""
    parts: list[str] = []
    lines: list[Line] = []
    position = replaced = 0
    for number, row in enumerate(block.rows):
        text, count = valid(row.text.replace("\n", " "))
        replaced += count
        following = block.rows[number + 1].words[0] if number + 1 < len(block.rows) else None
        text, separator = _line_end(text, row.words[-1], following, words)
        box = turn((row.x0, row.y0, row.x1, row.y1), quarter_turns)
        lines.append(Line(position, position + len(text), row.page, *box))
        parts += (text, separator)
        position += len(text) + len(separator)
    text = "".join(parts)
    return Piece(block.kind, text, block.rows[0].page, block.depth, block.joined, tuple(lines)), replaced


def _line_end(text: str, last: Word, following: Word | None, words: frozenset[str]) -> tuple[str, str]:
    """The line's text, and what stands between it and the next: nothing where two halves of a word join."""
    if following is None:
        return (text + "-", "") if last.hyphen else (text, "")
    visible = text.endswith(tuple(_HYPHENS)) and len(last.text) > 1
    if not last.hyphen and not (visible and following.text[:1].islower()):
        return text, "\n"
    left = last.text if last.hyphen else last.text[:-1]
    bare = text if last.hyphen else text[:-1]
    if following.text in _BETWEEN and f"{_OUTER.sub('', left)}{following.text}".lower() not in words:
        return bare + "-", "\n"
    if not (left and left[-1].isalnum()):
        return (text + "-" if last.hyphen else text), "\n"
    return (bare if _is_one_word(left, following.text, words) else bare + "-"), ""


def _is_one_word(left: str, right: str, words: frozenset[str]) -> bool:
    """`exam-` `ple`: one word; `EU-` `wide`, `dual-` `encoder` (if so elsewhere): two with a hyphen."""
    left = _OUTER.sub("", left)
    capitals, left = left.isupper(), left.lower()
    bare = _OUTER.sub("", right).lower()
    if f"{left}{bare}" in words:
        return True
    if f"{left}-{bare}" in words or capitals or not right[:1].islower():
        return False
    return not any(mark in left for mark in _HYPHENS) and not left[-1:].isdigit()


def running_texts(blocks: Sequence[Sequence[Block]]) -> frozenset[str]:
    """What stands on three pages or more, digits aside: running heads and feet."""
    seen: Counter[str] = Counter()
    for page in blocks:
        seen.update({running_form(block.text) for block in page if len(block.text) < 200})
    return frozenset(text for text, count in seen.items() if count >= 3)


def running_form(text: str) -> str:
    return re.sub(r"\d+|\s+", "", text).replace(REPLACEMENT, "").lower()
