"""Canonical text: pieces in reading order become one text with exact spans. Pure; knows no file format."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ingest.parse.metadata import clean_metadata
from ingest.parse.problems import skipped
from ingest.types import Document, Element, ElementKind, Line, Metadata

REPLACEMENT = "\ufffd"
BULLET = "• "
"""Before items without a mark of their own: nothing else tells two of them from one wrapped sentence."""
_LINE_ENDS = re.compile("\r\n?|[\f\v]")
_NUMBERED = re.compile(r"(?:[A-Z]{4,}\s+)?\d{1,3}(?:\.\d{1,2})*[.:)]\s")
# What no text may hold: C0 controls but tab and line feed, DEL, surrogates (in a str of Python each is a
# lone one), U+FFFE and U+FFFF.
_INVALID = re.compile("[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Piece:
    """One element on its way into the text. `lines` are relative to `text`, which is then clean already.

    `joined`: it continues the block before it (a list, a table), so it starts on the next line and not after
    an empty one.
    """

    kind: ElementKind
    text: str
    page: int | None = None
    depth: int = 0
    joined: bool = False
    lines: tuple[Line, ...] = ()


def clean(text: str) -> tuple[str, int]:
    """As `valid`, and without soft hyphens: where a word may be cut is no part of it."""
    return valid(text.replace("\u00ad", ""))


def valid(text: str) -> tuple[str, int]:
    """LF line ends; what no text may hold becomes U+FFFD. Returns the text and how many were replaced."""
    text = _LINE_ENDS.sub("\n", text.removeprefix("\ufeff"))
    return _INVALID.subn(REPLACEMENT, text)


_RAISED = str.maketrans("0123456789+-−–()", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁻⁽⁾")
_RAISABLE = re.compile(r"(?=\D*\d)[0-9+\-−–()/.,\s]{1,20}")


def raised(before: str, text: str) -> str:
    """`text` in superscript characters, where it is a number raised behind the number that ends `before`.

    "19" and a note mark "2" would be 192 without them, and "10" to the power of "6" 106.
    """
    number = before[-2:].rstrip(".,")[-1:].isdigit()  # "2024." and a mark "3" would be 2024.3
    return text.translate(_RAISED) if number and _RAISABLE.fullmatch(text) else text


def one_line(text: str) -> str:
    """White space, line ends included, becomes single spaces."""
    return " ".join(text.split())


def assemble(
    data: bytes,
    pieces: Sequence[Piece],
    metadata: Iterable[tuple[str, object]],
    *,
    stem: str,
    pages: int | None = None,
    headed: bool = True,
) -> Document:
    """The document of these pieces. Its title: the declared one, its first heading if `headed`, or `stem`.

    Raises Unparsable (`empty`) if none of them holds a visible character.
    """
    text, elements, lines, replaced = _lay_out(pieces)
    if not text:
        raise skipped("empty", "The file holds no text.")
    declared = clean_metadata(metadata)
    heading = heading_title(pieces) if headed else ""
    title = declared_title(declared) or heading[:500] or stem
    if replaced:
        declared = (*declared, ("replaced_characters", str(replaced)))
    encoded = text.encode("utf-8")
    return Document(
        id=hashlib.sha256(data).hexdigest(),
        text=text,
        text_sha256=hashlib.sha256(encoded).hexdigest(),
        title=clean(title)[0],
        elements=tuple(elements),
        lines=tuple(lines),
        metadata=declared,
        pages=pages,
    )


def declared_title(metadata: Metadata) -> str:
    """The title that the file declares, unless it is a number: an accession number names nothing."""
    title = dict(metadata).get("title", "")
    return title if any(character.isalpha() for character in title) else ""


def heading_title(pieces: Sequence[Piece]) -> str:
    """The heading that may be the title: of the first page the highest, else the first; numbered ones not."""
    named = [(one, one_line(clean(one.text)[0])) for one in pieces if one.kind == "heading"]
    named = [(one, text) for one, text in named if text and not _NUMBERED.match(text)]
    if not named:
        return ""
    page = named[0][0].page
    first_page = [pair for pair in named if page is not None and pair[0].page == page]
    return min(first_page or named[:1], key=lambda pair: pair[0].depth)[1]


def _lay_out(pieces: Sequence[Piece]) -> tuple[str, list[Element], list[Line], int]:
    parts: list[str] = []
    elements: list[Element] = []
    lines: list[Line] = []
    position = replaced = 0
    for piece in pieces:
        if piece.lines:
            text = piece.text
        else:
            text, count = clean(piece.text)
            text = text.strip("\n").rstrip() if piece.kind == "code" else text.strip(" \n\u00a0")
            replaced += count
        if not text.strip():
            continue
        separator = "" if not parts else "\n" if piece.joined else "\n\n"
        parts += (separator, text)
        start = position + len(separator)
        position = start + len(text)
        elements.append(Element(piece.kind, start, position, piece.page, piece.depth))
        lines.extend(
            Line(start + line.start, start + line.end, line.page, line.x0, line.y0, line.x1, line.y1)
            for line in piece.lines
        )
    return "".join(parts), elements, lines, replaced
