"""The metadata lines above a block: what a model can cite. Pure."""

from ingest.types import Metadata
from ragqa.prompt.grammar import defuse_metadata

IDENTIFYING = ("source", "section", "page", "pages", "part")
"""Keys whose values tell the blocks of a prompt apart."""

# Caps keep a hostile or chatty document from filling the window with its header.
_MAX_VALUE = 200
_MAX_COLUMNS = 600
_MAX_DOCUMENT_LINES = 6
_MAX_SECTION_DEPTH = 3
_FIRST = ("date", "author", "url", "version", "language")  # what questions ask about most comes first
_OWN = (*IDENTIFYING, "title", "columns")


def metadata_lines(
    *,
    source: str,
    title: str = "",
    section: tuple[str, ...] = (),
    page: int | None = None,
    page_end: int | None = None,
    table_header: str = "",
    metadata: Metadata = (),
) -> Metadata:
    """The lines of a block, `source` first and never shortened; `metadata` is the document's own, capped.

    Keys of the document that would stand for one of ours (`source`, `title`, `section`, `page` …) are left
    out.
    """
    lines = [("source", source)]
    if title and title != source:
        lines.append(("title", _short(title)))
    if section:
        lines.append(("section", _short(" > ".join(section[-_MAX_SECTION_DEPTH:]))))
    if page is not None:
        last = page if page_end is None else page_end
        lines.append(("page", str(page)) if last == page else ("pages", f"{page}-{last}"))
    if table_header:
        lines.append(("columns", _columns(table_header)))
    return (*lines, *_document_lines(metadata))


def _document_lines(metadata: Metadata) -> Metadata:
    theirs = [(key, value) for key, value in defuse_metadata(metadata) if key.casefold() not in _OWN]
    theirs.sort(
        key=lambda line: _FIRST.index(line[0].casefold()) if line[0].casefold() in _FIRST else len(_FIRST)
    )
    return tuple((key, _short(value)) for key, value in theirs[:_MAX_DOCUMENT_LINES])


def _columns(header: str) -> str:
    """All columns, their names shortened where together they are long: a row is read by their number."""
    cells = [" ".join(cell.split()) for cell in header.split("\t")]
    longest = max(_MAX_COLUMNS // len(cells) - len(" | "), 1)
    if sum(map(len, cells)) > longest * len(cells):
        cells = [cell if len(cell) <= longest else cell[: longest - 1].rstrip() + "…" for cell in cells]
    return " | ".join(cells)


def _short(value: str) -> str:
    value = " ".join(value.split())
    return value if len(value) <= _MAX_VALUE else value[: _MAX_VALUE - 1].rstrip() + "…"
