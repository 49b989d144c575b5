"""PDF: lines that pages repeat are no text; items of lists stand apart and go on over pages."""

from functools import partial
from pathlib import Path

import pytest

from ingest.chunk import chunk_document
from tests.parse_documents import Text, check_promises, kinds, paragraph, pdf_bytes, texts, write_and_parse

BODY = [
    "The gateway is mounted on a rail, and the ambient",
    "temperature must not leave the range of the table.",
]


@pytest.fixture
def read(tmp_path: Path):
    return partial(write_and_parse, tmp_path, "paper.pdf")


def framed(rows: list[Text], number: int) -> list[Text]:
    """A page with a head of two parts and a foot, both with the page's number."""
    head = [(72, 760, 9, "Gateway: user manual"), (450, 760, 9, f"Page {number}")]
    return [*head, *rows, (290, 40, 9, f"- {number} -")]


def test_heads_and_feet_with_page_numbers_are_no_text(read) -> None:
    first = [(72, 700, 10, "1. Insert the card."), (72, 686, 10, "2. Connect the")]
    second = [(72, 700, 10, "antenna to it."), (72, 686, 10, "3. Switch it on.")]
    document = read(pdf_bytes([framed(first, 1), framed(second, 2)]))
    check_promises(document)
    assert document.text == "1. Insert the card.\n2. Connect the\nantenna to it.\n\n3. Switch it on."
    assert [document.text[line.start : line.end] for line in document.lines] == [
        "1. Insert the card.",
        "2. Connect the",
        "antenna to it.",
        "3. Switch it on.",
    ]
    assert [line.page for line in document.lines] == [1, 1, 2, 2]


def test_a_list_that_runs_over_a_page_is_one_list(read) -> None:
    pages = [[(72, 700, 10, "1 Insert the card."), (72, 686, 10, "2 Wait.")], [(72, 700, 10, "3 Switch on.")]]
    document = read(pdf_bytes([framed(rows, number) for number, rows in enumerate(pages, start=4)]))
    assert texts(document, "list_item") == ["1 Insert the card.", "2 Wait.", "3 Switch on."]
    assert document.text == "1 Insert the card.\n2 Wait.\n3 Switch on."
    assert [element.page for element in document.elements] == [1, 1, 2]


def test_the_head_of_a_single_page_is_told_by_the_word(read) -> None:
    body = paragraph(72, 700, BODY)
    assert read(pdf_bytes([[(72, 760, 9, "nda-orlin Page 1"), *body]])).text == "\n".join(BODY)
    kept = read(pdf_bytes([[(72, 760, 9, "nda-orlin 1"), *body]]))
    assert kept.text.startswith("nda-orlin 1\n")


def test_what_counts_with_the_pages_and_is_no_page_number_stays(read) -> None:
    pages = [[(72, 760, 10, f"Week {number}"), *paragraph(72, 700, BODY)] for number in (1, 2)]
    assert read(pdf_bytes(pages)).text.count("Week") == 2
    titles = [[(72, 760, 18, f"Lesson {number}"), *paragraph(72, 700, BODY)] for number in (1, 2, 3)]
    assert read(pdf_bytes(titles)).text.count("Lesson") == 3


@pytest.mark.parametrize(("size", "font", "count"), [(10, b"", 3), (8, b"-Bold", 3), (8, b"", 0)])
def test_a_number_in_the_type_of_the_text_names_what_its_page_is_about(
    read, size: int, font: bytes, count: int
) -> None:
    notes = {101: "It has a balcony.", 102: "The tenant keeps a dog.", 103: "Nobody lives there now."}
    pages = [[(72, 760, size, f"Flat {number}"), (72, 700, 10, note)] for number, note in notes.items()]
    data = pdf_bytes(pages).replace(b"/Helvetica", b"/Helvetica" + font)
    assert read(data).text.count("Flat") == count


def test_a_number_with_a_place_of_its_own_is_the_pages(read) -> None:
    pages = [
        [(72, 760, 10, "Handbook"), (450, 760, 10, f"{number}"), (72, 700, 10, words)]
        for number, words in enumerate(("Switch it on.", "Wait for the lamp.", "Leave."), start=1)
    ]
    assert "Handbook" not in read(pdf_bytes(pages)).text


def test_a_line_that_ends_the_text_of_many_pages_stays_on_each(read) -> None:
    results = ["passed", "failed", "passed", "passed", "failed"]
    head = [(72, 770, 10, "Merrow Ltd"), (72, 758, 10, "Leith, Scotland"), (72, 746, 10, "Tests")]
    pages = [
        [
            *head,
            (72, 705, 16, f"Crane {name}"),
            *paragraph(72, 680, [f"It was lifted {name * 3}.", f"Result of the test: {result}."]),
            (72, 40, 10, "Copies to the owner"),
        ]
        for name, result in zip("ABCDE", results, strict=True)
    ]
    text = read(pdf_bytes(pages)).text
    assert (text.count("passed"), text.count("failed")) == (3, 2)
    assert [text.count(words) for words in ("Merrow", "Leith", "Copies")] == [1, 1, 1]


def test_a_line_that_pages_repeat_without_a_number_is_said_once_below_no_heading(read) -> None:
    foot = (72, 40, 8, "Merrow Ltd, registered in Scotland under SC 482913")
    bodies = ([f"Pump {n} is here.", f"It feeds tank {n}.", f"Valve {n} shuts it."] for n in "ABC")
    pages = [[(72, 740, 16, body[0][:6]), *paragraph(72, 700, body), foot] for body in bodies]
    document = read(pdf_bytes(pages))
    check_promises(document)
    assert document.text.count("SC 482913") == 1
    assert document.text.endswith("SC 482913")
    last = chunk_document(document)[-1]
    assert (document.text[last.start : last.end], last.section, last.page) == (foot[3], (), 1)


def test_a_line_in_smaller_type_right_below_the_text_of_each_page_is_said_once(read) -> None:
    bodies = (["Pump A is here.", "It is red."], ["Valve B shuts it.", "We like it."], ["Go home.", "Sleep."])
    pages = [[*paragraph(72, 700, body), (72, 677, 8, "Merrow Ltd, Leith")] for body in bodies]
    assert read(pdf_bytes(pages)).text.count("Merrow") == 1


@pytest.mark.parametrize(
    ("foot", "title"),
    [
        ("Merrow Ltd | Annual Report 2023 | {}", "Merrow Ltd | Annual Report 2023"),
        ("{}   Merrow Ltd – Annual Report", "Merrow Ltd – Annual Report"),
        ("Annual report of Merrow Ltd, page {} of 9", "Annual report of Merrow Ltd"),
        ("Annual Report of Riverside {}", "Annual Report of Riverside"),
        ("Merrow Ltd | Report 2023 | {}", "ANNUAL REPORT"),
        ("Annual report {}", "ANNUAL REPORT"),
        ("Finance", "ANNUAL REPORT"),
        ("Downloaded from www.merrow.example/annual report", "ANNUAL REPORT"),
        ("Annual report, confidential {}", "ANNUAL REPORT"),
    ],
)
def test_a_running_line_that_says_the_title_and_more_is_the_title(read, foot: str, title: str) -> None:
    document = read(reports(foot))
    assert document.title == title
    declares = dict(document.metadata).get("title")
    assert declares == (None if title == "ANNUAL REPORT" else title)


@pytest.mark.parametrize("year", [2023, 2024])
def test_a_number_that_does_not_go_up_with_the_pages_stays_in_the_title(read, year: int) -> None:
    assert read(reports(f"Merrow Annual Report {year}")).title == f"Merrow Annual Report {year}"


def reports(foot: str) -> bytes:
    """Four pages with a foot, `{}` the page's number; the first has a title and, lower, another heading."""
    bodies = {
        n: [f"Sales of unit {n} grew.", f"Its costs fell by {n} %.", "We go on."] for n in (11, 27, 35, 4)
    }
    pages = [
        [*paragraph(72, 660, body), (72, 40, 8, foot.format(number))]
        for number, body in enumerate(bodies.values(), start=1)
    ]
    pages[0][:0] = [(72, 740, 20, "ANNUAL REPORT"), (72, 700, 14, "Finance")]
    return pdf_bytes(pages)


def test_the_header_of_a_table_that_goes_on_over_pages_stays(read) -> None:
    rows = [("Part", "Number"), ("Anode", "12"), ("Cathode", "7"), ("Shell", "3")]
    page = [
        (72 + 150 * n, 700 - 14 * m, 10, cell) for m, row in enumerate(rows) for n, cell in enumerate(row)
    ]
    document = read(pdf_bytes([framed(page, number) for number in (1, 2, 3)]))
    assert texts(document, "table_header") == ["Part\tNumber"] * 3
    assert "Page" not in document.text


def test_numbers_without_a_dot_count_items_and_others_go_on(read) -> None:
    lines = ["2 Measure the bus. A healthy one shows some", "60 Ohm; with one resistor it shows", "120 Ohm."]
    page = [(72, 714, 10, "1 Switch off the gateway."), *paragraph(72, 700, lines), (72, 664, 10, "3 Wait.")]
    assert kinds(read(pdf_bytes([page]))) == [
        ("list_item", "1 Switch off the gateway."),
        ("list_item", "\n".join(lines)),
        ("list_item", "3 Wait."),
    ]


def test_a_number_that_a_wrapped_line_starts_with_is_no_item(read) -> None:
    lines = ["The train that goes to the coast leaves from platform", "12. It is often late in winter."]
    assert kinds(read(pdf_bytes([paragraph(72, 700, lines)]))) == [("paragraph", "\n".join(lines))]


def test_a_line_below_a_list_that_had_room_in_it_is_no_part_of_the_item(read) -> None:
    page = [(72, 712, 10, "• Antenna"), (72, 700, 10, "• Rail clip")]
    below = (72, 688, 10, "The card and the cables are not included.")
    assert kinds(read(pdf_bytes([[*page, below]]))) == [
        ("list_item", "• Antenna"),
        ("list_item", "• Rail clip"),
        ("paragraph", below[3]),
    ]
