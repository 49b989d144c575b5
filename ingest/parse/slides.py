"""Slides of .pptx files with their speaker's notes. The one file that knows python-pptx."""

import io
from collections.abc import Iterator
from dataclasses import replace

from ingest.parse.canonical import Piece
from ingest.parse.partition import presentation_pieces

_NOTES = "Notes"


def slide_pieces(data: bytes) -> list[Piece]:
    """The pieces of each slide, `page` its number, and below them its notes. Titles alone are headings.

    For unstructured any short line is one, the points of a slide too. A slide without a title goes on below
    none, and not below that of the slide before.
    """
    slides: dict[int, list[Piece]] = {}
    for piece in presentation_pieces(data):
        if piece.kind == "heading" and piece.depth > 1:
            piece = replace(piece, kind="paragraph", depth=0)
        slides.setdefault(piece.page or 1, []).append(piece)
    for number, notes in _notes(data):
        below = [Piece("paragraph", text, page=number) for text in notes.split("\n")]
        slides.setdefault(number, []).extend([Piece("heading", _NOTES, page=number, depth=2), *below])
    pieces: list[Piece] = []
    for _, (first, *below) in sorted(slides.items()):
        pieces += [replace(first, depth=1), *below]
    return pieces


def _notes(data: bytes) -> Iterator[tuple[int, str]]:
    """The number of each slide that has notes, and what they say."""
    from pptx import Presentation

    for number, slide in enumerate(Presentation(io.BytesIO(data)).slides, start=1):
        frame = slide.notes_slide.notes_text_frame if slide.has_notes_slide else None
        if frame is not None and frame.text.strip():
            yield number, frame.text
