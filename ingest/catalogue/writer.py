"""Changes to the catalogue. Every change of one file is one transaction: it happens whole or not at all."""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
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

    Every id in `sources` must be stored already or be among `documents`. Documents that lose their last
    source go.
    """
    for ready in documents:
        _put_document(connection, ready, file)
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


def copy_sources(connection: sqlite3.Connection, file_id: int, sha256: str) -> list[SourceRecord] | None:
    """The sources of a file as it was recorded with these bytes; None where it no longer is."""
    if (
        connection.execute("SELECT 1 FROM files WHERE id = ? AND sha256 = ?", (file_id, sha256)).fetchone()
        is None
    ):
        return None
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
        _add_fulltext(connection, key)
        progress(done, len(keys))


def _put_document(connection: sqlite3.Connection, ready: IndexableDocument, file: FileRecord) -> None:
    """Store a document. Where it is stored already, that of the first of its sources in order stays.

    Equal bytes can give unequal documents: under another name (a title), or by another version of the parser.
    """
    document = ready.document
    row = connection.execute("SELECT key FROM documents WHERE id = ?", (document.id,)).fetchone()
    if row is None:
        cursor = connection.execute(
            "INSERT INTO documents (id, text_sha256, title, metadata, pages, characters, text) "
            "VALUES (?, '', '', '', NULL, 0, '')",
            (document.id,),
        )
        _fill_document(connection, int(cursor.lastrowid or 0), ready)
        return
    earlier = connection.execute(
        "SELECT 1 FROM sources JOIN files ON files.id = sources.file_id "
        "WHERE sources.document = ? AND (files.root_id, files.path) < (?, ?)",
        (row[0], file.root_id, file.path),
    ).fetchone()
    if earlier is None and not _is_stored(connection, row[0], ready):
        _forget_fulltext(connection, row[0])
        connection.execute("DELETE FROM chunks WHERE document = ?", (row[0],))
        connection.execute("DELETE FROM lines WHERE document = ?", (row[0],))
        _fill_document(connection, row[0], ready)


def _document_row(document: Document) -> tuple[str | int | None, ...]:
    metadata = json.dumps(document.metadata, ensure_ascii=False)
    return document.text_sha256, document.title, metadata, document.pages, len(document.text), document.text


def _line_rows(document: Document) -> list[tuple[float, ...]]:
    return [
        (ordinal, line.start, line.end, line.page, line.x0, line.y0, line.x1, line.y1)
        for ordinal, line in enumerate(document.lines)
    ]


def _chunk_row(chunk: Chunk) -> tuple[str | int | None, ...]:
    section = json.dumps(chunk.section, ensure_ascii=False)
    return chunk.ordinal, chunk.start, chunk.end, chunk.page, chunk.page_end, section, chunk.table_header


def _is_stored(connection: sqlite3.Connection, key: int, ready: IndexableDocument) -> bool:
    """Whether the very same document, lines and chunks are stored under this key."""
    document = connection.execute(
        "SELECT text_sha256, title, metadata, pages, characters, text FROM documents WHERE key = ?", (key,)
    ).fetchone()
    lines = connection.execute(
        'SELECT ordinal, start, "end", page, x0, y0, x1, y1 FROM lines WHERE document = ? ORDER BY ordinal',
        (key,),
    ).fetchall()
    chunks = connection.execute(
        'SELECT ordinal, start, "end", page, page_end, section, table_header FROM chunks '
        "WHERE document = ? ORDER BY ordinal",
        (key,),
    ).fetchall()
    return (
        document == _document_row(ready.document)
        and lines == _line_rows(ready.document)
        and chunks == [_chunk_row(chunk) for chunk in ready.chunks]
    )


def _fill_document(connection: sqlite3.Connection, key: int, ready: IndexableDocument) -> None:
    connection.execute(
        "UPDATE documents SET text_sha256 = ?, title = ?, metadata = ?, pages = ?, characters = ?, text = ? "
        "WHERE key = ?",
        (*_document_row(ready.document), key),
    )
    connection.executemany(
        'INSERT INTO lines (document, ordinal, start, "end", page, x0, y0, x1, y1) '
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(key, *row) for row in _line_rows(ready.document)],
    )
    for chunk, vector in zip(ready.chunks, ready.vectors, strict=True):
        _add_chunk(connection, key, chunk, vector)
    _add_fulltext(connection, key)


def _add_chunk(connection: sqlite3.Connection, key: int, chunk: Chunk, vector: NDArray[np.float32]) -> None:
    cursor = connection.execute(
        'INSERT INTO chunks (document, ordinal, start, "end", page, page_end, section, table_header) '
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (key, *_chunk_row(chunk)),
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


def _forget_fulltext(connection: sqlite3.Connection, key: int) -> None:
    # A full-text table without content of its own must be told what it forgets.
    connection.executemany(
        "INSERT INTO fulltext (fulltext, rowid, title, section, body) VALUES ('delete', ?, ?, ?, ?)",
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
        _forget_fulltext(connection, key)
        connection.execute("DELETE FROM documents WHERE key = ?", (key,))


def _bump(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE settings SET value = value + 1 WHERE key = 'revision'")
