"""Blocks taken apart into what may be quoted: sentences and rows of tables, with what stands above. Pure.

Headings, page headers, the header rows of tables and questions that are answered below (as in a list of
frequent ones) are no candidates: they name what follows and answer nothing. They go with the candidates
below them.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ingest.sentences import Span
from ragqa.kinds import SENTENCE_ENDS
from ragqa.layouts import Piece, cut, headings_of, item_lists, layout_of, on_one_line, plain
from ragqa.lists import ItemList
from ragqa.types import ContextBlock

RUNNING_LINE = 12
"""Fewest characters of a line that is recognised when it comes again; rows of a table are often shorter."""


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


def pieces_of(blocks: Sequence[ContextBlock]) -> list[Pieces]:
    """Each block that holds something to quote, cut up; the best-scored block first."""
    parted = [(block, cut(block)) for block in blocks]
    seen = Counter((block.document_id, unnumbered(one.text)) for block, pieces in parted for one in pieces)
    found = []
    for block, pieces in parted:
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
    pieces = cut(block)
    layout = layout_of(block, pieces)
    for number, piece in enumerate(pieces):
        if piece.cells and number not in layout.heads:
            places = (number, *layout.headers[number])
            yield layout.shown[number], tuple((pieces[place].start, pieces[place].end) for place in places)


def items_in_words(block: ContextBlock) -> Iterator[tuple[str, tuple[Span, ...]]]:
    """Each item of a list as it is shown behind the line that introduces it, and the spans of both."""
    pieces = cut(block)
    layout = layout_of(block, pieces)
    for one in item_lists(block, pieces, layout, headings_of(block, pieces), frozenset()):
        if one.opening is not None:
            opening = pieces[one.opening]
            for place in one.introduced:
                said = f"{on_one_line(opening.text)} {layout.shown[place]}"
                yield said, ((pieces[place].start, pieces[place].end), (opening.start, opening.end))


def _assemble(block: ContextBlock, pieces: Sequence[Piece], running: set[int]) -> Pieces:
    layout = layout_of(block, pieces)
    headings = headings_of(block, pieces)
    lists = item_lists(block, pieces, layout, headings, running)
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
        opening = on_one_line(pieces[openings[number]].text) if number in openings else ""
        candidates.append(
            Candidate(block, start, end, piece.text, layout.shown[number], lead, number, row, opening=opening)
        )
    lines = tuple(
        layout.shown[number] if number in layout.named else on_one_line(piece.text)
        for number, piece in enumerate(pieces)
    )
    headers = tuple(() if number in layout.named else found for number, found in enumerate(layout.headers))
    columns = frozenset(layout.columns) - layout.named
    return Pieces(block, lines, headers, columns, tuple(candidates), lists)


def unnumbered(text: str) -> str:
    """The text on one line without numbers at its ends; as it is where no words would be left."""
    line = plain(text)
    bare = line.strip("0123456789 .|/-")
    return bare if len(bare) >= RUNNING_LINE else line
