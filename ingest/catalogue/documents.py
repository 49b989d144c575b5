"""A document's rows: text, lines, chunks, embeddings, full text. Called inside a transaction of `writer`."""

import json
import sqlite3
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.types import Chunk, Document


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


def put_document(connection: sqlite3.Connection, ready: IndexableDocument, file: FileRecord) -> None:
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
        forget_fulltext(connection, row[0])
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
    add_fulltext(connection, key)


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


def add_fulltext(connection: sqlite3.Connection, key: int) -> None:
    connection.executemany(
        "INSERT INTO fulltext (rowid, title, section, body) VALUES (?, ?, ?, ?)",
        _fulltext_rows(connection, key),
    )


def forget_fulltext(connection: sqlite3.Connection, key: int) -> None:
    # A full-text table without content of its own must be told what it forgets.
    connection.executemany(
        "INSERT INTO fulltext (fulltext, rowid, title, section, body) VALUES ('delete', ?, ?, ?, ?)",
        _fulltext_rows(connection, key),
    )
