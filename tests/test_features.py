"""What a sentence is weighed by: the kind of thing asked for, rare words, stems, the fitted weights."""

import json
from importlib import resources

import numpy as np
import pytest

from ragqa.features import (
    CONFIDENCE_FEATURES,
    FEATURES,
    Passage,
    content_words,
    features,
    lexical_scores,
    stem,
)
from ragqa.fitted import load_models
from ragqa.kinds import kind_of
from ragqa.types import ContextBlock
from ragqa.windows import READ_CONFIDENCE, READ_FEATURES
from tests.blocks import make_block


def block(key: str, text: str, score: float, title: str = "Leave policy") -> ContextBlock:
    return make_block(key, text, score, title=title, document_id="d", start=100, metadata=())


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


def test_plain_words_in_capitals_are_names_unless_all_is_in_capitals() -> None:
    assert content_words("What is the IT budget?") == ("IT", "budget")
    assert content_words("Who told it to us?") == ("told",)
    assert content_words("What did it cost in May?") == ("cost", "May")
    assert content_words("Month: May; Cost: 5") == ("month", "May", "cost", "5")
    assert content_words("May staff park here? They may.") == ("staff", "park", "here")
    assert content_words("WHO PAYS IT TO US") == ("pay",)
    rows = [Passage(("Sales: 120000", "IT: 45000"), "Budget", 1.0)]
    sales, it = lexical_scores("What is the budget of IT?", rows)[0]
    assert it > sales


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
    for part, names in (
        ("plain", (FEATURES, CONFIDENCE_FEATURES)),
        ("read", (READ_FEATURES, READ_CONFIDENCE)),
    ):
        assert set(record[part]["ranking"]["features"]) == set(names[0])
        assert set(record[part]["confidence"]["features"]) == set(names[1])
        assert record[part]["fitted_on"]
    assert load_models() is load_models()
