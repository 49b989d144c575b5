"""What unstructured leaves out of office files: footnotes and text boxes of .docx, charts, .ods, .odp."""

import io
import re
import zipfile
from typing import TYPE_CHECKING

from ingest.parse.canonical import Piece, raised
from ingest.parse.packages import parse_part
from ingest.parse.spreadsheet import number_text, sheet_pieces
from ingest.parse.tables import table_pieces

if TYPE_CHECKING:
    from lxml.etree import _Element

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
_MAX_REPEAT = 1000


_STRICT = (
    # ECMA-376 strict names and the transitional ones that python-docx, python-pptx and openpyxl know.
    (
        b"http://purl.oclc.org/ooxml/officeDocument/",
        b"http://schemas.openxmlformats.org/officeDocument/2006/",
    ),
    (b"http://purl.oclc.org/ooxml/wordprocessingml/main", _W[1:-1].encode()),
    (
        b"http://purl.oclc.org/ooxml/spreadsheetml/main",
        b"http://schemas.openxmlformats.org/spreadsheetml/2006/main",
    ),
    (
        b"http://purl.oclc.org/ooxml/presentationml/main",
        b"http://schemas.openxmlformats.org/presentationml/2006/main",
    ),
    (b"http://purl.oclc.org/ooxml/drawingml/", b"http://schemas.openxmlformats.org/drawingml/2006/"),
)
_WORDS_PART = re.compile(r"word/(?:document|header|footer)\d*\.xml")
_RUBY_TEXT = re.compile(rb"<w:rt>.*?</w:rt>", re.DOTALL)
_RUBY = re.compile(rb"</?w:(?:ruby|rubyBase)>|<w:rubyPr>.*?</w:rubyPr>", re.DOTALL)
_RUBY_RUN = re.compile(
    rb"<w:r\b[^>]*>(?:<w:rPr>(?:(?!</w:rPr>).)*</w:rPr>)?<w:ruby>(.*?)</w:ruby></w:r>", re.DOTALL
)


def prepared(data: bytes, archive: zipfile.ZipFile, suffix: str) -> bytes:
    """The package with what its reader stumbles over or leaves out rewritten; most often the same bytes."""
    changed: dict[str, bytes] = {}
    for info in archive.infolist():
        if not info.filename.endswith((".xml", ".rels")):
            continue
        part = archive.read(info)
        new = part
        if b"purl.oclc.org/ooxml" in part[:20_000]:
            for old, known in _STRICT:
                new = new.replace(old, known)
        if suffix == ".docx" and _WORDS_PART.fullmatch(info.filename):
            new = _plain_words(new)
        if new != part:
            changed[info.filename] = new
    return _rewritten(archive, changed) if changed else data


def _plain_words(part: bytes) -> bytes:
    """Ruby annotations without their readings, formulas as runs of text, tracked changes and controls as what
    they show: python-docx sees none of them. Raised numbers in superscript characters: it does not see that
    they are raised.
    """
    if b"<w:ruby>" in part:
        part = _RUBY_RUN.sub(lambda m: _RUBY.sub(b"", _RUBY_TEXT.sub(b"", m.group(1))), part)
    if b"<m:t" in part and b"<m:oMath" in part:
        part = re.sub(rb"<m:oMath(?:\s[^>]*)?>.*?</m:oMath>", _math_run, part, flags=re.DOTALL)
    wrapped = _WRAPPED.search(part) is not None
    return _with_plain_runs(part) if wrapped or b'"superscript"' in part else part


_REMOVED = (f"{_W}del", f"{_W}moveFrom")
_WRAPPERS = tuple(f"{_W}{tag}" for tag in ("ins", "moveTo", "sdt", "smartTag", "customXml", "fldSimple"))
_WRAPPED = re.compile(rb"<w:(?:ins|del|moveTo|moveFrom|sdt|smartTag|customXml|fldSimple)\b")
_GALLERY = f"{_W}sdtPr/{_W}docPartObj/{_W}docPartGallery"
_REPEATED = ("Table of Contents", "Page Numbers")  # says the headings again, or the number of no page


def _with_plain_runs(part: bytes) -> bytes:
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(part, parser)
    except etree.XMLSyntaxError:
        return part
    _unwrap(root)
    _raise_numbers(root)
    written: bytes = etree.tostring(root, encoding="UTF-8", xml_declaration=True, standalone=True)
    return written


def _unwrap(root: "_Element") -> None:
    """Leave what the document says once its changes are accepted, without the controls and tags around it."""
    for element in list(root.iter(*_REMOVED, *_WRAPPERS)):
        inside: _Element | None = element
        if element.tag == f"{_W}sdt":
            gallery = element.find(_GALLERY)
            if gallery is not None and gallery.get(f"{_W}val", "").startswith(_REPEATED):
                continue
            prompt = element.find(f"{_W}sdtPr/{_W}showingPlcHdr") is not None  # "Click here to enter text."
            inside = None if prompt else element.find(f"{_W}sdtContent")
        if inside is not None and element.tag not in _REMOVED:
            for child in list(inside):
                element.addprevious(child)
        parent = element.getparent()
        if parent is not None:
            parent.remove(element)


def _raise_numbers(root: "_Element") -> None:
    for paragraph in root.iter(f"{_W}p"):
        before = ""
        for node in paragraph.iter(f"{_W}t", f"{_W}tab", f"{_W}br"):
            align = node.find(f"../{_W}rPr/{_W}vertAlign")
            if align is not None and align.get(f"{_W}val") == "superscript" and node.text:
                node.text = raised(before, node.text)
            before = node.text or ""


def _math_run(match: "re.Match[bytes]") -> bytes:
    words = b"".join(re.findall(rb"<m:t(?:\s[^>]*)?>([^<]*)</m:t>", match.group()))
    return b'<w:r><w:t xml:space="preserve">' + words + b"</w:t></w:r>"


def _rewritten(archive: zipfile.ZipFile, changed: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as copy:
        for info in archive.infolist():
            copy.writestr(info.filename, changed.get(info.filename) or archive.read(info))
    return written.getvalue()


def docx_extras(archive: zipfile.ZipFile) -> list[Piece]:
    """Text boxes, footnotes and endnotes, in that order, as they stand outside the running text: below no
    heading.
    """
    pieces: list[Piece] = []
    body = parse_part(archive, "word/document.xml")
    if body is not None:
        # A box is written twice, for old programs and for new ones; the second is the fallback.
        boxes = [b for b in body.iter(f"{_W}txbxContent") if not _inside_fallback(b)]
        pieces += [piece for box in boxes for piece in _paragraphs(box)]
    for part, tag in (("word/footnotes.xml", "footnote"), ("word/endnotes.xml", "endnote")):
        root = parse_part(archive, part)
        for note in root.iter(f"{_W}{tag}") if root is not None else ():
            pieces += _paragraphs(note)
    return pieces


def _inside_fallback(element: "_Element") -> bool:
    return any(isinstance(a.tag, str) and a.tag.endswith("}Fallback") for a in element.iterancestors())


def _paragraphs(parent: "_Element") -> list[Piece]:
    pieces = []
    for paragraph in parent.iter(f"{_W}p"):
        nodes = paragraph.iter(f"{_W}t", f"{_W}tab", f"{_W}br")
        words = "".join((node.text or "") if node.tag == f"{_W}t" else " " for node in nodes)
        pieces.append(Piece("paragraph", words, depth=1))
    return pieces


_SLIDE = re.compile(r"ppt/slides/slide(\d+)\.xml")
_CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_DRAWING_TEXT = "{http://schemas.openxmlformats.org/drawingml/2006/main}t"


def count_slides(archive: zipfile.ZipFile) -> int:
    return sum(1 for name in archive.namelist() if _SLIDE.fullmatch(name))


def chart_pieces(archive: zipfile.ZipFile) -> dict[str, list[Piece]]:
    """By part: the titles of a chart on a slide, and its series as rows: categories above, values below."""
    found: dict[str, list[Piece]] = {}
    for name in sorted(n for n in archive.namelist() if re.fullmatch(r"ppt/charts/chart\d*\.xml", n)):
        root = parse_part(archive, name)
        if root is None:
            continue
        titles = [
            "".join(t.text or "" for t in title.iter(_DRAWING_TEXT)) for title in root.iter(f"{_CHART}title")
        ]
        rows: list[list[str]] = []
        for series in root.iter(f"{_CHART}ser"):
            labels, values = _points(series, "cat"), _points(series, "val")
            if labels and not rows:
                rows.append(["", *labels])
            rows.append([" ".join(_points(series, "tx")), *values])
        found[name] = [Piece("paragraph", title) for title in titles]
        found[name] += table_pieces(rows, header=bool(rows and not rows[0][0]))
    return found


def _points(series: "_Element", part: str) -> list[str]:
    """The cached words or numbers of a series' name, categories or values."""
    found = (
        value.text or "" for one in series.iterchildren(f"{_CHART}{part}") for value in one.iter(f"{_CHART}v")
    )
    return [number_text(float(text)) if _FLOAT.fullmatch(text) else text for text in found]


_FLOAT = re.compile(r"-?\d+\.\d+(?:[eE][+-]?\d+)?")


def ods_pieces(archive: zipfile.ZipFile) -> list[Piece]:
    """Each sheet of an OpenDocument spreadsheet: a heading with its name, then its rows."""
    root = parse_part(archive, "content.xml")
    pieces: list[Piece] = []
    for sheet in root.iter(f"{_TABLE}table") if root is not None else ():
        rows = [_ods_row(row) for row in sheet.iter(f"{_TABLE}table-row")]
        pieces += sheet_pieces(sheet.get(f"{_TABLE}name", ""), rows)
    return pieces


def _ods_row(row: "_Element") -> list[str]:
    cells: list[str] = []
    for cell in row.iterchildren(f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"):
        text = "\n".join("".join(p.itertext()) for p in cell.iterchildren(f"{_TEXT}p"))
        if not text and cell.get(f"{_OFFICE}value"):
            text = number_text(float(cell.get(f"{_OFFICE}value", "0")))
        repeated = cell.get(f"{_TABLE}number-columns-repeated", "1")
        cells += [text] * min(int(repeated) if repeated.isdecimal() else 1, _MAX_REPEAT if text else 16)
    return cells[:_MAX_REPEAT]


def odp_pieces(archive: zipfile.ZipFile) -> tuple[list[Piece], int]:
    """The paragraphs of each slide of an OpenDocument presentation, and the number of slides."""
    root = parse_part(archive, "content.xml")
    slides = list(root.iter(f"{_DRAW}page")) if root is not None else []
    pieces = []
    for number, slide in enumerate(slides, start=1):
        paragraphs = slide.iter(f"{_TEXT}p", f"{_TEXT}h")
        pieces += [Piece("paragraph", "".join(one.itertext()), page=number) for one in paragraphs]
    return pieces, len(slides)
