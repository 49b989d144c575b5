"""The table of readers: a format's suffix, and the function that makes pieces of its bytes.

Each imports what it needs itself: a worker may never see another format.
"""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass

from ingest.parse import packages
from ingest.parse.canonical import Piece
from ingest.parse.formats import CODE_SUFFIXES
from ingest.parse.limits import Limits
from ingest.parse.problems import encrypted, skipped


@dataclass(frozen=True, slots=True)
class Source:
    """The bytes of one document, their format as `sniff` names it, and what it may cost."""

    data: bytes
    suffix: str
    limits: Limits


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a reader made of a source. `pages` is None where the format has none.

    `headed`: its first heading may be its title. That of a workbook is the name of a sheet.
    """

    pieces: list[Piece]
    metadata: list[tuple[str, object]]
    pages: int | None = None
    headed: bool = True


def read(source: Source) -> Parsed:
    """The source's pieces. Raises Unparsable, or whatever the format's own library raises."""
    if source.suffix in CODE_SUFFIXES:
        return _read_code(source)
    return READERS.get(source.suffix, _read_text)(source)


def _read_text(source: Source) -> Parsed:
    from ingest.parse.text import decode, text_pieces

    return Parsed(text_pieces(decode(source.data)), [])


def _read_code(source: Source) -> Parsed:
    from ingest.parse.text import code_pieces, decode

    return Parsed(code_pieces(decode(source.data)), [])


def _read_markdown(source: Source) -> Parsed:
    from ingest.parse.markdown import markdown_pieces
    from ingest.parse.text import decode

    return Parsed(*markdown_pieces(decode(source.data)))


def _read_table(source: Source) -> Parsed:
    from ingest.parse.tables import separated_pieces
    from ingest.parse.text import decode

    return Parsed(separated_pieces(decode(source.data), source.suffix), [])


def _read_html(source: Source) -> Parsed:
    from ingest.parse.partition import html_pieces
    from ingest.parse.webpage import clean_markup, decode_html, head_metadata

    _check_markup_size(source)
    markup = decode_html(source.data)
    return Parsed(html_pieces(clean_markup(markup)), head_metadata(markup))


def _read_xml(source: Source) -> Parsed:
    from ingest.parse.xml import xml_pieces

    _check_markup_size(source)
    return Parsed(xml_pieces(source.data), [])


def _check_markup_size(source: Source) -> None:
    most = source.limits.max_part_bytes
    if len(source.data) > most:
        raise skipped("too_large", f"The file holds more than {most >> 20} MB of markup: split it.")


def _read_pdf(source: Source) -> Parsed:
    from ingest.parse.pdf import read_pdf

    return Parsed(*read_pdf(source.data))


def _read_partition(source: Source) -> Parsed:
    from ingest.parse.partition import partition_pieces

    return Parsed(partition_pieces(source.data, source.suffix), [])


def _read_xls(source: Source) -> Parsed:
    from ingest.parse.spreadsheet import xls_pieces

    return Parsed(xls_pieces(source.data), [], headed=False)


def _read_package(source: Source) -> Parsed:
    with packages.open_zip(source.data) as archive:
        packages.check_package(archive, source.limits)
        metadata = packages.properties(archive, source.suffix)
        pieces, pages = _package_pieces(source, archive)
    return Parsed(pieces, metadata, pages, headed=source.suffix not in (".xlsx", ".ods"))


def _package_pieces(source: Source, archive: zipfile.ZipFile) -> tuple[list[Piece], int | None]:
    from ingest.parse import office

    if source.suffix == ".ods":
        return office.ods_pieces(archive), None
    if source.suffix == ".odp":
        return office.odp_pieces(archive)
    data = office.prepared(source.data, archive, source.suffix)
    if source.suffix == ".xlsx":
        from ingest.parse.spreadsheet import xlsx_pieces

        return xlsx_pieces(data), None
    if source.suffix == ".pptx":
        from ingest.parse.slides import slide_pieces

        return slide_pieces(data, office.chart_pieces(archive)), office.count_slides(archive)
    from ingest.parse.partition import partition_pieces

    pieces = partition_pieces(data, source.suffix)
    return pieces + office.docx_extras(archive) if source.suffix == ".docx" else pieces, None


def _refuse(source: Source) -> Parsed:
    """Formats that are known and not read: each says what to do instead."""
    match source.suffix:
        case ".encrypted":
            raise encrypted("The file")
        case ".image":
            raise skipped(
                "needs_ocr", "The file is a picture: run OCR on it (ocrmypdf makes a searchable PDF)."
            )
        case ".doc" | ".ppt":
            better = "docx" if source.suffix == ".doc" else "pptx"
            command = f"soffice --headless --convert-to {better} FILE"
            raise skipped(
                "unsupported", f"Legacy {source.suffix} is not read: convert it with LibreOffice ({command})."
            )
        case ".iwork":
            raise skipped(
                "unsupported", "Pages, Numbers and Keynote files are not read: export as PDF or Word."
            )
        case _:
            raise skipped("unsupported", "This kind of file is not read: convert it to PDF, Word or text.")


READERS: dict[str, Callable[[Source], Parsed]] = {
    ".md": _read_markdown,
    ".csv": _read_table,
    ".tsv": _read_table,
    ".html": _read_html,
    ".xml": _read_xml,
    ".pdf": _read_pdf,
    ".xls": _read_xls,
    **dict.fromkeys((".rtf", ".rst"), _read_partition),
    **dict.fromkeys((".docx", ".pptx", ".xlsx", ".odt", ".ods", ".odp", ".epub"), _read_package),
    **dict.fromkeys((".encrypted", ".image", ".doc", ".ppt", ".iwork", ".binary"), _refuse),
}
