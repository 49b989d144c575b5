"""Plain text: which lines are headings, and which are items or the text itself."""

from functools import partial
from pathlib import Path

import pytest

from ingest.chunk import chunk_document
from ingest.sentences import sentence_spans
from tests.parse_documents import check_promises, kinds, texts, write_and_parse


@pytest.fixture
def read(tmp_path: Path):
    return partial(write_and_parse, tmp_path, "a.txt")


OBJECTIVES = """SERVICE LEVELS

1. Ingest
   Availability: 99.95 % per calendar month.
   Latency: 95 % of the readings are stored.

2. API
   Availability: 99.9 % per calendar month.

ERROR BUDGET
If more than half of it is used by the 15th, features are
frozen until the end of the month.
"""


def test_a_short_line_above_its_text_is_a_heading_without_an_empty_line(read) -> None:
    document = read(OBJECTIVES)
    check_promises(document)
    assert texts(document, "heading") == ["SERVICE LEVELS", "1. Ingest", "2. API", "ERROR BUDGET"]
    assert [chunk.section for chunk in chunk_document(document)][-2:] == [("2. API",), ("ERROR BUDGET",)]
    assert document.title == "SERVICE LEVELS"
    found = [document.text[start:end] for start, end in sentence_spans(document.text)]
    assert "2. API" in found
    assert "Availability: 99.9 % per calendar month." in found


def test_the_title_of_a_clause_in_the_line_of_its_text_is_its_heading(read) -> None:
    document = read(
        "Owners: Halvorsen Rederi.\n\nCLAUSE 15. REDELIVERY. The Vessel shall be redelivered.\n\n"
        "CLAUSE 18. ASSIGNMENT AND SUB-CHARTER. The Charterers shall not\nsub-charter the Vessel."
    )
    check_promises(document)
    assert kinds(document) == [
        ("paragraph", "Owners: Halvorsen Rederi."),
        ("heading", "CLAUSE 15. REDELIVERY."),
        ("paragraph", "The Vessel shall be redelivered."),
        ("heading", "CLAUSE 18. ASSIGNMENT AND SUB-CHARTER."),
        ("paragraph", "The Charterers shall not\nsub-charter the Vessel."),
    ]
    assert document.title == "a"  # a clause names no document


@pytest.mark.parametrize(
    "text",
    [
        "1. Buy milk\n2. Buy eggs for the whole of the week",
        "1. Buy milk\n\n2. Buy eggs\n\n3. Call Tom",
        "24 months",
        "TERMS OF\nUSE",
        "I saw it. It was good.",
        "1. I revoke the legacy of the will of my late husband to\n   Toby.",
    ],
)
def test_items_and_wrapped_lines_are_no_headings(read, text: str) -> None:
    assert texts(read(text), "heading") == []


@pytest.mark.parametrize("line", ["7. Termination", "CLAUSE 15. REDELIVERY", "ERROR BUDGET", "§ 4 Preise"])
def test_a_line_of_its_own_that_is_numbered_or_in_capitals_is_a_heading(read, line: str) -> None:
    document = read(f"Some words.\n\n{line}\n\nEither party may end it.")
    assert texts(document, "heading") == [line]


@pytest.mark.parametrize(
    "line",
    [
        "TOTAL AMOUNT DUE: EUR 4,500",
        "AMOUNT DUE €4,500",
        "PHONE: 030 1234",
        "12 March 2024",
        "12. März 2024",
        "MONDAY, MARCH 12, 2024",
        "2 Pumps at 300 EUR",
        "30 Days",
        "10 Downing Street",
        "INVOICE NUMBER 4711",
    ],
)
def test_a_date_an_amount_or_a_value_is_no_heading(read, line: str) -> None:
    assert texts(read(f"Some words.\n\n{line}\n\nMore words."), "heading") == []


@pytest.mark.parametrize(
    "line",
    [
        "2 Scope of supply",
        "1.2 Terms",
        "3 Marketing",
        "4.1 Claims above EUR 10,000",
        "CHAPTER 2: 12 MEN",
        "PART II: THE END",
        "ANNUAL REPORT 2024",
        "AMENDMENT NO. 1",
        "5 Days of rest",
    ],
)
def test_a_section_with_a_number_in_it_is_a_heading(read, line: str) -> None:
    assert kinds(read(f"Some words.\n\n{line}\n\nMore words."))[1] == ("heading", line)
