"""`ask` and `batch`."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ragqa.cli.options import (
    ContextTokensOption,
    DeviceMapOption,
    EngineOption,
    FailOnRefusalOption,
    IndexOption,
    JsonOption,
    MaxAnswerTokensOption,
    ModelOption,
    OnUnsupportedOption,
    RerankerOption,
    SeedOption,
    StrictOption,
    TemperatureOption,
    TopKOption,
    TopPOption,
    UnprovenOption,
    WhereOption,
    one_by_one,
    require_engine,
    require_reading_engine,
)
from ragqa.cli.output import progress, put, put_json, say, show
from ragqa.cli.searching import warn_of_index, where_pairs

REFUSED = 4
PART_FAILED = 3


def add_commands(app: typer.Typer) -> None:
    """Hang the commands of this file on the program."""
    app.command()(one_by_one(ask))
    app.command()(one_by_one(batch))


@dataclass(frozen=True, slots=True)
class Asking:
    """The options that `ask` and `batch` share, as given."""

    index: IndexOption = None
    engine: EngineOption = "auto"
    model: ModelOption = None
    context_tokens: ContextTokensOption = None
    top_k: TopKOption = 24
    reranker: RerankerOption = None
    where: WhereOption = None
    strict: StrictOption = False
    on_unsupported: OnUnsupportedOption = "mark"
    max_answer_tokens: MaxAnswerTokensOption = 512
    temperature: TemperatureOption = 0.0
    top_p: TopPOption = 1.0
    seed: SeedOption = 0
    allow_unproven_length: UnprovenOption = False
    device_map: DeviceMapOption = "cpu"

    @contextmanager
    def answerer(self) -> Iterator[Any]:
        """An answerer with these options; a model that is made on its first use shows how far it is."""
        from ragqa.settings import AnswerSettings, RetrievalSettings
        from ragqa.wiring import EngineChoice, open_answerer

        require_engine(self.engine)
        require_reading_engine(self.engine, self.model, self.device_map)
        if self.on_unsupported not in ("mark", "refuse"):
            raise typer.BadParameter("mark or refuse", param_hint="--on-unsupported")
        answering = AnswerSettings(
            context_tokens=self.context_tokens,
            max_answer_tokens=self.max_answer_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
            strict=self.strict,
            on_unsupported="refuse" if self.on_unsupported == "refuse" else "mark",
        )
        retrieval = RetrievalSettings(top_k=self.top_k, reranker=self.reranker)
        with ExitStack() as opened:
            with progress() as tick:
                choice = EngineChoice(
                    self.engine, self.model, self.allow_unproven_length, self.device_map, tick
                )
                answerer = opened.enter_context(open_answerer(self.index, choice, retrieval, answering))
            yield answerer

    def say_which(self, answerer: Any) -> None:
        """Name the engine where the person left it open."""
        from ragqa.wiring import AUTO

        if self.engine == AUTO:
            say(f"Answered by {answerer.engine.name} ({answerer.engine.model}).")


def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.", show_default=False)],
    *,
    asked: Asking,
    show_prompt: Annotated[
        bool, typer.Option("--show-prompt", help="Print the prompt on stderr before the answer.")
    ] = False,
    stream: Annotated[
        bool | None,
        typer.Option(
            "--stream/--no-stream",
            help="Show the raw text on stderr as it is written. [default: on a terminal, if a model writes]",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
    fail_on_refusal: FailOnRefusalOption = False,
) -> None:
    """Answer one question, every sentence cited and checked."""
    if not question.strip():
        raise typer.BadParameter("is empty", param_hint="QUESTION")
    from ragqa.llm.engine import ignore_text

    pairs = where_pairs(asked.where)
    with asked.answerer() as answerer:
        warn_of_index(answerer.retriever, pairs)
        on_text = streamer(stream, answerer.engine.name)
        answer = answerer.ask(question, pairs, on_text=on_text)
    if on_text is not ignore_text and answer.generation:
        say("\n")  # an empty line between the raw text and the answer
    if show_prompt and answer.prompt:
        say(answer.prompt.text)
    if as_json:
        from ragqa.contract import answer_json

        put_json(answer_json(answer))
    else:
        from ragqa.terminal import answer_view

        show(answer_view(answer))
        asked.say_which(answerer)
    if answer.refused and fail_on_refusal:
        raise typer.Exit(REFUSED)


def streamer(wanted: bool | None, engine: str) -> Any:
    """What shows raw text as it is written: on stderr, since it is not checked yet.

    Unasked only on a terminal, and for engines that take their time.
    """
    import sys

    from ragqa.llm.engine import ignore_text
    from ragqa.terminal import printable
    from ragqa.wiring import INSTANT

    if wanted is None:
        wanted = sys.stderr is not None and sys.stderr.isatty() and engine not in INSTANT
    if not wanted or sys.stderr is None:
        return ignore_text

    def write(piece: str) -> None:
        sys.stderr.write(printable(piece))
        sys.stderr.flush()

    return write


def batch(
    file: Annotated[Path, typer.Argument(help="Questions: .txt, .csv or .jsonl.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="JSON lines; a run that was stopped continues there.",
            show_default=False,
        ),
    ] = None,
    csv_file: Annotated[
        Path | None,
        typer.Option(
            "--csv", metavar="FILE", help="The answers as a table too; needs --output.", show_default=False
        ),
    ] = None,
    *,
    asked: Asking,
    fail_on_refusal: FailOnRefusalOption = False,
) -> None:
    """Answer every question of a file.

    JSON lines, written as they are made; a run that was stopped continues where it was.
    """
    from ragqa.batch import require_outputs, run_batch, run_of, stream_batch, write_csv
    from ragqa.questions import read_questions

    if csv_file and not output:
        raise typer.BadParameter("needs --output as well", param_hint="--csv")
    questions = read_questions(file)
    require_outputs(file, output, csv_file)
    pairs = where_pairs(asked.where)
    with asked.answerer() as answerer, progress() as tick:
        warn_of_index(answerer.retriever, pairs)

        def ask_one(question: str) -> Any:
            return answerer.ask(question, pairs)

        def done(number: int, total: int) -> None:
            tick("answering", number, total)

        if output:
            run = run_of(questions, answerer.retriever.index.state, answerer.identity(pairs))
            summary = run_batch(questions, ask_one, output, run, done)
        else:
            summary = stream_batch(questions, ask_one, put, done)
    if output and csv_file:
        write_csv(output, csv_file)
    kept = f", {summary.kept} from an earlier run" if summary.kept else ""
    say(f"{summary.answered} answered, {summary.refused} refused, {summary.failed} failed{kept}.")
    asked.say_which(answerer)
    if summary.failed:
        raise typer.Exit(PART_FAILED)
    if fail_on_refusal and (summary.refused or summary.refused_before):
        raise typer.Exit(REFUSED)
