"""What sentence selection promises: the sentence that answers first, sureness that follows the documents."""

import json
from collections.abc import Sequence
from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa.features import (
    CONFIDENCE_FEATURES,
    FEATURES,
    Passage,
    content_words,
    features,
    kind_of,
    lexical_scores,
    stem,
)
from ragqa.selection import EMBEDDED_SENTENCES, candidate_features, load_model, select, similarities
from ragqa.types import ContextBlock

TEXT = (
    "Employees may take 25 days of leave. Leave must be approved by a manager. "
    "The office closes on 24 December."
)


def block(key: str, text: str, score: float, title: str = "Leave policy") -> ContextBlock:
    return ContextBlock(key, key, "d", "s", title, (), None, None, 100, 100 + len(text), text, (), score)


def embed(texts: Sequence[str]) -> np.ndarray:
    """Unit vectors of hashed words: similar where words are shared, and a function of the text alone."""
    rows = np.full((len(texts), 64), 1e-3, dtype=np.float32)
    for row, text in zip(rows, texts, strict=True):
        for word in content_words(text):
            row[sum(map(ord, word)) % 64] += 1
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


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


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("When did it open?", "time"),
        ("In what year was it built?", "time"),
        ("How many seats are there?", "count"),
        ("Where is it held?", "place"),
        ("Who signs it?", "person"),
        ("Why was it moved?", "cause"),
        ("How is it cleaned?", "manner"),
        ("What is a quorum?", "meaning"),
        ("Which form applies?", "thing"),
    ],
)
def test_the_kind_of_thing_asked_for(question: str, kind: str) -> None:
    found = kind_of(question)
    assert found is not None
    assert found[0] == kind


def test_a_claim_asks_for_no_kind() -> None:
    assert kind_of("Leave is approved by a manager.") is None


def test_the_held_column_is_that_of_the_kind_asked_for() -> None:
    passage = Passage(("It opened in 1998.", "It opened late."), "Hall", 0.0)
    rows = features("When did it open?", [passage], [[0.5, 0.5]])
    assert rows[:, FEATURES.index("held_time")].tolist() == [1.0, 0.0]
    assert rows[:, FEATURES.index("lacks_kind")].tolist() == [0.0, 1.0]


def test_rare_words_weigh_more_than_common_ones() -> None:
    passage = Passage(("leave leave", "leave manager", "leave days", "leave form"), "", 0.0)
    scores = lexical_scores("manager leave", [passage])[0]
    assert scores[1] == 1.0
    assert scores[0] < 0.5


def test_a_sentence_that_was_not_embedded_counts_as_dissimilar() -> None:
    rows = features("leave?", [Passage(("Leave.", "Other."), "", 0.0)], [[float("nan"), 0.4]])
    assert np.isfinite(rows).all()
    assert rows[0, FEATURES.index("cosine")] == 0.0


@pytest.mark.parametrize(
    ("one", "other"),
    [("answers", "answered"), ("closing", "close"), ("parties", "party"), ("boss's", "boss")],
)
def test_forms_of_a_word_have_one_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)


def test_the_weights_fit_the_features_and_name_their_data() -> None:
    asset = resources.files("ragqa") / "assets" / "selection.json"
    record = json.loads(asset.read_text(encoding="utf-8"))
    assert set(record["ranking"]["features"]) == set(FEATURES)
    assert set(record["confidence"]["features"]) == set(CONFIDENCE_FEATURES)
    assert record["fitted_on"]
    assert load_model() is load_model()


def test_headings_and_running_lines_are_no_answers() -> None:
    header = "Merrow Buoyworks Ltd - Annual leave report {}"
    end = "The end is near."
    text = "\n\n".join(["Leave policy", header.format(1), TEXT, header.format(2), end, end])
    candidates, rows = candidate_features("Annual leave report?", [block("a", text, 1.0)], embed)
    shown = [one.text for one in candidates]
    assert len(rows) == len(shown)
    assert "Leave policy" not in shown
    assert not [line for line in shown if line.startswith("Merrow")]
    assert shown.count(end) == 2
