"""Each format: words in order, headings, lists, tables, metadata; the canonical text's promises for all."""

from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.parse import PARSER_VERSION, parse_file, supported
from ingest.types import Document, Member, Problem
from tests.parse_documents import check_promises, kinds, pdf_bytes, texts, write_and_parse, zip_bytes


@pytest.fixture
def read(tmp_path: Path):
    return partial(write_and_parse, tmp_path)


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
        ("list_item", "• carry over five days"),
        ("list_item", "• ask first"),
        ("list_item", "• no more"),
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
    assert "• carry over five days\n• ask first\n• no more\n\nYears" in document.text


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


@pytest.mark.parametrize("gap", ["\n", ""])
def test_a_section_between_rules_is_no_front_matter(read, gap: str) -> None:
    page = f"---\n{gap}# Minutes of the board\n{gap}Date: 5 March 2024\nPresent: Anna Berg\n\n---\n\nNext."
    document = read("a.md", page)
    assert document.text == "Minutes of the board\n\nDate: 5 March 2024\nPresent: Anna Berg\n\nNext."
    assert read("b.md", f"---\n{gap}Date: 5 March 2024\n---\nNext.").metadata[:1] == (
        () if gap else (("date", "2024-03-05"),)
    )


def test_front_matter_may_hold_comments(read) -> None:
    assert read("a.md", "---\n# Shown at the top\ntitle: Leave\n---\nText.").text == "Text."


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
        ("list_item", "• keep receipts"),
        ("list_item", "• ask first"),
    ]
    assert dict(document.metadata) == {
        "title": "Expenses",
        "author": "I. Moss",
        "date": "2024-05-06T10:00:00+00:00",
        "url": "https://example.com/x",
    }


def test_cells_that_span_stand_in_every_place_they_span(read) -> None:
    page = """<table><tr><th colspan=4>Postage<tr><th rowspan=2>Zone<th colspan=2>Price<th rowspan=2>Days
    <tr><th>Letter<th>Parcel<tr><td rowspan=3>EU<td>£4<td>£14<td>3<tr><td colspan=2>on request<td>9
    <tr><td>£5<td>£15<td>2<tr><td colspan=2>Total<td>£14<td>12</table>"""
    assert kinds(read("a.html", page)) == [
        ("table_header", "Postage"),
        ("table_header", "Zone\tPrice\tPrice\tDays"),
        ("table_header", "Zone\tLetter\tParcel\tDays"),
        ("table_row", "EU\t£4\t£14\t3"),
        ("table_row", "EU\ton request\ton request\t9"),
        ("table_row", "EU\t£5\t£15\t2"),
        ("table_row", "Total\t\t£14\t12"),
    ]


def test_no_cell_reaches_out_of_the_head_of_its_table_and_prose_is_said_once(read) -> None:
    prose = "Letters and parcels that are sent to members of the union only."
    page = f"""<table><thead><tr><th rowspan=2>Zone<th>Price</thead>
    <tr><td>EU<td>£4<tr><td>World<td rowspan=2>{prose}<tr><td>Space</table>"""
    assert read("a.html", page).text.split("\n") == ["Zone\tPrice", "EU\t£4", f"World\t{prose}", "Space"]


def test_a_table_of_spans_without_cells_is_left_as_it_is(read) -> None:
    page = "<table><tr><td colspan=100 rowspan=100>one<td>two" + "<tr><td>three<td>four" * 5 + "</table>"
    assert read("a.html", page).text.split("\n") == ["one\ttwo", *["three\tfour"] * 5]


@pytest.mark.parametrize("name", ["a.html", "a.md"])
def test_a_number_raised_behind_another_stays_apart_from_it(read, name: str) -> None:
    page = (
        "It rose to 19<sup>2</sup> percent of <b>£185</b><sup>1</sup>, 10<sup>−6</sup> in 2024.<sup>3</sup>"
    )
    assert read(name, page).text == "It rose to 19² percent of £185¹, 10⁻⁶ in 2024.³"
    assert (
        read(name, "The 5<sup>th</sup> of 1<sup>1/2</sup> m<sup>3</sup> now.").text
        == "The 5th of 1¹/² m3 now."
    )


def test_a_mark_inside_a_link_behind_a_number_stays_apart_from_it(read) -> None:
    page = "<p>From £185<a href=#n><sup>1</sup></a> to 9<sup><a>2<sup>3</sup></a></sup> or 5<sup>4</sup>."
    assert read("a.html", page).text == "From £185¹ to 9²³ or 5⁴."


@pytest.mark.parametrize("name", ["a.html", "a.md"])
@pytest.mark.parametrize("odd", ["\x01", "<!-- 5 --><sup>1</sup>", "<?x?>", "<body>", "<![CDATA[", "\f"])
def test_odd_markup_in_tables_and_blocks_fails_no_file(read, name: str, odd: str) -> None:
    page = f"<div>{odd}<br>{odd}</div><table><tr><td>{odd}one<br>{odd}<sup>2</sup><td>two</table>"
    assert "two" in read(name, page).text


def test_line_breaks_and_blocks_of_html_in_markdown_part_words(read) -> None:
    table = "| a | b |\n|---|---|\n| 5<br>10 | x |\n\n"
    assert texts(read("a.md", table), "table_row") == ["5 10\tx"]
    page = "One<br/>two.\n\n<p>Three</p><p>four<br>five</p>\n\n<p>Six</p>\n"
    assert texts(read("a.md", page), "paragraph") == ["One\ntwo.", "Three\nfour\nfive", "Six"]


def test_a_table_of_html_in_markdown_is_a_table(read) -> None:
    page = """# Sizes\n\n<table><tr><td>Price</td><td>5</td></tr><tr><td>Size</td><td>6</td></tr></table>

<div><p>Above.</p><table>
<tr><th>Zone</th><th>Fee</th></tr>

<tr><td rowspan=2>EU</td><td>5<br>10</td></tr><tr><td>7</td></tr>
</table>Below.</div>"""
    assert kinds(read("a.md", page))[1:] == [
        ("table_row", "Price\t5"),
        ("table_row", "Size\t6"),
        ("paragraph", "Above."),
        ("table_header", "Zone\tFee"),
        ("table_row", "EU\t5 10"),
        ("table_row", "EU\t7"),
        ("paragraph", "Below."),
    ]


@pytest.mark.parametrize("cell", ["td", "th"])
@pytest.mark.parametrize("name", ["a.html", "a.md"])
def test_names_on_the_left_of_two_columns_are_no_header(read, name: str, cell: str) -> None:
    days = (("Monday", "Pasta"), ("Tuesday", "Pizza"), ("Wednesday", "Fish"))
    rows = "".join(f"<tr><{cell}>{day}</{cell}><td>{dish}</td></tr>" for day, dish in days)
    assert kinds(read(name, f"<table>{rows}</table>")) == [("table_row", "\t".join(row)) for row in days]


def test_a_comment_is_no_cell_of_two_columns(read) -> None:
    page = "<table><tr><!-- a --><td>Monday<td>Pasta<tr><td>Tuesday<!-- b --><td>Pizza</table>"
    assert texts(read("a.html", page), "table_row") == ["Monday\tPasta", "Tuesday\tPizza"]


@pytest.mark.parametrize("first", ["<td><b>Code</b><td><b>Use</b>", "<td>Code<td>2024", "<th>Code<th>Use"])
def test_a_first_row_that_is_bold_or_above_numbers_is_a_header(read, first: str) -> None:
    bolts, nuts = ("5 Nm", "12 Nm") if "2024" in first else ("bolts", "nuts")
    below = f"<tr><td>M6<td>{bolts}<tr><td>M8<td>{nuts}"
    assert kinds(read("a.html", f"<table><tr>{first}{below}</table>"))[0][0] == "table_header"


def test_what_a_page_folds_and_its_captions_are_text(read) -> None:
    page = """<details><summary>How long is the warranty?</summary><p>It is 24 months.</p></details>
    <figure><img src=b.png><figcaption>The bridge <b>in</b> 1920.</figcaption></figure>"""
    document = read("a.html", page)
    assert texts(document, "paragraph") == [
        "How long is the warranty?",
        "It is 24 months.",
        "The bridge in 1920.",
    ]


def test_a_table_that_lays_out_a_page_is_no_table(read) -> None:
    words = "Many words of prose that fill a page. " * 30
    document = read("a.html", f"<table><tr><td><p>{words}<p>Second paragraph of it.</table>")
    assert texts(document, "paragraph") == [words.strip(), "Second paragraph of it."]


def test_rtf_and_rst(read) -> None:
    assert texts(read("a.rtf", r"{\rtf1\ansi Caf\'e9 at sea.\par Second.\par}"), "paragraph") == [
        "Café at sea.",
        "Second.",
    ]
    rst = read("a.rst", "Title\n=====\n\nWords of it.\n\n* one\n* two\n")
    assert kinds(rst) == [
        ("heading", "Title"),
        ("paragraph", "Words of it."),
        ("list_item", "• one"),
        ("list_item", "• two"),
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


@pytest.mark.parametrize(
    ("words", "encoding"),
    [
        ("Le règlement intérieur interdit les téléphones portables.", "cp1252"),
        ("Un élève étranger a été reçu à Orléans.", "cp1252"),
        ("Das Lagerhaus gehört der Städtischen Behörde.", "cp1252"),
        ("東京都千代田区", "cp932"),
        ("株式会社ABC 2024年3月 の請求書 no.5", "cp932"),
    ],
)
def test_a_short_text_is_japanese_or_western(read, words: str, encoding: str) -> None:
    assert read("a.txt", words.encode(encoding)).text == words


def test_no_unicode_normalisation(read) -> None:
    words = "ﬁne e\u0301 Å Ｆ ½ \u00a0x"
    assert read("a.txt", words).text == words


def test_soft_hyphens_are_no_part_of_words(read) -> None:
    document = read("a.html", "<title>Our ware&shy;houses</title><p>The ware&shy;house is full.</p>")
    assert (document.title, document.text) == ("Our warehouses", "The warehouse is full.")


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


def test_the_content_decides_not_the_suffix(read) -> None:
    assert read("really-a-pdf.txt", pdf_bytes([[(72, 700, 10, "Words of a page.")]])).pages == 1
    assert read("page.docx", "just words in a text file").text == "just words in a text file"
    assert read("no-suffix", "words without a suffix").text == "words without a suffix"


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
