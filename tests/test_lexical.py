"""Words find chunks: no text is a syntax error, rare words weigh more, coverage and telling words."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.catalogue.lexical import choose_terms, most_telling, rarity, shares
from ingest.index import open_index
from tests.small_catalogue import LEAVE, TRAVEL, document_of, write_index


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_index(tmp_path / ".ragqa", {"hr/leave.md": LEAVE, "travel.md": TRAVEL, "copy of travel.md": TRAVEL})
    return tmp_path / ".ragqa"


def test_words_find_the_chunk_that_holds_them(folder: Path) -> None:
    with open_index(folder) as index:
        for query, expected in (
            ("sick notes", "Sick leave needs a note."),
            ("FLIGHT hours", "Flights over"),
            ("unicode", "Flights over"),
            ("(leave* AND NOT", "leave"),
        ):
            best = index.chunks([index.lexical(query, 3)[0][0]])[0]
            assert expected in best.text, query


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_no_text_is_a_syntax_error(query: str) -> None:
    with open_index(SHARED) as index:
        assert len(index.lexical(query, 5)) <= 5


@pytest.mark.parametrize(
    "query",
    [
        "",
        '"',
        "\0",
        "\ud800 leave",
        "NEAR(x y)",
        "title:leave",
        "^",
        "a" * 100_000,
        " ".join(f"w{i}" for i in range(20_000)) + " leave",
    ],
)
def test_no_operator_is_read_from_a_question(folder: Path, query: str) -> None:
    with open_index(folder) as index:
        found = index.lexical(query, 5)
        assert bool(found) == ("leave" in query)


def test_terms_of_most_chunks_are_left_out_unless_all_are() -> None:
    assert choose_terms([("common", 4_000), ("rare", 1), ("absent", 0)], 30_000) == ["rare"]
    assert choose_terms([("common", 4_000), ("absent", 0)], 30_000) == ["common"]
    assert choose_terms([("common", 300), ("rare", 1)], 300) == ["rare", "common"]


def test_coverage_is_the_share_of_the_question_a_chunks_own_text_holds(folder: Path) -> None:
    with open_index(folder) as index:
        chunks = index.document_chunks(LEAVE.id) + index.document_chunks(TRAVEL.id)
        ids = [chunk.id for chunk in chunks]
        (word,) = [word for word in ("leave",) if any(word in chunk.text.lower() for chunk in chunks)]
        held = index.coverage(word, ids)
        assert held == {chunk.id: float(word in chunk.text.lower()) for chunk in chunks}
        assert 0.0 in held.values()
        half = index.coverage(f"{word} unheardof", ids)
        assert half == held, "a word that no chunk holds is not missed"
        assert index.coverage("unheardof", ids) == dict.fromkeys(ids, 0.0)
        assert index.coverage('"', ids) == dict.fromkeys(ids, 0.0)
        assert index.coverage(word, []) == {}


def test_telling_words_are_new_rare_and_frequent_in_the_chunks(tmp_path: Path) -> None:
    filler = {f"f{n}.md": document_of(f"Plain filler number {n}.") for n in range(40)}
    boiler = document_of("The boiler of the filler: boilers hold valves.")
    write_index(tmp_path / "ix", {**filler, "boiler.md": boiler})
    with open_index(tmp_path / "ix") as index:
        ids = [chunk.id for chunk in index.document_chunks(boiler.id)]
        found = index.telling_words(ids, "What holds the valve?", 10)
        assert found[0] in ("boiler", "boilers")
        assert not {"valves", "hold", "filler", "the"} & set(found)
        assert index.telling_words(ids, "What holds the valve?", 1) == found[:1]
        assert index.telling_words([], "anything", 10) == []


def test_rarity_falls_with_the_number_of_chunks_and_is_never_nothing() -> None:
    assert rarity(1, 100) > rarity(10, 100) > rarity(50, 100) > 0
    assert rarity(100, 100) > 0


def test_shares_are_means_over_texts_and_telling_weighs_them_by_rarity() -> None:
    weights = shares([Counter(a=1, b=1), Counter(a=2)])
    assert weights == {"a": 0.75, "b": 0.25}
    assert most_telling(weights, {"a": 9, "b": 1}, 100, 5) == ["a", "b"]
    assert most_telling(weights, {"a": 11, "b": 1}, 100, 5) == ["b"]
    assert most_telling(weights, {"a": 0, "b": 1}, 100, 5) == ["b"]


@pytest.fixture(scope="module", autouse=True)
def shared_index(tmp_path_factory):
    global SHARED
    SHARED = tmp_path_factory.mktemp("shared")
    write_index(SHARED, {"hr/leave.md": LEAVE, "travel.md": TRAVEL})
