"""Speaks to people: arguments, one call, print. No decisions.

stdout carries data, stderr progress and warnings. The exit codes are the contract of `docs/cli.md`.
"""

import sys

import typer

from ingest.errors import IndexMismatchError, IngestError, LockedError, NoIndexError, RootError
from ragqa.cli import asking, doctoring, evaluating, indexing, modelling
from ragqa.cli.output import say
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

app = typer.Typer(
    name="ragqa",
    help="Cited answers from your own documents, on your own machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (indexing, asking, modelling, evaluating, doctoring):
    module.add_commands(app)


def main() -> None:
    """The program. Errors meant for people are one message on stderr; a bug keeps its traceback."""
    try:
        app(prog_name="ragqa")
    except (IngestError, RagqaError) as error:
        say(f"ragqa: {error}")
        sys.exit(next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), 1))
