"""Blocks taken apart into what may be quoted: sentences and rows of tables, with what stands above. Pure.

Headings, page headers, the header rows of tables and questions that are answered below (as in a list of
frequent ones) are no candidates: they name what follows and answer nothing. They go with the candidates
below them.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field

from ingest.sentences import Span, sentence_spans
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
RUNNING_LINE = 12
"""Fewest characters of a line that is recognised when it comes again; rows of a table are often shorter."""
_BULLET = re.compile(r"^(?:[•‣◦▪▸●○■□·] +|[-*+–—] +(?=[^\W\d]))")
HEADING_WORDS = 8
"""Most words of a line that is taken for a heading of the text below it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence or row of a block; `start` and `end` are offsets into the document, `text` what is there.

    `shown` is the text on one line without its bullet, of a row with the names of its columns. `lead` is the
    heading nearest above it in the block, and `place` its number among the block's pieces. `claim` is what it
    answers with, as far as that is known (`ragqa.voices`). `opening` is the line that introduces the list of
    which it is an item, where that is certain (`ragqa.lists`).
    """

    block: ContextBlock
    start: int
    end: int
    text: str
    shown: str
    lead: str = ""
    place: int = 0
    is_row: bool = False
    score: float = 0.0
    claim: frozenset[str] = frozenset()
    opening: str = ""

    @property
    def said(self) -> str:
        """What is shown as an answer: an item behind the line that introduces it, without which it may say
        the opposite ("We will not pay for: fines"). Ranked are items without it, as the models were fitted.
        """
        return f"{self.opening} {self.shown}" if self.opening else self.shown

    @property
    def above(self) -> str:
        """Title and headings that stand above the candidate."""
        return " \n ".join((self.block.title, *self.block.section, self.lead))

    @property
    def around(self) -> str:
        """The candidate with what stands above it."""
        return f"{self.shown} {self.above}"


@dataclass(frozen=True, slots=True)
class Pieces:
    """A block cut up: all its pieces in order, each on one line, and those that may be quoted.

    Rows of tables stand there with the names of their columns, where these are known: a name far from its
    value is lost on a reader. `headers` has, for each row without names, the places of its header rows, and
    () for all else. `columns` are the places of rows without names whose header is in the metadata alone.
    `lists` are of all its pieces.
    """

    block: ContextBlock
    lines: tuple[str, ...]
    headers: tuple[tuple[int, ...], ...]
    columns: frozenset[int]
    candidates: tuple[Candidate, ...]
    lists: tuple[ItemList, ...] = ()


@dataclass(frozen=True, slots=True)
class _Piece:
    start: int
    end: int
    text: str
    cells: tuple[str, ...]


def pieces_of(blocks: Sequence[ContextBlock]) -> list[Pieces]:
    """Each block that holds something to quote, cut up; the best-scored block first."""
    cut = [(block, _cut(block)) for block in blocks]
    seen = Counter((block.document_id, unnumbered(one.text)) for block, pieces in cut for one in pieces)
    found = []
    for block, pieces in cut:
        running = {
            number
            for number, one in enumerate(pieces)
            if seen[block.document_id, unnumbered(one.text)] > 1 and not one.text.endswith(SENTENCE_ENDS)
        }
        made = _assemble(block, pieces, running)
        if made.candidates:
            found.append(made)
    return sorted(found, key=lambda made: -made.block.score)


def rows_in_words(block: ContextBlock) -> Iterator[tuple[str, tuple[Span, ...]]]:
    """Each table row as it is shown, and the spans of the block's text that say so: the row, then its header.

    Rows whose columns are named in the block's metadata have no header in the text.
    """
    if "\t" not in block.text and "|" not in block.text:
        return
    pieces = _cut(block)
    layout = _tables(block, pieces)
    for number, piece in enumerate(pieces):
        if piece.cells and number not in layout.heads:
            places = (number, *layout.headers[number])
            yield layout.shown[number], tuple((pieces[place].start, pieces[place].end) for place in places)


def items_in_words(block: ContextBlock) -> Iterator[tuple[str, tuple[Span, ...]]]:
    """Each item of a list as it is shown behind the line that introduces it, and the spans of both."""
    pieces = _cut(block)
    layout = _tables(block, pieces)
    for one in _lists(block, pieces, layout, _headings(block, pieces), frozenset()):
        if one.opening is not None:
            opening = pieces[one.opening]
            for place in one.introduced:
                said = f"{_on_one_line(opening.text)} {layout.shown[place]}"
                yield said, ((pieces[place].start, pieces[place].end), (opening.start, opening.end))


def _cut(block: ContextBlock) -> list[_Piece]:
    spans = [(start, end, block.text[start:end]) for start, end in sentence_spans(block.text)]
    return [
        _Piece(
            start, end, text, cells_of(block.text[row_start(block.text, start) : row_end(block.text, end)])
        )
        for start, end, text in spans
        if not is_rule(text)
    ]


def _assemble(block: ContextBlock, pieces: Sequence[_Piece], running: set[int]) -> Pieces:
    layout = _tables(block, pieces)
    headings = _headings(block, pieces)
    lists = _lists(block, pieces, layout, headings, running)
    openings = {place: one.opening for one in lists for place in one.introduced if one.opening is not None}
    candidates: list[Candidate] = []
    lead = ""
    for number, piece in enumerate(pieces):
        if number in running or number in layout.heads:
            continue
        if number in headings:
            lead = layout.shown[number]
            continue
        start, end = block.start + piece.start, block.start + piece.end
        row = bool(piece.cells)
        opening = _on_one_line(pieces[openings[number]].text) if number in openings else ""
        candidates.append(
            Candidate(block, start, end, piece.text, layout.shown[number], lead, number, row, opening=opening)
        )
    lines = tuple(
        layout.shown[number] if number in layout.named else _on_one_line(piece.text)
        for number, piece in enumerate(pieces)
    )
    headers = tuple(() if number in layout.named else found for number, found in enumerate(layout.headers))
    columns = frozenset(layout.columns) - layout.named
    return Pieces(block, lines, headers, columns, tuple(candidates), lists)


def _lists(
    block: ContextBlock,
    pieces: Sequence[_Piece],
    layout: "_Layout",
    headings: Set[int],
    running: Set[int],
) -> tuple[ItemList, ...]:
    spans = [(piece.start, piece.end) for piece in pieces]
    rows = {number for number, piece in enumerate(pieces) if piece.cells} | layout.heads
    return lists_in(block.text, spans, headings, rows, running)


def _headings(block: ContextBlock, pieces: Sequence[_Piece]) -> frozenset[int]:
    """The places of what leads to the pieces below it: headings, and questions that are answered there."""
    names = {plain(part) for part in (block.title, *block.section)}
    return frozenset(
        number
        for number, piece in enumerate(pieces)
        if plain(piece.text) in names or _is_heading(block, pieces, number) or _asks(block, pieces, number)
    )


@dataclass(slots=True)
class _Layout:
    """How each piece is shown, and where the tables' header rows are."""

    shown: list[str]
    headers: list[tuple[int, ...]]
    columns: range
    heads: set[int]
    named: set[int] = field(default_factory=set)


def _tables(block: ContextBlock, pieces: Sequence[_Piece]) -> _Layout:
    layout = _Layout(
        [_BULLET.sub("", _on_one_line(one.text)) for one in pieces], [()] * len(pieces), range(0), set()
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


def _is_heading(block: ContextBlock, pieces: Sequence[_Piece], number: int) -> bool:
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


def _ends_list(block: ContextBlock, pieces: Sequence[_Piece], number: int) -> bool:
    """Whether the line goes on with a list that stands right above it, as "3. Press Save" does."""
    for above in range(number - 1, -1, -1):
        if "\n\n" in block.text[pieces[above].end : pieces[above + 1].start]:
            return False
        if follows(pieces[number].text, pieces[above].text):
            return True
    return False


def _asks(block: ContextBlock, pieces: Sequence[_Piece], number: int) -> bool:
    """Whether a question begins a line and something that is none follows: it leads to its answer.

    Questions one below the other are a list, as in a form: each says what is asked there.
    """
    if not _is_question(pieces[number]) or not pieces[number + 1 :] or _is_question(pieces[number + 1]):
        return False
    return _begins_line(block, pieces[number])


def _begins_line(block: ContextBlock, piece: _Piece) -> bool:
    return not block.text[: piece.start].rpartition("\n")[2].strip()


def _is_question(piece: _Piece) -> bool:
    return not piece.cells and piece.text.rstrip("*_\"'”’) ").endswith("?")


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def unnumbered(text: str) -> str:
    """The text on one line without numbers at its ends; as it is where no words would be left."""
    line = plain(text)
    bare = line.strip("0123456789 .|/-")
    return bare if len(bare) >= RUNNING_LINE else line


def plain(text: str) -> str:
    """The text on one line, case folded."""
    return " ".join(text.split()).casefold()
