"""Comparing all that is stored with itself and with what is derived. Changes nothing."""

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ingest.catalogue.reader import read_vectors
from ingest.catalogue.schema import TOKENIZER, connect_reader, storage_errors
from ingest.index.derived import VECTORS_FOLDER
from ingest.index.finding import require_index
from ingest.index.mismatch import require_schema
from ingest.progress import Progress, silent
from ingest.vectors import Generation, Neighbours, VectorsError, find_generation

UNIT_TOLERANCE = 1e-3
SAMPLES = 50
"""So many vectors are looked for in the Chroma generation, spread over all ids."""


def check_index(path: Path, progress: Progress = silent) -> tuple[str, ...]:
    """Every problem found, none for a sound index. Raises NoIndexError, IndexMismatchError, StorageError."""
    require_index(path)
    with storage_errors(path):
        opened = connect_reader(path)
    with closing(opened) as connection, storage_errors(path):
        connection.execute("BEGIN")
        damage = list(_database_problems(connection))
        if damage:
            return tuple(damage)
        settings = require_schema(connection, path)
        found = [
            *_row_problems(connection),
            *_text_problems(connection, progress),
            *_embedding_problems(connection, int(settings["dimensions"]), progress),
            *_fulltext_problems(connection),
        ]
        if not found:  # what is derived from rows that are wrong cannot be right
            found += _generation_problems(connection, path / VECTORS_FOLDER, settings["generation"])
    return tuple(found)


def _database_problems(connection: sqlite3.Connection) -> Iterator[str]:
    for (message,) in connection.execute("PRAGMA integrity_check(20)"):
        if message != "ok":
            yield f"The database is damaged: {message}"


# Statement and what a row of its answer means. Each names what is wrong by its first column.
_ROW_CHECKS = (
    ("SELECT \"table\" || ' ' || coalesce(rowid, '') FROM pragma_foreign_key_check",
     "points at a row that is not there"),
    ("SELECT id FROM documents WHERE key NOT IN (SELECT document FROM sources WHERE document IS NOT NULL)",
     "is a document without a source"),
    ("SELECT source FROM handles GROUP BY source HAVING count(*) > 1", "is the name of two sources"),
    ("SELECT path FROM files WHERE id NOT IN (SELECT file_id FROM sources)", "is a file without a source"),
    ("SELECT chunks.id FROM chunks JOIN documents ON documents.key = chunks.document "
     'WHERE chunks.start < 0 OR chunks."end" > documents.characters OR chunks.start >= chunks."end"',
     "is a chunk outside of its document's text"),
    ("SELECT documents.id || ' ' || lines.ordinal "
     "FROM lines JOIN documents ON documents.key = lines.document "
     'WHERE lines.start < 0 OR lines."end" > documents.characters OR lines.start > lines."end"',
     "is a line outside of its document's text"),
    ("SELECT chunks.id FROM chunks LEFT JOIN embeddings ON chunk_id = chunks.id WHERE chunk_id IS NULL",
     "is a chunk without an embedding"),
    ("SELECT chunk_id FROM embeddings WHERE chunk_id NOT IN (SELECT id FROM chunks)",
     "is an embedding without a chunk"),
    ("SELECT documents.id FROM documents JOIN chunks ON chunks.document = documents.key "
     "GROUP BY documents.key HAVING max(chunks.ordinal) != count(*) - 1", "is a document that lacks a chunk"),
)  # fmt: skip


def _row_problems(connection: sqlite3.Connection) -> Iterator[str]:
    for statement, meaning in _ROW_CHECKS:
        for (what,) in connection.execute(f"{statement} LIMIT 20"):
            yield f"{what} {meaning}."


def _text_problems(connection: sqlite3.Connection, progress: Progress) -> Iterator[str]:
    total = connection.execute("SELECT count(*) FROM documents").fetchone()[0]
    rows = connection.execute("SELECT id, text_sha256, characters, text FROM documents ORDER BY key")
    for done, (document_id, digest, characters, text) in enumerate(rows, 1):
        progress("texts", done, total)
        if hashlib.sha256(text.encode("utf-8")).hexdigest() != digest or len(text) != characters:
            yield f"The text of document {document_id} is not the one that was stored."


def _embedding_problems(connection: sqlite3.Connection, dimensions: int, progress: Progress) -> Iterator[str]:
    total = connection.execute("SELECT count(*) FROM embeddings").fetchone()[0]
    rows = connection.execute("SELECT chunk_id, vector FROM embeddings ORDER BY chunk_id")
    for done, (chunk_id, vector) in enumerate(rows, 1):
        progress("embeddings", done, total)
        if len(vector) != 4 * dimensions:
            yield f"The embedding of chunk {chunk_id} has {len(vector)} bytes instead of {4 * dimensions}."
            continue
        length = float(np.linalg.norm(np.frombuffer(vector, "<f4")))
        if not abs(length - 1.0) <= UNIT_TOLERANCE:  # written so that NaN is a problem, too
            yield f"The embedding of chunk {chunk_id} has length {length:.4f} instead of 1."


def _fulltext_problems(connection: sqlite3.Connection) -> Iterator[str]:
    """Whether the full text holds the words that the chunks hold, each in as many chunks and as often.

    SQLite's own comparison needs a connection that may write, so the words are counted anew in memory.
    """
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.execute(
            f"CREATE VIRTUAL TABLE words USING fts5 (title, section, body, tokenize = '{TOKENIZER}')"
        )
        fresh.execute("CREATE VIRTUAL TABLE terms USING fts5vocab (words, row)")
        rows = connection.execute("SELECT id, title, section, body FROM chunk_texts")
        fresh.executemany("INSERT INTO words (rowid, title, section, body) VALUES (?, ?, ?, ?)", rows)
        statement = "SELECT term, doc, cnt FROM terms"
        try:
            pairs = zip(connection.execute(statement), fresh.execute(statement), strict=True)
            same = all(stored == expected for stored, expected in pairs)
        except ValueError:  # one has more words than the other
            same = False
    if not same:
        yield "The full text does not match the chunks: run ragqa index repair."


@contextmanager
def _writable(generation: Generation) -> Iterator[Generation]:
    """The generation, or where its files are read-only, a copy for a while: Chroma writes even to read."""
    if all(os.access(path, os.W_OK) for path in (generation.folder, *generation.folder.rglob("*"))):
        yield generation
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder) / generation.folder.name
        shutil.copytree(generation.folder, copy, copy_function=shutil.copyfile)
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o700)
        yield replace(generation, folder=copy)


def _generation_problems(connection: sqlite3.Connection, folder: Path, name: str) -> list[str]:
    count = connection.execute("SELECT count(*) FROM embeddings").fetchone()[0]
    if not name:
        return ["There is no vector collection: run ragqa index repair."] if count else []
    generation = find_generation(folder, name)
    # Chroma crashes on damaged files, so it is shown them only if they are the very ones that it closed.
    if generation is None or not generation.is_unchanged():
        return [f"The vector collection {folder / name} is not as it was closed: run ragqa index repair."]
    ids = [
        chunk_id
        for (chunk_id,) in connection.execute(
            "SELECT chunk_id FROM embeddings WHERE chunk_id <= ? ORDER BY chunk_id", (generation.through,)
        )
    ]
    samples = read_vectors(connection, ids[:: max(1, len(ids) // SAMPLES)])
    try:
        with _writable(generation) as opened:
            neighbours = Neighbours(opened)
            lost = neighbours.lost(list(samples.items()))
            neighbours.close()
    except (VectorsError, OSError) as error:
        return [f"The vector collection {folder / name} cannot be read ({error}): run ragqa index repair."]
    return (
        [
            f"{len(lost)} of {len(samples)} vectors cannot be found in the vector collection: "
            f"run ragqa index repair."
        ]
        if lost
        else []
    )
