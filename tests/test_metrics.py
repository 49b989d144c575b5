"""Each measure against values worked out by hand, and nDCG against the formula of its paper."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa.evaluation.bootstrap import mean_with_interval, paired_difference, two_sample_with_interval
from ragqa.evaluation.citing import (
    citation_precision,
    citation_recall,
    evidence_hit,
    find_all,
    overlaps,
)
from ragqa.evaluation.ranking import all_support, ndcg, recall, success
from ragqa.evaluation.refusing import auroc, recall_at_over_refusal, trade_off
from ragqa.evaluation.wording import exact_match, normalise, token_f1


def test_ndcg_by_hand() -> None:
    # Gold at ranks 2 and 4 of three gold ids: (1/log2 3 + 1/log2 5) / (1/log2 2 + 1/log2 3 + 1/log2 4).
    gain = 1 / math.log2(3) + 1 / math.log2(5)
    ideal = 1 + 1 / math.log2(3) + 0.5
    assert ndcg(["x", "a", "y", "b"], {"a", "b", "c"}) == pytest.approx(gain / ideal)


def test_ndcg_is_one_for_a_perfect_list_even_with_more_gold_than_depth() -> None:
    gold = [str(number) for number in range(30)]
    assert ndcg(gold, gold, 10) == 1.0
    assert ndcg(["x", *gold], gold, 10) < 1.0


def test_ndcg_counts_nothing_below_the_depth() -> None:
    assert ndcg([*"abcdefghij", "gold"], {"gold"}, 10) == 0.0


@pytest.mark.parametrize("measure", [ndcg, recall, all_support])
def test_no_gold_is_an_error_not_a_zero(measure) -> None:
    with pytest.raises(ValueError, match="not defined"):
        measure(["a"], set(), 10)


def test_recall_and_all_support_by_hand() -> None:
    assert recall(["a", "x", "b"], {"a", "b", "c", "d"}, 3) == 0.5
    assert recall(["a", "x", "b"], {"a", "b"}, 2) == 0.5
    assert success(["x", "a", "b"], {"b", "c"}, 3) == 1.0
    assert success(["x", "a", "b"], {"b", "c"}, 2) == 0.0
    assert all_support(["a", "x", "b"], {"a", "b"}, 3) == 1.0
    assert all_support(["a", "x", "b"], {"a", "b"}, 2) == 0.0


def test_squad_normalisation() -> None:
    assert normalise("The  Cat, an animal!") == "cat animal"
    assert normalise("Theatre") == "theatre"


def test_exact_match_takes_the_best_gold_answer() -> None:
    assert exact_match("the Eiffel Tower.", ["Paris", "Eiffel tower"]) == 1.0
    assert exact_match("Eiffel", ["Paris", "Eiffel tower"]) == 0.0


def test_token_f1_by_hand() -> None:
    # "cat sat on mat" against "cat on red mat mat": 3 shared of 4 and of 5.
    score = token_f1("the cat sat on a mat", ["cat on red mat mat", "dog"])
    assert score == pytest.approx(2 * 0.75 * 0.6 / 1.35)
    assert token_f1("nothing shared", ["cat"]) == 0.0
    assert token_f1("", ["cat"]) == 0.0


def test_auroc_by_hand_with_ties_as_half() -> None:
    # Pairs (answerable, unanswerable): 0.9>0.4, 0.9>0.1, 0.4=0.4, 0.4>0.1 -> 3.5 of 4.
    assert auroc([0.9, 0.4], [0.4, 0.1]) == pytest.approx(3.5 / 4)
    assert auroc([0.5, 0.5], [0.5]) == 0.5
    with pytest.raises(ValueError, match="AUROC"):
        auroc([], [0.1])


some_values = st.lists(st.integers(0, 9), min_size=1, max_size=12)


@given(some_values, some_values)
def test_auroc_is_the_share_of_pairs_in_order(good: list[int], bad: list[int]) -> None:
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in good for b in bad]
    assert auroc(good, bad) == pytest.approx(sum(pairs) / len(pairs))


def test_refusal_recall_at_an_allowed_over_refusal_by_hand() -> None:
    good, bad = [0.2, 0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 0.9, 0.9, 0.9], [0.1, 0.3, 0.55, 0.95]
    point = recall_at_over_refusal(good, bad, 0.15)
    # Refusing below 0.5 loses one of ten and catches 0.1 and 0.3; below 0.6 would lose two of ten.
    assert (point.refusal_recall, point.over_refusal) == (0.5, 0.1)
    assert recall_at_over_refusal(good, bad, 0.2).refusal_recall == 0.75
    assert recall_at_over_refusal(good, bad, 0.0).refusal_recall == 0.25


def test_the_trade_off_runs_from_nothing_to_all() -> None:
    points = trade_off([0.4, 0.6], [0.1, 0.6])
    assert (points[0].refusal_recall, points[0].over_refusal) == (0, 0)
    assert (points[-1].refusal_recall, points[-1].over_refusal) == (1, 1)


def test_a_quote_is_found_whatever_the_white_space() -> None:
    assert find_all("b c", "a b\n c a b c") == [(1, 3), (4, 6)]
    assert find_all("  ", "a b") == []
    assert find_all("z", "a b") == []


def test_a_touch_is_no_overlap_and_half_of_the_shorter_is() -> None:
    assert not overlaps((0, 10), (10, 20))
    assert not overlaps((0, 10), (9, 30))
    assert overlaps((0, 10), (5, 30))
    assert overlaps((0, 100), (40, 45))


EVIDENCE = {"d1": [(10, 20)], "d2": [(0, 5)]}
RIGHT, WRONG_PLACE, WRONG_DOCUMENT = ("d1", (8, 22)), ("d1", (30, 40)), ("d3", (10, 20))


def test_citation_measures_by_hand() -> None:
    assert evidence_hit([WRONG_PLACE, RIGHT], EVIDENCE, 1) == 0.0
    assert evidence_hit([WRONG_PLACE, RIGHT], EVIDENCE, 3) == 1.0
    assert citation_precision([[WRONG_PLACE, RIGHT], [], [WRONG_DOCUMENT, ("d2", (0, 9))]], EVIDENCE) == 0.5
    assert citation_precision([[RIGHT], [RIGHT, WRONG_PLACE]], EVIDENCE) == pytest.approx(2 / 3)
    sentences = [[RIGHT], [WRONG_PLACE, WRONG_DOCUMENT], [], [WRONG_PLACE, RIGHT]]
    assert citation_recall(sentences, EVIDENCE) == 0.5
    assert citation_precision([], EVIDENCE) == citation_recall([], EVIDENCE) == 0.0


def test_an_interval_holds_the_mean_and_is_the_same_each_time() -> None:
    values = [0.0] * 30 + [1.0] * 70
    estimate = mean_with_interval(values)
    assert estimate == mean_with_interval(values)
    assert (estimate.value, estimate.n) == (0.7, 100)
    # Normal approximation: 0.7 ± 1.96 * sqrt(0.7 * 0.3 / 100) = 0.7 ± 0.090.
    assert estimate.low == pytest.approx(0.61, abs=0.02)
    assert estimate.high == pytest.approx(0.79, abs=0.02)


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    draw = np.random.default_rng(7)
    covered = 0
    for seed in range(200):
        estimate = mean_with_interval(draw.binomial(1, 0.4, 80).tolist(), resamples=400, seed=seed)
        covered += estimate.low <= 0.4 <= estimate.high
    assert 180 <= covered <= 199


def test_a_single_question_has_no_spread() -> None:
    estimate = mean_with_interval([0.25])
    assert (estimate.low, estimate.value, estimate.high) == (0.25, 0.25, 0.25)


def test_two_groups_are_resampled_each_on_its_own() -> None:
    source = random.Random(3)
    good, bad = [source.gauss(1, 1) for _ in range(80)], [source.gauss(0, 1) for _ in range(80)]
    estimate = two_sample_with_interval(auroc, good, bad)
    assert estimate.low < estimate.value == auroc(good, bad) < estimate.high
    assert estimate.n == 160


def test_a_paired_difference_sees_what_two_intervals_hide() -> None:
    old = [0.0, 1.0] * 50
    new = [value + 0.02 for value in old]
    difference = paired_difference(new, old)
    assert difference.low > 0
    assert mean_with_interval(new).low < mean_with_interval(old).high
    with pytest.raises(ValueError, match="zip"):
        paired_difference([1.0], [1.0, 2.0])
