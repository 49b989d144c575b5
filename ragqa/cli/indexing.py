"""`ingest`, `sources …` and `index …`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragqa.cli.options import IndexOption, JsonOption, LockTimeoutOption, one_by_one
from ragqa.cli.output import progress, put, put_document, put_json, put_lines, say

if TYPE_CHECKING:
    from ingest.pipeline import IngestOptions

PART_FAILED = 3
sources = typer.Typer(help="What was ingested.", no_args_is_help=True)
index = typer.Typer(help="Look after the index.", no_args_is_help=True)
SourceArgument = Annotated[
    str,
    typer.Argument(metavar="SOURCE", help="A source, or the beginning of a document id.", show_default=False),
]


def add_commands(app: typer.Typer) -> None:
    """Hang the commands of this file on the program."""
    app.command()(one_by_one(ingest))
    app.add_typer(sources, name="sources")
    app.add_typer(index, name="index")


@dataclass(frozen=True, slots=True)
class Ingesting:
    """The options of `ingest`, as given."""

    include: Annotated[
        list[str] | None,
        typer.Option(
            "--include", metavar="GLOB", help="Only these files; others leave the index.", show_default=False
        ),
    ] = None
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="GLOB", help="Not these files.", show_default=False),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=0,
            metavar="N",
            help="Parsing processes. [default: one a core, 4 at most]",
            show_default=False,
        ),
    ] = None
    embedder: Annotated[
        str | None,
        typer.Option(
            "--embedder",
            metavar="NAME",
            show_default=False,
            help="minilm, or provider:model of LangChain. [default: the index's own, else minilm]",
        ),
    ] = None
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would be done, change nothing."),
    ] = False
    prune: Annotated[
        bool, typer.Option("--prune", help="Allow removing more than half of a root's documents.")
    ] = False
    lock_timeout: LockTimeoutOption = 10.0

    def options(self) -> "IngestOptions":
        """As the pipeline takes them."""
        from ingest.pipeline import IngestOptions
        from ragqa.wiring import default_workers

        return IngestOptions(
            include=tuple(self.include or ()),
            exclude=tuple(self.exclude or ()),
            workers=default_workers() if self.workers is None else self.workers,
            embedder=self.embedder,
            dry_run=self.dry_run,
            prune=self.prune,
            lock_timeout=self.lock_timeout,
        )


def ingest(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="Folders or files.", show_default=False)
    ],
    index: IndexOption = None,
    *,
    asked: Ingesting,
    as_json: JsonOption = False,
) -> None:
    """Bring the index in line with folders and files.

    New, changed, renamed and vanished files are told apart; unchanged ones are not opened.
    """
    from ingest.pipeline import ingest_paths
    from ragqa.contract import report_json
    from ragqa.terminal import report_lines
    from ragqa.wiring import new_index_path

    place = new_index_path(index)
    if index is None and place.absolute().parent != Path.cwd():
        say(f"The index is {place}.")
    with progress() as tick:
        report = ingest_paths(paths, place, asked.options(), tick)
    if as_json:
        put_json(report_json(report))
    else:
        put_lines(report_lines(report))
    if report.failed:
        raise typer.Exit(PART_FAILED)


@sources.command("list")
def list_sources(index: IndexOption = None, as_json: JsonOption = False) -> None:
    """One line a source: its document, state, title, pages, size."""
    from ingest.index import open_index
    from ragqa.contract import source_json
    from ragqa.terminal import source_line
    from ragqa.wiring import index_path

    with open_index(index_path(index)) as opened:
        for row in opened.sources():
            if as_json:
                put_json(source_json(row))
            else:
                put(source_line(row) + "\n")


@sources.command("text")
def text(source: SourceArgument, index: IndexOption = None) -> None:
    """Print a document's canonical text.

    No newline is added: the offsets of citations count in this text.
    """
    from ingest.index import open_index
    from ragqa.wiring import index_path

    with open_index(index_path(index)) as opened:
        put_document(opened.document(opened.resolve(source)).text)


@sources.command("remove")
def remove(source: SourceArgument, index: IndexOption = None, lock_timeout: LockTimeoutOption = 10.0) -> None:
    """Take a source out of the index.

    The file stays; the next ingest of its folder brings it back.
    """
    from ingest.index import remove_source
    from ragqa.wiring import index_path

    for removed in remove_source(index_path(index), source, lock_timeout):
        say(f"Removed {removed}.")


@index.command("stats")
def stats(index: IndexOption = None, as_json: JsonOption = False) -> None:
    """Counts, sizes, versions and the state of what is derived."""
    from ingest.index import open_index
    from ragqa.contract import stats_json
    from ragqa.terminal import stats_lines
    from ragqa.wiring import index_path

    with open_index(index_path(index)) as opened:
        facts = opened.stats()
    if as_json:
        put_json(stats_json(facts))
    else:
        put_lines(stats_lines(facts))


@index.command("check")
def check(index: IndexOption = None, as_json: JsonOption = False) -> None:
    """Compare what is stored with what is derived.

    Exits 7 where something does not fit.
    """
    from ingest.index import check_index
    from ragqa.contract import check_json
    from ragqa.errors import CheckFailedError
    from ragqa.wiring import index_path

    with progress() as tick:
        problems = check_index(index_path(index), tick)
    if as_json:
        put_json(check_json(problems))
    elif problems:
        put_lines(problems)
    else:
        put("No problem found.\n")
    if problems:
        raise CheckFailedError(f"{len(problems)} problem(s). `ragqa index repair` rebuilds what is derived.")


@index.command("repair")
def repair(index: IndexOption = None, lock_timeout: LockTimeoutOption = 10.0) -> None:
    """Rebuild what is derived from what is stored.

    The full text and the Chroma collection; nothing is parsed or embedded again.
    """
    from ingest.index import repair_index
    from ragqa.wiring import index_path

    with progress() as tick:
        repair_index(index_path(index), lock_timeout, tick)
    say("Rebuilt.")
