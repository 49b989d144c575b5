"""Printing: data to stdout, words for people to stderr, progress with rate and time left."""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from ragqa.contract import Json, dumps
from ragqa.errors import OutputError

LINE_SECONDS = 10.0


class Tick(Protocol):
    """Called as work goes on: what is being done, how many of how many are done."""

    def __call__(self, stage: str, done: int, total: int | None) -> None: ...


def say(message: str) -> None:
    """A line for people, on stderr, without anything that would act on a terminal."""
    from ragqa.terminal import printable

    if sys.stderr is not None:  # closed by whoever started the program
        sys.stderr.write(printable(message) + "\n")


def put_lines(lines: Iterable[str]) -> None:
    """Lines on stdout."""
    put("".join(f"{line}\n" for line in lines))


def put_json(value: Json) -> None:
    """One line of JSON on stdout."""
    put(dumps(value) + "\n")


def put_document(text: str) -> None:
    """A document's text on stdout: exact in a file or pipe, harmless and as long on a terminal."""
    if sys.stdout is not None and sys.stdout.isatty():
        from ragqa.terminal import printable

        text = printable(text)
    put(text)


def put(text: str) -> None:
    """Text on stdout as UTF-8, whatever the locale; what cannot be encoded becomes a question mark.

    Raises OutputError where stdout is closed or refuses.
    """
    with stdout_errors():
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))
        sys.stdout.buffer.flush()


def show(view: Any) -> None:
    """A rich renderable on stdout, as `put` does it."""
    from ragqa.terminal import console

    with stdout_errors():
        made = console()
        with made.capture() as captured:
            made.print(view, soft_wrap=made.soft_wrap)
    put(captured.get())


@contextmanager
def stdout_errors() -> Iterator[None]:
    """OutputError where stdout is closed or refuses; a reader that has seen enough is no error of ours."""
    if sys.stdout is None:
        raise OutputError("There is nowhere to print to: stdout is closed. Send it to a file or a terminal.")
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        # What is still in the buffer would fail once more when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(f"stdout cannot be written: {error.strerror}. Send it elsewhere.") from error


@contextmanager
def progress() -> Iterator[Tick]:
    """How far the work is, on stderr: a bar with rate and time left, or lines where that is no terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield Lines()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from ragqa.terminal import console

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def tick(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total, rate="")
            speed = bar.tasks[tasks[stage]].speed
            bar.update(tasks[stage], completed=done, total=total, rate=f"{speed:.1f}/s" if speed else "")

        yield tick


class Lines:
    """Progress for logs: a line every ten seconds with rate and time left; short work says nothing."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}
        self._told: dict[str, float] = {}

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        began = self._began.setdefault(stage, now)
        if now - self._told.setdefault(stage, now) < LINE_SECONDS or not done:
            return
        self._told[stage] = now
        rate = done / (now - began)
        left = (
            f" of {total}, {rate:.1f}/s, {(total - done) / rate:.0f} s left" if total else f", {rate:.1f}/s"
        )
        say(f"{stage}: {done}{left}")
