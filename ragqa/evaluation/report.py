"""Outcomes in, a report out: a table, a JSON object, the comparison with an earlier report. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ragqa.evaluation.bootstrap import (
    Estimate,
    mean_with_interval,
    paired_difference,
    two_sample_with_interval,
)
from ragqa.evaluation.outcome import (
    COSTS,
    LOWER_IS_BETTER,
    METRICS,
    OF_THE_REFUSED,
    Outcome,
    position_of_gold,
    values_of,
)
from ragqa.evaluation.refusing import TradeOff, auroc, recall_at_over_refusal, trade_off

SCHEMA_VERSION = 1
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class EvalReport:
    """The figures of one run. `rows` are the values by question id, for a paired comparison later; `unknown`
    are gold documents that the index does not hold.
    """

    set_name: str
    engine: str
    model: str
    metrics: Mapping[str, Estimate]
    rows: Mapping[str, Mapping[str, float]]
    trade_off: tuple[TradeOff, ...]
    trade_off_gold_removed: tuple[TradeOff, ...]
    positions: tuple[tuple[int, Estimate], ...]
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric against a baseline. `change` is new minus old over the questions both runs asked."""

    metric: str
    old: float
    new: float
    change: Estimate | None
    verdict: str


def report_of(set_name: str, engine: str, model: str, outcomes: Sequence[Outcome]) -> EvalReport:
    """The figures of these outcomes; a metric that no question counts for is left out."""
    rows = {outcome.question.id: values_of(outcome) for outcome in outcomes}
    metrics = {}
    for metric in METRICS:
        values = [row[metric] for row in rows.values() if metric in row]
        if values:
            metrics[metric] = mean_with_interval(values)
    good, bad, removed = confidences(outcomes)
    for kind, others in (("", bad), ("_gold_removed", removed)):
        if good and others:
            metrics[f"refusal_auroc{kind}"] = two_sample_with_interval(auroc, good, others)
            metrics[f"refusal_recall{kind}@0.15"] = two_sample_with_interval(caught, good, others)
    ordered = {metric: metrics[metric] for metric in METRICS if metric in metrics}
    curves = [tuple(trade_off(good, others)) if good and others else () for others in (bad, removed)]
    return EvalReport(set_name, engine, model, ordered, rows, curves[0], curves[1], _positions(outcomes))


def caught(answerable: Sequence[float], unanswerable: Sequence[float]) -> float:
    """Refusal recall where at most 0.15 of the answerable questions are refused."""
    return recall_at_over_refusal(answerable, unanswerable, 0.15).refusal_recall


def confidences(outcomes: Sequence[Outcome]) -> tuple[list[float], list[float], list[float]]:
    """How sure of the answerable questions, of the unanswerable, and of those without their documents."""
    asked = [(one.question.answerable, one.asked.confidence) for one in outcomes if one.asked is not None]
    good = [confidence for answerable, confidence in asked if answerable]
    bad = [confidence for answerable, confidence in asked if not answerable]
    return good, bad, [one.blind.confidence for one in outcomes if one.blind is not None]


def _positions(outcomes: Sequence[Outcome]) -> tuple[tuple[int, Estimate], ...]:
    found: dict[int, list[float]] = {}
    for outcome in outcomes:
        placed = position_of_gold(outcome)
        if placed is not None:
            found.setdefault(placed[0], []).append(placed[1])
    return tuple((place, mean_with_interval(values)) for place, values in sorted(found.items()))


def report_json(report: EvalReport) -> Json:
    """What `eval --json` prints and `--baseline` reads."""
    return {
        "schema_version": SCHEMA_VERSION,
        "set": report.set_name,
        "engine": report.engine,
        "model": report.model,
        "metrics": {metric: estimate_json(value) for metric, value in report.metrics.items()},
        "refusal_trade_off": trade_off_json(report.trade_off),
        "refusal_trade_off_gold_removed": trade_off_json(report.trade_off_gold_removed),
        "gold_not_in_index": list(report.unknown),
        "evidence_by_position": [
            {"position": place, **estimate_json(value)} for place, value in report.positions
        ],
        "questions": [{"id": key, **dict(row)} for key, row in report.rows.items()],
    }


def trade_off_json(points: Sequence[TradeOff]) -> list[Json]:
    return [
        {"refusal_recall": round(point.refusal_recall, 4), "over_refusal": round(point.over_refusal, 4)}
        for point in points
    ]


def estimate_json(estimate: Estimate) -> Json:
    return {
        "value": round(estimate.value, 4),
        "low": round(estimate.low, 4),
        "high": round(estimate.high, 4),
        "n": estimate.n,
    }


def table(report: EvalReport) -> str:
    """The figures as lines of a Markdown table."""
    title = f"{report.set_name}: {report.engine} ({report.model})" if report.engine else report.set_name
    lines = ["| " + title + " | value | 95 % interval | n |", "|---|---|---|---|"]
    for metric, one in report.metrics.items():
        lines.append(f"| {metric} | {one.value:.3f} | {one.low:.3f} to {one.high:.3f} | {one.n} |")
    return "\n".join(lines)


def compare(report: EvalReport, baseline: Mapping[str, Any]) -> list[Comparison]:
    """The verdict on each metric that both runs have: `better`, `worse`, `same`, or `not judged` for costs.

    A change counts where its 95 % interval over the questions both asked leaves out 0. Metrics without values
    by question that two runs share (AUROC, precision of refusing) count as changed where the intervals do not
    meet.
    """
    earlier = {str(row["id"]): row for row in baseline.get("questions", [])}
    metrics = baseline.get("metrics", {})
    return [
        _compared(metric, report, metrics[metric], earlier) for metric in report.metrics if metric in metrics
    ]


def is_regression(comparisons: Sequence[Comparison]) -> bool:
    """Whether any metric is worse."""
    return any(one.verdict == "worse" for one in comparisons)


def _compared(
    metric: str, report: EvalReport, old: Mapping[str, Any], earlier: Mapping[str, Mapping[str, Any]]
) -> Comparison:
    new = report.metrics[metric]
    rows = {} if metric in OF_THE_REFUSED else report.rows
    shared = [key for key, row in rows.items() if metric in row and metric in earlier.get(key, {})]
    change = None
    if shared:
        change = paired_difference(
            [report.rows[key][metric] for key in shared], [float(earlier[key][metric]) for key in shared]
        )
        low, high = change.low, change.high
    else:
        low, high = new.low - float(old["high"]), new.high - float(old["low"])
    verdict = "not judged" if metric in COSTS else _verdict(low, high, metric in LOWER_IS_BETTER)
    return Comparison(metric, float(old["value"]), new.value, change, verdict)


def _verdict(low: float, high: float, lower_is_better: bool) -> str:
    if low <= 0 <= high:
        return "same"
    return "better" if (low > 0) != lower_is_better else "worse"


def comparison_table(comparisons: Sequence[Comparison]) -> str:
    """The verdicts as lines of a Markdown table."""
    lines = ["| metric | baseline | now | change | verdict |", "|---|---|---|---|---|"]
    for one in comparisons:
        change = ""
        if one.change is not None:
            change = f"{one.change.value:+.3f} ({one.change.low:+.3f} to {one.change.high:+.3f})"
        lines.append(f"| {one.metric} | {one.old:.3f} | {one.new:.3f} | {change} | {one.verdict} |")
    return "\n".join(lines)
