"""What goes with the best sentence: the whole list that is asked for, the sentence beside it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from ingest.pipeline import IngestOptions, ingest_paths
from ragqa.candidates import Candidate, pieces_of
from ragqa.completing import MOST_ITEMS, completed
from ragqa.types import ContextBlock
from ragqa.wiring import EngineChoice, open_answerer
from tests.blocks import make_block
from tests.parse_documents import paragraph, pdf_bytes

STEPS = (
    "Replacing the filter\n\nThe filter is replaced once a year.\n\n1. Close the valve.\n2. Open the lid. "
    "Use the key.\n3. Put in the new filter\n\nThe work takes an hour."
)
FILTER = ["1. Close the valve.", "2. Open the lid.", "Use the key.", "3. Put in the new filter"]
PUMP = make_block("pump.md", STEPS, title="Pump manual", section=("Pump manual", "Replacing the filter"))


def answer(question: str, *starts: str, blocks: Sequence[ContextBlock] = (PUMP,)) -> list[str]:
    """What is shown where the sentences that begin so are the best, the first of them most."""
    pieces = pieces_of(blocks)
    found = [one for made in pieces for one in made.candidates]
    best = [next(one for one in found if one.text.startswith(start)) for start in starts]
    return [one.said for one in completed(question, best, found, pieces)]


def alone(text: str) -> list[ContextBlock]:
    return [make_block("notes.md", text)]


@pytest.mark.parametrize(
    "question",
    [
        "How do I replace the filter?",
        "What are the steps to replace a filter?",
        "How to replace a filter",
    ],
)
def test_a_question_for_steps_is_answered_with_all_of_them_in_order(question: str) -> None:
    assert answer(question, "3. Put", "1. Close") == FILTER


def test_headings_that_say_what_is_asked_lead_to_the_list_below_them() -> None:
    """The best sentence is prose of the same document: in the section itself, or about a side of it."""
    question = "How do I replace the filter of the pump?"
    assert answer(question, "The filter is") == FILTER
    aside = make_block("aside.md", "The filter is never washed.", document_id="pump.md", title="Pump manual")
    assert answer(question, "The filter is never", blocks=(aside, PUMP)) == FILTER
    other = make_block("other.md", "The filter is never washed.", title="Pump manual")
    assert answer(question, "The filter is never", blocks=(other, PUMP)) == ["The filter is never washed."]


def test_steps_below_a_title_are_of_what_the_title_names_only_where_no_other_heading_is() -> None:
    runbook = "Steps\n\n1. Fence the old one.\n2. Promote the replica.\n\nIt takes 8 minutes."
    for section, expected in (("Steps", 2), ("Alarms", 1)):
        text = runbook.replace("Steps", section)
        block = make_block("a.md", text, title="Fail over the database", section=(section,))
        assert len(answer("How do I fail over the database?", "It takes", blocks=[block])) == expected


def test_other_questions_are_not_answered_with_lists() -> None:
    for question in ("When do I close the valve?", "Who replaces the filter?", "Is the lid opened?"):
        assert answer(question, "1. Close") == ["1. Close the valve."]


def test_one_step_that_says_more_of_what_is_asked_than_the_headings_is_the_answer() -> None:
    assert answer("How do I open the lid?", "2. Open") == ["2. Open the lid."]


def test_a_list_of_something_else_than_a_sentence_names_is_not_shown() -> None:
    text = "Installation\n\n1. Get the package.\n2. Start it.\n\nWindows is not supported."
    shown = answer("How do I start installation on Windows?", "1. Get", "Windows", blocks=alone(text))
    assert shown == ["1. Get the package.", "Windows is not supported."]


def test_the_line_that_introduces_a_list_is_shown_with_it_and_never_alone() -> None:
    text = "Care\n\nNever put into the machine:\n\n- silver\n- wood\n\nAll else is safe."
    whole = ["Never put into the machine:", "- silver", "- wood"]
    assert answer("What is never put into it?", "Never", blocks=alone(text)) == whole
    assert answer("Which items are there for no machine?", "- silver", blocks=alone(text)) == whole
    shown = answer("Is silver safe?", "- silver", "Never", "All else", blocks=alone(text))
    assert shown == ["Never put into the machine: silver", "All else is safe."]


@pytest.mark.parametrize(
    "text",
    [
        "Clauses of notice\n\n3.1 Notice is given in writing.\n3.2 It is sent by mail.",
        "Notice\n\n1. Notice is given. It is sent to\n\nPage 2\n\n- the office",
        "Notice\n\n3. Notice is given.\n4. It is sent.",
        "Notice\n\n1. Notice is given.",
        "Notice\n\n" + "\n".join(f"{n}. Notice {n} is given." for n in range(1, MOST_ITEMS + 2)),
    ],
)
def test_what_is_no_list_or_a_part_of_one_or_too_long_is_not_shown_as_a_list(text: str) -> None:
    shown = answer("What are the steps of a notice?", text.split("\n\n")[1][:9], blocks=alone(text))
    assert len(shown) == 1


def test_a_sentence_of_a_word_or_two_is_shown_with_the_next() -> None:
    blocks = alone("Rejected. Kafka would do, but nobody has run it.\n\nDone.\n\nThe next paragraph.")
    both = ["Rejected.", "Kafka would do, but nobody has run it."]
    assert answer("Was Kafka chosen?", "Rejected", blocks=blocks) == both
    assert answer("Was Kafka chosen?", "Rejected", "Kafka", blocks=blocks) == both
    assert answer("Is it done?", "Done", blocks=blocks) == ["Done."]


@pytest.mark.parametrize(
    ("text", "best", "expected"),
    [
        ("The test had shown faults. It was resolved to withdraw the offer.", "It was", (0, 1)),
        ("The offer was withdrawn. The reason were faults. It rained.", "The offer", (0, 1)),
        ("Because of faults there was doubt. The offer was withdrawn.", "The offer", (0, 1)),
        ("The offer was withdrawn because of faults. The reason was known.", "The offer", (0,)),
        ("The offer was withdrawn. The board therefore met.", "The offer", (0,)),
        ("The hall was full. The offer was withdrawn. Nobody spoke.", "The offer", (1,)),
        ("The test had shown faults.\n\nIt was resolved to withdraw the offer.", "It was", (1,)),
    ],
)
def test_where_the_best_sentence_gives_no_reason_the_one_beside_it_does(
    text: str, best: str, expected: tuple[int, ...]
) -> None:
    blocks = alone(text)
    sentences = [one.text for one in pieces_of(blocks)[0].candidates]
    shown = answer("Why was the offer withdrawn?", best, blocks=blocks)
    assert shown == [sentences[place] for place in expected]
    assert answer("When was the offer withdrawn?", best, blocks=blocks) == [
        next(one for one in sentences if one.startswith(best))
    ]


def test_a_sentence_that_is_added_takes_the_place_of_the_last() -> None:
    text = "The test had shown faults. It was resolved to withdraw the offer. The board met. It closed at 9."
    shown = answer("Why was it?", "It was", "The board", "It closed", blocks=alone(text))
    assert shown == ["The test had shown faults.", "It was resolved to withdraw the offer.", "The board met."]


LISTS = {
    "oven.md": "# Oven\n\n## Changing the lamp\n\n1. Switch it off.\n2. Turn it.\n3. Change the lamp.\n",
    "tent.html": "<html><body><h1>Tent</h1><h2>Pitching the tent</h2><ol><li>Spread the sheet.</li>"
    "<li>Join the poles.</li><li>Tie the ropes.</li></ol></body></html>",
    "stove.txt": "Lighting the stove\n\n1) Open the flue.\n2) Lay the kindling.\n3) Close the door.\n",
}


def write_lists(folder: Path) -> None:
    import docx

    folder.mkdir()
    for name, text in LISTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    document = docx.Document()
    document.add_heading("Bleeding the brake", 1)
    for step in ("Fill the tank.", "Press the pedal.", "Shut the valve."):
        document.add_paragraph(step, style="List Number")
    document.save(str(folder / "brake.docx"))
    lines = ["1 Loosen the wheel nuts.", "2 Lift the axle.", "3 Mount the wheel."]
    page = [(72, 740, 16, "Changing the wheel"), *paragraph(72, 700, lines)]
    (folder / "wheel.pdf").write_bytes(pdf_bytes([page]))


def test_lists_of_every_format_are_shown_whole_and_each_item_cited(tmp_path: Path) -> None:
    write_lists(tmp_path / "docs")
    ingest_paths([tmp_path / "docs"], tmp_path / ".ragqa", IngestOptions(workers=0))
    found: dict[str, Sequence[str]] = {}
    with open_answerer(tmp_path / ".ragqa", EngineChoice("extractive")) as answerer:
        for question in (
            "How do I change the lamp of the oven?",
            "How do I pitch the tent?",
            "How do I light the stove?",
            "How do I bleed the brake?",
            "How do I change the wheel?",
        ):
            given = answerer.ask(question)
            assert {one.verdict for one in given.sentences} == {"supported"}
            found[question] = [one.quote for one in given.citations]
    assert list(found.values()) == [
        ["1. Switch it off.", "2. Turn it.", "3. Change the lamp."],
        ["1. Spread the sheet.", "2. Join the poles.", "3. Tie the ropes."],
        ["1) Open the flue.", "2) Lay the kindling.", "3) Close the door."],
        ["1. Fill the tank.", "2. Press the pedal.", "3. Shut the valve."],
        ["1 Loosen the wheel nuts.", "2 Lift the axle.", "3 Mount the wheel."],
    ]


def test_what_is_added_is_scored_as_the_best() -> None:
    pieces = pieces_of(alone("No. It never was."))
    best = Candidate(pieces[0].block, 0, 3, "No.", "No.", score=4.0, place=0)
    assert [one.score for one in completed("Was it?", [best], pieces[0].candidates, pieces)] == [4.0, 4.0]
