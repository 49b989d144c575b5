"""How a parser says that a file gives no document: raise `Unparsable`, with what a person can do about it."""

from typing import Literal

from ingest.types import Problem

FailedCode = Literal["parser_error", "timeout", "memory", "crashed", "unreadable"]
SkippedCode = Literal["needs_ocr", "password", "unsupported", "empty", "too_large"]


class Unparsable(Exception):  # noqa: N818  it is an outcome, not an error of the program
    """Carries the Problem out of a parser; never leaves `parse_file`."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def skipped(code: SkippedCode, message: str) -> Unparsable:
    """The file is as it should be, but not for us."""
    return Unparsable(Problem("skipped", code, message))


def failed(code: FailedCode, message: str) -> Unparsable:
    """Something broke; it is tried again on the next run."""
    return Unparsable(Problem("failed", code, message))


def encrypted(what: str) -> Unparsable:
    return skipped("password", f"{what} is protected by a password: save a copy without one.")
