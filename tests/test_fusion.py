"""What fusion promises, whatever the retrievers return."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa.fusion import fuse, standardise

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
