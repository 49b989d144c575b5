"""What is to be done to bring an index in line with its roots. Pure but for the hash function it is given."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from ingest.catalogue.reader import KnownFile
from ingest.discover import FoundFile
from ingest.errors import PruneRefusedError

FEWEST_TO_PROTECT = 4
"""Roots of fewer files may lose more than half of them without being asked about it."""


@dataclass(frozen=True, slots=True)
class RootScan:
    """What was found of one root. `parts` are those that the call named, as `sub` or `a.md`: none for all.

    `name` is the root's own name, `place` its place among all roots. `exists` is false for a root that has
    gone.
    """

    root: str
    name: str
    place: int
    parts: tuple[str, ...]
    exists: bool
    files: tuple[FoundFile, ...]
    unreadable: tuple[tuple[str, str], ...]

    def covers(self, path: str) -> bool:
        """Whether a path of this root is in the part that the call named, and could be looked at."""
        inside = not self.parts or any(is_inside(path, part) for part in self.parts)
        return inside and not any(path.startswith(folder) for folder, _ in self.unreadable)


def is_inside(path: str, part: str) -> bool:
    """Whether a path is that part of its root, or lies in it."""
    return path == part or path.startswith(f"{part}/")


@dataclass(frozen=True, slots=True)
class Work:
    """A file to be read, or to be linked to what is known: `known` is what the index has under its path.

    `former` is the vanished file with the same bytes that it was before it was renamed.
    """

    root: str
    place: int
    name: str
    file: FoundFile
    sha256: str
    known: KnownFile | None
    former: KnownFile | None = None

    @property
    def order(self) -> tuple[int, str]:
        """Its place among all files: two runs over the same files do the same in the same order."""
        return self.place, self.file.name


@dataclass(slots=True)
class Plan:
    """All that is to be done, each list in order.

    `links` are files whose bytes the index knows under another path. `copies` are files equal to one of
    `parse`, whose outcome they share. `unreadable` files failed before they were read; `busy` ones changed
    while they were.
    """

    unchanged: list[tuple[KnownFile, FoundFile]] = field(default_factory=list)
    touched: list[tuple[KnownFile, FoundFile]] = field(default_factory=list)
    links: list[tuple[Work, KnownFile]] = field(default_factory=list)
    removed: list[KnownFile] = field(default_factory=list)
    parse: list[Work] = field(default_factory=list)
    copies: list[tuple[Work, Work]] = field(default_factory=list)
    unreadable: list[tuple[Work, str]] = field(default_factory=list)
    busy: list[Work] = field(default_factory=list)

    def kept(self) -> int:
        """How many files that gave documents stay as they are."""
        return sum(1 for file, _ in (*self.unchanged, *self.touched) if file.status == "ok")


def make_plan(
    known: Sequence[KnownFile],
    scans: Sequence[RootScan],
    versions: str,
    hash_of: Callable[[FoundFile], str | None],
) -> Plan:
    """Compare what the index knows with what was found.

    A file is opened (`hash_of`) only where its size or time differ from what is known, or where it is tried
    again.
    """
    plan = Plan()
    todo: list[Work] = []
    for scan in scans:
        todo += _compare_root(plan, known, scan, versions, hash_of)
    todo += _to_retitle(plan, todo)
    _settle(plan, sorted(todo, key=lambda work: work.order), known, versions)
    return plan


def require_few_removals(
    plan: Plan, known: Sequence[KnownFile], scans: Sequence[RootScan], location: Callable[[str], str]
) -> None:
    """Raise PruneRefusedError where a root would lose more than half of its files, or is gone or empty."""
    for scan in scans:
        before = sum(1 for file in known if file.root == scan.root and scan.covers(file.path))
        lost = sum(1 for file in plan.removed if file.root == scan.root)
        gone = bool(lost) and not scan.files
        if gone or (before >= FEWEST_TO_PROTECT and 2 * lost > before):
            reason = (
                "no file of it was found, or patterns leave all out: is a disk missing?"
                if scan.exists
                else "it does not exist any more: was it moved, or is a disk missing?"
            )
            raise PruneRefusedError(
                f"This would remove {lost} of the {before} files known of {location(scan.root)}"
                f"{f' ({reason})' if gone else ''}. "
                f"Nothing was changed. If it is right, run it again with --prune."
            )


def _compare_root(
    plan: Plan,
    known: Sequence[KnownFile],
    scan: RootScan,
    versions: str,
    hash_of: Callable[[FoundFile], str | None],
) -> list[Work]:
    here = {file.path: file for file in known if file.root == scan.root and scan.covers(file.path)}
    todo = []
    for found in scan.files:
        before = here.pop(found.name, None)
        again = before is not None and (before.status == "failed" or before.versions != versions)
        if before and not again and (before.size, before.mtime_ns) == (found.size, found.mtime_ns):
            plan.unchanged.append((before, found))
            continue
        work = Work(scan.root, scan.place, found.name or scan.name, found, "", before)
        try:
            sha256 = hash_of(found)
        except OSError as error:
            plan.unreadable.append((work, error.strerror or str(error)))
            continue
        if sha256 is None:
            plan.busy.append(work)
        elif before and not again and before.sha256 == sha256:
            plan.touched.append((before, found))
        else:
            todo.append(Work(work.root, work.place, work.name, found, sha256, before))
    plan.removed += here.values()
    return todo


def _to_retitle(plan: Plan, todo: Sequence[Work]) -> list[Work]:
    """Files to be read again since the file that their document took its title from has gone or changed."""
    gone = [file for file in plan.removed if file.title == _stem(file.name)]
    gone += [work.known for work in todo if work.known and work.known.title == _stem(work.known.name)]
    again = []
    for file in gone:
        twins = [pair for pair in (*plan.unchanged, *plan.touched) if pair[0].sha256 == file.sha256]
        for before, found in sorted(twins, key=lambda pair: (pair[0].place, pair[0].path))[:1]:
            if _stem(before.name) != file.title and (before, found) in plan.unchanged:
                plan.unchanged.remove((before, found))
                again.append(Work(before.root, before.place, before.name, found, before.sha256, before))
    return again


def _settle(plan: Plan, todo: Iterable[Work], known: Sequence[KnownFile], versions: str) -> None:
    """Sort what is to be done into links to what is known, files to parse, and copies of these."""
    twins: dict[tuple[str, str], list[KnownFile]] = defaultdict(list)
    vanished = {file.id for file in plan.removed}
    for file in sorted(known, key=lambda file: (file.id not in vanished, file.place, file.path)):
        if file.status != "failed" and file.versions == versions:
            twins[file.sha256, _suffix(file.name)].append(file)
    first: dict[tuple[str, str], Work] = {}
    renamed: set[int] = set()
    for work in todo:
        key = work.sha256, _suffix(work.name)
        same_bytes_again = work.known is not None and work.known.sha256 == work.sha256
        twin = None if same_bytes_again else next((t for t in twins[key] if t.id not in renamed), None)
        if twin is not None and twin.id in vanished:
            work = replace(work, former=twin)
            renamed.add(twin.id)
        if twin is not None and _shares_title(work, twin, twins[key]):
            plan.links.append((work, twin))
        elif key in first:
            plan.copies.append((work, first[key]))
        else:
            first[key] = work
            plan.parse.append(work)
    plan.removed = [file for file in plan.removed if file.id not in renamed]


def _shares_title(work: Work, twin: KnownFile, twins: Sequence[KnownFile]) -> bool:
    """Whether a twin's title is this file's too: not where it is the name of another file."""
    return twin.title not in {_stem(one.name) for one in twins} - {_stem(work.name)}


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
