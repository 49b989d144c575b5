"""Carrying out an ingest: look, plan, then one transaction a file, then what is derived."""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from secrets import token_hex

from ingest.catalogue.documents import FileRecord
from ingest.catalogue.locking import writer_lock
from ingest.catalogue.reader import KnownFile, read_known_files
from ingest.catalogue.schema import (
    DATABASE,
    SCHEMA_VERSION,
    connect_memory,
    connect_writer,
    read_settings,
    storage_errors,
)
from ingest.catalogue.writer import (
    SourceRecord,
    copy_sources,
    remove_empty_root,
    remove_file,
    store_file,
    touch_file,
    transaction,
    write_settings,
)
from ingest.discover import FoundFile, Selection, hash_file
from ingest.errors import RootError
from ingest.index.derived import refresh_vectors
from ingest.index.mismatch import require_same
from ingest.pipeline.files import is_gone, kind_of, trusted_time
from ingest.pipeline.looking import COUNTED, Look, planned_actions, planned_counts
from ingest.pipeline.place import require_own_folder
from ingest.pipeline.plan import Plan, RootScan, Work, make_plan, require_few_removals
from ingest.pipeline.preparing import Prepared, Preparer
from ingest.pipeline.reporting import write_report
from ingest.pipeline.roots import Roots
from ingest.pipeline.timing import Stopwatch
from ingest.pipeline.values import IngestOptions, Report, Tools, default_tools
from ingest.progress import Progress, silent
from ingest.types import Problem


def ingest_paths(
    paths: Sequence[Path],
    index_path: Path,
    options: IngestOptions = IngestOptions(),
    progress: Progress = silent,
    tools: Tools | None = None,
) -> Report:
    """Bring the roots named by `paths`, and no others, in line with the index at `index_path`; make it if
    need be.

    A new index takes a folder of its own, or one named `.ragqa`. A killed or interrupted run keeps what it
    committed, file by file; the next one does the rest. Raises RootError, PruneRefusedError,
    IndexMismatchError, LockedError, EmbedderError, StorageError; of these only the last two can come after
    something was changed.
    """
    tools = tools or default_tools()
    is_new = not (index_path / DATABASE).is_file()
    missing = [path for path in paths if not path.exists()]
    if is_new and missing:
        raise RootError(f"{missing[0]} cannot be ingested: there is no such file or folder.")
    if is_new:
        require_own_folder(index_path)
    if options.dry_run and is_new:
        with closing(connect_memory()) as connection:
            return Ingest(connection, index_path, options, progress, tools).run(paths)
    with storage_errors(index_path):
        index_path.mkdir(parents=True, exist_ok=True)
    with writer_lock(index_path, options.lock_timeout):
        with storage_errors(index_path):
            opened = connect_writer(index_path)
        with closing(opened) as connection:
            return Ingest(connection, index_path, options, progress, tools).run(paths)


class Ingest:
    """One run. The caller holds the lock, and closes the connection."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        index_path: Path,
        options: IngestOptions,
        progress: Progress,
        tools: Tools,
    ) -> None:
        self._connection = connection
        self._index_path = index_path
        self._options = options
        self._progress = progress
        self._tools = tools
        self._hashed = 0
        self._counts = dict.fromkeys(COUNTED, 0)
        self._watch = Stopwatch()
        name = read_settings(connection).get("embedder") or options.embedder or tools.default_embedder
        self._preparer = Preparer(tools, name, self._watch)

    def run(self, paths: Sequence[Path]) -> Report:
        """Look, plan, and unless it is a dry run, do it."""
        with self._watch.timed("total"):
            self._check_settings()
            with self._watch.timed("look"):
                look = self._look(paths)
            if self._options.dry_run:
                self._counts = planned_counts(look)
            else:
                self._carry_out(look.plan)
                self._forget_roots(look.scans)
                with self._watch.timed("vectors"):
                    refresh_vectors(self._connection, self._index_path, partial(self._progress, "vectors"))
        return write_report(self._connection, look, self._counts, self._watch.seconds)

    def _check_settings(self) -> None:
        if read_settings(self._connection):
            require_same(
                self._connection, self._index_path, self._tools.chunker_version, self._options.embedder
            )
        elif not self._options.dry_run:
            self._write_settings()

    def _write_settings(self) -> None:
        fresh = {
            "schema_version": SCHEMA_VERSION,
            "identity": token_hex(4),
            "revision": "0",
            "embedder": self._preparer.embedder_name,
            "dimensions": str(self._preparer.embedder.dimensions),
            "chunker_version": self._tools.chunker_version,
            "generation": "",
        }
        with self._writing():
            write_settings(self._connection, fresh)

    def _look(self, paths: Sequence[Path]) -> Look:
        """Look into the roots and plan. New roots are kept only if that is not refused; none by a dry run."""
        named = [path.resolve() for path in paths]
        selection = Selection(self._options.include, self._options.exclude, named)
        roots = Roots(self._connection, self._index_path)
        with storage_errors(self._index_path):
            self._connection.execute("BEGIN IMMEDIATE")
        try:
            roots.take_in(paths)
            known = read_known_files(self._connection)
            scans = roots.scan(selection, known)
            plan = make_plan(known, scans, self._tools.parser_version, self._hash)
            if not self._options.prune:
                require_few_removals(plan, known, scans, roots.location)
            actions = planned_actions(plan, roots) if self._options.dry_run else ()
            with storage_errors(self._index_path):
                self._connection.execute("ROLLBACK" if self._options.dry_run else "COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        return Look(roots, scans, plan, actions)

    def _hash(self, file: FoundFile) -> str | None:
        self._hashed += 1
        self._progress("compared", self._hashed, None)
        return hash_file(file)

    def _carry_out(self, plan: Plan) -> None:
        """Links before removals, so that what is renamed is not read again; removals before the reading."""
        self._counts["unchanged"] += plan.kept()
        if plan.touched:
            with self._writing():
                for known, found in plan.touched:
                    touch_file(self._connection, known.id, found.size, trusted_time(found))
        for work, reason in plan.unreadable:
            problem = Problem("failed", "unreadable", f"It could not be opened: {reason}.")
            self._store(work, Prepared([SourceRecord("", problem)]))
        unlinked = [work for work, twin in plan.links if not self._link(work, twin, plan)]
        to_read = sorted([*plan.parse, *unlinked], key=lambda work: work.order)
        renamed = [work.former for work in (*to_read, *(copy for copy, _ in plan.copies)) if work.former]
        gone = [*renamed, *plan.removed]
        for done, file in enumerate(gone, 1):
            with self._writing():
                remove_file(self._connection, file.id)
            self._progress("removed", done, len(gone))
        self._counts["removed"] += len(plan.removed)
        self._read(plan, to_read)
        for work, first in plan.copies:
            self._copy(plan, work, first)

    def _link(self, work: Work, twin: KnownFile, plan: Plan) -> bool:
        """Give a file the sources of another with the same bytes; False where that has changed meanwhile."""
        if is_gone(work.file):
            plan.busy.append(work)
            return True
        with self._writing():
            sources = copy_sources(self._connection, twin.id, work.sha256)
            if sources is None:
                return False
            store_file(self._connection, self._record(work, sources), sources, [])
            if work.former:
                remove_file(self._connection, work.former.id)
        self._count(work, sources)
        return True

    def _copy(self, plan: Plan, work: Work, first: Work) -> None:
        file_id = self._file_id(first)
        with self._writing():
            sources = copy_sources(self._connection, file_id, work.sha256) if file_id else None
            if sources is not None:
                store_file(self._connection, self._record(work, sources), sources, [])
        if sources is None:
            plan.busy.append(work)
        else:
            self._count(work, sources)

    def _file_id(self, work: Work) -> int | None:
        row = self._connection.execute(
            "SELECT id FROM files WHERE root_id = ? AND path = ?", (work.place, work.file.name)
        ).fetchone()
        return int(row[0]) if row else None

    def _read(self, plan: Plan, works: Sequence[Work]) -> None:
        """Parse in any order, store in the order of the names: a second run gives the same ids."""
        if not works:
            return
        place = {work.file.location: number for number, work in enumerate(works)}
        ready: dict[int, Prepared | None] = {}
        stored = 0
        with self._tools.open_pool(self._options.workers) as pool:
            started = time.perf_counter()
            for location, members in pool.parse([work.file.location for work in works]):
                self._watch.seconds["read"] += time.perf_counter() - started
                work = works[place[location]]
                ready[place[location]] = self._preparer.prepare(work, members)
                while stored in ready:
                    self._store_ready(plan, works[stored], ready.pop(stored))
                    stored += 1
                    self._progress("files", stored, len(works))
                started = time.perf_counter()

    def _store_ready(self, plan: Plan, work: Work, ready: Prepared | None) -> None:
        if ready is None:
            plan.busy.append(work)
        else:
            self._store(work, ready)

    def _store(self, work: Work, ready: Prepared) -> None:
        with self._watch.timed("write"), self._writing():
            store_file(self._connection, self._record(work, ready.sources), ready.sources, ready.documents)
        self._count(work, ready.sources)

    def _record(self, work: Work, sources: Sequence[SourceRecord]) -> FileRecord:
        problems = [source.outcome for source in sources if isinstance(source.outcome, Problem)]
        problems.sort(key=lambda problem: problem.status != "failed")
        status, code, message = ("ok", "", "")
        if problems:
            status, code, message = problems[0].status, problems[0].code, problems[0].message
        return FileRecord(
            work.place,
            work.file.name,
            work.file.size,
            trusted_time(work.file),
            work.sha256,
            status,
            code,
            message,
            self._tools.parser_version,
        )

    def _count(self, work: Work, sources: Sequence[SourceRecord]) -> None:
        if any(isinstance(source.outcome, str) for source in sources):
            self._counts[kind_of(work)] += 1

    def _forget_roots(self, scans: Sequence[RootScan]) -> None:
        for scan in scans:
            if not scan.exists:
                with self._writing():
                    remove_empty_root(self._connection, scan.root)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with storage_errors(self._index_path), transaction(self._connection):
            yield
