"""What is said about a run."""

import sqlite3
from collections.abc import Iterator, Mapping

from ingest.catalogue.reader import read_problems
from ingest.pipeline.looking import Look
from ingest.pipeline.values import Report, SourceProblem


def write_report(
    connection: sqlite3.Connection, look: Look, counts: Mapping[str, int], seconds: Mapping[str, float]
) -> Report:
    """The report of a run: its counts, and every source of the named roots that gives no document now."""
    covering = {scan.root: scan for scan in look.scans}
    rows = [
        row for row in read_problems(connection) if row[0] in covering and covering[row[0]].covers(row[1])
    ]
    problems = [(status, SourceProblem(source, code, text)) for _, _, source, status, code, text in rows]
    failed = [problem for status, problem in problems if status == "failed"]
    failed += _not_stored(look)
    return Report(
        added=counts["added"],
        changed=counts["changed"],
        unchanged=counts["unchanged"],
        removed=counts["removed"],
        renamed=counts["renamed"],
        failed=tuple(sorted(failed, key=lambda problem: problem.source)),
        skipped=tuple(problem for status, problem in problems if status == "skipped"),
        chunks=connection.execute("SELECT count(*) FROM chunks").fetchone()[0],
        seconds=tuple(seconds.items()),
        planned=tuple(action for action in look.actions if action[0] != "unchanged"),
    )


def _not_stored(look: Look) -> Iterator[SourceProblem]:
    """Failures of which the index keeps nothing, since it keeps what it knew before."""
    for scan in look.scans:
        for folder, reason in scan.unreadable:
            text = f"The folder could not be read: {reason}."
            yield SourceProblem(look.roots.handle(scan.root, folder), "unreadable", text)
    for work in look.plan.busy:
        text = "It changed while it was read, and is read again in the next run."
        yield SourceProblem(look.roots.handle(work.root, work.file.name), "changed", text)
