"""`eval`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragqa.cli.options import (
    ContextTokensOption,
    IndexOption,
    JsonOption,
    ModelOption,
    RerankerOption,
    StrictOption,
    TopKOption,
    one_by_one,
    require_engine,
    require_reading_engine,
)
from ragqa.cli.output import progress, put, put_json, say

if TYPE_CHECKING:
    from ragqa.evaluation.report import Comparison, EvalReport
    from ragqa.evaluation.suite import EvalOptions


def add_commands(app: typer.Typer) -> None:
    """Hang the command of this file on the program."""
    app.command("eval")(one_by_one(evaluate))


@dataclass(frozen=True, slots=True)
class Measuring:
    """The options of `eval`, as given."""

    engine: Annotated[
        str | None,
        typer.Option(
            "--engine",
            metavar="NAME",
            help="Who answers. [default: nobody, only retrieval is measured]",
            show_default=False,
        ),
    ] = None
    model: ModelOption = None
    index: IndexOption = None
    context_tokens: ContextTokensOption = None
    top_k: TopKOption = 24
    reranker: RerankerOption = None
    strict: StrictOption = False
    part: Annotated[
        str, typer.Option("--part", metavar="all|even|odd", help="Half of the questions, by subject.")
    ] = "all"
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", min=1, metavar="N", help="At most N questions, drawn from all.", show_default=False
        ),
    ] = None
    gold_removed: Annotated[
        bool,
        typer.Option("--gold-removed", help="Ask answerable questions again without their documents."),
    ] = False
    given: Annotated[
        int | None,
        typer.Option(
            "--given",
            min=1,
            metavar="N",
            help="Hand the engine N blocks, the question's own among others near it, in place of what is "
            "found: reading measured apart from finding.",
            show_default=False,
        ),
    ] = None
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline", metavar="FILE", help="An earlier --json; exit 7 where worse.", show_default=False
        ),
    ] = None
    page: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page with plots.", show_default=False),
    ] = None

    def options(self) -> "EvalOptions":
        """What is to be measured. Raises a usage error for options that do not go together."""
        from ragqa.evaluation.suite import EvalOptions
        from ragqa.settings import AnswerSettings, RetrievalSettings
        from ragqa.wiring import EngineChoice

        if self.part not in ("all", "even", "odd"):
            raise typer.BadParameter("all, even or odd", param_hint="--part")
        if self.engine:
            require_engine(self.engine)
            require_reading_engine(self.engine, self.model)
        if self.gold_removed and not self.engine:
            raise typer.BadParameter("only an --engine can refuse, name one too", param_hint="--gold-removed")
        if self.given and not self.engine:
            raise typer.BadParameter("is read by an --engine, name one too", param_hint="--given")
        if self.page and not self.page.absolute().parent.is_dir():
            raise typer.BadParameter(f"there is no folder {self.page.parent}", param_hint="--html")
        return EvalOptions(
            engine=EngineChoice(self.engine, self.model) if self.engine else None,
            retrieval=RetrievalSettings(top_k=self.top_k, reranker=self.reranker),
            answering=AnswerSettings(context_tokens=self.context_tokens, strict=self.strict),
            gold_removed=self.gold_removed,
            given=self.given,
            part=self.part,
            limit=self.limit,
        )


def evaluate(
    question_set: Annotated[
        str,
        typer.Argument(
            metavar="SET",
            help="A folder with documents.jsonl and questions.jsonl, the name of one under RAGQA_EVAL_DATA, "
            "or a questions.jsonl to ask the index.",
            show_default=False,
        ),
    ],
    *,
    asked: Measuring,
    as_json: JsonOption = False,
) -> None:
    """Measure retrieval, answers and refusals on a question set.

    A line of questions.jsonl: {"id": "1", "question": "How long is the notice?", "answers": ["a month"],
    "gold_doc_ids": ["terms.md"], "evidence": [{"doc_id": "terms.md", "quotes": ["a notice of one month"]}]}.
    Only id and question are needed; a question that the documents do not answer says "answerable": false.
    Documents are named as `ragqa sources list` does, or by the id of a line of documents.jsonl:
    {"id": "terms", "title": "Terms", "text": "The whole text."}.
    """
    from ragqa.errors import CheckFailedError
    from ragqa.evaluation.report import compare, comparison_table, is_regression, report_json, table
    from ragqa.evaluation.suite import measure_set, read_baseline

    options = asked.options()
    earlier = read_baseline(asked.baseline) if asked.baseline else None
    with progress() as tick:
        report = measure_set(question_set, asked.index, options, tick)
    comparisons = compare(report, earlier) if earlier else []
    if report.unknown:
        say(
            f"{len(report.unknown)} gold documents are not in the index, {report.unknown[0]} for one: "
            "what is asked of them counts as not found."
        )
    put_json(report_json(report)) if as_json else put(table(report) + "\n")
    if asked.page:
        write_page(asked.page, report, comparisons)
    if comparisons:
        say(comparison_table(comparisons))
        if is_regression(comparisons):
            raise CheckFailedError(f"Worse than {asked.baseline}.")


def write_page(page: Path, report: "EvalReport", comparisons: "list[Comparison]") -> None:
    """The page with plots. Raises OutputError where it cannot be written."""
    from ragqa.errors import OutputError
    from ragqa.evaluation.page import html_page

    try:
        page.write_text(html_page(report, comparisons), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{page} cannot be written: {error.strerror}. Name another --html.") from error
    say(f"Wrote {page}.")
