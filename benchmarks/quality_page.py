"""The rows of docs/quality.md: which figure each mark is held against, and the table made of them. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from ragqa.evaluation.bootstrap import Estimate, mean_with_interval
from ragqa.wiring import DEFAULT_MODEL, EngineChoice

FIGURES_BEGIN = "<!-- figures: from here to the end mark `make eval` writes -->"
FIGURES_END = "<!-- end of figures -->"
ABSENT = "not measured"
FOUR = "qed+clapnq+squad2+nq_gold"
WORDS = {
    "ndcg@10": "nDCG@10",
    "all_support@10": "all supports among ten",
    "recall@5": "recall@5",
    "evidence_chunk@10": "answer's chunk among ten",
    "success@10": "a gold page among ten, whole PDFs",
    "success@5": "a right file among five",
    "ranked_evidence@1": "first sentence is evidence",
    "ranked_evidence@3": "one of the first three is",
    "evidence@1": "answered: first citation is evidence",
    "evidence@3": "answered: one of three is",
    "citation_precision": "citation precision",
    "citation_recall": "citation recall",
    "f1": "token F1",
    "refusal_recall@0.15": "unanswerable: refused at over-refusal 0.15",
    "refusal_recall_gold_removed@0.15": "gold removed: refused at over-refusal 0.15",
    "refusal_auroc": "unanswerable: AUROC",
    "refusal_auroc_gold_removed": "gold removed: AUROC",
    "refusal_recall": "unanswerable: refused as shipped",
    "refusal_recall_gold_removed": "gold removed: refused as shipped",
    "over_refusal": "answerable: refused as shipped",
    "seconds_per_question": "seconds a question",
}

Figures = Mapping[str, Any]
"""What `ragqa eval --json` prints, and the ids of the odd half."""
Measured = dict[tuple[str, str], Figures]
"""By set, and by `retrieval`, `dense`, `lexical` or the engine's name."""


@dataclass(frozen=True, slots=True)
class Row:
    """A figure and its mark: at least `mark`, which `above` puts on top of the best of these alone."""

    set_name: str
    metric: str
    mark: float | None = None
    above: tuple[str, ...] = ()
    answers: bool = False


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine of the table, and why it is not measured, where it is not."""

    choice: EngineChoice
    absent: str = ""

    @property
    def label(self) -> str:
        """The engine, and the folder of its model where that is not the one it has by default."""
        if self.choice.model in (None, DEFAULT_MODEL):
            return self.choice.name
        return f"{self.choice.name}:{PurePath(str(self.choice.model)).name}"


def _answers(set_name: str, marks: Mapping[str, float], metrics: Sequence[str]) -> list[Row]:
    return [Row(set_name, metric, marks.get(metric), answers=True) for metric in metrics]


RANKED = ("ranked_evidence@1", "ranked_evidence@3")
ANSWERED = ("evidence@1", "evidence@3", "citation_precision", "citation_recall", "f1")
REFUSED = ("refusal_recall@0.15", "refusal_auroc", "refusal_recall")
REMOVED = ("refusal_recall_gold_removed@0.15", "refusal_auroc_gold_removed", "refusal_recall_gold_removed")
LAST = ("over_refusal", "seconds_per_question")
GOLD_REMOVED = {"refusal_recall_gold_removed@0.15": 0.60}
ROWS = (
    Row("scifact", "ndcg@10", 0.06, ("dense", "lexical")),
    Row("cranfield", "ndcg@10", 0.05, ("dense", "lexical")),
    Row("multihop", "all_support@10", 0.20, ("lexical",)),
    Row(FOUR, "recall@5", 0.98),
    Row("covidqa", "evidence_chunk@10", 0.87),
    Row("financebench", "success@10", 0.80),
    Row("sec10q", "success@5", 0.90),
    *_answers(
        "qed",
        {"ranked_evidence@1": 0.65, "ranked_evidence@3": 0.85, **GOLD_REMOVED},
        (*RANKED, *ANSWERED, *REMOVED, *LAST),
    ),
    *_answers(
        "clapnq",
        {"ranked_evidence@1": 0.77, "ranked_evidence@3": 0.95, "refusal_recall@0.15": 0.70, **GOLD_REMOVED},
        (*RANKED, *ANSWERED, *REFUSED, *REMOVED, *LAST),
    ),
    *_answers(
        "squad2",
        {"refusal_recall@0.15": 0.40, **GOLD_REMOVED},
        (*RANKED, *ANSWERED, *REFUSED, *REMOVED, *LAST),
    ),
    *_answers("sample", GOLD_REMOVED, (*RANKED, *ANSWERED, *REFUSED, *REMOVED, *LAST)),
)


def page(measured: Measured, engines: Sequence[Engine], printed: Mapping[str, str]) -> str:
    """What stands between the marks of docs/quality.md."""
    titles = {"check": "The check", "hostile": "Hostile documents"}
    parts = [introduction(measured, engines), table(measured, engines)]
    parts += [f"### {titles[script]}\n\n{text}" for script, text in printed.items()]
    return "\n\n".join(parts) + "\n"


def introduction(measured: Measured, engines: Sequence[Engine]) -> str:
    """Which part is reported, which engines are, and which are not and why."""
    here = [f"`{one.label}`{model_of(one, measured)}" for one in engines if not one.absent]
    lines = [
        "Everything was chosen on the even half of each set and on the sample's tune split; figures and "
        "verdicts are of the **odd half** and of the sample's report split. Halves are by subject: no "
        "article is in both. `all` is the whole draw, what was chosen on included. Intervals are 95 %, "
        "bootstrap over questions; `n` counts the questions drawn of a large set. Seconds are wall clock, on "
        "whatever else the machine did.",
        f"Engines measured: {', '.join(here)}.",
    ]
    lines += [f"Not measured: `{one.label}`, {one.absent}." for one in engines if one.absent]
    return "\n\n".join(lines)


def model_of(engine: Engine, measured: Measured) -> str:
    models = {figures["model"] for (_, label), figures in measured.items() if label == engine.label}
    return f" ({', '.join(sorted(models))})" if models else ""


def table(measured: Measured, engines: Sequence[Engine]) -> str:
    """The one table. A row of a set that is not there says so."""
    lines = [
        "| set | measure | by | figure (interval) | n | all | mark | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        if not row.answers:
            lines += retrieval_lines(row, measured)
    for engine in engines:
        if not engine.absent:
            lines += [line for row in ROWS if row.answers for line in answer_lines(row, measured, engine)]
    return "\n".join(lines)


def retrieval_lines(row: Row, measured: Measured) -> Iterator[str]:
    """The fused figure with its verdict, then those of the retrievers alone that its mark stands on."""
    fused = measured.get((row.set_name, "retrieval"))
    one = odd_half(fused, row.metric) if fused else None
    if fused is None or one is None:
        yield f"| {row.set_name} | {WORDS[row.metric]} | | {ABSENT} | | | | |"
        return
    alone = {}
    for name in ("dense", "lexical"):
        figures = measured.get((row.set_name, name))
        if figures and (single := odd_half(figures, row.metric)):
            alone[name] = single
    base = max((alone[name].value for name in row.above if name in alone), default=None)
    needed = row.mark if not row.above else None if base is None else base + (row.mark or 0)
    words = f"{needed:.3f}" if needed is not None else ""
    if row.above and needed is not None:
        words += f" ({'best of ' * (len(row.above) > 1)}{' and '.join(row.above)} + {row.mark:.2f})"
    yield line(row, "as shipped", one, whole(fused, row.metric), (words, verdict(one, needed)))
    for name, single in alone.items():
        yield line(row, f"{name} alone", single, whole(measured[row.set_name, name], row.metric), ("", ""))


def answer_lines(row: Row, measured: Measured, engine: Engine) -> Iterator[str]:
    figures = measured.get((row.set_name, engine.label))
    found = figures["metrics"].get(row.metric) if figures else None
    if found is not None:
        one = Estimate(found["value"], found["low"], found["high"], found["n"])
        mark = "" if row.mark is None else f"{row.mark:.2f}"
        yield line(row, engine.label, one, "", (mark, verdict(one, row.mark)))
    elif figures is None and row.metric == ANSWERED[0]:
        yield f"| {row.set_name} | answers | {engine.label} | {ABSENT} | | | | |"


def line(row: Row, by: str, one: Estimate, everything: str, judged: tuple[str, str]) -> str:
    figure = f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"
    name = "the four in one" if row.set_name == FOUR else row.set_name
    cells = (name, WORDS[row.metric], by, figure, str(one.n), everything, *judged)
    return f"| {' | '.join(cells)} |"


def verdict(one: Estimate, mark: float | None) -> str:
    """`met` where the figure as printed reaches the mark as printed."""
    if mark is None:
        return ""
    if round(one.value, 3) >= round(mark, 3):
        return "met"
    return "missed, the mark within its interval" if one.high >= mark else "missed"


def odd_half(figures: Figures, metric: str) -> Estimate | None:
    """The metric over the questions of the odd half; None where none counts for it."""
    odd = frozenset(figures["odd"])
    values = [row[metric] for row in figures["questions"] if row["id"] in odd and metric in row]
    return mean_with_interval(values) if values else None


def whole(figures: Figures, metric: str) -> str:
    found = figures["metrics"][metric]
    return f"{found['value']:.3f} (n = {found['n']})"
