"""Rows of tables: told from prose, headed by the right row, and read out with the names of their columns."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa.candidates import Candidate, pieces_of, rows_in_words
from ragqa.citations import check, parse_reply
from ragqa.llm.extractive import reply
from ragqa.tables import cells_of, header_rows, in_words, is_rule, row_start
from ragqa.types import ContextBlock, Prompt
from tests.blocks import make_block
from tests.parse_documents import write_and_parse

LIMITS = "Region\tHotel per night\tMeals per day\nLondon\t£185\t£46\nCape Verde\t€95\t€41"


def block(text: str, columns: str = "") -> ContextBlock:
    metadata = (("source", "a.md"), *([("columns", columns)] if columns else []))
    return make_block("a.md", text, title="Expenses", start=50, metadata=metadata)


def shown(text: str, columns: str = "") -> list[str]:
    return [one.shown for one in candidates(text, columns)]


def candidates(text: str, columns: str = "") -> tuple[Candidate, ...]:
    return tuple(one for pieces in pieces_of([block(text, columns)]) for one in pieces.candidates)


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ("London\t£185\t£46", ("London", "£185", "£46")),
        ("| Fixed  price | 44.1 |", ("Fixed price", "44.1")),
        ("\t\t2019", ()),
        ("\tindented text", ()),
        ("Hotels are paid.", ()),
        ("a | b", ()),
    ],
)
def test_what_is_a_row(line: str, cells: tuple[str, ...]) -> None:
    assert cells_of(line) == cells


def test_lines_that_only_draw_are_no_rows() -> None:
    assert is_rule("|---|:--:|")
    assert not is_rule("| a | b |")


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([("Region", "Hotel", "Meals"), ("London", "£185", "£46")], (1, ("Region", "Hotel", "Meals"))),
        ([("Figure", "2023", "2024"), ("Sales", "41", "53")], (1, ("Figure", "2023", "2024"))),
        ([("Sales", "41", "53"), ("Costs", "40", "50")], (0, ())),
        ([("Owner", "Priya Nair"), ("Risk", "storm")], (0, ())),
        ([("Code", "Torque"), ("M6", "5 Nm"), ("M8", "12 Nm")], (1, ("Code", "Torque"))),
        ([("", "Years", ""), ("", "2019", "2018"), ("Sales", "9", "8")], (2, ("", "2019", "2018"))),
        # The page did not show where the columns part: they stay without names.
        ([("Code Name", "Range", "Level"), ("B01 lamp", "on"), ("B02 pump", "off")], (1, ())),
        # A raised digit belongs to a unit.
        ([("Model", "Flow (m³/h)", "Price"), ("P-1", "12", "340")], (1, ("Model", "Flow (m³/h)", "Price"))),
        # Numbers within names; but for those that go on below.
        ([("Item", "Q1", "Q2"), ("Sales", "41", "53")], (1, ("Item", "Q1", "Q2"))),
        ([("Depth", "TG-400S", "TG 400"), ("wet", "30 m", "9 m")], (1, ("Depth", "TG-400S", "TG 400"))),
        ([("Metal", "At 20 °C", "At 100 °C"), ("Zinc", "1", "2")], (1, ("Metal", "At 20 °C", "At 100 °C"))),
        ([("Loan", "Tier 1", "Tier 2"), ("lamp", "No", "Yes")], (1, ("Loan", "Tier 1", "Tier 2"))),
        ([("Ann", "Level 1", "on"), ("Bob", "Level 2", "off")], (0, ())),
        ([("B01 lamp", "on", "dry"), ("B02 pump", "off", "wet")], (0, ())),
        ([("Meals", "EUR 30", "Paris"), ("Hotel", "185", "Rome")], (0, ())),
        ([("Notice", "up to 4 weeks"), ("Payment", "30 days net")], (0, ())),
        # A header of two rows, with every cell in each place it spans; and where that is not known.
        (
            [("Zone", "Price", "Price"), ("Zone", "Letter", "Parcel"), ("EU", "£4", "£14")],
            (2, ("Zone", "Price Letter", "Price Parcel")),
        ),
        (
            [("Zone", "Price", ""), ("", "Letter", "Parcel"), ("EU", "£4", "£14")],
            (2, ("", "Letter", "Parcel")),
        ),
        (
            [("y", "Women", "*", "*"), ("y", "Men", "*", "*"), ("y", "All", "*", "*")],
            (1, ("y", "Women", "*", "*")),
        ),
        ([("Zone", "Letter", "Parcel"), ("Zone", "none", "few")], (1, ("Zone", "Letter", "Parcel"))),
        ([("alone", "2")], (0, ())),
        ([], (0, ())),
    ],
)
def test_which_rows_head_a_table(rows: list[tuple[str, ...]], found: tuple[int, tuple[str, ...]]) -> None:
    assert header_rows(rows) == found


def test_a_row_is_shown_with_the_names_of_its_columns_and_quoted_as_it_stands() -> None:
    london, cape = candidates(LIMITS)
    assert london.shown == "Region: London; Hotel per night: £185; Meals per day: £46"
    assert london.text == "London\t£185\t£46"
    assert LIMITS[cape.start - 50 : cape.end - 50] == "Cape Verde\t€95\t€41"


def test_column_names_from_the_metadata_count_for_rows_cut_off_from_their_header() -> None:
    rows = LIMITS.split("\n", 1)[1]
    assert shown(rows, "Region | Hotel per night | Meals per day")[1].startswith("Region: Cape Verde; Hotel")


def test_a_header_with_numbers_in_its_names_is_no_answer_and_names_the_columns() -> None:
    text = "Material\tAt 20 °C\tAt 100 °C\nCopper\t401 W/mK\t393 W/mK"
    assert shown(text) == ["Material: Copper; At 20 °C: 401 W/mK; At 100 °C: 393 W/mK"]


@pytest.mark.parametrize("above", ["", "Two plans are sold.\n\n"])
def test_a_header_with_an_empty_first_cell_names_the_columns_behind_it(above: str) -> None:
    text = f"{above}\tBasic\tPro\nStorage\t5 GB\t50 GB\n\tper seat\tper year"
    assert shown(text)[-2:] == ["Storage; Basic: 5 GB; Pro: 50 GB", "Basic: per seat; Pro: per year"]


def test_names_from_the_metadata_keep_their_places_where_some_are_empty() -> None:
    assert shown("Storage\t5 GB\t50 GB", "| Basic | Pro") == ["Storage; Basic: 5 GB; Pro: 50 GB"]
    assert shown("Storage\t5 GB\t50 GB", "Plan | | Pro") == ["Plan: Storage; 5 GB; Pro: 50 GB"]


def test_the_margin_of_an_indented_table_is_no_column() -> None:
    assert shown("\tDiscount\t4 %\n\tPayment\t30 days net") == ["Discount: 4 %", "Payment: 30 days net"]


def test_a_row_begins_with_its_empty_cells_at_its_line_s_start_only() -> None:
    assert [row_start("a\n\t\tb\tc", start) for start in (0, 4, 6)] == [0, 2, 6]


def test_rows_of_a_csv_with_empty_last_cells_are_shown_with_the_names_of_their_columns(
    tmp_path: Path,
) -> None:
    rows = ("cell,operator,mass,remark", "C-1,Ann,12,", "C-2,Bob,,", "C-3,Cy,14,cracked", "C-4,Di,15,")
    assert shown(write_and_parse(tmp_path, "a.csv", "\n".join(rows)).text) == [
        "cell: C-1; operator: Ann; mass: 12",
        "cell: C-2; operator: Bob",
        "cell: C-3; operator: Cy; mass: 14; remark: cracked",
        "cell: C-4; operator: Di; mass: 15",
    ]


def test_a_line_alone_in_a_table_is_no_row_of_it(tmp_path: Path) -> None:
    text = write_and_parse(tmp_path, "a.csv", "cell,mass,remark\nC-1,12,dry\nsecond day,,\nC-2,13,wet").text
    assert "\nsecond day\n" in text


def test_a_quoted_row_ends_with_its_last_cell_that_is_not_empty(tmp_path: Path) -> None:
    text = write_and_parse(tmp_path, "a.csv", "cell,mass,remark\nC-1,12,\nC-2,13,wet").text
    first = candidates(text)[0]
    assert text[first.start - 50 : first.end - 50] == first.text == "C-1\t12"


def test_two_cells_of_a_wider_table_without_names_are_a_name_and_its_value() -> None:
    assert shown("Discount\t4 %\t\nPayment\t30 days\tnet") == ["Discount: 4 %", "Payment 30 days net"]


def test_two_cells_are_a_name_and_its_value() -> None:
    assert shown("Discount\t4 % from four buoys\nPayment\t30 days net")[1] == "Payment: 30 days net"


def test_no_row_begins_like_a_list_of_sources() -> None:
    assert in_words(("Source", "coal"), ()) == "Source coal"
    assert in_words(("coal", "5", "6"), ("Source", "Mass", "Price")) == "coal; Mass: 5; Price: 6"


def test_empty_cells_are_left_out() -> None:
    assert in_words(("London", "", "£46"), ("Region", "Hotel", "Meals")) == "Region: London; Meals: £46"


def test_a_row_in_words_comes_with_the_spans_that_say_so() -> None:
    text = f"Daily limits\n\n{LIMITS}"
    found = dict(rows_in_words(block(text)))
    spans = found["Region: London; Hotel per night: £185; Meals per day: £46"]
    assert [text[start:end] for start, end in spans] == [
        "London\t£185\t£46",
        "Region\tHotel per night\tMeals per day",
    ]


def test_a_row_in_words_is_supported_by_the_row_first_and_then_by_its_header() -> None:
    made = block(f"Daily limits\n\n{LIMITS}")
    prompt = Prompt("What may a night in London cost?", "", (), (made,), (), 16_384)
    london = pieces_of([made])[0].candidates[0]
    sentences, citations = check(parse_reply(reply([london], [made]), prompt), prompt)
    assert [(one.text, one.verdict, one.citations) for one in sentences] == [
        (london.shown, "supported", (1, 2))
    ]
    assert [one.quote for one in citations] == ["London\t£185\t£46", "Region\tHotel per night\tMeals per day"]


def test_a_short_row_is_supported_by_itself_alone() -> None:
    made = block("There is no charge for a loan device.\n\nLoan device\tNo\tNo\tYes")
    prompt = Prompt("Is a loan device included?", "", (), (made,), (), 16_384)
    row = pieces_of([made])[0].candidates[1]
    sentences, citations = check(parse_reply(reply([row], [made]), prompt), prompt)
    assert [(one.text, one.verdict) for one in sentences] == [("Loan device No No Yes", "supported")]
    assert [one.quote for one in citations] == ["Loan device\tNo\tNo\tYes"]


def test_a_row_is_one_sentence_whatever_full_stops_are_in_it() -> None:
    text = (
        "Two pumps are sold. Both float.\n\nModel\tMax. Flow (litres)\tPrice\nP-1\tapprox. 5. Or 6\t340 EUR"
    )
    made = block(text)
    prompt = Prompt("What is the price of the P-1?", "", (), (made,), (), 16_384)
    two, both, pump = pieces_of([made])[0].candidates
    sentences, _ = check(parse_reply(reply([pump, two, both], [made]), prompt), prompt)
    assert [(one.text, one.verdict) for one in sentences] == [
        ("Model: P-1; Max. Flow (litres): approx. 5. Or 6; Price: 340 EUR", "supported"),
        ("Two pumps are sold.", "supported"),
        ("Both float.", "supported"),
    ]


def test_a_row_with_a_cell_of_another_row_is_not_taken_for_one() -> None:
    made = block(LIMITS)
    prompt = Prompt("What may a night in London cost?", "", (), (made,), (), 16_384)
    mixed = "Region: London; Hotel per night: €95; Meals per day: £46"
    sentences, _ = check(parse_reply(f"{mixed}\nSource:\nsource: a.md", prompt), prompt)
    assert [one.verdict for one in sentences] != ["supported"]


@given(st.lists(st.lists(st.text(max_size=8), min_size=1, max_size=5), max_size=6))
def test_any_rows_are_shown_without_loss_of_a_cell(rows: list[list[str]]) -> None:
    for one in candidates("\n".join("\t".join(row) for row in rows)):
        assert all(cell in one.shown for cell in cells_of(one.text))
        assert "\n" not in one.shown
