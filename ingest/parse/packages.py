"""Files that are zip archives: their size before they are read, what they are, and their properties.

Sizes on disk prove nothing: a .docx of 62,795 bytes held 20 MB of XML and took more than 150 s.
"""

import io
import re
import zipfile
from typing import TYPE_CHECKING

from ingest.parse.limits import Limits
from ingest.parse.problems import failed, skipped

if TYPE_CHECKING:
    from lxml.etree import _Element

# One entity declaration in any encoding that libxml2 reads by itself. No office program writes one.
_ENTITY = re.compile(rb"<\0?!\0?E\0?N\0?T\0?I\0?T\0?Y")
_MARKUP_SUFFIXES = (".xml", ".rels", ".xhtml", ".html", ".htm", ".opf", ".ncx", ".svg", ".vml")
_MAX_RATIO = 400  # of one part; real XML packs to a fiftieth at most, deflate's own limit is 1,032
_SMALL = 4 * 1024 * 1024  # below this a ratio says nothing
_KINDS = (
    ("word/document.xml", ".docx"),
    ("word/document2.xml", ".docx"),
    ("xl/workbook.xml", ".xlsx"),
    ("xl/workbook.bin", ".xlsb"),
    ("ppt/presentation.xml", ".pptx"),
)
_IWORK_ENDINGS = ("/Index.zip", "/buildVersionHistory.plist", "/.iwpv2", "/.iwph")
_MIME_KINDS = {
    "application/epub+zip": ".epub",
    "application/vnd.oasis.opendocument.text": ".odt",
    "application/vnd.oasis.opendocument.text-template": ".odt",
    "application/vnd.oasis.opendocument.spreadsheet": ".ods",
    "application/vnd.oasis.opendocument.presentation": ".odp",
}


def open_zip(data: bytes) -> zipfile.ZipFile:
    """The archive. Raises Unparsable (`parser_error`) if it is none or cut off."""
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise failed("parser_error", f"The archive is damaged ({error}): save it again.") from None


def package_kind(archive: zipfile.ZipFile) -> str:
    """The suffix this archive should have: `.docx`, … or `.zip` for one that is just an archive."""
    names = set(archive.namelist())
    if "mimetype" in names and archive.getinfo("mimetype").file_size < 200:
        found = _MIME_KINDS.get(archive.read("mimetype").decode("ascii", errors="replace").strip())
        if found:
            return found
    if any(f"/{name}".endswith(_IWORK_ENDINGS) or name.startswith("Index/") for name in names):
        return ".iwork"
    if any(name.endswith(".fpage") for name in names):
        return ".xps"
    if "[Content_Types].xml" in names or any(name.startswith("word/") for name in names):
        return next((suffix for name, suffix in _KINDS if name in names), ".ooxml")
    return ".zip"


def check_package(archive: zipfile.ZipFile, limits: Limits) -> None:
    """Raises Unparsable (`too_large`) for an archive that grows beyond the limits or holds XML entities."""
    total = 0
    for info in archive.infolist():
        total += info.file_size
        if total > limits.max_unpacked_bytes:
            raise skipped("too_large", f"Unpacked it exceeds {limits.max_unpacked_bytes >> 20} MB: split it.")
        if not info.filename.lower().endswith(_MARKUP_SUFFIXES):
            continue
        grown = info.file_size > _SMALL and info.file_size > _MAX_RATIO * max(info.compress_size, 1)
        if info.file_size > limits.max_part_bytes or grown:
            size = info.file_size >> 20
            raise skipped(
                "too_large", f"{info.filename!r} in it unpacks to {size} MB of markup: split the document."
            )
        if _ENTITY.search(read_member(archive, info, limits.max_part_bytes)):
            raise failed(
                "parser_error",
                f"{info.filename!r} in it declares XML entities, which no office program does.",
            )


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    """A member's bytes, at most `most`, whatever its header claims. Raises Unparsable."""
    if info.flag_bits & 1:
        raise skipped("password", "The archive's member is protected by a password: unpack it first.")
    try:
        with archive.open(info) as stream:
            content = stream.read(most + 1)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise failed("parser_error", f"The archive's member cannot be unpacked ({error}).") from None
    except Exception as error:
        if type(error).__module__ in ("zlib", "lzma", "_lzma"):
            raise failed("parser_error", f"The archive's member is damaged ({error}).") from None
        raise
    if len(content) > most:
        raise skipped("too_large", f"Unpacked it exceeds {most >> 20} MB.")
    return content


_CORE_KEYS = {
    "title": "title",
    "creator": "author",
    "initial-creator": "author",
    "subject": "subject",
    "keywords": "keywords",
    "keyword": "keywords",
    "description": "description",
    "created": "created",
    "creation-date": "created",
    "modified": "modified",
    "date": "modified",
    "lastmodifiedby": "last_modified_by",
    "language": "language",
}
# The dates of the templates inside python-docx and python-pptx: every file they make claims them.
_TEMPLATE_DATES = frozenset({"2013-12-23T23:15:00Z", "2013-01-27T09:14:16Z", "2013-01-27T09:15:58Z"})
_NO_TITLES = frozenset({"untitled", "powerpoint presentation", "word document"})
_PROPERTY_PARTS = ("docProps/core.xml", "docprops/core.xml", "meta.xml")


def properties(archive: zipfile.ZipFile, suffix: str) -> list[tuple[str, object]]:
    """Title, author, dates, subject and keywords as an office file or an EPUB declares them."""
    names = archive.namelist()
    if suffix == ".epub":
        parts = [name for name in names if name.lower().endswith(".opf")][:1]
    else:
        parts = [name for name in _PROPERTY_PARTS if name in names][:1]
    found: list[tuple[str, object]] = []
    for part in parts:
        root = parse_part(archive, part)
        for element in root.iter() if root is not None else ():
            tag = element.tag.rsplit("}", 1)[-1].lower() if isinstance(element.tag, str) else ""
            key = _CORE_KEYS.get(tag)
            if suffix == ".epub" and tag == "date":
                key = "date"
            text = (element.text or "").strip()
            says_nothing = text in _TEMPLATE_DATES or (key == "title" and text.lower() in _NO_TITLES)
            if key and text and not says_nothing:
                found.append((key, text))
    declared = dict(reversed(found))
    if "date" not in declared and ("created" in declared or "modified" in declared):
        found.append(("date", declared.get("created") or declared.get("modified")))
    return found


def parse_part(archive: zipfile.ZipFile, name: str, most: int = 64 * 1024 * 1024) -> "_Element | None":
    """The root of an XML part, read without entities; None if there is no such part or it is damaged."""
    from lxml import etree

    if name not in archive.namelist():
        return None
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True)
    try:
        return etree.fromstring(read_member(archive, archive.getinfo(name), most), parser)
    except etree.XMLSyntaxError:
        return None
