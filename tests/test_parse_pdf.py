"""PDF: words in reading order, with pages, boxes, headings and tables."""

from pathlib import Path

import pypdfium2
import pytest

from ingest.types import Document
from tests.parse_documents import Text, check_promises, kinds, paragraph, parsed, pdf_bytes, refused, texts

LEFT = [
    "The left column of this page is read first and to",
    "its end, before any word of the right one comes.",
    "It goes on for several lines as columns of papers",
    "do, so that it can be told from a table of cells.",
    "Its last line ends with the word hippopotamus.",
]
RIGHT = [
    "The right column of this page is read second, and",
    "it starts with these words after the left column.",
    "Both are set in the same type and at one distance",
    "of lines, which is why position alone must decide.",
    "Its last line ends with the word rhinoceros.",
]


@pytest.fixture
def read(tmp_path: Path):
    def write_and_parse(data: bytes) -> Document:
        path = tmp_path / "paper.pdf"
        path.write_bytes(data)
        return parsed(path)

    return write_and_parse


def test_elements_and_lines_know_their_page_from_one(read) -> None:
    document = read(pdf_bytes([[(72, 700, 10, f"This is page number {n}.")] for n in (1, 2, 3)]))
    assert document.pages == 3
    assert [(e.page, document.text[e.start : e.end]) for e in document.elements] == [
        (n, f"This is page number {n}.") for n in (1, 2, 3)
    ]
    assert [line.page for line in document.lines] == [1, 2, 3]


def test_each_visual_line_has_its_own_words_and_box(read) -> None:
    document = read(pdf_bytes([paragraph(72, 700, LEFT)]))
    assert [document.text[line.start : line.end] for line in document.lines] == LEFT
    for number, line in enumerate(document.lines):
        baseline = 700 - 12 * number
        assert line.x0 == pytest.approx(72, abs=2)
        assert line.y0 < baseline < line.y1
        assert 8 < line.y1 - line.y0 < 16
        assert 200 < line.x1 < 320


def test_the_box_of_a_line_holds_the_words_that_pdfium_finds_there(read, tmp_path: Path) -> None:
    data = pdf_bytes([paragraph(72, 700, LEFT) + paragraph(330, 700, RIGHT)])
    document = read(data)
    page = pypdfium2.PdfDocument(data)[0].get_textpage()
    for line in document.lines:
        found = page.get_text_bounded(line.x0 - 1, line.y0, line.x1 + 1, line.y1).split()
        assert document.text[line.start : line.end].split() == found


def test_two_columns_drawn_one_after_the_other(read) -> None:
    document = read(pdf_bytes([paragraph(72, 700, LEFT) + paragraph(330, 700, RIGHT)]))
    assert document.text.index("hippopotamus") < document.text.index("The right column")
    assert texts(document, "paragraph") == ["\n".join(LEFT), "\n".join(RIGHT)]


def test_two_columns_drawn_line_by_line_across_both(read) -> None:
    left, right = paragraph(72, 700, LEFT), paragraph(330, 700, RIGHT)
    drawn = [one for pair in zip(left, right, strict=True) for one in pair]
    document = read(pdf_bytes([[(72, 740, 16, "A Title Over Both"), *drawn]]))
    assert texts(document, "paragraph") == ["\n".join(LEFT), "\n".join(RIGHT)]


NOTE = [(72, 60, 7, "1 As of 3 May, without the cold months.")]
OPEN = "The tenant pays the costs of\nheating and of the"
GOES_ON = "lift on the first day of each\nmonth."


@pytest.mark.parametrize("note", [[], NOTE])
def test_a_sentence_that_goes_on_in_the_next_column_or_page_is_one(read, note: list[Text]) -> None:
    first = paragraph(72, 120, OPEN.split("\n"))
    for data in (
        pdf_bytes([[*first, *note, *paragraph(330, 700, GOES_ON.split("\n"))]]),
        pdf_bytes([[*first, *note], paragraph(72, 700, GOES_ON.split("\n"))]),
    ):
        document = read(data)
        check_promises(document)
        assert document.text == "\n\n".join([f"{OPEN}\n{GOES_ON}", *(words for *_, words in note)])


def test_what_stands_in_other_type_or_after_an_end_starts_anew(read) -> None:
    closed = paragraph(72, 120, ["The tenant pays the costs", "of heating and of the lift."])
    assert "\n\nand" in read(pdf_bytes([[*closed, (330, 700, 10, "and the water.")]])).text
    assert "\n\nand" in read(pdf_bytes([[*closed[:1], (330, 700, 8, "and the water.")]])).text
    assert "\n\nand" in read(pdf_bytes([[*closed[:1], (72, 80, 10, "and the water.")]])).text
    assert "\n\nand" in read(pdf_bytes([[*closed[:1], (42, 700, 10, "and the water.")]])).text


def test_lines_drawn_in_no_order_are_read_from_the_top(read) -> None:
    lines = paragraph(72, 700, [f"Line number {n} of ten lines on this page." for n in range(10)])
    shuffled = [lines[n] for n in (7, 2, 9, 0, 5, 1, 8, 3, 6, 4)]
    assert read(pdf_bytes([shuffled])).text.split("\n") == [words for _, _, _, words in lines]


def test_a_gap_and_an_indent_start_paragraphs(read) -> None:
    first, second = LEFT[:3], RIGHT[:3]
    gap = paragraph(72, 700, first) + paragraph(72, 640, second)
    assert texts(read(pdf_bytes([gap])), "paragraph") == ["\n".join(first), "\n".join(second)]
    indented = [*paragraph(72, 700, first), (90, 664, 10, second[0]), *paragraph(72, 652, second[1:])]
    assert texts(read(pdf_bytes([indented])), "paragraph") == ["\n".join(first), "\n".join(second)]


@pytest.mark.parametrize(
    ("first", "second", "joined"),
    [
        ("The committee asked for an exam-", "ple of good practice in this field.", "an example of"),
        ("It beats the system called Lucene-", "BM25 by nine points in accuracy.", "called Lucene-BM25 by"),
        ("The state-of-the-", "art method is quite old by now.", "state-of-the-art method"),
        ("We use a dual-encoder model; the dual-", "encoder is trained on few pairs.", "the dual-encoder is"),
        ("The limit is the one that is set EU-", "wide for all of the years.", "set EU-wide for"),
        ("Every error that is found in it is an err-", "or of the one who wrote it down.", "an error of"),
    ],
)
def test_words_cut_by_a_line_end_join(read, first: str, second: str, joined: str) -> None:
    document = read(pdf_bytes([paragraph(72, 700, ["These words come before all of it.", first, second])]))
    assert joined in document.text
    shown = [document.text[line.start : line.end] for line in document.lines]
    assert len(shown) == 3
    assert shown[2] == second
    assert document.lines[1].end == document.lines[2].start
    assert "\x02" not in document.text
    assert "\ufffe" not in document.text


@pytest.mark.parametrize("word", ["and", "oder"])
def test_a_hyphen_before_another_half_stays(read, word: str) -> None:
    lines = ["The law says nothing of houses built pre-", f"{word} post-war in this part of the town."]
    assert read(pdf_bytes([paragraph(72, 700, lines)])).text == "\n".join(lines)


def test_larger_type_makes_headings_with_depth(read) -> None:
    page = [
        (72, 740, 20, "Annual Report"),
        (72, 700, 14, "Fouling of the membrane"),
        *paragraph(72, 680, LEFT),
        (72, 600, 14, "What we changed"),
        *paragraph(72, 580, RIGHT),
    ]
    document = read(pdf_bytes([page]))
    found = [(e.depth, document.text[e.start : e.end]) for e in document.elements if e.kind == "heading"]
    assert found == [(1, "Annual Report"), (2, "Fouling of the membrane"), (2, "What we changed")]
    assert document.title == "Annual Report"


def test_titles_of_the_outline_are_headings_where_they_stand(read) -> None:
    body = paragraph(72, 680, LEFT)
    pages = [
        [(72, 700, 10, "1 Purpose of it"), *body],
        [(72, 700, 10, "2 Duties"), *body, (72, 60, 30, "BIG")],
    ]
    document = read(pdf_bytes(pages, outline=[("Purpose of it", 0), ("Duties", 1)]))
    assert [(e.page, document.text[e.start : e.end]) for e in document.elements if e.kind == "heading"] == [
        (1, "1 Purpose of it"),
        (2, "2 Duties"),
    ]


def test_cells_on_one_line_are_separated_by_tabs(read) -> None:
    rows = [("Part", "Number", "Price"), ("Anode", "12", "4.50"), ("Cathode", "7", "9.25")]
    page = [
        (72 + 150 * n, 700 - 14 * m, 10, cell) for m, row in enumerate(rows) for n, cell in enumerate(row)
    ]
    document = read(pdf_bytes([paragraph(72, 760, LEFT[:2]) + page]))
    assert kinds(document)[1:] == [
        ("table_header", "Part\tNumber\tPrice"),
        ("table_row", "Anode\t12\t4.50"),
        ("table_row", "Cathode\t7\t9.25"),
    ]


def test_a_statement_has_two_header_rows_and_labels_between_its_amounts(read) -> None:
    rows = [
        ["", "Three Months Ended", "Six Months Ended"],
        ["", "July 29, 2023", "July 30, 2022"],
        ["Revenue", "9,583", "10,329"],
        ["Gross profit", "2,220", "2,287"],
        ["Other income (expense):"],
        ["Interest expense", "(12)", "(7)"],
        ["Net earnings", "274", "306"],
    ]
    page = [
        (72 + 180 * n, 700 - 14 * m, 10, cell)
        for m, row in enumerate(rows)
        for n, cell in enumerate(row)
        if cell
    ]
    assert kinds(read(pdf_bytes([page]))) == [
        ("table_header", "\tThree Months Ended\tSix Months Ended"),
        ("table_header", "\tJuly 29, 2023\tJuly 30, 2022"),
        ("table_row", "Revenue\t9,583\t10,329"),
        ("table_row", "Gross profit\t2,220\t2,287"),
        ("table_row", "Other income (expense):"),
        ("table_row", "Interest expense\t(12)\t(7)"),
        ("table_row", "Net earnings\t274\t306"),
    ]


def test_properties_become_metadata(read) -> None:
    dates = "/CreationDate (D:20240905123000+02'00') /ModDate (D:20250101)"
    info = f"/Title (Tether fatigue) /Author (I. Moss) {dates}"
    metadata = dict(read(pdf_bytes([paragraph(72, 700, LEFT)], info=info)).metadata)
    assert metadata == {
        "title": "Tether fatigue",
        "author": "I. Moss",
        "date": "2024-09-05T12:30:00+02:00",
        "created": "2024-09-05T12:30:00+02:00",
        "modified": "2025-01-01",
    }


def test_what_a_program_fills_in_is_no_author_and_no_subject(read) -> None:
    info = "/Author (\\(anonymous\\)) /Subject (\\(unspecified\\)) /Keywords (tethers)"
    assert dict(read(pdf_bytes([paragraph(72, 700, LEFT)], info=info)).metadata) == {"keywords": "tethers"}


def test_a_page_without_text_among_others_is_named(read) -> None:
    document = read(pdf_bytes([paragraph(72, 700, LEFT), [], paragraph(72, 700, RIGHT)]))
    assert dict(document.metadata)["pages_without_text"] == "2"
    assert document.pages == 3
    assert document.elements[-1].page == 3


def test_no_text_at_all_asks_for_ocr(tmp_path: Path) -> None:
    path = tmp_path / "scan.pdf"
    path.write_bytes(pdf_bytes([[], []]))
    problem = refused(path)
    assert (problem.status, problem.code) == ("skipped", "needs_ocr")
    assert "ocrmypdf" in problem.message


@pytest.mark.parametrize("keep", [20, 200, 600])
def test_a_cut_off_file_never_raises(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "cut.pdf"
    path.write_bytes(pdf_bytes([paragraph(72, 700, LEFT)])[:keep])
    assert refused(path).code in ("parser_error", "needs_ocr")


@pytest.mark.parametrize("matrix", ["0 1 -1 0 792 0", "-1 0 0 -1 612 792", "0 -1 1 0 0 612"])
def test_text_that_is_turned_on_the_page_reads_the_same(read, matrix: str) -> None:
    """Landscape pages are stored so. The boxes stay where the words are stored."""
    data = pdf_bytes([[(72, 560, 16, "Heading of it"), *paragraph(72, 500, LEFT)]], matrix=matrix)
    document = read(data)
    assert document.text == "Heading of it\n\n" + "\n".join(LEFT)
    page = pypdfium2.PdfDocument(data)[0].get_textpage()
    for line in document.lines:
        found = page.get_text_bounded(line.x0 - 1, line.y0 - 1, line.x1 + 1, line.y1 + 1)
        assert document.text[line.start : line.end] in found


def test_upright_text_of_a_page_that_is_shown_turned_is_read_from_the_top(read) -> None:
    data = pdf_bytes([[(72, 560, 16, "Heading of it"), *paragraph(72, 500, LEFT[:2])]])
    assert read(data.replace(b"/Rotate 0 ", b"/Rotate 90")).text == read(data).text


def test_the_values_of_a_form_stand_behind_its_labels(read) -> None:
    labels = [
        (72, 700, 12, "Applicant name:"),
        (72, 660, 12, "Monthly rent in euros:"),
        (72, 620, 12, "This form is an application for the lease of a flat."),
    ]
    document = read(pdf_bytes([labels], fields=[(220, 700, 12, "Maria Holm"), (220, 660, 12, "1450")]))
    assert document.text.splitlines()[:2] == ["Applicant name:\tMaria Holm", "Monthly rent in euros:\t1450"]
    assert document.text.endswith(labels[2][3])


def test_a_form_that_is_not_filled_in_changes_no_order(read) -> None:
    words = paragraph(330, 700, RIGHT) + paragraph(72, 700, LEFT)
    assert read(pdf_bytes([words], fields=[(220, 300, 12, "")])).text == read(pdf_bytes([words])).text


@pytest.mark.parametrize(
    ("matrix", "rise", "shown"),
    [("1 0 0 1 0 0", 4, "40² mg"), ("-1 0 0 -1 612 792", 4, "40² mg"), ("1 0 0 1 0 0", 0, "402 mg")],
)
def test_a_number_raised_behind_another_stays_apart_from_it(read, matrix: str, rise: int, shown: str) -> None:
    words = [
        (72, 700, 10, "The daily dose is 40"),
        (161.5, 700 + rise, 6, "2"),
        (165, 700, 10, " mg for adults."),
    ]
    assert read(pdf_bytes([words], matrix=matrix)).text == f"The daily dose is {shown} for adults."
