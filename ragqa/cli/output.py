"""Printing: data to stdout, words for people to stderr, progress with rate and time left."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from ragqa.contract import Json, dumps


class Tick(Protocol):
    """Called as work goes on: what is being done, how many of how many are done."""

    def __call__(self, stage: str, done: int, total: int | None) -> None: ...


def say(message: str) -> None:
    """A line for people, on stderr, without anything that would act on a terminal."""
    from ragqa.terminal import printable

    sys.stderr.write(printable(message) + "\n")


def put_json(value: Json) -> None:
    """One line of JSON on stdout."""
    put(dumps(value) + "\n")


def put(text: str) -> None:
    """Text on stdout as UTF-8, whatever the locale; what cannot be encoded becomes a question mark."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))
    sys.stdout.buffer.flush()


def show(view: Any) -> None:
    """A rich renderable on stdout."""
    from ragqa.terminal import console

    made = console()
    made.print(view, soft_wrap=made.soft_wrap)


@contextmanager
def progress(shown: bool = True) -> Iterator[Tick]:
    """A bar on stderr with rate and time left: on a terminal it moves, elsewhere it stays silent."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    from ragqa.terminal import console

    class RateColumn(ProgressColumn):
        """Steps a second."""

        def render(self, task: Any) -> Text:
            return Text(f"{task.speed:.1f}/s" if task.speed else "")

    err = console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not (shown and err.is_terminal)) as bar:
        tasks: dict[str, Any] = {}

        def tick(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield tick
