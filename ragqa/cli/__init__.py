"""Speaks to people: arguments, one call, print. No decisions.

stdout carries data, stderr progress and warnings. The exit codes are the contract of `docs/cli.md`.
"""

import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from ingest.errors import IndexMismatchError, IngestError, LockedError, NoIndexError, RootError
from ragqa.cli import asking, doctoring, evaluating, indexing, modelling, searching
from ragqa.cli.output import put, say
from ragqa.errors import CheckFailedError, RagqaError, RunMismatchError

EXIT_CODES: dict[type[Exception], int] = {
    NoIndexError: 5,
    IndexMismatchError: 6,
    RunMismatchError: 6,
    CheckFailedError: 7,
    LockedError: 11,
    RootError: 2,
}
"""Errors that scripts tell apart; every other one meant for people exits 1."""

INTERRUPTED = 130

app = typer.Typer(
    name="ragqa",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def tell_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        from importlib.metadata import version

        put(f"ragqa {version('ragqa')}\n")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=tell_version)
    ] = False,
) -> None:
    """Cited answers from your own documents, on your own machine."""


for module in (indexing, asking, searching, modelling, evaluating, doctoring):
    module.add_commands(app)


def main() -> None:
    """The program. Errors meant for people are one message on stderr; a bug keeps its traceback."""
    interrupts = watch_interrupts()
    try:
        app(prog_name="ragqa")
    except BaseException as error:
        if interrupts:  # one that falls into an import comes out as the error of that import
            say("ragqa: interrupted.")
            sys.exit(INTERRUPTED)
        if not isinstance(error, IngestError | RagqaError):
            raise
        say(f"ragqa: {error}")
        sys.exit(next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), 1))


def watch_interrupts() -> list[int]:
    """A list that gets an entry with every Ctrl-C, which goes on to interrupt as ever."""
    seen: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    # Where the caller had interrupts ignored, as shells do for what runs in the background, they stay so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    return seen
