"""A block's text cut into pieces, and how they are laid out: headings, tables, lists. Pure."""

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, field

from ingest.sentences import sentence_spans
from ragqa.kinds import SENTENCE_ENDS
from ragqa.lists import ItemList, follows, lists_in
from ragqa.tables import (
    as_wide_as_above,
    cells_of,
    header_rows,
    in_words,
    is_rule,
    names_of,
    row_end,
    row_start,
    without_margin,
)
from ragqa.types import ContextBlock

NO_HEADING_ENDS = (*SENTENCE_ENDS, ":", ";", ",")
_BULLET = re.compile(r"^(?:[•‣◦▪▸●○■□·] +|[-*+–—] +(?=[^\W\d]))")
HEADING_WORDS = 8
"""Most words of a line that is taken for a heading of the text below it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A sentence or row: offsets into the block, the text there, and the cells of a row."""

    start: int
    end: int
    text: str
    cells: tuple[str, ...]


@dataclass(slots=True)
class Layout:
    """How each piece is shown, and where the tables' header rows are."""

    shown: list[str]
    headers: list[tuple[int, ...]]
    columns: range
    heads: set[int]
    named: set[int] = field(default_factory=set)


def cut(block: ContextBlock) -> list[Piece]:
    """The block's sentences and rows, in order."""
    spans = [(start, end, block.text[start:end]) for start, end in sentence_spans(block.text)]
    return [
        Piece(start, end, text, cells_of(block.text[row_start(block.text, start) : row_end(block.text, end)]))
        for start, end, text in spans
        if not is_rule(text)
    ]


def layout_of(block: ContextBlock, pieces: Sequence[Piece]) -> Layout:
    """How the pieces are shown: rows of tables with the names of their columns."""
    layout = Layout(
        [_BULLET.sub("", on_one_line(one.text)) for one in pieces], [()] * len(pieces), range(0), set()
    )
    columns = names_of(dict(block.metadata).get("columns", ""))
    number = 0
    while number < len(pieces):
        last = number
        while last < len(pieces) and pieces[last].cells:
            last += 1
        rows = without_margin([piece.cells for piece in pieces[number:last]])
        if last > number and pieces[last - 1].end == len(block.text):
            rows = as_wide_as_above(rows)
        above, names = header_rows(rows)
        if number == 0 and last and len(columns) > 1:
            above, names, layout.columns = 0, columns, range(last)
        heads = tuple(range(number, number + above))
        for place in range(number + above, last):
            layout.shown[place] = in_words(rows[place - number], names)
            layout.headers[place] = heads
            if len(names) >= len(rows[place - number]) > 2:
                layout.named.add(place)
        layout.heads.update(heads)
        number = last + 1
    return layout


def item_lists(
    block: ContextBlock,
    pieces: Sequence[Piece],
    layout: Layout,
    headings: Set[int],
    running: Set[int],
) -> tuple[ItemList, ...]:
    spans = [(piece.start, piece.end) for piece in pieces]
    rows = {number for number, piece in enumerate(pieces) if piece.cells} | layout.heads
    return lists_in(block.text, spans, headings, rows, running)


def headings_of(block: ContextBlock, pieces: Sequence[Piece]) -> frozenset[int]:
    """The places of what leads to the pieces below it: headings, and questions that are answered there."""
    names = {plain(part) for part in (block.title, *block.section)}
    return frozenset(
        number
        for number, piece in enumerate(pieces)
        if plain(piece.text) in names or _is_heading(block, pieces, number) or _asks(block, pieces, number)
    )


def _is_heading(block: ContextBlock, pieces: Sequence[Piece], number: int) -> bool:
    """Whether a short line without a sentence's end stands alone above a sentence or a table."""
    piece = pieces[number]
    if piece.cells or number + 1 == len(pieces) or "\n" in piece.text or _ends_list(block, pieces, number):
        return False
    if not _begins_line(block, piece):
        return False  # the last words of a sentence that a table or a page's end cuts
    bare = piece.text.lstrip("0123456789.#§ ")
    if bare.endswith(NO_HEADING_ENDS) or len(bare.split()) > HEADING_WORDS or any(map(str.isdigit, bare)):
        return False
    below = pieces[number + 1]
    alone = "\n\n" in block.text[piece.end : below.start]
    return alone and bool(below.cells or below.text.endswith(SENTENCE_ENDS))


def _ends_list(block: ContextBlock, pieces: Sequence[Piece], number: int) -> bool:
    """Whether the line goes on with a list that stands right above it, as "3. Press Save" does."""
    for above in range(number - 1, -1, -1):
        if "\n\n" in block.text[pieces[above].end : pieces[above + 1].start]:
            return False
        if follows(pieces[number].text, pieces[above].text):
            return True
    return False


def _asks(block: ContextBlock, pieces: Sequence[Piece], number: int) -> bool:
    """Whether a question begins a line and something that is none follows: it leads to its answer.

    Questions one below the other are a list, as in a form: each says what is asked there.
    """
    if not _is_question(pieces[number]) or not pieces[number + 1 :] or _is_question(pieces[number + 1]):
        return False
    return _begins_line(block, pieces[number])


def _begins_line(block: ContextBlock, piece: Piece) -> bool:
    return not block.text[: piece.start].rpartition("\n")[2].strip()


def _is_question(piece: Piece) -> bool:
    return not piece.cells and piece.text.rstrip("*_\"'”’) ").endswith("?")


def on_one_line(text: str) -> str:
    return " ".join(text.split())


def plain(text: str) -> str:
    """The text on one line, case folded."""
    return " ".join(text.split()).casefold()
