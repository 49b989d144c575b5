"""Tables of PDFs: cells in their columns, wrapped ones whole, and what only looks like a table left alone."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from ragqa.candidates import pieces_of
from tests.blocks import make_block
from tests.parse_documents import Text, kinds, pdf_bytes, write_and_parse

Cells = Sequence[str | Sequence[str]]
X = (72, 150, 300, 400)


def cell_by_cell(rows: Sequence[Cells], *, x: Sequence[float] = X, middle: bool = False) -> list[Text]:
    """A table as it is drawn, each cell with all its lines, from its row's top or around its middle."""
    found: list[Text] = []
    top = 700.0
    for row in rows:
        cells = [[cell] if isinstance(cell, str) else list(cell) for cell in row]
        height = 12 * max(map(len, cells))
        for place, lines in enumerate(cells):
            first = top - (height - 12 * len(lines)) / 2 if middle else top
            found += [(x[place], first - 12 * number, 10, line) for number, line in enumerate(lines) if line]
        top -= height + 8
    return found


def read(folder: Path, page: Sequence[Text]) -> list[tuple[str, str]]:
    return kinds(write_and_parse(folder, "paper.pdf", pdf_bytes([page])))


MOTORS: list[Cells] = [
    ("Name", "What it is", "Supply", "Unit"),
    (("Main", "motor"), ("drives the pump of", "the second loop"), "24", "V"),
    ("Fan", "cools", ("18", "to 30"), "V"),
    ("Lamp", "shines", "12", ("V", "peak")),
]


@pytest.mark.parametrize("middle", [False, True])
def test_a_cell_on_several_lines_is_one_cell_of_its_row(tmp_path: Path, middle: bool) -> None:
    assert read(tmp_path, cell_by_cell(MOTORS, middle=middle)) == [
        ("table_header", "Name\tWhat it is\tSupply\tUnit"),
        ("table_row", "Main motor\tdrives the pump of the second loop\t24\tV"),
        ("table_row", "Fan\tcools\t18 to 30\tV"),
        ("table_row", "Lamp\tshines\t12\tV peak"),
    ]


def test_rows_of_a_pdf_are_shown_with_the_names_of_their_columns(tmp_path: Path) -> None:
    rows = [("Sample", ("Area", "(m2/g)"), "Yield"), ("H-11", "14.6", "74.9"), ("H-13", "3.8", "86.4")]
    text = write_and_parse(tmp_path, "a.pdf", pdf_bytes([cell_by_cell(rows)])).text
    (pieces,) = pieces_of([make_block("a.pdf", text)])
    assert [one.shown for one in pieces.candidates] == [
        "Sample: H-11; Area (m2/g): 14.6; Yield: 74.9",
        "Sample: H-13; Area (m2/g): 3.8; Yield: 86.4",
    ]


def test_columns_that_are_close_in_one_row_are_parted_where_the_others_part(tmp_path: Path) -> None:
    # Ten points are less than the gap that alone parts cells.
    rows = [
        ("Cover", "Limit of any one claim", "Excess"),
        ("Wreck", "90", "5"),
        ("Care of others", "25", "7"),
    ]
    page = cell_by_cell(rows, x=(72, 147, 263))
    assert read(tmp_path, page) == [
        ("table_header", "Cover\tLimit of any one claim\tExcess"),
        ("table_row", "Wreck\t90\t5"),
        ("table_row", "Care of others\t25\t7"),
    ]


def test_an_empty_cell_keeps_its_place(tmp_path: Path) -> None:
    rows = [
        ("Part", "Stock", "Shelf", "Price"),
        ("Anode", "", "B4", "4"),
        ("Cathode", "7", "", "9"),
        ("Lid", "3", "A1", "2"),
    ]
    assert read(tmp_path, cell_by_cell(rows))[1:3] == [
        ("table_row", "Anode\t\tB4\t4"),
        ("table_row", "Cathode\t7\t\t9"),
    ]


def test_a_last_row_of_narrow_gaps_belongs_to_its_table(tmp_path: Path) -> None:
    rows = [("Lamp", "Means"), ("Green", "water"), ("White", "flushing"), ("Navigation lamp", "traffic near")]
    assert read(tmp_path, cell_by_cell(rows, x=(72, 157)))[-1] == (
        "table_row",
        "Navigation lamp\ttraffic near",
    )


def test_a_currency_sign_is_no_column(tmp_path: Path) -> None:
    page: list[Text] = [(72, 700, 10, "Item"), (225, 700, 10, "2023"), (345, 700, 10, "2024")]
    for number, name in enumerate(("Sales", "Costs", "Rent")):
        y = 684 - 16 * number
        page += [
            (72, y, 10, name),
            (200, y, 10, "$"),
            (230, y, 10, f"4{number}1"),
            (320, y, 10, "$"),
            (350, y, 10, f"5{number}3"),
        ]
    assert read(tmp_path, page)[1] == ("table_row", "Sales\t$ 401\t$ 503")


def test_names_above_the_middle_of_numbers_make_no_columns_of_their_own(tmp_path: Path) -> None:
    page: list[Text] = [(72, 700, 10, "Months to December"), (240, 700, 10, "2022"), (340, 700, 10, "2021")]
    for number, name in enumerate(("Sales", "Costs", "Rent")):
        page += [
            (72, 684 - 16 * number, 10, name),
            (280, 684 - 16 * number, 10, "41"),
            (380, 684 - 16 * number, 10, "52"),
        ]
    assert read(tmp_path, page)[:2] == [
        ("table_header", "Months to December\t2022\t2021"),
        ("table_row", "Sales\t41\t52"),
    ]


def test_items_with_a_wide_gap_behind_their_mark_are_no_table(tmp_path: Path) -> None:
    rows: list[Cells] = [
        ("(a)", ("The company advises you to ask a lawyer", "before you agree to it.")),
        ("(b)", ("Nothing in here forbids you to speak with", "a public office.")),
    ]
    assert {kind for kind, _ in read(tmp_path, cell_by_cell(rows, x=(72, 110)))} == {"paragraph"}


def test_short_columns_of_prose_below_a_line_with_cells_are_no_table(tmp_path: Path) -> None:
    left = ["The left column goes on for", "only three short lines in", "all before it ends here."]
    right = ["The right column is read when", "the left one has come to its", "end and not along with it."]
    rows: list[Cells] = [("Journal of Tests", "Page 4"), (left, right)]
    found = read(tmp_path, cell_by_cell(rows, x=(72, 300)))
    assert ("paragraph", "\n".join(left)) in found
    assert ("paragraph", "\n".join(right)) in found


def lines_of_cells(lines: Sequence[tuple[float, str]]) -> list[Text]:
    return [(x, y, 10.0, word) for y, words in lines for x, word in zip(X, words.split(), strict=False)]


@pytest.mark.parametrize(("top", "parted"), [(720, "\n\n"), (694, "\n")])
def test_a_line_of_cells_far_above_a_table_is_no_row_of_it(tmp_path: Path, top: int, parted: str) -> None:
    rows = [(680, "Article Colour Place"), (666, "Chair white A3"), (652, "Table black B7")]
    page = lines_of_cells([(top, "Order-9 North Lund"), *rows])
    text = write_and_parse(tmp_path, "paper.pdf", pdf_bytes([page])).text
    assert text == f"Order-9\tNorth\tLund{parted}Article\tColour\tPlace\nChair\twhite\tA3\nTable\tblack\tB7"


def test_rows_that_are_all_far_apart_are_one_table(tmp_path: Path) -> None:
    page = lines_of_cells(
        [(720, "Part Colour"), (690, "Anode red"), (660, "Cathode blue"), (630, "Shell grey")]
    )
    assert write_and_parse(tmp_path, "paper.pdf", pdf_bytes([page])).text.count("\n\n") == 0


def test_a_header_far_above_its_amounts_is_a_row_of_their_table(tmp_path: Path) -> None:
    page = lines_of_cells([(720, "Part Number"), (680, "Anode 12"), (666, "Cathode 7"), (652, "Shell 3")])
    assert [kind for kind, _ in read(tmp_path, page)] == ["table_header", *["table_row"] * 3]
