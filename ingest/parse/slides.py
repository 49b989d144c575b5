"""Slides of .pptx files with their speaker's notes. The one file that knows python-pptx."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ingest.parse.canonical import Piece
from ingest.parse.partition import presentation_pieces

_NOTES = "Notes"


def slide_pieces(data: bytes, charts: Mapping[str, Sequence[Piece]]) -> list[Piece]:
    """The pieces of each slide, `page` its number, its charts, and below them its notes. Titles alone are
    headings.

    For unstructured any short line is one, the points of a slide too. A slide without a title goes on below
    none, and not below that of the slide before. `charts` by the names of their parts.
    """
    from pptx import Presentation

    slides: dict[int, list[Piece]] = {}
    for piece in presentation_pieces(data):
        if piece.kind == "heading" and piece.depth > 1:
            piece = replace(piece, kind="paragraph", depth=0)
        slides.setdefault(piece.page or 1, []).append(piece)
    for number, slide in enumerate(Presentation(io.BytesIO(data)).slides, start=1):
        shown = [piece for name in _chart_names(slide) for piece in charts.get(name, ())]
        below = [replace(piece, page=number) for piece in (*shown, *_notes(slide))]
        if below:
            slides.setdefault(number, []).extend(below)
    pieces: list[Piece] = []
    for _, (first, *below) in sorted(slides.items()):
        pieces += [replace(first, depth=1), *below]
    return pieces


def _chart_names(slide: Any) -> Iterator[str]:
    for relation in slide.part.rels.values():
        if relation.reltype.endswith("/chart") and not relation.is_external:
            yield relation.target_part.partname.lstrip("/")


def _notes(slide: Any) -> list[Piece]:
    frame = slide.notes_slide.notes_text_frame if slide.has_notes_slide else None
    if frame is None or not frame.text.strip():
        return []
    return [
        Piece("heading", _NOTES, depth=2),
        *(Piece("paragraph", text) for text in frame.text.split("\n")),
    ]
