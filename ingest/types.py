"""The values that travel through ingest. Frozen; no behaviour but derived names.

Every `start`/`end` is a half-open range of code points into a document's canonical text.
"""

from dataclasses import dataclass
from typing import Literal

ElementKind = Literal["heading", "paragraph", "list_item", "table_header", "table_row", "code"]
Metadata = tuple[tuple[str, str], ...]
"""Key and one-line value, in the order they are shown; a key may occur once."""
SKIPPED = (".*", "~$*", "*~", "node_modules", "__pycache__")
"""Names that are not read: hidden files, locks, backups, installed programs. Sooner secrets than answers."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line as the page shows it. Boxes in PDF points, origin at the page's lower left corner."""

    start: int
    end: int
    page: int
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, slots=True)
class Element:
    """One structural piece of a document.

    `depth` is a heading's level from 1. Of other text it is 0, or the level of headings that end above it: a
    reply goes on below what it quoted.
    """

    kind: ElementKind
    start: int
    end: int
    page: int | None = None
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed document. `id` is the sha256 of its bytes, `pages` how many physical pages it has."""

    id: str
    text: str
    text_sha256: str
    title: str
    elements: tuple[Element, ...]
    lines: tuple[Line, ...]
    metadata: Metadata
    pages: int | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A span of one document that is searched as a unit.

    `section` is the heading trail, outermost first. `table_header` is the header row of the table the chunk's
    rows belong to, empty elsewhere.
    """

    ordinal: int
    start: int
    end: int
    page: int | None
    page_end: int | None
    section: tuple[str, ...]
    table_header: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a file (or a member of a container) gave no document."""

    status: Literal["failed", "skipped"]
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Member:
    """What one file, or one member of a container file, was parsed into.

    `name` is empty for the file itself, else the member's place in it, as in `3` or `folder/b.md`.
    """

    name: str
    outcome: Document | Problem
