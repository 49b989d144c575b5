"""What is said about a run, or about one that would be."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence

from ingest.catalogue.reader import read_problems
from ingest.pipeline.files import kind_of
from ingest.pipeline.plan import Plan, RootScan
from ingest.pipeline.roots import Roots
from ingest.pipeline.values import Report, SourceProblem

COUNTED = ("added", "changed", "unchanged", "removed", "renamed")


def planned_actions(plan: Plan, roots: Roots) -> tuple[tuple[str, str], ...]:
    """What would become of which file if each could be read, of those that a run would do anything about."""
    works = [*plan.parse, *(work for work, _ in plan.copies)]
    works += [work for work, twin in plan.links if twin.id not in plan.renamed]
    actions = [(kind_of(work), roots.handle(work.root, work.file.name)) for work in works]
    actions += [
        ("renamed", roots.handle(w.root, w.file.name)) for w, twin in plan.links if twin.id in plan.renamed
    ]
    actions += [("removed", roots.handle(file.root, file.path)) for file in plan.removed]
    return tuple(sorted(actions))


def planned_counts(plan: Plan, actions: Sequence[tuple[str, str]]) -> dict[str, int]:
    """What a run that does this would count."""
    kinds = [kind for kind, _ in actions]
    counts = {kind: kinds.count(kind) for kind in COUNTED}
    kept = sum(1 for file, _ in (*plan.unchanged, *plan.touched) if file.status == "ok")
    return {**counts, "unchanged": counts["unchanged"] + kept}


def write_report(
    connection: sqlite3.Connection,
    roots: Roots,
    scans: Sequence[RootScan],
    plan: Plan,
    counts: Mapping[str, int],
    seconds: Mapping[str, float],
) -> Report:
    """The report of a run: its counts, and every source of the named roots that gives no document now."""
    covering = {scan.root: scan for scan in scans}
    rows = [
        row for row in read_problems(connection) if row[0] in covering and covering[row[0]].covers(row[1])
    ]
    problems = [(status, SourceProblem(source, code, text)) for _, _, source, status, code, text in rows]
    failed = [problem for status, problem in problems if status == "failed"]
    failed += _not_stored(roots, scans, plan)
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
    )


def _not_stored(roots: Roots, scans: Sequence[RootScan], plan: Plan) -> Iterator[SourceProblem]:
    """Failures of which the index keeps nothing, since it keeps what it knew before."""
    for scan in scans:
        for folder, reason in scan.unreadable:
            text = f"The folder could not be read: {reason}."
            yield SourceProblem(roots.handle(scan.root, folder), "unreadable", text)
    for work in plan.busy:
        text = "It changed while it was read, and is read again in the next run."
        yield SourceProblem(roots.handle(work.root, work.file.name), "changed", text)
