"""What sentence selection promises: the sentence that answers first, sureness that follows the documents."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.chunk import count_tokens
from ragqa.candidates import pieces_of
from ragqa.citations import check, parse_reply
from ragqa.features import Passage
from ragqa.fitted import load_models
from ragqa.llm.extractive import reply
from ragqa.reader import Reading, Window
from ragqa.selection import EMBEDDED_SENTENCES, judge, select, similarities
from ragqa.types import ContextBlock, Prompt
from ragqa.windows import MAX_WINDOWS, WINDOW_TOKENS, expected_answer, passages_of
from tests.blocks import embed, make_block

TEXT = (
    "Employees may take 25 days of leave. Leave must be approved by a manager. "
    "The office closes on 24 December."
)


def block(key: str, text: str, score: float, title: str = "Leave policy") -> ContextBlock:
    return make_block(key, text, score, title=title, document_id="d", start=100, metadata=())


BLOCKS = [
    block("leave.md", TEXT, 1.2),
    block("visits.md", "The car park opens at 7. Visitors sign in.", -0.4, "Visits"),
]


@pytest.mark.parametrize(
    ("question", "start"),
    [
        ("How many days of leave do employees get?", "Employees may take 25"),
        ("Who approves leave?", "Leave must be approved"),
        ("When does the office close?", "The office closes"),
        ("When does the car park open?", "The car park opens"),
    ],
)
def test_the_sentence_that_answers_comes_first(question: str, start: str) -> None:
    assert select(question, BLOCKS, embed).sentences[0].text.startswith(start)


def test_a_question_about_something_else_is_less_sure() -> None:
    sure = select("How many days of leave may employees take?", BLOCKS, embed).confidence
    unsure = select("What is the capital of France?", BLOCKS, embed).confidence
    assert unsure < sure
    assert select("What is the capital of France?", BLOCKS, embed).refuses


def test_strict_is_surer() -> None:
    """The package's thresholds with a reader; between them only `--strict` refuses."""
    _, read = load_models()
    assert read.threshold < read.strict
    between = math.log(read.threshold / (1 - read.threshold)) + 0.05
    judged = replace(judge("Who approves leave?", BLOCKS, embed), model=read, odds=between)
    assert not judged.selection().refuses
    assert judged.selection(strict=True).refuses


def test_offsets_are_those_of_the_document() -> None:
    for one in select("Who approves leave?", BLOCKS, embed).sentences:
        assert one.block.text[one.start - one.block.start : one.end - one.block.start] == one.text


def test_no_block_and_no_sentence_is_a_refusal() -> None:
    for blocks in ([], [block("empty.md", "  \n ", 0.0)]):
        selection = select("Who?", blocks, embed)
        assert (selection.sentences, selection.refuses, selection.confidence) == ((), True, 0.0)


@given(st.text(max_size=60), st.lists(st.text(max_size=200), max_size=4))
def test_any_question_and_any_text_give_a_finite_answer(question: str, texts: list[str]) -> None:
    blocks = [block(str(number), text, -float(number)) for number, text in enumerate(texts)]
    selection = select(question, blocks, embed)
    assert 0.0 <= selection.confidence <= 1.0
    assert len(selection.sentences) <= 3
    assert [one.score for one in selection.sentences] == sorted(
        (one.score for one in selection.sentences), reverse=True
    )


def test_the_same_question_gives_the_same_selection() -> None:
    assert select("Who approves leave?", BLOCKS, embed) == select("Who approves leave?", list(BLOCKS), embed)


def test_no_more_sentences_are_embedded_than_promised() -> None:
    counted = []

    def counting(texts: Sequence[str]) -> np.ndarray:
        counted.append(len(texts))
        return embed(texts)

    passage = Passage(tuple(f"Sentence number {number} says leave." for number in range(200)), "Leave", 1.0)
    cosines = similarities("What says leave?", [passage], counting)
    assert counted == [EMBEDDED_SENTENCES + 1]
    assert int(np.isfinite(cosines[0]).sum()) == EMBEDDED_SENTENCES


def shown(text: str, *, section: tuple[str, ...] = ()) -> list[str]:
    made = replace(block("a", text, 1.0), section=section)
    return [one.shown for pieces in pieces_of([made]) for one in pieces.candidates]


def test_headings_and_running_lines_are_no_answers() -> None:
    header = "Merrow Buoyworks Ltd - Annual leave report {}"
    end = "The end is near."
    found = shown("\n\n".join(["Leave policy", header.format(1), TEXT, header.format(2), end, end]))
    assert "Leave policy" not in found
    assert not [line for line in found if line.startswith("Merrow")]
    assert found.count(end) == 2


def test_headings_inside_a_block_lead_what_follows_and_answer_nothing() -> None:
    text = "Sea days\n\nNights aboard earn a day.\n\n2.1 Sick pay\n\nSix weeks are paid."
    found = pieces_of([block("a", text, 1.0)])[0].candidates
    assert [(one.lead, one.text) for one in found] == [
        ("Sea days", "Nights aboard earn a day."),
        ("2.1 Sick pay", "Six weeks are paid."),
    ]


def test_a_question_that_begins_a_line_leads_to_its_answer_and_is_none() -> None:
    text = (
        "Q: What do apprentices earn?\n\nA: Eleven pounds an hour.\n\n**Who approves travel?** "
        "The head does. But who is that? Ann Lee is.\n\nWhat now?"
    )
    found = pieces_of([block("a", text, 1.0)])[0].candidates
    assert [(one.lead, one.text) for one in found] == [
        ("Q: What do apprentices earn?", "A: Eleven pounds an hour."),
        ("**Who approves travel?**", "The head does."),
        ("**Who approves travel?**", "But who is that?"),
        ("**Who approves travel?**", "Ann Lee is."),
        ("**Who approves travel?**", "What now?"),
    ]


def test_questions_one_below_the_other_are_a_list_that_may_be_quoted() -> None:
    lines = ["How many people do you employ?", "Who audits you?", "Send it back by May."]
    assert shown("\n".join(lines)) == [lines[0], lines[2]]


def test_a_list_item_is_shown_without_its_bullet_and_still_supported_by_its_own_words() -> None:
    made = replace(
        block("a", "* Controllers of revision B cannot run it.\n* The rest can.", 1.0),
        metadata=(("source", "a.md"),),
    )
    prompt = Prompt("Which controllers cannot run it?", "", (), (made,), (), 16_384)
    first = pieces_of([made])[0].candidates[0]
    sentences, citations = check(parse_reply(reply([first], [made]), prompt), prompt)
    assert [(one.text, one.verdict) for one in sentences] == [
        ("Controllers of revision B cannot run it.", "supported")
    ]
    assert citations[0].quote == first.text == "* Controllers of revision B cannot run it."


def test_lists_of_short_lines_are_no_headings() -> None:
    lines = ["Trial in autumn", "57 buoys in the water", "Profit for Brava"]
    assert shown("\n\n".join(lines)) == lines


class WordReader:
    """A reader that finds the words it was told, whatever is asked."""

    def __init__(self, wanted: str) -> None:
        self.wanted, self.windows = wanted, list[Window]()

    def read(self, question: str, windows: Sequence[Window]) -> list[Reading]:
        assert question
        self.windows += windows
        odds = [[6.0 if self.wanted in one else -6.0 for one in window.sentences] for window in windows]
        return [Reading(max(found), tuple(found)) for found in odds]


class PointingReader(WordReader):
    """A reader that takes the same words of each window for the answer."""

    def __init__(self, wanted: str, *words: str) -> None:
        super().__init__(wanted)
        self.words = words

    def read(self, question: str, windows: Sequence[Window]) -> list[Reading]:
        found = super().read(question, windows)
        return [replace(one, answers=(self.words,) * len(one.sentences)) for one in found]


def test_what_the_reader_finds_comes_first() -> None:
    found = select("How many days of leave do employees get?", BLOCKS, embed, WordReader("24 December"))
    assert found.sentences[0].text.startswith("The office closes")


def test_the_reader_decides_whether_there_is_an_answer() -> None:
    question = "How many days of leave do employees get?"
    sure, unsure = (
        select(question, BLOCKS, embed, WordReader(word)) for word in ("25 days", "no such words")
    )
    assert unsure.confidence < sure.confidence


def test_more_windows_that_seem_to_answer_far_down_do_not_make_it_surer() -> None:
    texts = ["Employees may take leave.", *(f"The office number {n} closes." for n in range(4))]
    found = pieces_of([block(str(n), text, -n) for n, text in enumerate(texts)])
    ranked = [replace(one.candidates[0], score=-4.0 * n) for n, one in enumerate(found)]
    passages = passages_of(ranked, found)

    def sure(*odds: float) -> float:
        return expected_answer(ranked, passages, [Reading(one, (one,)) for one in odds])

    assert sure(-3.0, 5.0, 5.0, 5.0, 5.0) < -2
    assert sure(5.0, -3.0, -3.0, -3.0, -3.0) > 3
    assert sure(2.0, 2.0, 2.0, 2.0, 2.0) == pytest.approx(2.0)


def test_a_sentence_without_the_count_that_is_asked_for_is_less_sure() -> None:
    with_count, without = (
        select(f"How many days of {what} do employees get?", BLOCKS, embed, WordReader("25 days"))
        for what in ("leave", "rest")
    )
    assert with_count.confidence > without.confidence
    seconds = select("How many managers do employees get?", BLOCKS, embed, WordReader("25 days"))
    assert seconds.confidence < without.confidence


def test_an_answer_without_the_count_that_is_asked_for_is_less_sure() -> None:
    count, thing = (
        select("How many days of leave do employees get?", BLOCKS, embed, PointingReader("25 days", word))
        for word in ("25", "leave")
    )
    assert [one.shown for one in count.sentences] == [one.shown for one in thing.sentences]
    assert count.confidence > thing.confidence


def test_the_reader_gets_few_windows_each_candidate_in_one_of_them() -> None:
    blocks = [
        block(str(n), " ".join(f"Leave sentence {n} {m} is of leave." for m in range(60)), 1.0)
        for n in range(4)
    ]
    reader = WordReader("nothing")
    judgement = judge("How much leave?", blocks, embed, reader)
    assert len(reader.windows) == MAX_WINDOWS
    read = {one for window in reader.windows for one in window.sentences}
    assert {one.shown for one in judgement.candidates} == read
    assert max(count_tokens(" ".join(window.sentences)) for window in reader.windows) <= WINDOW_TOKENS


def test_a_row_is_read_with_the_names_of_its_columns_however_far_up_they_are() -> None:
    rows = "\n".join(f"Place {n}\tlong street number {n}\t{n} pounds a night" for n in range(60))
    blocks = [block("a", f"Region\tAddress\tHotel per night\n{rows}", 1.0)]
    pieces = pieces_of(blocks)
    last = pieces[0].candidates[-1]
    (passage,) = passages_of([last], pieces)
    assert (
        passage.sentences[-1]
        == last.shown
        == ("Region: Place 59; Address: long street number 59; Hotel per night: 59 pounds a night")
    )
    assert "Region Address Hotel per night" not in passage.sentences


def test_a_row_without_names_is_read_with_its_header_however_far_up_that_is() -> None:
    rows = "\n".join(f"Place on the island, {n}\t{n} pounds a night" for n in range(60))
    pieces = pieces_of([block("a", f"Region\tHotel per night\n{rows}", 1.0)])
    (passage,) = passages_of([pieces[0].candidates[-1]], pieces)
    assert passage.sentences[0] == "Region Hotel per night"
    assert passage.sentences[-1].startswith("Place on the island, 59")


def test_a_row_whose_header_is_in_the_metadata_is_read_with_the_names_of_its_columns() -> None:
    made = replace(
        block("a", "London\t£185\t£46\n\nReceipts are kept.", 1.0), metadata=(("columns", "Region | A | B"),)
    )
    pieces = pieces_of([made])
    row, sentence = pieces[0].candidates
    for one in (row, sentence):
        assert passages_of([one], pieces)[0].sentences == (
            "Region: London; A: £185; B: £46",
            "Receipts are kept.",
        )


def test_a_row_of_two_cells_whose_header_is_in_the_metadata_is_read_with_it() -> None:
    made = replace(
        block("a", "London\t£185\n\nReceipts are kept.", 1.0), metadata=(("columns", "Region | A"),)
    )
    pieces = pieces_of([made])
    row, sentence = pieces[0].candidates
    assert passages_of([row], pieces)[0].sentences[0] == "Region | A"
    assert passages_of([sentence], pieces)[0].sentences[0] == "London £185"


def test_of_two_versions_the_newest_is_quoted_and_the_other_where_it_is_asked_for() -> None:
    texts = {"2023": "Staff have 25 days of leave a year.", "2025": "Staff have 28 days of leave a year."}
    blocks = [
        replace(block(f"leave-{year}.md", text, 1.0, f"Leave policy {year}"), document_id=year)
        for year, text in texts.items()
    ]
    assert [one.text for one in select("How many days of leave do staff have?", blocks, embed).sentences] == [
        texts["2025"]
    ]
    assert (
        select("How many days of leave did staff have in 2023?", blocks, embed).sentences[0].text
        == texts["2023"]
    )


def test_the_same_words_are_quoted_once() -> None:
    blocks = [block(key, TEXT, 1.0) for key in ("a", "b")]
    found = [one.shown for one in select("Who approves leave?", blocks, embed).sentences]
    assert len(found) == len(set(found))


def test_rows_stand_in_paragraphs_of_their_own_in_a_reply() -> None:
    text = "Prices hold.\n\nBuoy\t25 m\t174,500\nMembrane set\tsix\t5,940"
    made = replace(block("a", text, 1.0), metadata=(("source", "a.md"),))
    written = reply(pieces_of([made])[0].candidates, [made])
    assert written == "Prices hold.\n\nBuoy 25 m 174,500\n\nMembrane set six 5,940\nSource:\nsource: a.md"
