"""The formats that unstructured reads: its elements as pieces. The one file that imports it."""

import io
import os
import re
import socket
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from ingest.parse.canonical import BULLET, Piece
from ingest.parse.tables import html_table_pieces
from ingest.parse.text import LIST_MARK
from ingest.parse.tokenizer_stand_in import stand_in

# Read by unstructured at import: no telemetry, no advert on stdout.
_SWITCHES = {"DO_NOT_TRACK": "1", "UNSTRUCTURED_DISABLE_NOTICE": "1", "SCARF_NO_ANALYTICS": "true"}
# No language detection: nobody reads its result, and it loads a large profile.
_OPTIONS: dict[str, Any] = {"languages": [""]}
_KINDS = {"Title": "heading", "ListItem": "list_item", "CodeSnippet": "code"}
# Each imports what it needs alone: the modules of one format are no cost to another.
_PARTITIONERS = {
    f".{name}": (name, f"partition_{name}") for name in ("docx", "pptx", "odt", "epub", "rtf", "rst", "html")
}
_NUMBERED = re.compile(r"\s*\d{1,3}(?:\.\d{1,3})+\.?\s")  # "1.1 The term": the reader counts them out
_NOT_TEXT = frozenset({"PageBreak", "Image", "CheckBox"})


def partition_pieces(data: bytes, suffix: str) -> list[Piece]:
    """Pieces of a .docx, .odt, .epub, .rtf or .rst file. Raises whatever its reader raises."""
    elements = _partitioner(suffix)(file=io.BytesIO(data), **_OPTIONS)
    return list(_pieces(elements, paged=False))


def presentation_pieces(data: bytes) -> list[Piece]:
    """Pieces of a .pptx file, `page` the number of the slide. Headings are what looks like one."""
    return list(_pieces(_partitioner(".pptx")(file=io.BytesIO(data), **_OPTIONS), paged=True))


def html_pieces(markup: str) -> list[Piece]:
    """Pieces of an HTML page as a browser shows it, without its navigation."""
    if not markup.strip():
        return []
    return list(_pieces(_partitioner(".html")(text=markup, **_OPTIONS), paged=False))


def _partitioner(suffix: str) -> Callable[..., list[Any]]:
    os.environ.update(_SWITCHES)
    stand_in()
    module, name = _PARTITIONERS[suffix]
    # It imports urllib3, which opens a socket to see whether there is IPv6. Parsing opens none.
    had_ipv6, socket.has_ipv6 = socket.has_ipv6, False
    try:
        found: Callable[..., list[Any]] = getattr(import_module(f"unstructured.partition.{module}"), name)
    finally:
        socket.has_ipv6 = had_ipv6
    return found


def _pieces(elements: Iterable[Any], *, paged: bool) -> Iterable[Piece]:
    in_list = False
    for element in elements:
        name, text = type(element).__name__, element.text or ""
        if name in _NOT_TEXT or not text.strip():
            continue
        page = element.metadata.page_number if paged else None
        markup = element.metadata.text_as_html
        if name == "Table" and markup:
            yield from html_table_pieces(markup, page)
            in_list = False
            continue
        kind = _KINDS.get(name, "paragraph")
        if kind == "list_item" and not (LIST_MARK.match(text) or _NUMBERED.match(text)):
            text = BULLET + text.lstrip()
        depth = (element.metadata.category_depth or 0) + 1 if kind == "heading" else 0
        yield Piece(kind, text, page=page, depth=depth, joined=in_list and kind == "list_item")  # type: ignore[arg-type]
        in_list = kind == "list_item"
