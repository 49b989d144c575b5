"""What is rebuilt from stored rows alone: the Chroma generation, and on repair the full text."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from ingest.catalogue.reader import Ids, Matrix, read_matrix
from ingest.catalogue.schema import read_settings, storage_errors
from ingest.catalogue.writer import transaction, write_settings
from ingest.vectors import BATCH, Generation, find_generation, remove_generations, write_generation

VECTORS_FOLDER = "chroma"
STALE_SHARE = 0.2
"""With more removed chunks in it than this, a generation is written anew."""
PENDING_SHARE = 0.05
"""With more chunks missing from it than this, the next one is written; fewer are compared one by one."""


def refresh_vectors(
    connection: sqlite3.Connection,
    folder: Path,
    progress: Callable[[int, int], None],
    *,
    rebuild: bool = False,
) -> None:
    """Bring the Chroma generation in line with the stored embeddings, if it is worth it or `rebuild` asks
    for it.

    `progress` is told how many vectors of how many are written. The caller holds the writer's lock. Raises
    StorageError; the index answers all the same then.
    """
    place = folder / VECTORS_FOLDER
    with storage_errors(folder):
        settings = read_settings(connection)
        current = None if rebuild else find_generation(place, settings["generation"])
        base, outdated = _choose_base(connection, current)
        total = _count(connection, base.through if base else 0)
    if outdated:
        name = ""
        if total:
            batches = _batches(connection, int(settings["dimensions"]), base.through if base else 0)
            name = write_generation(place, base, batches, lambda done: progress(done, total)).name
        with storage_errors(folder), transaction(connection):
            write_settings(connection, {"generation": name})
    remove_generations(place, keep=read_settings(connection)["generation"])


def _choose_base(
    connection: sqlite3.Connection, current: Generation | None
) -> tuple[Generation | None, bool]:
    """The generation to build on (none: from nothing), and whether there is anything to do."""
    if current is None:
        named = read_settings(connection)["generation"]
        return None, bool(named) or _count(connection, 0) > 0
    pending = _count(connection, current.through)
    stale = current.count - (_count(connection, 0) - pending)
    if stale > STALE_SHARE * current.count:
        return None, True
    return current, pending > PENDING_SHARE * current.count


def _count(connection: sqlite3.Connection, after: int) -> int:
    row = connection.execute("SELECT count(*) FROM embeddings WHERE chunk_id > ?", (after,)).fetchone()
    return int(row[0])


def _batches(connection: sqlite3.Connection, dimensions: int, after: int) -> Iterator[tuple[Ids, Matrix]]:
    while True:
        ids, matrix = read_matrix(connection, dimensions, after, BATCH)
        if not len(ids):
            return
        yield ids, matrix
        after = int(ids[-1])
