"""Changes to an index that need no files: rebuild what is derived, take a source out."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from ingest.catalogue.locking import writer_lock
from ingest.catalogue.schema import connect_writer, storage_errors
from ingest.catalogue.writer import forget_source, rebuild_fulltext, transaction
from ingest.index.derived import refresh_vectors
from ingest.index.finding import require_index
from ingest.index.mismatch import require_schema
from ingest.index.names import find_sources
from ingest.progress import Progress, silent


def repair_index(path: Path, lock_timeout: float = 10.0, progress: Progress = silent) -> None:
    """Write the full text and the Chroma generation anew from the stored rows; nothing is parsed or embedded.

    Raises NoIndexError, IndexMismatchError, LockedError, StorageError.
    """
    with _writer(path, lock_timeout) as connection:
        with storage_errors(path), transaction(connection):
            rebuild_fulltext(connection, partial(progress, "full text"))
        refresh_vectors(connection, path, partial(progress, "vectors"), rebuild=True)


def remove_source(path: Path, name: str, lock_timeout: float = 10.0) -> tuple[str, ...]:
    """Take a source out, or every source of the document that the beginning of an id names; what was taken
    out.

    The next ingest of its root brings it back. Raises SourceNotFoundError, NoIndexError, IndexMismatchError,
    LockedError, StorageError.
    """
    with _writer(path, lock_timeout) as connection:
        with storage_errors(path), transaction(connection):
            found = find_sources(connection, name)
            for source_id, _ in found:
                forget_source(connection, source_id)
        refresh_vectors(connection, path, lambda _done, _total: None)
    return tuple(source for _, source in found)


@contextmanager
def _writer(path: Path, lock_timeout: float) -> Iterator[sqlite3.Connection]:
    require_index(path)
    with writer_lock(path, lock_timeout):
        with storage_errors(path):
            opened = connect_writer(path)
        with closing(opened) as connection:
            require_schema(connection, path)
            yield connection
