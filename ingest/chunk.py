"""A document in, the spans that are searched out. Pure: no model, no disk.

A chunk keeps to one section, holds whole sentences and whole table rows, and knows its heading trail and its
table's header. The spans are in order, do not overlap, and together cover every element of the document.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ingest.sentences import sentence_spans
from ingest.types import Chunk, Document, Element

CHUNKER_VERSION = "2"
# The embedder reads 256 tokens, title and headings included; what lies beyond could not be found.
MAX_TOKENS = 180
# Eight letters, one sign, or one ideograph, kana or syllable block: as many as WordPiece makes, roughly.
TOKEN = re.compile(r"[\u3040-\u9fff\uac00-\ud7af]|[^\W\u3040-\u9fff\uac00-\ud7af]{1,8}|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece that is not divided further: a sentence, a row, a list item, a heading."""

    start: int
    end: int
    tokens: int
    element: Element
    section: tuple[str, ...]
    table_header: str


@dataclass(slots=True)
class Draft:
    """The chunk being filled."""

    units: list[Unit] = field(default_factory=list)
    tokens: int = 0

    def add(self, unit: Unit) -> None:
        self.units.append(unit)
        self.tokens += unit.tokens

    @property
    def page(self) -> int | None:
        return self.units[-1].element.page if self.units else None

    @property
    def only_headings(self) -> bool:
        return all(unit.element.kind == "heading" for unit in self.units)


def chunk_document(document: Document) -> tuple[Chunk, ...]:
    """The chunks of a document, in order; `text[start:end]` never begins or ends with white space."""
    drafts: list[Draft] = []
    draft = Draft()
    for unit in units(document):
        # Without lines nothing but its chunk tells which page (slide) a quote stands on.
        turned = not document.lines and draft.page != unit.element.page
        if draft.units and (turned or begins_chunk(draft, unit)):
            drafts.append(draft)
            draft = Draft()
        draft.add(unit)
    if draft.units:
        drafts.append(draft)
    return tuple(chunk_of(ordinal, draft) for ordinal, draft in enumerate(drafts))


def begins_chunk(draft: Draft, unit: Unit) -> bool:
    """Whether `unit` starts a new chunk: where a section ends that has text, or the present one is full."""
    if draft.only_headings:
        return draft.tokens + unit.tokens > 2 * MAX_TOKENS
    # However short the section before: its label would be false for the words of another.
    turned = unit.element.kind == "heading" or unit.section != draft.units[-1].section
    return turned or draft.tokens + unit.tokens > MAX_TOKENS


def chunk_of(ordinal: int, draft: Draft) -> Chunk:
    pages = [unit.element.page for unit in draft.units if unit.element.page is not None]
    # The trail below the leading headings, which holds for all the text: no heading stands after it.
    body = next((unit for unit in draft.units if unit.element.kind != "heading"), draft.units[-1])
    return Chunk(
        ordinal=ordinal,
        start=draft.units[0].start,
        end=draft.units[-1].end,
        page=min(pages, default=None),
        page_end=max(pages, default=None),
        section=body.section,
        table_header=body.table_header,
    )


def units(document: Document) -> Iterator[Unit]:
    """The document's indivisible pieces in order, each with its heading trail and table header."""
    trail: list[tuple[int, str]] = []
    header = ""
    for element in document.elements:
        text = document.text[element.start : element.end]
        if element.depth:
            trail = [entry for entry in trail if entry[0] < element.depth]
        if element.kind == "heading":
            trail.append((element.depth, one_line(text)))
        if element.kind == "table_header":
            header = "\t".join(one_line(cell) for cell in text.split("\t"))
        elif element.kind != "table_row":
            header = ""
        section = tuple(title for _, title in trail)
        shown = header if element.kind == "table_row" else ""
        for start, end in divide(document.text, element):
            yield Unit(start, end, count_tokens(document.text[start:end]), element, section, shown)


def divide(text: str, element: Element) -> Iterator[tuple[int, int]]:
    """An element's sentences, or the element whole where it is no prose; oversized ones split at spaces."""
    start, end = trimmed(text, element.start, element.end)
    if start == end:
        return
    if element.kind in ("paragraph", "list_item"):
        spans: Sequence[tuple[int, int]] = [
            (start + a, start + b) for a, b in sentence_spans(text[start:end])
        ]
    elif element.kind == "code":
        spans = [(start + m.start(), start + m.end()) for m in re.finditer(r"[^\s].*", text[start:end])]
    else:
        spans = [(start, end)]
    for a, b in spans:
        yield from split_oversized(text, a, b)


def split_oversized(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Pieces of at most MAX_TOKENS, cut between words where there are words."""
    tokens = [start + match.start() for match in TOKEN.finditer(text[start:end])]
    if len(tokens) <= MAX_TOKENS:
        yield start, end
        return
    spaces = [start + match.end() for match in re.finditer(r"\s+", text[start:end])]
    while start < end:
        first = bisect_right(tokens, start - 1)
        if first + MAX_TOKENS >= len(tokens):
            yield start, end
            return
        limit = tokens[first + MAX_TOKENS]
        place = bisect_right(spaces, limit) - 1
        cut = spaces[place] if place >= 0 and spaces[place] > start else limit
        yield trimmed(text, start, cut)
        start = cut


def count_tokens(text: str) -> int:
    """About how many WordPiece tokens the text has. Never zero."""
    return max(1, sum(1 for _ in TOKEN.finditer(text)))


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without the white space at its ends."""
    piece = text[start:end]
    stripped = piece.strip()
    if not stripped:
        return start, start
    start += len(piece) - len(piece.lstrip())
    return start, start + len(stripped)


def one_line(text: str) -> str:
    return " ".join(text.split())
