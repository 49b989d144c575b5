"""Which format a file's bytes are: its content decides, its suffix where content cannot tell.

Suffixes stand for formats: `.pdf`, `.zip`, …; no file has `.encrypted`, `.image`, `.iwork`, `.binary`.
"""

import io
from pathlib import PurePosixPath

from ingest.parse.packages import open_zip, package_kind
from ingest.parse.problems import Unparsable
from ingest.parse.text import is_utf8

_CODE_SUFFIXES_NAMES = (
    ".py .pyi .js .mjs .ts .tsx .jsx .java .kt .c .h .cc .cpp .hpp .cs .go .rs .rb .php .swift .scala "
    ".sh .bash .zsh .ps1 .sql .r .jl .lua .pl .css .scss .toml .ini .cfg .conf .yaml .yml .json .jsonl "
    ".ndjson .proto .tf .gradle"
)
CODE_SUFFIXES = frozenset(_CODE_SUFFIXES_NAMES.split())
_TEXT_SUFFIXES_NAMES = ".txt .text .log .vtt .srt .adoc .asciidoc .org .tex .ics .vcf .bib .nfo .me"
_TEXT_SUFFIXES = frozenset(_TEXT_SUFFIXES_NAMES.split())
_SAME = {
    ".markdown": ".md",
    ".mdown": ".md",
    ".mkd": ".md",
    ".htm": ".html",
    ".xhtml": ".html",
    ".shtml": ".html",
    ".tab": ".tsv",
    ".nxml": ".xml",
    ".xsl": ".xml",
    ".xslt": ".xml",
    ".xsd": ".xml",
    ".rss": ".xml",
    ".atom": ".xml",
    ".svg": ".xml",
    ".docm": ".docx",
    ".dotx": ".docx",
    ".dotm": ".docx",
    ".xlsm": ".xlsx",
    ".xltx": ".xlsx",
    ".xltm": ".xlsx",
    ".pptm": ".pptx",
    ".ppsx": ".pptx",
    ".potx": ".pptx",
    ".ott": ".odt",
}
_READ_AS_TEXT = frozenset({".md", ".html", ".csv", ".tsv", ".xml", ".rst", ".eml", ".mbox"})
_SUPPORTED = (
    CODE_SUFFIXES
    | _TEXT_SUFFIXES
    | frozenset(_SAME)
    | _READ_AS_TEXT
    | {".pdf", ".docx", ".pptx", ".xlsx", ".xls", ".odt", ".ods", ".odp", ".epub", ".rtf", ".msg", ".zip"}
)
_IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ")
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_7Z = b"7z\xbc\xaf\x27\x1c"
_7Z_AES = b"\x06\xf1\x07\x01"


def supported(suffix: str) -> bool:
    """Whether files with this suffix are read; a hint, the content decides."""
    return suffix.lower() in _SUPPORTED


def sniff(data: bytes, name: str) -> str:
    """The format of these bytes, as a suffix."""
    suffix = PurePosixPath(name).suffix.lower()
    suffix = _SAME.get(suffix, suffix)
    magic = _by_magic(data, suffix)
    if magic:
        return magic
    if suffix in _READ_AS_TEXT or suffix in _TEXT_SUFFIXES or suffix in CODE_SUFFIXES:
        return suffix
    if suffix in _SUPPORTED and not is_utf8(data):
        return suffix  # its own reader says what is wrong with it
    return ".txt" if is_utf8(data) else ".binary"


def _by_magic(data: bytes, suffix: str) -> str:
    head = data[:1024]
    if b"%PDF-" in head and (suffix == ".pdf" or head.lstrip().startswith(b"%PDF-")):
        return ".pdf"
    if head.startswith(b"{\\rtf"):
        return ".rtf"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_kind(data, suffix)
    if head.startswith(_OLE):
        return _ole_kind(data)
    if head.startswith(_IMAGES) or (head.startswith(b"RIFF") and head[8:12] == b"WEBP"):
        return ".image"
    if head.startswith(_7Z):
        return ".encrypted" if _7Z_AES in data else ".binary"
    return ""


def _zip_kind(data: bytes, suffix: str) -> str:
    try:
        with open_zip(data) as archive:
            names = archive.namelist()
            kind = package_kind(archive)
            # Pages '09 writes what it encrypts under a compression method of its own.
            locked = any(info.compress_type not in (0, 8, 9, 12, 14) for info in archive.infolist())
    except Unparsable:
        return suffix if suffix in _SUPPORTED else ".zip"
    if kind == ".iwork":
        return (
            ".encrypted" if locked or any(name.endswith((".iwpv2", ".iwph")) for name in names) else ".iwork"
        )
    return kind if kind in _SUPPORTED else ".binary"


def _ole_kind(data: bytes) -> str:
    """Which program's file a compound file is, by the names of its streams."""
    import olefile

    try:
        with olefile.OleFileIO(io.BytesIO(data)) as ole:
            if ole.exists("EncryptedPackage") or ole.exists("EncryptionInfo"):
                return ".encrypted"
            if ole.exists("WordDocument"):
                # FibBase.fEncrypted, bit 8 of the flags at offset 10 ([MS-DOC] 2.5.2).
                flags = ole.openstream("WordDocument").read(12)
                return ".encrypted" if len(flags) == 12 and flags[11] & 1 else ".doc"
            if ole.exists("Workbook") or ole.exists("Book"):
                return ".xls"
            if ole.exists("PowerPoint Document"):
                return ".ppt"
            return ".msg" if ole.exists("__properties_version1.0") else ".binary"
    except (OSError, ValueError, IndexError, TypeError, AttributeError):
        return ".binary"
