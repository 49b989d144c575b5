"""Changes to the catalogue. Every change of one file is one transaction: it happens whole or not at all."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.types import Chunk, Document, Problem


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What is known of a file. `path` is below its root and percent-escaped; see the table `files`."""

    root_id: int
    path: str
    size: int
    mtime_ns: int
    sha256: str
    status: str
    code: str
    message: str
    versions: str


@dataclass(frozen=True, slots=True)
class IndexableDocument:
    """A document ready to be stored: its chunks, and their unit vectors (len(chunks), dimensions)."""

    document: Document
    chunks: tuple[Chunk, ...]
    vectors: NDArray[np.float32]


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

    Every id in `sources` must be stored already or be among `documents`; one that is stored already is left
    as it is. Documents that lose their last source go.
    """
    for ready in documents:
        _add_document(connection, ready)
    row = connection.execute(
        "SELECT id FROM files WHERE root_id = ? AND path = ?", (file.root_id, file.path)
    ).fetchone()
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
    _bump(connection)


def remove_file(connection: sqlite3.Connection, file_id: int) -> None:
    """Take a file out, with the documents that it alone gave, inside the caller's transaction."""
    _remove_orphans(connection, _drop_file(connection, file_id))
    _bump(connection)


def touch_file(connection: sqlite3.Connection, file_id: int, size: int, mtime_ns: int) -> None:
    """Record that a file's bytes are still the same ones."""
    connection.execute("UPDATE files SET size = ?, mtime_ns = ? WHERE id = ?", (size, mtime_ns, file_id))


def move_file(
    connection: sqlite3.Connection, file_id: int, root_id: int, path: str, size: int, mtime_ns: int
) -> None:
    """Record that a file goes by another name now; its documents stay untouched."""
    connection.execute(
        "UPDATE files SET root_id = ?, path = ?, size = ?, mtime_ns = ? WHERE id = ?",
        (root_id, path, size, mtime_ns, file_id),
    )
    _bump(connection)


def add_root(connection: sqlite3.Connection, path: str, name: str) -> int:
    """Add a root and give its id. Its label is its name, numbered where another root has that."""
    taken = {label for (label,) in connection.execute("SELECT label FROM roots")}
    label, number = name, 2
    while label in taken:
        label, number = f"{name}-{number}", number + 1
    cursor = connection.execute("INSERT INTO roots (path, label) VALUES (?, ?)", (path, label))
    _bump(connection)
    return int(cursor.lastrowid or 0)


def remove_root(connection: sqlite3.Connection, root_id: int) -> None:
    """Forget a root that has no files left."""
    connection.execute("DELETE FROM roots WHERE id = ?", (root_id,))
    _bump(connection)


def rebuild_fulltext(connection: sqlite3.Connection) -> None:
    """Write the full-text table anew from the stored chunks, inside the caller's transaction."""
    connection.execute("INSERT INTO fulltext (fulltext) VALUES ('delete-all')")
    for (key,) in connection.execute("SELECT key FROM documents ORDER BY key").fetchall():
        _add_fulltext(connection, key)


def _add_document(connection: sqlite3.Connection, ready: IndexableDocument) -> None:
    document = ready.document
    if connection.execute("SELECT 1 FROM documents WHERE id = ?", (document.id,)).fetchone():
        return
    metadata = json.dumps(document.metadata, ensure_ascii=False)
    cursor = connection.execute(
        "INSERT INTO documents (id, text_sha256, title, metadata, pages, characters, text) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            document.id,
            document.text_sha256,
            document.title,
            metadata,
            document.pages,
            len(document.text),
            document.text,
        ),
    )
    key = int(cursor.lastrowid or 0)
    connection.executemany(
        'INSERT INTO lines (document, ordinal, start, "end", page, x0, y0, x1, y1) '
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (key, ordinal, line.start, line.end, line.page, line.x0, line.y0, line.x1, line.y1)
            for ordinal, line in enumerate(document.lines)
        ],
    )
    for chunk, vector in zip(ready.chunks, ready.vectors, strict=True):
        _add_chunk(connection, key, chunk, vector)
    _add_fulltext(connection, key)


def _add_chunk(connection: sqlite3.Connection, key: int, chunk: Chunk, vector: NDArray[np.float32]) -> None:
    cursor = connection.execute(
        'INSERT INTO chunks (document, ordinal, start, "end", page, page_end, section, table_header) '
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            key,
            chunk.ordinal,
            chunk.start,
            chunk.end,
            chunk.page,
            chunk.page_end,
            json.dumps(chunk.section, ensure_ascii=False),
            chunk.table_header,
        ),
    )
    connection.execute(
        "INSERT INTO embeddings (chunk_id, vector) VALUES (?, ?)",
        (cursor.lastrowid, vector.astype("<f4").tobytes()),
    )


def _fulltext_rows(connection: sqlite3.Connection, key: int) -> list[tuple[int, str, str, str]]:
    """The rows of the view chunk_texts for one document, with its text read once instead of once a chunk."""
    title, text = connection.execute("SELECT title, text FROM documents WHERE key = ?", (key,)).fetchone()
    chunks = connection.execute(
        "SELECT id, section || ' ' || table_header, start, \"end\" FROM chunks "
        "WHERE document = ? ORDER BY id",
        (key,),
    )
    return [(chunk_id, title, section, text[start:end]) for chunk_id, section, start, end in chunks]


def _add_fulltext(connection: sqlite3.Connection, key: int) -> None:
    connection.executemany(
        "INSERT INTO fulltext (rowid, title, section, body) VALUES (?, ?, ?, ?)",
        _fulltext_rows(connection, key),
    )


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
        # A full-text table without content of its own must be told what it forgets.
        connection.executemany(
            "INSERT INTO fulltext (fulltext, rowid, title, section, body) VALUES ('delete', ?, ?, ?, ?)",
            _fulltext_rows(connection, key),
        )
        connection.execute("DELETE FROM documents WHERE key = ?", (key,))


def _bump(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE settings SET value = value + 1 WHERE key = 'revision'")
