"""Small real documents for the parser's tests, made in memory, and what is promised of all that is parsed."""

import hashlib
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

from ingest.parse import parse_file
from ingest.types import Document, Problem

Text = tuple[float, float, float, str]  # x, y, size, words


def parsed(path: Path) -> Document:
    """The document of a plain file."""
    (member,) = parse_file(path)
    assert member.name == ""
    assert isinstance(member.outcome, Document), member.outcome
    return member.outcome


def write_and_parse(folder: Path, name: str, data: "bytes | str") -> Document:
    """The document of a file that is written for it."""
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return parsed(path)


def refused(path: Path) -> Problem:
    (member,) = parse_file(path)
    assert isinstance(member.outcome, Problem), member.outcome
    return member.outcome


def check_promises(document: Document) -> None:
    """What DESIGN §1 says of every canonical text."""
    text = document.text
    assert text.encode("utf-8")
    assert not set(text) & {"\r", "\0", "\ufffe", "\uffff", "\x02", "\x1b"}
    assert document.text_sha256 == hashlib.sha256(text.encode()).hexdigest()
    position = 0
    for number, element in enumerate(document.elements):
        between = text[position : element.start]
        assert between == "" if number == 0 else between in ("\n", "\n\n")
        assert element.start < element.end
        position = element.end
    assert position == len(text)
    for line in document.lines:
        assert 0 <= line.start < line.end <= len(text)
    for key, value in document.metadata:
        assert key
        assert value == " ".join(value.split())
        assert len(value) <= 500
    assert len({key for key, _ in document.metadata}) == len(document.metadata)
    assert document.title


def texts(document: Document, kind: str) -> list[str]:
    return [document.text[e.start : e.end] for e in document.elements if e.kind == kind]


def kinds(document: Document) -> list[tuple[str, str]]:
    return [(e.kind, document.text[e.start : e.end]) for e in document.elements]


def pdf_bytes(
    pages: Sequence[Sequence[Text]],
    outline: Sequence[tuple[str, int]] = (),
    info: str = "",
    matrix: str = "1 0 0 1 0 0",
    fields: Sequence[Text] = (),
) -> bytes:
    """A PDF of Helvetica words at given places; `outline` holds titles and page numbers from 0.

    `matrix` is applied to all of each page; `fields` of a form, filled in, stand on each.
    """
    objects: list[bytes] = []

    def add(body: str | bytes) -> int:
        objects.append(body if isinstance(body, bytes) else body.encode("latin-1"))
        return len(objects)

    catalog, tree = add(""), add("")
    font = add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    widgets = " ".join(
        f"{add(_text_field(number, *field))} 0 R" for number, field in enumerate(fields, start=1)
    )
    numbers = []
    for page in pages:
        shown = f"{matrix} cm\n" + "".join(
            f"BT /F1 {size} Tf {x} {y} Td ({_escaped(words)}) Tj ET\n" for x, y, size, words in page
        )
        stream = shown.encode("cp1252")
        content = add(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        numbers.append(
            add(
                f"<< /Type /Page /Parent {tree} 0 R /Rotate 0  /MediaBox [0 0 612 792] "
                f"/Contents {content} 0 R /Resources << /Font << /F1 {font} 0 R >> >> /Annots [{widgets}] >>"
            )
        )
    kids = " ".join(f"{number} 0 R" for number in numbers)
    objects[tree - 1] = f"<< /Type /Pages /Kids [{kids}] /Count {len(numbers)} >>".encode()
    extra = f"/AcroForm << /Fields [{widgets}] /DR << /Font << /F1 {font} 0 R >> >> >>" if fields else ""
    if outline:
        first = len(objects) + 2
        root = add(f"<< /Type /Outlines /First {first} 0 R /Last {first + len(outline) - 1} 0 R >>")
        for number, (title, page_index) in enumerate(outline):
            after = f"/Next {first + number + 1} 0 R" if number + 1 < len(outline) else ""
            target = f"[{numbers[page_index]} 0 R /XYZ 0 792 0]"
            add(f"<< /Title ({_escaped(title)}) /Parent {root} 0 R {after} /Dest {target} >>")
        extra += f" /Outlines {root} 0 R"
    objects[catalog - 1] = f"<< /Type /Catalog /Pages {tree} 0 R {extra} >>".encode()
    properties = add(f"<< {info} >>")
    return _written(objects, f"/Root {catalog} 0 R /Info {properties} 0 R")


def _text_field(number: int, x: float, y: float, size: float, words: str) -> str:
    """Without an appearance: whoever shows the page draws it."""
    place = f"[{x} {y - 4} {x + 200} {y + size + 4}]"
    return (
        f"<< /Type /Annot /Subtype /Widget /FT /Tx /T (field{number}) /V ({_escaped(words)}) /Rect {place} "
        f"/F 4 /DA (/F1 {size} Tf 0 g) >>"
    )


def _escaped(words: str) -> str:
    return words.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def _written(objects: Sequence[bytes], trailer: str) -> bytes:
    out = bytearray(b"%PDF-1.7\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += f"trailer << /Size {len(objects) + 1} {trailer} >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)


def paragraph(
    x: float, top: float, lines: Sequence[str], size: float = 10, leading: float = 12
) -> list[Text]:
    return [(x, top - number * leading, size, line) for number, line in enumerate(lines)]


def zip_bytes(members: Sequence[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()
