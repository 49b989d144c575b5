"""What fusion promises, whatever the retrievers return."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa.fusion import fuse, is_long, link_titles, nearer, reward_coverage, standardise
from ragqa.types import Hit

scores = st.integers(-1000, 1000).map(lambda value: value / 8)
rankings = st.dictionaries(st.integers(0, 40), scores, max_size=12).map(lambda found: list(found.items()))
two = st.fixed_dictionaries({"dense": rankings, "lexical": rankings})
WEIGHTS = {"dense": 0.6, "lexical": 0.4}


def test_a_passage_both_retrievers_like_beats_one_that_only_one_found() -> None:
    found = {"dense": [(1, 0.9), (2, 0.8), (3, 0.1)], "lexical": [(2, 12.0), (4, 11.0), (5, 1.0)]}
    fused = fuse(found, WEIGHTS)
    assert fused[0][0] == 2
    assert fused[0][2] == (("dense", 2), ("lexical", 1))


def test_scores_by_hand() -> None:
    # dense: mean 2, deviation 1 -> 1, -1; lexical: mean 4, deviation 2 -> 1, -1; id 3 is absent from dense.
    fused = fuse({"dense": [(1, 3.0), (2, 1.0)], "lexical": [(3, 6.0), (1, 2.0)]}, {"dense": 3, "lexical": 1})
    expected = {1: 0.75 * 1 + 0.25 * -1, 2: 0.75 * -1 + 0.25 * -1, 3: 0.75 * -1 + 0.25 * 1}
    assert [chunk_id for chunk_id, _, _ in fused] == [1, 3, 2]
    assert {chunk_id: score for chunk_id, score, _ in fused} == pytest.approx(expected)


def test_a_list_of_one_still_counts_for_its_passage() -> None:
    fused = fuse({"dense": [(1, 0.5), (2, 0.49)], "lexical": [(2, 3.0)]}, {"dense": 0.3, "lexical": 0.7})
    assert fused[0][0] == 2


def test_a_list_that_is_short_because_a_word_is_rare_counts_for_more() -> None:
    dense = [(number, 1.0 - number / 100) for number in range(100)]
    found = {"dense": dense, "lexical": [(60, 7.0)]}
    assert fuse(found, WEIGHTS)[0][0] == 0
    best, second, *_ = fuse(found, WEIGHTS, {"lexical": 0.0})
    assert (best[0], second[0]) == (60, 0)
    # One score among 99 zeros lies sqrt(99) deviations above their mean, whatever it is.
    assert best[1] == pytest.approx(0.4 * 99**0.5 + 0.6 * (49.5 - 60) / (9999 / 12) ** 0.5)


def test_lists_as_long_as_the_longest_are_not_filled_up() -> None:
    found = {"dense": [(1, 0.9), (2, 0.1)], "lexical": [(2, 12.0), (3, 11.0)]}
    assert fuse(found, WEIGHTS, {"lexical": 0.0}) == fuse(found, WEIGHTS)


def test_nothing_found_is_an_empty_list() -> None:
    assert fuse({"dense": [], "lexical": []}, WEIGHTS) == []
    assert fuse({}, WEIGHTS) == []


@pytest.mark.parametrize("weights", [{}, {"dense": -0.1}, {"dense": float("nan")}])
def test_a_missing_or_senseless_weight_is_an_error(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="'dense' needs a weight"):
        fuse({"dense": [(1, 1.0)]}, weights)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_an_error(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        fuse({"dense": [(1, bad), (2, 0.0)]}, WEIGHTS)


@given(two)
def test_every_id_comes_out_once_best_first_ties_by_id(found: dict[str, list[tuple[int, float]]]) -> None:
    fused = fuse(found, WEIGHTS)
    assert sorted(i for i, _, _ in fused) == sorted({i for ranking in found.values() for i, _ in ranking})
    assert [(-score, i) for i, score, _ in fused] == sorted((-score, i) for i, score, _ in fused)


@given(two, st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(
    found: dict[str, list[tuple[int, float]]], shuffler: random.Random
) -> None:
    shuffled = {name: shuffler.sample(found[name], len(found[name])) for name in sorted(found, reverse=True)}
    fused, again = fuse(found, WEIGHTS), fuse(shuffled, WEIGHTS)
    assert [(i, ranks) for i, _, ranks in fused] == [(i, ranks) for i, _, ranks in again]


@given(two)
def test_a_retrievers_scale_and_offset_do_not_matter(found: dict[str, list[tuple[int, float]]]) -> None:
    moved = found | {"lexical": [(i, 4 * score + 16) for i, score in found["lexical"]]}
    before = {i: score for i, score, _ in fuse(found, WEIGHTS)}
    assert before == pytest.approx({i: score for i, score, _ in fuse(moved, WEIGHTS)}, abs=1e-9)


@given(two)
def test_better_in_every_list_is_better_fused(found: dict[str, list[tuple[int, float]]]) -> None:
    if not (found["dense"] and found["lexical"]):
        return
    place = {i: n for n, (i, _, _) in enumerate(fuse(found, WEIGHTS))}
    dense, lexical = dict(found["dense"]), dict(found["lexical"])
    for a in dense.keys() & lexical.keys():
        for b in dense.keys() & lexical.keys():
            if dense[a] > dense[b] and lexical[a] > lexical[b]:
                assert place[a] < place[b]


@given(rankings)
def test_a_weight_of_zero_takes_a_retriever_out_of_the_order(ranking: list[tuple[int, float]]) -> None:
    fused = fuse({"dense": ranking, "lexical": [(99, 5.0)]}, {"dense": 1.0, "lexical": 0.0})
    alone = [i for i, _, _ in fuse({"dense": ranking}, {"dense": 1.0})]
    assert [i for i, _, _ in fused if i != 99] == alone


@given(rankings.filter(bool))
def test_an_absent_passage_never_stands_above_one_that_was_found(ranking: list[tuple[int, float]]) -> None:
    standard, absent = standardise(ranking)
    assert absent <= min(standard.values())


def hit(number: int, title: str, text: str, score: float) -> Hit:
    return Hit(number, f"{number}.md", f"doc{number}", title, (), None, None, 0, len(text), text, score, ())


FILLER = [hit(100 + n, f"Filler {n}", "Words that say nothing of it.", -0.1 - n / 100) for n in range(20)]


def test_the_document_that_the_best_passage_names_moves_up() -> None:
    sonata = hit(1, "Flute Sonata", "The hand is that of Carl Philipp Emanuel Bach.", 2.0)
    bach = hit(2, "Carl Philipp Emanuel Bach (composer)", "His godfather was Telemann.", -1.5)
    order = [one.chunk_id for one in link_titles("Whose hand wrote the manuscript?", [sonata, *FILLER, bach])]
    assert order[:2] == [1, 2]


def test_the_document_that_the_question_names_moves_up() -> None:
    airport = hit(1, "Watertown Airport", "It lies in New York.", -0.5)
    linked = link_titles("Where is watertown   AIRPORT?", [*FILLER, airport])
    assert linked[0].chunk_id == 1
    assert linked[0].score == 0.5


def test_a_title_does_not_link_to_itself_nor_to_a_part_of_a_word() -> None:
    own = hit(1, "Annual Report", "This annual report covers it.", 1.0)
    part = hit(2, "Port", "Ships.", -1.0)
    assert link_titles("What is covered?", [own, *FILLER, part]) == [own, *FILLER, part]


def test_a_common_word_as_title_links_nothing() -> None:
    common = hit(1, "Words", "Something else.", -1.0)
    assert link_titles("Which words?", [*FILLER, common])[-1] == common


def test_empty_titles_and_no_hits_change_nothing() -> None:
    untitled = [hit(1, "", "Some text.", 1.0), hit(2, "()", "More text.", 0.5)]
    assert link_titles("Some text?", untitled) == untitled
    assert link_titles("Some text?", []) == []


def test_passages_of_one_document_do_not_lift_each_other_over_the_one_that_names_it() -> None:
    best = hit(1, "Normandy", "Normandy was given to Rollo.", 2.0)
    other = hit(2, "Normandy", "It lies by the sea.", 1.0)
    assert link_titles("Who was it given to?", [best, other, *FILLER])[0] == best


def test_of_several_passages_under_a_named_title_only_the_best_moves() -> None:
    first = hit(1, "Steam engine", "It boils water.", -0.5)
    second = hit(2, "Steam engine", "It drives a wheel.", -0.6)
    linked = link_titles("What drives a steam engine?", [*FILLER, first, second])
    assert (linked[0].chunk_id, linked[0].score) == (1, 0.5)
    assert linked[-1] == second


def part(number: int, document: str, score: float) -> Hit:
    return Hit(number, "x.md", document, "", (), None, None, 0, 1, "x", score, ())


def test_in_one_long_paper_the_passage_that_holds_the_questions_words_moves_up() -> None:
    paper = [part(1, "paper", 2.0), part(2, "paper", 1.5), part(3, "paper", 1.0)]
    raised = reward_coverage(paper, {1: 0.0, 2: 0.5, 3: 1.0})
    assert [one.chunk_id for one in raised] == [3, 2, 1]
    assert raised[0].score == pytest.approx(1.0 + 3.0 * (1 - 1 / 3))


def test_among_passages_of_as_many_documents_coverage_changes_nothing() -> None:
    short = [part(1, "a", 2.0), part(2, "b", 1.0)]
    assert reward_coverage(short, {1: 0.0, 2: 1.0}) == short
    assert reward_coverage([], {}) == []


def test_a_question_of_eleven_different_words_is_long() -> None:
    words = [f"w{number}" for number in range(11)]
    assert is_long(" ".join(words))
    assert not is_long(" ".join([*words[:10], "W0", "w1?"]))


def test_a_question_moves_towards_what_was_found_and_keeps_its_length() -> None:
    moved = nearer(np.array([1, 0], np.float32), np.array([[0, 1], [0, 1]], np.float32))
    assert moved == pytest.approx(np.array([1, 0.6]) / np.sqrt(1.36))
    opposite = nearer(np.array([0.6, 0], np.float32), np.array([[-1, 0]], np.float32))
    assert opposite == pytest.approx([0.6, 0])
