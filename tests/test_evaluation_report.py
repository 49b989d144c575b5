"""What counts for which figure, when a run is a regression, and the page that shows it."""

import json
from dataclasses import replace

import pytest

from ragqa.evaluation.outcome import Asked, Outcome, values_of
from ragqa.evaluation.page import html_page
from ragqa.evaluation.question_set import Question
from ragqa.evaluation.report import EvalReport, compare, is_regression, report_json, report_of, table

ANSWERABLE = Question("a", "?", ("25 days",), ("d",), (), answerable=True)
UNANSWERABLE = Question("u", "?", (), (), (), answerable=False)
SAID = Asked("25 days", False, 0.9, (("d", (0, 5)),), ((("d", (0, 5)),),), ("x", "d"), 10, 0.5)
REFUSED = Asked("The documents do not contain it.", True, 0.1, (), (), (), 10, 0.5)


def outcome(question: Question, asked: Asked) -> Outcome:
    return Outcome(question, ("x", "d"), (), {"d": [(0, 6)]} if question.answerable else {}, asked)


def test_a_refused_answerable_question_scores_nothing_and_counts_as_over_refusal() -> None:
    values = values_of(outcome(ANSWERABLE, REFUSED))
    assert [values[name] for name in ("em", "f1", "evidence@1", "over_refusal")] == [0.0, 0.0, 0.0, 1.0]
    assert values["refusal_precision"] == 0.0
    assert "citation_precision" not in values


def test_a_ranking_counts_whether_or_not_the_engine_refused() -> None:
    ranked = replace(REFUSED, ranked=(("x", (0, 5)), ("d", (0, 5))))
    values = values_of(outcome(ANSWERABLE, ranked))
    assert (values["ranked_evidence@1"], values["ranked_evidence@3"], values["evidence@3"]) == (0.0, 1.0, 0.0)
    assert "ranked_evidence@1" not in values_of(outcome(ANSWERABLE, SAID))


def test_an_answer_counts_for_words_and_citations() -> None:
    values = values_of(outcome(ANSWERABLE, SAID))
    assert [values[name] for name in ("em", "f1", "evidence@1", "citation_precision")] == [1.0] * 4
    assert values["over_refusal"] == 0.0
    assert "refusal_precision" not in values


def test_an_unanswerable_question_counts_for_refusals_alone() -> None:
    assert values_of(outcome(UNANSWERABLE, REFUSED))["refusal_recall"] == 1.0
    values = values_of(outcome(UNANSWERABLE, SAID))
    assert values["refusal_recall"] == 0.0
    assert not {"em", "f1", "over_refusal"} & set(values)


def report(*asked: Asked) -> EvalReport:
    questions = [
        Question(str(number), "?", ("25 days",), ("d",), (), answerable=True) for number in range(len(asked))
    ]
    return report_of("s", "extractive", "m", [outcome(q, a) for q, a in zip(questions, asked, strict=True)])


def test_a_run_against_itself_is_no_regression() -> None:
    same = report(*[SAID] * 6, *[REFUSED] * 2)
    verdicts = compare(same, json.loads(json.dumps(report_json(same))))
    assert {one.verdict for one in verdicts if "per_question" not in one.metric} == {"same"}
    assert not is_regression(verdicts)


def test_worse_answers_are_a_regression_and_better_ones_are_not() -> None:
    good, bad = report(*[SAID] * 12), report(*[REFUSED] * 12)
    fallen = {one.metric: one.verdict for one in compare(bad, report_json(good))}
    assert (fallen["em"], fallen["over_refusal"], fallen["seconds_per_question"]) == (
        "worse",
        "worse",
        "not judged",
    )
    risen = compare(good, report_json(bad))
    assert {one.metric: one.verdict for one in risen}["over_refusal"] == "better"
    assert not is_regression(risen)


def test_refusing_what_could_be_answered_is_worse_though_no_question_was_refused_twice() -> None:
    def run(wrong: bool) -> EvalReport:
        asked = [
            outcome(replace(kind, id=f"{kind.id}{number}"), REFUSED if refused else SAID)
            for kind, refused in ((ANSWERABLE, wrong), (UNANSWERABLE, True))
            for number in range(12)
        ]
        return report_of("s", "extractive", "m", asked)

    verdicts = {one.metric: one.verdict for one in compare(run(wrong=True), report_json(run(wrong=False)))}
    assert verdicts["refusal_precision"] == "worse"


def test_the_table_and_the_object_hold_the_same_figures() -> None:
    one = report(SAID, SAID, REFUSED)
    record = report_json(one)
    assert record["schema_version"] == 1
    assert record["metrics"]["em"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert "| em | 0.667 |" in table(one)
    assert len(record["questions"]) == 3


def test_the_page_holds_its_plots_and_runs_nothing() -> None:
    good = outcome(ANSWERABLE, SAID)
    page = html_page(report_of("<script>alert(1)</script>", "e", "m", [good, outcome(UNANSWERABLE, REFUSED)]))
    assert page.count("<svg") == 2
    assert page.count("<polyline") == 1
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_page_draws_both_kinds_of_unanswerable_and_every_place() -> None:
    asked = replace(outcome(ANSWERABLE, SAID), blind=REFUSED)
    far = replace(
        asked, question=replace(ANSWERABLE, id="b"), asked=replace(SAID, blocks=("x",) * 11 + ("d",))
    )
    made = report_of("s", "e", "m", [asked, far, outcome(UNANSWERABLE, REFUSED)])
    assert [place for place, _ in made.positions] == [2, 12]
    page = html_page(made)
    assert page.count("<polyline") == 2
    assert "gold documents removed" in page
    assert report_json(made)["refusal_trade_off_gold_removed"][0] == {"refusal_recall": 0, "over_refusal": 0}
