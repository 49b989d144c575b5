"""Questions to the catalogue. Every function reads from one connection, whose transaction is the snapshot."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.types import Line, Metadata

Matrix = NDArray[np.float32]
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class IndexedChunk:
    """A chunk as stored, with the text it spans and the source it is shown under."""

    id: int
    document_id: str
    source: str
    title: str
    ordinal: int
    start: int
    end: int
    page: int | None
    page_end: int | None
    section: tuple[str, ...]
    table_header: str
    text: str


@dataclass(frozen=True, slots=True)
class IndexedDocument:
    """A document as stored. `source` is the first of `sources` in alphabetical order."""

    document_id: str
    source: str
    sources: tuple[str, ...]
    title: str
    text: str
    text_sha256: str
    metadata: Metadata
    pages: int | None


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One line of `sources list`. A source without a document has a code, and zeros."""

    source: str
    document_id: str | None
    status: str
    code: str
    title: str
    pages: int | None
    chunks: int
    characters: int
    metadata: Metadata


def decode_metadata(text: str) -> Metadata:
    """The stored JSON as pairs."""
    return tuple((str(key), str(value)) for key, value in json.loads(text))


_CHUNKS = """
SELECT chunks.id, documents.id, (SELECT min(source) FROM handles WHERE handles.document = documents.key),
       documents.title, chunks.ordinal, chunks.start, chunks."end", chunks.page, chunks.page_end,
       chunks.section, chunks.table_header,
       substr(documents.text, chunks.start + 1, chunks."end" - chunks.start)
FROM chunks JOIN documents ON documents.key = chunks.document
"""


def _chunk(row: tuple[object, ...]) -> IndexedChunk:
    values = list(row)
    values[9] = tuple(json.loads(str(row[9])))
    return IndexedChunk(*values)  # type: ignore[arg-type]  # the columns stand in the order of the fields


def read_chunks(connection: sqlite3.Connection, ids: Sequence[int]) -> tuple[IndexedChunk, ...]:
    """The chunks of these ids in this order; KeyError for an id that is not there."""
    found = {
        row[0]: row
        for row in connection.execute(
            f"{_CHUNKS} WHERE chunks.id IN (SELECT value FROM json_each(?))",  # noqa: S608  # no value is in it
            (json.dumps([int(i) for i in ids]),),
        )
    }
    return tuple(_chunk(found[int(i)]) for i in ids)


def read_document_chunks(connection: sqlite3.Connection, document_id: str) -> tuple[IndexedChunk, ...]:
    """All chunks of one document in the order of its text."""
    rows = connection.execute(f"{_CHUNKS} WHERE documents.id = ? ORDER BY chunks.ordinal", (document_id,))
    return tuple(_chunk(row) for row in rows)


def read_document(connection: sqlite3.Connection, document_id: str) -> IndexedDocument | None:
    """One document with all its sources."""
    row = connection.execute(
        "SELECT key, title, text, text_sha256, metadata, pages FROM documents WHERE id = ?", (document_id,)
    ).fetchone()
    if row is None:
        return None
    key, title, text, text_sha256, metadata, pages = row
    sources = tuple(
        source
        for (source,) in connection.execute(
            "SELECT source FROM handles WHERE document = ? ORDER BY source", (key,)
        )
    )
    return IndexedDocument(
        document_id, sources[0], sources, title, text, text_sha256, decode_metadata(metadata), pages
    )


def read_sources(connection: sqlite3.Connection) -> Iterator[SourceRow]:
    """Every source in alphabetical order, those without a document too."""
    rows = connection.execute("""
        SELECT handles.source, documents.id, sources.status, sources.code, coalesce(documents.title, ''),
               documents.pages, (SELECT count(*) FROM chunks WHERE chunks.document = documents.key),
               coalesce(documents.characters, 0), coalesce(documents.metadata, '[]')
        FROM handles JOIN sources ON sources.id = handles.source_id
             LEFT JOIN documents ON documents.key = sources.document
        ORDER BY handles.source""")
    for row in rows:
        values: list[Any] = [*row[:-1], decode_metadata(row[-1])]
        yield SourceRow(*values)


def read_lines(connection: sqlite3.Connection, document_id: str, start: int, end: int) -> tuple[Line, ...]:
    """The page lines that share at least one code point with [start, end)."""
    rows = connection.execute(
        """
        SELECT start, "end", page, x0, y0, x1, y1 FROM lines
        WHERE document = (SELECT key FROM documents WHERE id = ?) AND start < ? AND "end" > ?
        ORDER BY ordinal""",
        (document_id, end, start),
    )
    return tuple(Line(*row) for row in rows)


def read_matrix(
    connection: sqlite3.Connection, dimensions: int, after: int = 0, limit: int = -1
) -> tuple[Ids, Matrix]:
    """The first `limit` (-1: all) ids above `after` in order (n), and their embeddings (n, dimensions)."""
    count = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM embeddings WHERE chunk_id > ? LIMIT ?)", (after, limit)
    ).fetchone()[0]
    ids, matrix = np.empty(count, np.int64), np.empty((count, dimensions), np.float32)
    rows = connection.execute(
        "SELECT chunk_id, vector FROM embeddings WHERE chunk_id > ? ORDER BY chunk_id LIMIT ?", (after, limit)
    )
    place = 0
    while part := rows.fetchmany(1_000):  # so that the vectors are in memory once, not thrice
        filled = slice(place, place + len(part))
        ids[filled] = [chunk_id for chunk_id, _ in part]
        matrix[filled] = np.frombuffer(b"".join(vector for _, vector in part), "<f4").reshape(-1, dimensions)
        place += len(part)
    return ids, matrix


def read_vectors(connection: sqlite3.Connection, ids: Sequence[int]) -> dict[int, Matrix]:
    """The embeddings (dimensions,) of those of these ids that are there."""
    rows = connection.execute(
        "SELECT chunk_id, vector FROM embeddings WHERE chunk_id IN (SELECT value FROM json_each(?))",
        (json.dumps([int(i) for i in ids]),),
    )
    return {chunk_id: np.frombuffer(vector, "<f4") for chunk_id, vector in rows}


def read_filter_rows(connection: sqlite3.Connection) -> Iterator[tuple[int, str, Metadata, tuple[str, ...]]]:
    """Key, title, metadata and sources of every document: what a filter looks at."""
    sources: dict[int, list[str]] = {}
    for key, source in connection.execute("SELECT document, source FROM handles WHERE document IS NOT NULL"):
        sources.setdefault(key, []).append(source)
    for key, title, metadata in connection.execute("SELECT key, title, metadata FROM documents"):
        yield key, title, decode_metadata(metadata), tuple(sources[key])


def read_chunk_ids(connection: sqlite3.Connection, document_keys: Sequence[int]) -> list[int]:
    """The ids of all chunks of these documents (by their integer key), ascending."""
    rows = connection.execute(
        "SELECT id FROM chunks WHERE document IN (SELECT value FROM json_each(?)) ORDER BY id",
        (json.dumps(list(document_keys)),),
    )
    return [chunk_id for (chunk_id,) in rows]


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is. `statuses` counts sources by `ok` or by the code of what kept them out."""

    sources: int
    documents: int
    chunks: int
    characters: int
    statuses: tuple[tuple[str, int], ...]


def read_counts(connection: sqlite3.Connection) -> Counts:
    """Sums over the whole catalogue."""
    documents, characters = connection.execute(
        "SELECT count(*), coalesce(sum(characters), 0) FROM documents"
    ).fetchone()
    statuses = tuple(
        connection.execute("""
        SELECT CASE status WHEN 'ok' THEN 'ok' ELSE code END AS kind, count(*)
        FROM sources GROUP BY kind ORDER BY kind""").fetchall()
    )
    chunks = connection.execute("SELECT count(*) FROM chunks").fetchone()[0]
    return Counts(sum(count for _, count in statuses), documents, chunks, characters, statuses)


def read_roots(connection: sqlite3.Connection) -> tuple[str, ...]:
    """The roots' paths in the order in which they came."""
    return tuple(path for (path,) in connection.execute("SELECT path FROM roots ORDER BY id"))


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file as it was recorded. `place` is the id of its root, `name` its path, or its root's if it is that.

    `title` is that of the document that the file itself gave, empty where it gave none.
    """

    id: int
    root: str
    place: int
    path: str
    name: str
    size: int
    mtime_ns: int
    sha256: str
    status: str
    versions: str
    title: str


def read_known_files(connection: sqlite3.Connection) -> list[KnownFile]:
    """Every file of every root."""
    rows = connection.execute("""
        SELECT files.id, roots.path, roots.id, files.path,
               CASE files.path WHEN '' THEN roots.label ELSE files.path END, files.size, files.mtime_ns,
               files.sha256, files.status, files.versions, coalesce(documents.title, '')
        FROM files JOIN roots ON roots.id = files.root_id
             LEFT JOIN sources ON sources.file_id = files.id AND sources.member = ''
             LEFT JOIN documents ON documents.key = sources.document""")
    return [KnownFile(*row) for row in rows]


def read_problems(connection: sqlite3.Connection) -> list[tuple[str, str, str, str, str, str]]:
    """Root, path, source, status, code and message of every source that gave no document, by source."""
    return connection.execute("""
        SELECT roots.path, files.path, handles.source, sources.status, sources.code, sources.message
        FROM sources JOIN handles ON handles.source_id = sources.id JOIN files ON files.id = sources.file_id
             JOIN roots ON roots.id = files.root_id
        WHERE sources.status != 'ok' ORDER BY handles.source""").fetchall()
