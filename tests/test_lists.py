"""What is promised of lists: which pieces are items of one, and the line that is shown with an item."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa.candidates import Candidate, Pieces, items_in_words, pieces_of
from ragqa.citations import check, parse_reply
from ragqa.lists import is_item
from ragqa.llm.extractive import reply
from ragqa.types import Citation, Prompt, Sentence
from tests.blocks import make_block

POLICY = (
    "Section 3 Exclusions\n\nWe will not pay for:\n3.1 gradual pollution;\n3.2 loss by war, save that\n"
    "ensuing fire is covered;\n3.3 fines and penalties.\n\nThe policy ends on 31 December."
)


def cut(text: str) -> Pieces:
    return pieces_of([make_block("policy.txt", text)])[0]


def said(text: str) -> list[str]:
    """Items as they are shown behind the line that introduces them."""
    return [one.said for one in cut(text).candidates if one.opening]


def checked(*shown: Candidate) -> tuple[tuple[Sentence, ...], tuple[Citation, ...]]:
    block = shown[0].block
    prompt = Prompt("Are fines covered?", "", (), (block,), (), 100)
    return check(parse_reply(reply(shown, [block]), prompt), prompt)


def starting(text: str, start: str) -> Candidate:
    return next(one for one in cut(text).candidates if one.text.startswith(start))


def test_an_item_is_shown_behind_the_line_that_introduces_it() -> None:
    """Without it, "3.3 fines and penalties." reads as a yes to "Are fines covered?"."""
    assert said(POLICY) == [
        "We will not pay for: 3.1 gradual pollution;",
        "We will not pay for: 3.2 loss by war, save that ensuing fire is covered;",
        "We will not pay for: 3.3 fines and penalties.",
    ]


def test_item_and_line_are_cited_verbatim_the_item_first() -> None:
    fines, ends = starting(POLICY, "3.3"), starting(POLICY, "The policy")
    sentences, citations = checked(fines, ends)
    assert [(one.text, one.verdict, one.citations) for one in sentences] == [
        ("We will not pay for: 3.3 fines and penalties.", "supported", (1, 2)),
        ("The policy ends on 31 December.", "supported", (3,)),
    ]
    assert [one.quote for one in citations[:2]] == ["3.3 fines and penalties.", "We will not pay for:"]
    assert all(POLICY[one.start : one.end] == one.quote for one in citations)


@pytest.mark.parametrize("marker", ["1.", "1)", "(1)", "a.", "(a)", "(i)", "-", "•", "3.1"])
def test_an_item_with_any_marker_stays_one_sentence_of_the_answer(marker: str) -> None:
    text = f"You must not bring:\n{marker} Dogs, cats etc. Birds may stay."
    dogs = starting(text, marker)
    sentences, _ = checked(dogs)
    assert (sentences[0].verdict, sentences[0].citations) == ("supported", (1, 2))
    assert sentences[0].text.startswith("You must not bring: ")


def test_an_item_that_ends_a_sentence_is_shown_with_its_beginning() -> None:
    text = "The tenant shall\n(a) pay rent;\n(b) keep the premises:\n(i) clean;\n(ii) dry; and\n(c) leave."
    assert said(text) == [
        "The tenant shall (a) pay rent;",
        "The tenant shall (b) keep the premises:",
        "(b) keep the premises: (i) clean;",
        "(b) keep the premises: (ii) dry; and",
        "The tenant shall (c) leave.",
    ]


def test_lines_without_markers_are_shown_behind_the_line_that_introduces_them() -> None:
    """As bullets of Markdown, HTML and Word are stored."""
    assert said("Not insured are:\n\nracing\ncharter\n\nInsured is:\n\ntowing") == [
        "Not insured are: racing charter",
        "Insured is: towing",
    ]


@pytest.mark.parametrize(
    "text",
    [
        # The line of the second list is not parted from the first.
        "We pay for:\n- fire\nWe will not pay for:\n- fines",
        "We pay for:\n1. Fire.\nWe will not pay for:\n2. Fines.",
        # A paragraph stands between.
        "We pay for:\n\n1. Fire.\n\nAll else is at your own risk, as this is\n\n2. Fines.",
        "Exclusions\n\n- fines",
        "It was a good year. Fines were few.\n\n- fines",
        "References:\n\n1. Fines of the year",
    ],
)
def test_where_it_is_not_certain_what_introduces_an_item_it_stands_alone(text: str) -> None:
    assert not [line for line in said(text) if line.endswith(("fines", "Fines.", "year"))]


def test_a_list_that_goes_on_under_another_line_is_introduced_by_that_one() -> None:
    text = "We will pay:\n\n1. fire\n2. storm\n\nWe will not pay:\n\n3. war\n4. fines"
    assert said(text)[2:] == ["We will not pay: 3. war", "We will not pay: 4. fines"]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("1. Open it.\n2. Check that:\n- it is off;\n- it is cold.\n3. Press Save\n\nIt is done.", (1, 3, 1)),
        (
            "1 Switch off.\n2 Measure the bus. A bus\n\nshows 60 Ω.\n3 Switch on.\n\nThat is all.",
            (1, 2, 1),
        ),
        ("1. Yes.\n2. No.\n\nSo it is said.\n\n3. Perhaps.", (1, 2, 1)),
        ("It was in\n1 January or so.", None),
        ("4. Of a list that begins in another block.\n5. The last.", None),
    ],
)
def test_the_items_of_a_list_have_what_belongs_to_them(text: str, items: tuple[int, ...] | None) -> None:
    lists = cut(text).lists
    assert (tuple(map(len, lists[0].items)) if lists else None) == items


def test_a_running_line_parts_no_list() -> None:
    header = "Marine liability policy - page {}"
    text = f"{header.format(1)}\n\nWe will not pay for:\n\n- war\n\n{header.format(2)}\n\n- fines"
    assert said(text) == ["We will not pay for: war", "We will not pay for: fines"]


def test_the_words_that_a_page_cuts_off_are_no_heading() -> None:
    text = "1 Measure it. A healthy bus shows\n\n60 ohms at rest."
    assert "A healthy bus shows" in [one.text for one in cut(text).candidates]


def test_a_label_that_announces_sources_introduces_nothing() -> None:
    assert not said("Sources:\n\n- the register")


def test_no_number_is_taken_for_a_marker_within_prose() -> None:
    assert not is_item("60 per cent of it.")
    assert not is_item("A. Smith wrote it.")


@given(st.text(alphabet="ab1.2)(i:;-• \n", max_size=80))
def test_any_text_has_lists_of_its_own_pieces_and_the_check_knows_their_items(text: str) -> None:
    block = replace(make_block("a", text), start=0)
    for made in pieces_of([block]):
        for one in made.lists:
            assert one.places == tuple(sorted(set(one.places)))
            assert set(one.introduced) <= {item[0] for item in one.items}
        known = dict(items_in_words(block))
        for one in made.candidates:
            if one.opening and not block.text.count(one.text) > 1:
                assert text[slice(*known[one.said][0])] == one.text
