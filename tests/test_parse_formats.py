"""Each format: words in order, headings, lists, tables, metadata; the canonical text's promises for all."""

import hashlib
import io
from datetime import date, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.parse import PARSER_VERSION, Limits, parse_file, supported
from ingest.types import Document, Member, Problem
from tests.parse_documents import kinds, parsed, pdf_bytes, refused, texts, zip_bytes


@pytest.fixture
def read(tmp_path: Path):
    def write_and_parse(name: str, data: "bytes | str") -> Document:
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return parsed(path)

    return write_and_parse


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


MARKDOWN = """---
title: Leave policy
date: 2025-01-02
tags: [leave, people]
author:
  - Ada
  - Grace
---
# Leave *policy*

All staff get **25 days**
of leave & `x<y`. See <name> there.
- carry over five days
  - ask first
- no more

| Years | Days |
|-------|-----:|
| 1 | 25 |
| 5 | 28 |

## Code

```python
def f():
    # no heading

    return 1
```
"""


def test_markdown(read) -> None:
    document = read("leave.md", MARKDOWN)
    check_promises(document)
    assert kinds(document) == [
        ("heading", "Leave policy"),
        ("paragraph", "All staff get 25 days\nof leave & x<y. See <name> there."),
        ("list_item", "carry over five days"),
        ("list_item", "ask first"),
        ("list_item", "no more"),
        ("table_header", "Years\tDays"),
        ("table_row", "1\t25"),
        ("table_row", "5\t28"),
        ("heading", "Code"),
        ("code", "def f():\n    # no heading\n\n    return 1"),
    ]
    assert [e.depth for e in document.elements if e.kind == "heading"] == [1, 2]
    assert document.metadata == (
        ("title", "Leave policy"),
        ("date", "2025-01-02"),
        ("tags", "leave, people"),
        ("author", "Ada, Grace"),
    )
    assert "carry over five days\nask first\nno more\n\nYears" in document.text


def test_the_title_is_declared_or_the_first_heading_or_the_stem(read) -> None:
    assert read("a.md", "---\ntitle: Declared\n---\n# Heading\n\nx").title == "Declared"
    assert read("b.md", "text\n\n## Heading\n\nx").title == "Heading"
    assert read("notes of may.md", "just text").title == "notes of may"


@pytest.mark.parametrize(
    "front", ["---\na: [unclosed\n---\n", "---\n!!python/object:os.system x\n---\n", "---\njust words\n---\n"]
)
def test_front_matter_that_is_none_stays_text(read, front: str) -> None:
    document = read("a.md", front + "Body words.")
    assert "Body words." in document.text
    assert document.metadata == ()


def test_plain_text_has_paragraphs_lists_and_headings(read) -> None:
    document = read(
        "a.txt", "1. Scope\r\n\r\nFirst line\r\nsecond line.\r\n\r\n\r\n- one\n- two\n\nTHE END OF IT\n"
    )
    check_promises(document)
    assert kinds(document) == [
        ("heading", "1. Scope"),
        ("paragraph", "First line\nsecond line."),
        ("list_item", "- one"),
        ("list_item", "- two"),
        ("heading", "THE END OF IT"),
    ]


def test_html(read) -> None:
    page = """<html><head><title>Expenses</title><meta name=author content="I. Moss">
    <meta property="article:published_time" content="2024-05-06T10:00:00Z">
    <link rel=canonical href="https://example.com/x"></head><body><h1>Expense <b>rules</b></h1>
    <p>Meals cost up to <i>30</i>&nbsp;EUR.</p><h2>Rates</h2>
    <table><thead><tr><th>Land<th>Rate</thead><tr><td>Norway<br>(north)<td>40<tr><td>Spain<td>30</table>
    <ul><li>keep receipts<li>ask first</ul><script>evil()</script></body></html>"""
    document = read("expenses.html", page)
    check_promises(document)
    assert kinds(document) == [
        ("heading", "Expense rules"),
        ("paragraph", "Meals cost up to 30 EUR."),
        ("heading", "Rates"),
        ("table_header", "Land\tRate"),
        ("table_row", "Norway (north)\t40"),
        ("table_row", "Spain\t30"),
        ("list_item", "keep receipts"),
        ("list_item", "ask first"),
    ]
    assert dict(document.metadata) == {
        "title": "Expenses",
        "author": "I. Moss",
        "date": "2024-05-06T10:00:00+00:00",
        "url": "https://example.com/x",
    }


def test_a_table_that_lays_out_a_page_is_no_table(read) -> None:
    words = "Many words of prose that fill a page. " * 30
    document = read("a.html", f"<table><tr><td><p>{words}<p>Second paragraph of it.</table>")
    assert texts(document, "paragraph") == [words.strip(), "Second paragraph of it."]


def test_docx(read) -> None:
    import docx

    made = docx.Document()
    made.core_properties.title = "Offshore safety"
    made.core_properties.author = "R. Vane"
    made.core_properties.created = datetime(2024, 3, 4, 9, 0)  # noqa: DTZ001  as office files hold it
    made.add_heading("Boarding", level=1)
    made.add_paragraph("Wear the harness.")
    made.add_heading("Weather", level=2)
    made.add_paragraph("Check wind", style="List Bullet")
    made.add_paragraph("Check waves", style="List Bullet")
    table = made.add_table(rows=3, cols=2)
    for row, cells in zip(
        table.rows, [("Wave", "Rule"), ("1.5 m", "go\nslow"), ("2.5 m", "stay")], strict=True
    ):
        for cell, words in zip(row.cells, cells, strict=True):
            cell.text = words
    buffer = io.BytesIO()
    made.save(buffer)
    document = read("safety.docx", buffer.getvalue())
    check_promises(document)
    assert kinds(document) == [
        ("heading", "Boarding"),
        ("paragraph", "Wear the harness."),
        ("heading", "Weather"),
        ("list_item", "Check wind"),
        ("list_item", "Check waves"),
        ("table_header", "Wave\tRule"),
        ("table_row", "1.5 m\tgo slow"),
        ("table_row", "2.5 m\tstay"),
    ]
    assert [e.depth for e in document.elements if e.kind == "heading"] == [1, 2]
    found = dict(document.metadata)
    assert (found["title"], found["author"]) == ("Offshore safety", "R. Vane")
    assert found["date"] == found["created"] == "2024-03-04T09:00:00+00:00"
    assert "modified" not in found  # the template's own, of 2013


def test_xlsx_shows_sheets_headers_and_values_as_cells_do(read) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Prices 2025"
    sheet.append(["Price list"])
    sheet.append(["Part", "Price", "Share", "From"])
    sheet.append(["Anode", 1200.0, 0.125, date(2025, 1, 2)])
    sheet.append(["Big\nbuoy", 0.1 + 0.2, 1, datetime(2025, 1, 2, 3, 4)])  # noqa: DTZ001  as cells hold it
    for row in (3, 4):
        sheet.cell(row, 3).number_format = "0.0%"
    book.create_sheet("Empty")
    book.create_sheet("Other").append(["only", "row"])
    buffer = io.BytesIO()
    book.save(buffer)
    document = read("prices.xlsx", buffer.getvalue())
    check_promises(document)
    assert kinds(document) == [
        ("heading", "Prices 2025"),
        ("paragraph", "Price list"),
        ("table_header", "Part\tPrice\tShare\tFrom"),
        ("table_row", "Anode\t1200\t12.5%\t2025-01-02"),
        ("table_row", "Big buoy\t0.3\t100.0%\t2025-01-02 03:04:00"),
        ("heading", "Other"),
        ("table_row", "only\trow"),
    ]


def test_pptx_pages_are_slides(read) -> None:
    import pptx

    show = pptx.Presentation()
    for title, words in (("Strategy", "Grow north."), ("Risks", "Ice on the tether.")):
        slide = show.slides.add_slide(show.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = words
    buffer = io.BytesIO()
    show.save(buffer)
    document = read("strategy.pptx", buffer.getvalue())
    check_promises(document)
    assert document.pages == 2
    assert "date" not in dict(document.metadata)  # the template's own, of 2013
    assert [(e.page, document.text[e.start : e.end]) for e in document.elements] == [
        (1, "Strategy"),
        (1, "Grow north."),
        (2, "Risks"),
        (2, "Ice on the tether."),
    ]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", 'Part,Price\n"Anode, zinc",4.50\nBuoy,"1\n2"\n'),
        ("a.csv", 'Part;Price\n"Anode, zinc";4.50\nBuoy;"1\n2"\n'),
        ("a.tsv", 'Part\tPrice\nAnode, zinc\t4.50\nBuoy\t"1\n2"\n'),
    ],
)
def test_separated_values_are_rows(read, name: str, data: str) -> None:
    assert kinds(read(name, data)) == [
        ("table_header", "Part\tPrice"),
        ("table_row", "Anode, zinc\t4.50"),
        ("table_row", "Buoy\t1 2"),
    ]


def test_rtf_and_rst(read) -> None:
    assert texts(read("a.rtf", r"{\rtf1\ansi Caf\'e9 at sea.\par Second.\par}"), "paragraph") == [
        "Café at sea.",
        "Second.",
    ]
    rst = read("a.rst", "Title\n=====\n\nWords of it.\n\n* one\n* two\n")
    assert kinds(rst) == [
        ("heading", "Title"),
        ("paragraph", "Words of it."),
        ("list_item", "one"),
        ("list_item", "two"),
    ]


def test_epub_and_its_properties(read) -> None:
    opf = """<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="i"><metadata
    xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier id="i">x</dc:identifier>
    <dc:title>Ten years</dc:title>
    <dc:creator>A. Writer</dc:creator><dc:date>2023-04-05</dc:date><dc:language>en</dc:language></metadata>
    <manifest><item id="c" href="c.xhtml" media-type="application/xhtml+xml"/></manifest>
    <spine><itemref idref="c"/></spine></package>"""
    container = """<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0">
    <rootfiles>
    <rootfile full-path="b.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"""
    chapter = """<html xmlns="http://www.w3.org/1999/xhtml"><head><title>x</title></head><body>
    <h1>The start</h1><p>It began with a buoy.</p></body></html>"""
    members = [("mimetype", "application/epub+zip"), ("META-INF/container.xml", container)]
    data = zip_bytes([(n, c.encode()) for n, c in [*members, ("b.opf", opf), ("c.xhtml", chapter)]])
    document = read("ten.epub", data)
    check_promises(document)
    assert "It began with a buoy." in texts(document, "paragraph")
    assert "The start" in texts(document, "heading")
    found = dict(document.metadata)
    assert (found["title"], found["author"], found["date"]) == ("Ten years", "A. Writer", "2023-04-05")


def test_xml_keeps_words_and_expands_nothing_from_elsewhere(tmp_path: Path, read) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("TOP SECRET WORDS")
    declared = f'<!DOCTYPE a [<!ENTITY x SYSTEM "file://{secret}"><!ENTITY y "inner">]>'
    document = read("a.xml", declared + "<a><p>one &x;</p><p>two</p></a>")
    assert "SECRET" not in document.text
    assert document.text.startswith("one")
    assert document.text.endswith("\n\ntwo")
    assert read("b.xml", declared + "<a>one &y;</a>").text == "one inner"


def test_source_code_keeps_its_indentation(read) -> None:
    document = read("a.py", "import os\n\n\ndef f():\n    return os\n")
    assert kinds(document) == [("code", "import os"), ("code", "def f():\n    return os")]


def test_invalid_characters_are_replaced_and_counted(read) -> None:
    document = read(
        "a.txt",
        b"one \x00 two \x1b[31m three \xed\xa0\x80 four \xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9" + "é".encode() * 60,
    )
    check_promises(document)
    assert document.text.startswith("one \ufffd two \ufffd[31m three \ufffd\ufffd\ufffd four é")
    assert dict(document.metadata)["replaced_characters"] == "5"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
)
def test_encodings_of_text(read, encoding: str) -> None:
    words = "Die Prüfung der Größe ergab, daß alle Maße übereinstimmen: 5 € für jeden, schöne Grüße."
    assert read("a.txt", words.encode(encoding)).text == words


def test_no_unicode_normalisation(read) -> None:
    words = "ﬁne e\u0301 Å Ｆ ½ \u00a0x"
    assert read("a.txt", words).text == words


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(max_size=300),
    suffix=st.sampled_from([".md", ".txt", ".csv", ".html", ".xml", ".py", ".eml", ".mbox"]),
)
def test_any_text_keeps_the_promises(tmp_path: Path, text: str, suffix: str) -> None:
    path = tmp_path / f"any{suffix}"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    for member in parse_file(path):
        if isinstance(member.outcome, Document):
            check_promises(member.outcome)
        else:
            assert member.outcome.message


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=200),
    head=st.sampled_from(
        [
            b"",
            b"%PDF-1.7\n",
            b"PK\x03\x04",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            b"{\\rtf1 ",
            b"7z\xbc\xaf\x27\x1c",
        ]
    ),
    suffix=st.sampled_from([".pdf", ".zip", ".docx", ".xls", ".msg", ".bin", ""]),
)
def test_any_bytes_give_an_outcome(tmp_path: Path, data: bytes, head: bytes, suffix: str) -> None:
    path = tmp_path / f"any{suffix}"
    path.write_bytes(head + data)
    for member in parse_file(path):
        assert isinstance(member.outcome, Document | Problem)


@pytest.mark.parametrize(
    ("name", "data", "status", "code"),
    [
        ("empty.txt", b"", "skipped", "empty"),
        ("blank.md", b" \n\n ", "skipped", "empty"),
        ("photo.jpg", b"\xff\xd8\xff\xe0" + b"\0" * 50, "skipped", "needs_ocr"),
        ("old.doc", b"random words", None, None),
        ("x.bin", bytes(range(256)) * 4, "skipped", "unsupported"),
        ("broken.docx", b"PK\x03\x04 broken", "failed", "parser_error"),
        ("broken.zip", b"PK\x03\x04 broken", "failed", "parser_error"),
        (
            "broken.xlsx",
            zip_bytes([("xl/workbook.xml", b"<nothing"), ("[Content_Types].xml", b"<Types/>")]),
            "failed",
            "parser_error",
        ),
    ],
)
def test_what_is_not_read_says_why(tmp_path: Path, name: str, data: bytes, status: str, code: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    if status is None:
        assert parsed(path).text == "random words"
        return
    problem = refused(path)
    assert (problem.status, problem.code) == (status, code)
    assert len(problem.message) > 15


def test_unreadable_files_are_failures(tmp_path: Path) -> None:
    assert refused(tmp_path / "missing.txt").code == "unreadable"
    assert refused(tmp_path).code == "unreadable"


def test_the_content_decides_not_the_suffix(read) -> None:
    assert read("really-a-pdf.txt", pdf_bytes([[(72, 700, 10, "Words of a page.")]])).pages == 1
    assert read("page.docx", "just words in a text file").text == "just words in a text file"
    assert read("no-suffix", "words without a suffix").text == "words without a suffix"


def test_files_beyond_the_limit_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x" * 5000)
    (member,) = parse_file(path, Limits(max_bytes=1000))
    assert isinstance(member.outcome, Problem)
    assert member.outcome.code == "too_large"


def test_entities_that_grow_are_not_expanded(tmp_path: Path) -> None:
    levels = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    path = tmp_path / "laughs.xml"
    path.write_text(f'<!DOCTYPE a [<!ENTITY a0 "ha">{levels}]><a>&a9;</a>')
    assert refused(path).code in ("too_large", "parser_error", "empty")


@pytest.mark.parametrize("suffix", [".docx", ".xlsx", ".pptx"])
def test_packages_that_grow_are_skipped_before_they_are_read(tmp_path: Path, suffix: str) -> None:
    part = {".docx": "word/document.xml", ".xlsx": "xl/workbook.xml", ".pptx": "ppt/presentation.xml"}[suffix]
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(
        zip_bytes([(part, b"<a>" + b" " * (80 << 20) + b"</a>"), ("[Content_Types].xml", b"<a/>")])
    )
    assert path.stat().st_size < 200_000
    assert refused(path).code == "too_large"


def test_a_package_with_entities_fails(tmp_path: Path) -> None:
    body = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'
    path = tmp_path / "xxe.docx"
    path.write_bytes(zip_bytes([("word/document.xml", body), ("[Content_Types].xml", b"<a/>")]))
    assert refused(path).code == "parser_error"


def members(path: Path) -> dict[str, "Document | Problem"]:
    found = parse_file(path)
    assert len({member.name for member in found}) == len(found)
    return {member.name: member.outcome for member in found}


def document_of(outcome: "Document | Problem") -> Document:
    assert isinstance(outcome, Document), outcome
    return outcome


def test_zip_members_have_clean_names_and_no_file_is_written(tmp_path: Path) -> None:
    names = [
        "a/b.md",
        "../../etc/evil.md",
        "/abs.md",
        "c:\\win\\x.md",
        "bell\x07\x1b[1m.md",
        "..",
        "in!/side.md",
        "a/b.md",
    ]
    path = tmp_path / "box" / "a.zip"
    path.parent.mkdir()
    path.write_bytes(zip_bytes([(name, b"# Title\n\nWords.") for name in names]))
    found = members(path)
    assert list(found) == [
        "a/b.md",
        "etc/evil.md",
        "abs.md",
        "c:/win/x.md",
        "bell\ufffd\ufffd[1m.md",
        "unnamed",
        "in!_/side.md",
        "a/b.md (2)",
    ]
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]
    assert document_of(found["a/b.md"]).id == hashlib.sha256(b"# Title\n\nWords.").hexdigest()


def test_containers_in_containers_are_bounded(tmp_path: Path) -> None:
    data = b"# Deep\n\nWords."
    name = "deep.md"
    for level in range(5):
        data, name = zip_bytes([(name, data), (f"at{level}.txt", b"here")]), f"z{level}.zip"
    path = tmp_path / "deep.zip"
    path.write_bytes(data)
    found = members(path)
    assert document_of(found["z3.zip!/z2.zip!/at2.txt"]).text == "here"
    problem = found["z3.zip!/z2.zip!/z1.zip"]
    assert isinstance(problem, Problem)
    assert problem.code == "too_large"


def test_members_are_bounded_in_number_and_size(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    path.write_bytes(zip_bytes([(f"{n}.txt", b"words " * 200) for n in range(50)]))
    many = parse_file(path, Limits(max_members=10))
    assert [isinstance(m.outcome, Document) for m in many] == [True] * 10 + [False]
    large = parse_file(path, Limits(max_unpacked_bytes=5000))
    assert isinstance(large[-1].outcome, Problem)
    assert large[-1].outcome.code == "too_large"
    assert len(large) == 5


def mail_bytes(subject: str = "Buoy adrift", attach: bool = True) -> bytes:
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = "Ada <ada@example.com>"
    message["To"] = "grace@example.com"
    message["Date"] = "Thu, 19 Sep 2024 08:15:00 +0200"
    message["Message-ID"] = "<1@example.com>"
    message.set_content("The buoy is adrift.\n\nSend the boat.\n")
    if attach:
        message.add_attachment(b"# Log\n\nWind 7.", maintype="text", subtype="markdown", filename="../log.md")
    return message.as_bytes()


def test_a_mail_and_its_attachments_are_members(tmp_path: Path) -> None:
    path = tmp_path / "adrift.eml"
    path.write_bytes(mail_bytes())
    found = members(path)
    assert list(found) == ["", "log.md"]
    mail = document_of(found[""])
    check_promises(mail)
    assert kinds(mail) == [
        ("heading", "Buoy adrift"),
        (
            "paragraph",
            "From: Ada <ada@example.com>\nTo: grace@example.com\nDate: Thu, 19 Sep 2024 08:15:00 +0200",
        ),
        ("paragraph", "The buoy is adrift."),
        ("paragraph", "Send the boat."),
    ]
    assert dict(mail.metadata) == {
        "title": "Buoy adrift",
        "author": "Ada <ada@example.com>",
        "date": "2024-09-19T08:15:00+02:00",
        "from": "Ada <ada@example.com>",
        "to": "grace@example.com",
        "subject": "Buoy adrift",
        "message-id": "<1@example.com>",
    }
    assert document_of(found["log.md"]).title == "Log"


def test_an_mbox_gives_a_member_a_mail(tmp_path: Path) -> None:
    path = tmp_path / "mail.mbox"
    mails = [mail_bytes("One", attach=False), mail_bytes("Two"), mail_bytes("Three", attach=False)]
    path.write_bytes(b"".join(b"From ada Thu Sep 19 08:15:00 2024\n" + mail + b"\n\n" for mail in mails))
    found = members(path)
    assert list(found) == ["1", "2", "2!/log.md", "3"]
    assert [document_of(found[name]).title for name in "123"] == ["One", "Two", "Three"]


def test_an_html_mail_is_read_as_a_page(tmp_path: Path) -> None:
    message = EmailMessage()
    message["Subject"] = "Rates"
    message.set_content("plain words")
    message.add_alternative(
        "<p>Rich <b>words</b></p><table><tr><th>A<th>B<tr><td>1<td>2</table>", subtype="html"
    )
    path = tmp_path / "a.eml"
    path.write_bytes(message.as_bytes())
    document = document_of(members(path)[""])
    assert ("paragraph", "Rich words") in kinds(document)
    assert ("table_header", "A\tB") in kinds(document)
    assert "plain" not in document.text


def test_supported_is_a_hint_by_suffix() -> None:
    assert all(
        supported(Path(f"x{s}")) for s in (".PDF", ".md", ".docx", ".eml", ".mbox", ".zip", ".epub", ".py")
    )
    assert not any(supported(Path(f"x{s}")) for s in (".doc", ".exe", ".jpg", ""))
    assert PARSER_VERSION >= 1


def test_a_member_is_a_value(tmp_path: Path) -> None:
    """Results cross process borders and are compared."""
    path = tmp_path / "a.md"
    path.write_text("words")
    assert parse_file(path) == parse_file(path)
    assert isinstance(parse_file(path)[0], Member)
