"""The reader: the sentence that answers comes first, a passage without one scores lower, text is text."""

from dataclasses import replace
from pathlib import Path

import pytest

from ingest.errors import EmbedderError
from ragqa.reader import MAX_TOKENS, MINIMUM, OUTSIDE, Reader, Window, layout

LIGHTHOUSE = Window(
    "Corran lighthouse",
    (
        "The lighthouse stands on the southern tip of the island.",
        "It was built in 1874 by the engineer Mary Holt.",
        "Its lamp can be seen from 19 miles away.",
        "Visitors may climb the 146 steps on Saturdays.",
    ),
)
BAKERY = Window(
    "Opening hours",
    ("The bakery opens at seven on weekdays.", "Rye bread is sold on Fridays only.", "Cards are accepted."),
)


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.load()


def best(reader: Reader, question: str, window: Window) -> int:
    (found,) = reader.read(question, [window])
    return found.sentences.index(max(found.sentences))


@pytest.mark.parametrize(
    ("question", "window", "place"),
    [
        ("Who built the lighthouse?", LIGHTHOUSE, 1),
        ("How far away is the light visible?", LIGHTHOUSE, 2),
        ("How many steps are there?", LIGHTHOUSE, 3),
        ("When does the bakery open?", BAKERY, 0),
        ("On which day can I buy rye bread?", BAKERY, 1),
    ],
)
def test_the_sentence_that_answers_comes_first(
    reader: Reader, question: str, window: Window, place: int
) -> None:
    assert best(reader, question, window) == place


@pytest.mark.parametrize(
    ("question", "window", "answer"),
    [
        ("Who built the lighthouse?", LIGHTHOUSE, 1),
        ("How many steps are there?", LIGHTHOUSE, 3),
        ("On which day can I buy rye bread?", BAKERY, 1),
    ],
)
def test_a_window_without_its_answering_sentence_scores_lower(
    reader: Reader, question: str, window: Window, answer: int
) -> None:
    kept = tuple(text for place, text in enumerate(window.sentences) if place != answer)
    whole, cut = reader.read(question, [window, replace(window, sentences=kept)])
    assert cut.answerable < whole.answerable - 0.5


def test_a_passage_about_something_else_scores_lower(reader: Reader) -> None:
    near, far = reader.read("Who built the lighthouse?", [LIGHTHOUSE, BAKERY])
    assert far.answerable < near.answerable - 2


def test_order_and_company_change_no_score(reader: Reader) -> None:
    windows = [LIGHTHOUSE, BAKERY, replace(LIGHTHOUSE, sentences=LIGHTHOUSE.sentences * 3)]
    together = reader.read("Who built the lighthouse?", windows)
    backwards = reader.read("Who built the lighthouse?", windows[::-1])[::-1]
    alone = [reader.read("Who built the lighthouse?", [window])[0] for window in windows]
    assert together == backwards == alone


@pytest.mark.parametrize(
    "hostile", ["[SEP]", "[CLS]", "[PAD] [MASK]", "\ud800", "\x00", "</s> <|im_end|>", "[unused1]"]
)
def test_marks_of_the_models_own_format_are_text_in_documents(reader: Reader, hostile: str) -> None:
    ids = reader._encode([f"before {hostile} after"])[0]
    assert not {0, 100, 101, 102, 103} & (set(ids) - set(reader._encode(["\ufffd"])[0]))
    sentences = (*LIGHTHOUSE.sentences, f"{hostile} The end. {hostile}")
    (found,) = reader.read("Who built the lighthouse?", [Window(hostile, sentences)])
    assert len(found.sentences) == 5
    assert found.sentences.index(max(found.sentences)) == 1


def test_what_does_not_fit_is_not_read_and_scores_the_minimum(reader: Reader) -> None:
    long = Window("", (*(["All work and no play makes a dull day."] * 60), "It was built by Mary Holt."))
    (found,) = reader.read("Who built the lighthouse?", [long])
    assert len(found.sentences) == 61
    assert found.sentences[-1] == MINIMUM
    assert found.sentences[0] > MINIMUM


def test_a_reading_has_a_score_for_each_sentence_and_the_window_at_least_the_best_of_them(
    reader: Reader,
) -> None:
    empty, blank, one = reader.read("Who?", [Window("", ()), Window("Title", ("",)), BAKERY])
    assert empty.sentences == ()
    assert empty.answerable == MINIMUM
    assert blank.sentences == (MINIMUM,)
    assert len(one.sentences) == 3
    assert one.answerable >= max(one.sentences)
    assert reader.read("Who?", []) == []


def test_the_layout_names_each_tokens_sentence_and_keeps_to_the_limit() -> None:
    short = layout([7, 8], [9], [[10, 11], [], [12]])
    assert short.ids == (101, 7, 8, 102, 9, 10, 11, 12, 102)
    assert short.segments == (0, 0, 0, 0, 1, 1, 1, 1, 1)
    assert short.sentences == (*[OUTSIDE] * 5, 0, 0, 2, OUTSIDE)
    long = layout([7] * 500, [9] * 500, [[10] * 500])
    assert len(long.ids) == len(long.segments) == len(long.sentences) == MAX_TOKENS
    assert long.sentences.count(0) > MAX_TOKENS / 2


def test_weights_that_are_not_the_expected_ones_are_refused(tmp_path: Path) -> None:
    changed = tmp_path / "reader.onnx"
    changed.write_bytes(b"not these")
    with pytest.raises(EmbedderError, match=r"reader\.onnx is not the file expected"):
        Reader.load(changed)
    with pytest.raises(EmbedderError, match="cannot be read"):
        Reader.load(tmp_path / "absent.onnx")


def test_a_reading_is_remembered_and_not_confused_with_others(reader: Reader) -> None:
    first = reader.read("Who built the lighthouse?", [LIGHTHOUSE, BAKERY])
    again = reader.read("Who built the lighthouse?", [BAKERY, LIGHTHOUSE])
    assert again[0] is first[1]
    assert again[1] is first[0]
    assert reader.read("When was it built?", [LIGHTHOUSE])[0] != first[0]
    many = [replace(BAKERY, title=f"Hours {number}") for number in range(80)]
    assert len(reader.read("When does it open?", many)) == 80
    assert reader.read("Who built the lighthouse?", [LIGHTHOUSE]) == first[:1]
