"""One file into members: which format it is, which parser reads it, and what went wrong if it did."""

import gc
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ingest.parse import mail as mails
from ingest.parse import packages
from ingest.parse.canonical import Piece, assemble
from ingest.parse.formats import CODE_SUFFIXES, sniff
from ingest.parse.limits import Limits
from ingest.parse.names import member_names
from ingest.parse.problems import Unparsable, encrypted, failed, skipped
from ingest.types import Document, Member, Problem

Metadata = list[tuple[str, object]]


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a reader made of one file's bytes."""

    pieces: list[Piece]
    metadata: Metadata
    pages: int | None = None


@dataclass(slots=True)
class _Budget:
    """What is left for all members of one file together."""

    members: int
    unpacked: int

    def take(self, size: int) -> None:
        self.members -= 1
        self.unpacked -= size
        if self.members < 0 or self.unpacked < 0:
            raise skipped(
                "too_large", "The container holds more than is read of one file: unpack or split it."
            )


def parse_file(path: Path, limits: Limits = Limits()) -> tuple[Member, ...]:
    """The documents of one file, or why it has none. Never raises for what the file holds.

    A plain file is one member named "". A zip, an mbox, a mail with attachments give a member each.
    """
    try:
        size = path.stat().st_size
        if size > limits.max_bytes:
            raise skipped("too_large", f"The file exceeds {limits.max_bytes >> 20} MB: split it.")
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return (Member("", Problem("failed", "unreadable", f"The file cannot be read: {reason}.")),)
    except Unparsable as outcome:
        return (Member("", outcome.problem),)
    budget = _Budget(limits.max_members, limits.max_unpacked_bytes)
    return tuple(_members("", path.name, data, limits, budget, depth=0))


def _members(
    name: str, label: str, data: bytes, limits: Limits, budget: _Budget, depth: int
) -> Iterator[Member]:
    """The member called `name` and those inside it. `label` is what its suffix and stem are taken from."""
    try:
        if not data:
            raise skipped("empty", "The file is empty.")
        suffix = sniff(data, label)
        inside = _CONTAINERS.get(suffix)
        if inside is None:
            yield Member(name, _document(data, suffix, label, limits))
            return
        if depth >= limits.max_depth:
            raise skipped("too_large", f"It lies {depth} containers deep: unpack the outer ones first.")
        found = False
        for inner, content in inside(name, label, data, limits):
            found = True
            if isinstance(content, bytes):
                try:
                    budget.take(len(content))
                except Unparsable as outcome:
                    yield Member(inner, outcome.problem)
                    return
                yield from _members(inner, inner, content, limits, budget, depth + 1)
            else:
                yield Member(inner, content)
        if not found:
            raise skipped("empty", "The container holds no file.")
    except Exception as error:
        yield Member(name, problem_of(error))


def problem_of(error: Exception) -> Problem:
    """What a parser's exception means for the person whose file it is."""
    if isinstance(error, Unparsable):
        return error.problem
    if isinstance(error, MemoryError):
        gc.collect()
        return Problem("failed", "memory", "The file needs more memory than one file may take: split it.")
    if isinstance(error, RecursionError):
        return Problem("failed", "parser_error", "The file is nested too deeply to be read.")
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return Problem(
        "failed", "parser_error", f"The file cannot be read, it may be damaged ({reason}). Save it again."
    )


def _document(data: bytes, suffix: str, label: str, limits: Limits) -> Document | Problem:
    parsed = _read(data, suffix, limits)
    if sum(len(piece.text) for piece in parsed.pieces) > limits.max_characters:
        raise skipped("too_large", f"It holds more than {limits.max_characters} characters: split it.")
    stem = PurePosixPath(label.rsplit("!/", 1)[-1]).stem or label
    return assemble(data, parsed.pieces, parsed.metadata, stem=stem, pages=parsed.pages)


def _read(data: bytes, suffix: str, limits: Limits) -> Parsed:
    """Choose the reader. Imports wait for the first file that needs them: a worker may never see another format."""
    if suffix in _READERS:
        return _READERS[suffix](data, suffix, limits)
    if suffix in CODE_SUFFIXES:
        from ingest.parse.text import code_pieces, decode

        return Parsed(code_pieces(decode(data)), [])
    return _read_text(data, suffix, limits)


def _read_text(data: bytes, suffix: str, limits: Limits) -> Parsed:
    from ingest.parse.text import decode, text_pieces

    return Parsed(text_pieces(decode(data)), [])


def _read_markdown(data: bytes, suffix: str, limits: Limits) -> Parsed:
    from ingest.parse.markdown import markdown_pieces
    from ingest.parse.text import decode

    return Parsed(*markdown_pieces(decode(data)))


def _read_table(data: bytes, suffix: str, limits: Limits) -> Parsed:
    from ingest.parse.tables import separated_pieces
    from ingest.parse.text import decode

    return Parsed(separated_pieces(decode(data), suffix), [])


def _read_html(data: bytes, suffix: str, limits: Limits) -> Parsed:
    from ingest.parse.partition import html_pieces
    from ingest.parse.webpage import clean_markup, decode_html, head_metadata

    markup = clean_markup(decode_html(data))
    return Parsed(html_pieces(markup), head_metadata(markup))


def _read_xml(data: bytes, suffix: str, limits: Limits) -> Parsed:
    from ingest.parse.xml import xml_pieces

    if len(data) > limits.max_part_bytes:
        raise skipped("too_large", f"More than {limits.max_part_bytes >> 20} MB of XML: split it.")
    return Parsed(xml_pieces(data), [])


def _read_pdf(data: bytes, suffix: str, limits: Limits) -> Parsed:
    from ingest.parse.pdf import read_pdf

    return Parsed(*read_pdf(data))


def _read_plain_partition(data: bytes, suffix: str, limits: Limits) -> Parsed:
    from ingest.parse.partition import partition_pieces

    return Parsed(partition_pieces(data, suffix), [])


def _read_package(data: bytes, suffix: str, limits: Limits) -> Parsed:
    with packages.open_zip(data) as archive:
        packages.check_package(archive, limits)
        metadata = packages.properties(archive, suffix)
        pieces, pages = _package_pieces(data, suffix, archive)
    return Parsed(pieces, metadata, pages)


def _package_pieces(data: bytes, suffix: str, archive: zipfile.ZipFile) -> tuple[list[Piece], int | None]:
    from ingest.parse import office

    if suffix in (".docx", ".pptx", ".xlsx"):
        data = office.prepared(data, archive, suffix)
    match suffix:
        case ".xlsx":
            from ingest.parse.spreadsheet import xlsx_pieces

            return xlsx_pieces(data), None
        case ".ods":
            return office.ods_pieces(archive), None
        case ".odp":
            return office.odp_pieces(archive)
    from ingest.parse.partition import partition_pieces

    pieces = partition_pieces(data, suffix)
    if suffix == ".docx":
        return pieces + office.docx_extras(archive), None
    slides = sum(1 for n in archive.namelist() if n.startswith("ppt/slides/slide") and n.endswith(".xml"))
    return pieces, slides if suffix == ".pptx" else None


def _read_xls(data: bytes, suffix: str, limits: Limits) -> Parsed:
    from ingest.parse.spreadsheet import xls_pieces

    return Parsed(xls_pieces(data), [])


def _refuse(data: bytes, suffix: str, limits: Limits) -> Parsed:
    """Formats that are known and not read: each says what to do instead."""
    match suffix:
        case ".encrypted":
            raise encrypted("The file")
        case ".image":
            raise skipped(
                "needs_ocr", "The file is a picture: run OCR on it (ocrmypdf makes a searchable PDF)."
            )
        case ".doc" | ".ppt":
            better = "docx" if suffix == ".doc" else "pptx"
            hint = f"soffice --headless --convert-to {better}"
            raise skipped(
                "unsupported", f"Legacy {suffix} is not read: convert it with LibreOffice ({hint})."
            )
        case ".iwork":
            raise skipped(
                "unsupported", "Pages, Numbers and Keynote files are not read: export as PDF or Word."
            )
        case _:
            raise skipped("unsupported", "This kind of file is not read: convert it to PDF, Word or text.")


Reader = Callable[[bytes, str, Limits], Parsed]
_READERS: dict[str, Reader] = {
    ".md": _read_markdown,
    ".csv": _read_table,
    ".tsv": _read_table,
    ".html": _read_html,
    ".xml": _read_xml,
    ".pdf": _read_pdf,
    ".rtf": _read_plain_partition,
    ".rst": _read_plain_partition,
    ".docx": _read_package,
    ".pptx": _read_package,
    ".xlsx": _read_package,
    ".odt": _read_package,
    ".ods": _read_package,
    ".odp": _read_package,
    ".epub": _read_package,
    ".xls": _read_xls,
    **dict.fromkeys((".encrypted", ".image", ".doc", ".ppt", ".iwork", ".binary"), _refuse),
}

Inside = Iterator[tuple[str, bytes | Document | Problem]]


def _inside_zip(name: str, label: str, data: bytes, limits: Limits) -> Inside:
    with packages.open_zip(data) as archive:
        infos = [i for i in archive.infolist() if not i.is_dir() and not _is_litter(i.filename)]
        for inner, info in zip(member_names(name, [i.filename for i in infos]), infos, strict=True):
            try:
                yield inner, packages.read_member(archive, info, limits.max_unpacked_bytes)
            except Unparsable as outcome:
                yield inner, outcome.problem


def _is_litter(filename: str) -> bool:
    """What operating systems leave in archives."""
    parts = filename.split("/")
    return parts[0] == "__MACOSX" or parts[-1] in (".DS_Store", "Thumbs.db", "desktop.ini")


def _inside_mbox(name: str, label: str, data: bytes, limits: Limits) -> Inside:
    contents = mails.split_mbox(data)
    if not contents:
        raise failed("parser_error", "The mailbox holds no line that starts a mail.")
    labels = member_names(name, [str(number) for number in range(1, len(contents) + 1)])
    for inner, content in zip(labels, contents, strict=True):
        yield from _inside_mail(inner, mails.read_eml, content, limits)


def _inside_eml(name: str, label: str, data: bytes, limits: Limits) -> Inside:
    return _inside_mail(name, mails.read_eml, data, limits, stem=label)


def _inside_msg(name: str, label: str, data: bytes, limits: Limits) -> Inside:
    return _inside_mail(name, mails.read_msg, data, limits, stem=label)


def _inside_mail(
    name: str, read: Callable[[bytes], mails.Mail], data: bytes, limits: Limits, stem: str = ""
) -> Inside:
    """The mail itself under its own name, then what is attached to it."""
    try:
        mail = read(data)
        plain_stem = PurePosixPath(stem.rsplit("!/", 1)[-1]).stem or name
        yield name, assemble(data, mails.mail_pieces(mail), mails.mail_metadata(mail), stem=plain_stem)
    except Exception as error:
        yield name, problem_of(error)
        return
    labels = member_names(name, [label for label, _ in mail.attachments])
    for inner, (_, content) in zip(labels, mail.attachments, strict=True):
        yield inner, content


_CONTAINERS: dict[str, Callable[[str, str, bytes, Limits], Inside]] = {
    ".zip": _inside_zip,
    ".mbox": _inside_mbox,
    ".eml": _inside_eml,
    ".msg": _inside_msg,
}
