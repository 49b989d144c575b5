"""The tables of an index, and how a connection to them is opened.

SQLite is the truth; whatever else lies in an index folder is derived from it and may be deleted. Handles of
sources are not stored but read from the view `handles`, so that a second root (which puts each root's name in
front) needs no rewriting.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ingest.errors import StorageError

SCHEMA_VERSION = "1"
DATABASE = "catalogue.sqlite"
TOKENIZER = "porter unicode61 remove_diacritics 2"

DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
"""Codes of a database that no free space and no permission mends."""

SCHEMA = """
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE roots (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,      -- relative to the folder that holds the index where it lies below it
    label TEXT NOT NULL UNIQUE      -- first part of its sources' handles where there are several roots
) STRICT;

CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    root_id INTEGER NOT NULL REFERENCES roots (id),
    path TEXT NOT NULL,             -- below the root, percent-escaped; empty where the root is a file
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,      -- -1: not to be trusted, hash again
    sha256 TEXT NOT NULL,           -- empty: could not be read
    status TEXT NOT NULL CHECK (status IN ('ok', 'failed', 'skipped')),     -- the worst of its sources
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    versions TEXT NOT NULL,         -- what read it; a skipped file is tried again when this changes
    UNIQUE (root_id, path)
) STRICT;

CREATE TABLE documents (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,        -- sha256 of the bytes
    text_sha256 TEXT NOT NULL,
    title TEXT NOT NULL,
    metadata TEXT NOT NULL,         -- JSON: [[key, value], ...]
    pages INTEGER,
    characters INTEGER NOT NULL,
    text TEXT NOT NULL              -- last, so that reading the others leaves its pages alone
) STRICT;

CREATE TABLE sources (
    id INTEGER PRIMARY KEY,
    file_id INTEGER NOT NULL REFERENCES files (id) ON DELETE CASCADE,
    member TEXT NOT NULL,           -- empty for the file itself
    document INTEGER REFERENCES documents (key),
    status TEXT NOT NULL CHECK (status IN ('ok', 'failed', 'skipped')),
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    UNIQUE (file_id, member),
    CHECK ((status = 'ok') = (document IS NOT NULL))
) STRICT;
CREATE INDEX sources_of_document ON sources (document);

CREATE TABLE lines (
    document INTEGER NOT NULL REFERENCES documents (key) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    page INTEGER NOT NULL,
    x0 REAL NOT NULL, y0 REAL NOT NULL, x1 REAL NOT NULL, y1 REAL NOT NULL,
    PRIMARY KEY (document, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,   -- never used twice: Chroma may still hold a removed one
    document INTEGER NOT NULL REFERENCES documents (key) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    page INTEGER,
    page_end INTEGER,
    section TEXT NOT NULL,          -- JSON: the heading trail
    table_header TEXT NOT NULL,
    UNIQUE (document, ordinal)
) STRICT;

CREATE TABLE embeddings (
    chunk_id INTEGER PRIMARY KEY REFERENCES chunks (id) ON DELETE CASCADE,
    vector BLOB NOT NULL            -- float32, little endian, of unit length
) STRICT;

CREATE VIEW chunk_texts AS
    SELECT chunks.id AS id, documents.title AS title,
           chunks.section || ' ' || chunks.table_header AS section,
           substr(documents.text, chunks.start + 1, chunks."end" - chunks.start) AS body
    FROM chunks JOIN documents ON documents.key = chunks.document;

CREATE VIRTUAL TABLE fulltext USING fts5 (
    title, section, body, content = 'chunk_texts', content_rowid = 'id', tokenize = 'TOKENIZER'
);
CREATE VIRTUAL TABLE terms USING fts5vocab (fulltext, row);

CREATE VIEW handles AS
    SELECT sources.id AS source_id, sources.document AS document, sources.file_id AS file_id,
           CASE WHEN files.path = '' THEN roots.label
                WHEN (SELECT count(*) FROM roots) > 1 THEN roots.label || '/' || files.path
                ELSE files.path END
           || CASE WHEN sources.member = '' THEN '' ELSE '!/' || sources.member END AS source
    FROM sources JOIN files ON files.id = sources.file_id JOIN roots ON roots.id = files.root_id;
""".replace("TOKENIZER", TOKENIZER)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the disk or the database refuses into StorageError; bugs (wrong SQL) pass."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError):
        raise
    except (sqlite3.DatabaseError, OSError) as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGED:  # the rest of the code is detail
            raise StorageError(
                f"The index at {path} is damaged: {error}. Put a copy of it in its place, or move it away "
                f"and ingest the documents again."
            ) from error
        raise StorageError(
            f"The index at {path} could not be read or written: {error}. What was committed before is kept; "
            f"free some space or make the folder writable, then run the command again."
        ) from error


def connect_writer(folder: Path) -> sqlite3.Connection:
    """Open the database for writing, with its tables laid. The caller holds the writer's lock.

    A killed process loses nothing that was committed. A power cut may lose the last commits, never a part of
    one (WAL with synchronous=NORMAL), and the next ingest finds those files changed.
    """
    connection = sqlite3.connect(folder / DATABASE, isolation_level=None, timeout=30)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        if not has_tables(connection):
            connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_memory() -> sqlite3.Connection:
    """An empty catalogue that leaves nothing behind: what a dry run without an index works on."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(SCHEMA)
    return connection


def connect_reader(folder: Path) -> sqlite3.Connection:
    """Open the database for reading only, usable from any thread (under the caller's lock)."""
    address = f"{(folder / DATABASE).absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False, timeout=30)
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError:
        # On a read-only medium SQLite cannot make the files that WAL readers share. Nobody else can write
        # there either, so the database may be read as it lies.
        connection.close()
        connection = sqlite3.connect(
            f"{address}&immutable=1", uri=True, isolation_level=None, check_same_thread=False
        )
    return connection


def has_tables(connection: sqlite3.Connection) -> bool:
    """Whether the schema was laid; a process killed at the very start leaves a database without it."""
    return connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'settings'").fetchone() is not None


def read_settings(connection: sqlite3.Connection) -> dict[str, str]:
    """All settings by key."""
    return dict(connection.execute("SELECT key, value FROM settings").fetchall())
