"""Changes to the catalogue. Every change of one file is one transaction: it happens whole or not at all."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ingest.catalogue.documents import (
    FileRecord,
    IndexableDocument,
    add_fulltext,
    forget_fulltext,
    put_document,
)
from ingest.types import Problem


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One source of a file: the id of its document, or why there is none."""

    member: str
    outcome: str | Problem


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, also on KeyboardInterrupt."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def write_settings(connection: sqlite3.Connection, values: Mapping[str, str]) -> None:
    """Set these settings, leave others."""
    connection.executemany("INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)", list(values.items()))


def store_file(
    connection: sqlite3.Connection,
    file: FileRecord,
    sources: Sequence[SourceRecord],
    documents: Sequence[IndexableDocument],
) -> None:
    """Make a file's sources exactly these, inside the caller's transaction.

    Every id in `sources` must be stored already or be among `documents`. Documents that lose their last
    source go. The index counts as changed unless they were these before.
    """
    for ready in documents:
        put_document(connection, ready, file)
    row = connection.execute(
        "SELECT id FROM files WHERE root_id = ? AND path = ?", (file.root_id, file.path)
    ).fetchone()
    same = row is not None and not documents and _sources_of(connection, row[0]) == list(sources)
    lost = _drop_file(connection, row[0]) if row else []
    cursor = connection.execute(
        "INSERT INTO files (root_id, path, size, mtime_ns, sha256, status, code, message, versions) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            file.root_id,
            file.path,
            file.size,
            file.mtime_ns,
            file.sha256,
            file.status,
            file.code,
            file.message,
            file.versions,
        ),
    )
    for source in sources:
        _add_source(connection, int(cursor.lastrowid or 0), source)
    _remove_orphans(connection, lost)
    if not same:
        _bump(connection)


def copy_sources(connection: sqlite3.Connection, file_id: int, sha256: str) -> list[SourceRecord] | None:
    """The sources of a file as it was recorded with these bytes; None where it no longer is."""
    if (
        connection.execute("SELECT 1 FROM files WHERE id = ? AND sha256 = ?", (file_id, sha256)).fetchone()
        is None
    ):
        return None
    return _sources_of(connection, file_id)


def _sources_of(connection: sqlite3.Connection, file_id: int) -> list[SourceRecord]:
    rows = connection.execute(
        "SELECT member, documents.id, status, code, message FROM sources "
        "LEFT JOIN documents ON documents.key = sources.document WHERE file_id = ? ORDER BY sources.id",
        (file_id,),
    )
    return [
        SourceRecord(member, document or Problem(status, code, message))
        for member, document, status, code, message in rows
    ]


def remove_file(connection: sqlite3.Connection, file_id: int) -> None:
    """Take a file out, with the documents that it alone gave, inside the caller's transaction."""
    _remove_orphans(connection, _drop_file(connection, file_id))
    _bump(connection)


def forget_source(connection: sqlite3.Connection, source_id: int) -> None:
    """Take one source out, inside the caller's transaction. Its file is read again by the next ingest."""
    file_id, document = connection.execute(
        "SELECT file_id, document FROM sources WHERE id = ?", (source_id,)
    ).fetchone()
    connection.execute("DELETE FROM sources WHERE id = ?", (source_id,))
    connection.execute("UPDATE files SET mtime_ns = -1, sha256 = '' WHERE id = ?", (file_id,))
    connection.execute(
        "DELETE FROM files WHERE id = ? AND NOT EXISTS (SELECT 1 FROM sources WHERE file_id = files.id)",
        (file_id,),
    )
    _remove_orphans(connection, [document] if document else [])
    _bump(connection)


def touch_file(connection: sqlite3.Connection, file_id: int, size: int, mtime_ns: int) -> None:
    """Record that a file's bytes are still the same ones."""
    connection.execute("UPDATE files SET size = ?, mtime_ns = ? WHERE id = ?", (size, mtime_ns, file_id))


def add_root(connection: sqlite3.Connection, path: str, name: str) -> int:
    """Add a root and give its id. Its label is its name, numbered where another root has that."""
    taken = {label for (label,) in connection.execute("SELECT label FROM roots")}
    label, number = name, 2
    while label in taken:
        label, number = f"{name}-{number}", number + 1
    cursor = connection.execute("INSERT INTO roots (path, label) VALUES (?, ?)", (path, label))
    _bump(connection)
    return int(cursor.lastrowid or 0)


def absorb_root(connection: sqlite3.Connection, root_id: int, into: int, prefix: str) -> None:
    """Make the files of one root those of another that holds it, at `prefix`, which ends in a slash."""
    connection.execute(
        "UPDATE files SET root_id = ?, path = CASE path WHEN '' THEN rtrim(?, '/') ELSE ? || path END "
        "WHERE root_id = ?",
        (into, prefix, prefix, root_id),
    )
    connection.execute("DELETE FROM roots WHERE id = ?", (root_id,))
    _bump(connection)


def remove_empty_root(connection: sqlite3.Connection, path: str) -> None:
    """Forget a root that has no files left."""
    connection.execute(
        "DELETE FROM roots WHERE path = ? AND NOT EXISTS (SELECT 1 FROM files WHERE root_id = roots.id)",
        (path,),
    )
    _bump(connection)


def rebuild_fulltext(connection: sqlite3.Connection, progress: Callable[[int, int], None]) -> None:
    """Write the full-text table anew from the stored chunks, inside the caller's transaction."""
    connection.execute("INSERT INTO fulltext (fulltext) VALUES ('delete-all')")
    keys = connection.execute("SELECT key FROM documents ORDER BY key").fetchall()
    for done, (key,) in enumerate(keys, 1):
        add_fulltext(connection, key)
        progress(done, len(keys))


def _add_source(connection: sqlite3.Connection, file_id: int, source: SourceRecord) -> None:
    if isinstance(source.outcome, Problem):
        problem = source.outcome
        connection.execute(
            "INSERT INTO sources (file_id, member, document, status, code, message) "
            "VALUES (?, ?, NULL, ?, ?, ?)",
            (file_id, source.member, problem.status, problem.code, problem.message),
        )
        return
    connection.execute(
        "INSERT INTO sources (file_id, member, document, status, code, message) "
        "SELECT ?, ?, key, 'ok', '', '' FROM documents WHERE id = ?",
        (file_id, source.member, source.outcome),
    )


def _drop_file(connection: sqlite3.Connection, file_id: int) -> list[int]:
    """Remove a file and its sources; the keys of the documents those had."""
    keys = [
        key
        for (key,) in connection.execute(
            "SELECT DISTINCT document FROM sources WHERE file_id = ? AND document IS NOT NULL", (file_id,)
        )
    ]
    connection.execute("DELETE FROM files WHERE id = ?", (file_id,))
    return keys


def _remove_orphans(connection: sqlite3.Connection, keys: Sequence[int]) -> None:
    for key in keys:
        if connection.execute("SELECT 1 FROM sources WHERE document = ?", (key,)).fetchone():
            continue
        forget_fulltext(connection, key)
        connection.execute("DELETE FROM documents WHERE key = ?", (key,))


def _bump(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE settings SET value = value + 1 WHERE key = 'revision'")
