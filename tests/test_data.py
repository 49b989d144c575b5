"""The sample corpus and its questions keep what `data/README.md` promises.

Documents are read here by extractors that share nothing with `ingest`: the standard library, pypdf, pandoc.
"""

import csv
import email
import email.policy
import io
import json
import re
import zipfile
from collections import Counter
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

DATA = Path(__file__).parent.parent / "data"
DOCUMENTS = DATA / "documents"
FORMATS = {"md", "txt", "html", "pdf", "docx", "pptx", "xlsx", "csv", "eml", "epub", "odt", "rtf"}
REFUSED = {"unanswerable", "near_miss"}
FIELDS = {"id", "question", "answers", "gold_doc_ids", "evidence", "answerable", "meta"}
QUESTIONS: list[dict[str, Any]] = [
    json.loads(line) for line in (DATA / "questions.jsonl").read_text(encoding="utf-8").splitlines()
]
BLOCKS = {"p", "tr", "h", "title", "h1", "h2", "li", "td", "th", "table-row"}


class TextOfHtml(HTMLParser):
    """Collects the text between tags."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - the base's
        if tag in BLOCKS:
            self.pieces.append("\n")


def html_text(markup: str) -> str:
    parser = TextOfHtml()
    parser.feed(markup)
    return "".join(parser.pieces)


def xml_text(content: bytes) -> str:
    """Text of an office or book member, a line for each paragraph, row or shared string."""
    pieces: list[str] = []

    def walk(node: ElementTree.Element) -> None:
        pieces.append(node.text or "")
        for child in node:
            walk(child)
            pieces.append(child.tail or "")
        if node.tag.rpartition("}")[2] in BLOCKS:
            pieces.append("\n")

    walk(ElementTree.fromstring(content))
    return "".join(pieces)


def zip_text(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        members = [name for name in sorted(archive.namelist()) if name.endswith((".xml", ".xhtml"))]
        return ["\n".join(xml_text(archive.read(name)) for name in members)]


def slide_text(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if re.fullmatch(r"ppt/slides/slide\d+\.xml", name)]
        names.sort(key=lambda name: int(re.sub(r"\D", "", name)))
        return [xml_text(archive.read(name)) for name in names]


def pdf_text(path: Path) -> list[str]:
    pypdf = pytest.importorskip("pypdf")
    return [page.extract_text() for page in pypdf.PdfReader(path).pages]


def rtf_text(path: Path) -> list[str]:
    pypandoc = pytest.importorskip("pypandoc")
    return [str(pypandoc.convert_file(str(path), "plain", extra_args=["--wrap=none"]))]


def mail_text(path: Path) -> list[str]:
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    body = message.get_body(("plain", "html"))
    assert body is not None
    return [f"{message['subject']}\n{body.get_content()}"]


def csv_text(path: Path) -> list[str]:
    rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8")))
    return ["\n".join("\t".join(row) for row in rows)]


def plain_text(path: Path) -> list[str]:
    return [path.read_text(encoding="utf-8")]


def markdown_text(path: Path) -> list[str]:
    """The text as written, the bars between table cells as spaces."""
    return [path.read_text(encoding="utf-8").replace("|", " ")]


def workbook_text(path: Path) -> list[str]:
    """A line for each row, cells in order; shared strings in their places, where there are any."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(archive.namelist())
        parts = {name: ElementTree.fromstring(archive.read(name)) for name in names if name.endswith(".xml")}
    sheets = [part for name, part in parts.items() if name.startswith("xl/worksheets/sheet")]
    tables = [part for name, part in parts.items() if name == "xl/sharedStrings.xml"]
    strings = ["".join(item.itertext()) for table in tables for item in table]
    rows = [row for sheet in sheets for row in sheet.iterfind(".//{*}row")]
    return ["\n".join("\t".join(cell_text(cell, strings) for cell in row) for row in rows)]


def cell_text(cell: ElementTree.Element, strings: list[str]) -> str:
    value = "".join(cell.itertext())
    return strings[int(value)] if cell.get("t") == "s" else value


EXTRACTORS = {
    ".md": markdown_text,
    ".txt": plain_text,
    ".csv": csv_text,
    ".eml": mail_text,
    ".rtf": rtf_text,
    ".pdf": pdf_text,
    ".html": lambda path: [html_text(path.read_text(encoding="utf-8"))],
    ".docx": zip_text,
    ".pptx": slide_text,
    ".xlsx": workbook_text,
    ".odt": zip_text,
    ".epub": zip_text,
}


@cache
def pages_of(source: str) -> tuple[str, ...]:
    """The document's pages, or its whole text as one, white space normalised."""
    path = DOCUMENTS / source
    return tuple(normalised(text) for text in EXTRACTORS[path.suffix](path))


def normalised(text: str) -> str:
    return " ".join(text.split())


def sources() -> list[str]:
    return sorted(path.relative_to(DOCUMENTS).as_posix() for path in DOCUMENTS.rglob("*") if path.is_file())


def of_kind(*kinds: str) -> list[dict[str, Any]]:
    return [question for question in QUESTIONS if question["meta"]["kind"] in kinds]


def test_at_least_thirty_documents_in_every_format_within_three_megabytes() -> None:
    assert len(sources()) >= 30
    assert {Path(source).suffix[1:] for source in sources()} == FORMATS
    assert sum((DOCUMENTS / source).stat().st_size for source in sources()) < 3_000_000


def test_every_question_has_the_form_of_the_evaluation_sets() -> None:
    for question in QUESTIONS:
        assert set(question) == FIELDS, question
        assert question["question"].strip() == question["question"] != ""
        assert question["meta"]["split"] in {"tune", "report"}
        assert question["answerable"] is (question["meta"]["kind"] not in REFUSED)
        assert bool(question["answers"]) is question["answerable"]
        cited = dict.fromkeys(item["doc_id"] for item in question["evidence"])
        assert list(cited) == question["gold_doc_ids"]
        assert bool(question["gold_doc_ids"]) is question["answerable"]
        assert all(item["quotes"] and "page" in item for item in question["evidence"])


def test_ids_and_questions_are_unique() -> None:
    assert len(QUESTIONS) >= 72
    assert len({question["id"] for question in QUESTIONS}) == len(QUESTIONS)
    assert len({question["question"].lower() for question in QUESTIONS}) == len(QUESTIONS)


def test_a_third_is_unanswerable_and_half_of_those_are_near_misses() -> None:
    refused = of_kind(*REFUSED)
    near = of_kind("near_miss")
    assert len(refused) * 3 >= len(QUESTIONS)
    assert len(near) * 2 >= len(refused)
    assert {question["meta"]["nearest_doc"] for question in near} <= set(sources())


def test_both_splits_hold_a_like_share_of_every_kind() -> None:
    kinds = Counter(question["meta"]["kind"] for question in QUESTIONS)
    tuned = Counter(question["meta"]["kind"] for question in QUESTIONS if question["meta"]["split"] == "tune")
    assert all(abs(2 * tuned[kind] - count) <= 1 for kind, count in kinds.items()), (kinds, tuned)
    assert abs(2 * tuned.total() - len(QUESTIONS)) <= 4


def test_answerable_questions_reach_every_format_and_every_gold_source_exists() -> None:
    gold = {source for question in QUESTIONS for source in question["gold_doc_ids"]}
    assert gold <= set(sources())
    assert {Path(source).suffix[1:] for source in gold} == FORMATS


@pytest.mark.parametrize("source", sources())
def test_every_quote_stands_in_its_document_and_on_its_page(source: str) -> None:
    pages = pages_of(source)
    assert all(pages)
    assert len("".join(pages)) > 200
    for question in QUESTIONS:
        for item in question["evidence"]:
            if item["doc_id"] == source:
                assert (item["page"] is None) is (not source.endswith(".pdf")), question["id"]
                text = pages[item["page"] - 1] if item["page"] else " ".join(pages)
                missing = [quote for quote in item["quotes"] if normalised(quote) not in text]
                assert not missing, (question["id"], missing)


def test_contradiction_questions_have_two_gold_sources() -> None:
    assert len(of_kind("contradiction")) >= 2
    assert all(len(question["gold_doc_ids"]) == 2 for question in of_kind("contradiction"))


def test_the_manual_has_forty_pages_an_outline_and_properties() -> None:
    pypdf = pytest.importorskip("pypdf")
    reader = pypdf.PdfReader(DOCUMENTS / "engineering/selkie-s3-manual.pdf")
    assert len(reader.pages) >= 40
    assert len(reader.outline) >= 5
    assert reader.metadata.title
    assert reader.metadata.author
    assert reader.metadata.creation_date


def test_the_two_column_paper_breaks_words_at_line_ends() -> None:
    pages = pytest.importorskip("pypdf").PdfReader(DOCUMENTS / "engineering/elastic-tether-fatigue.pdf").pages
    text = "\n".join(page.extract_text() for page in pages)
    assert re.search(r"[a-z][-\u00ad]\n[a-z]", text)


def test_no_two_documents_have_the_same_bytes() -> None:
    assert len({(DOCUMENTS / source).read_bytes() for source in sources()}) == len(sources())


def test_a_quote_occurs_once_in_its_document() -> None:
    """So that a citation which overlaps the quote's place is right, and no other is."""
    for question in QUESTIONS:
        for item in question["evidence"]:
            text = "".join("".join(pages_of(item["doc_id"])).split())
            counts = [text.count("".join(quote.split())) for quote in item["quotes"]]
            assert set(counts) == {1}, (question["id"], item["quotes"], counts)
