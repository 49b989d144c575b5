"""Refusing an index that was made another way, with the command that makes it anew."""

import shlex
import sqlite3
from pathlib import Path

from ingest.catalogue.schema import SCHEMA_VERSION, has_tables, read_settings
from ingest.discover import unescape_name
from ingest.embed import DEFAULT_EMBEDDER
from ingest.errors import IndexMismatchError, NoIndexError


def require_schema(connection: sqlite3.Connection, folder: Path) -> dict[str, str]:
    """The settings of an index whose schema this program knows. Raises IndexMismatchError, NoIndexError."""
    settings = read_settings(connection) if has_tables(connection) else {}
    if not settings:
        raise NoIndexError(f"The index at {folder} was never finished. Run: ragqa ingest FOLDER")
    if settings.get("schema_version") != SCHEMA_VERSION:
        raise _mismatch(connection, folder, "schema", settings.get("schema_version", "?"), SCHEMA_VERSION)
    return settings


def require_same(connection: sqlite3.Connection, folder: Path, chunker: str, embedder: str | None) -> None:
    """Raise IndexMismatchError where the index cannot be added to; an `embedder` of None fits any."""
    settings = require_schema(connection, folder)
    if settings["chunker_version"] != chunker:
        raise _mismatch(connection, folder, "chunking", settings["chunker_version"], chunker)
    if embedder is not None and settings["embedder"] != embedder:
        raise _mismatch(connection, folder, "embedder", settings["embedder"], embedder)


def _mismatch(
    connection: sqlite3.Connection, folder: Path, what: str, old: str, new: str
) -> IndexMismatchError:
    try:
        roots = [path for (path,) in connection.execute("SELECT path FROM roots ORDER BY id")]
    except sqlite3.OperationalError:  # a schema without that table
        roots = []
    embedder = new if what == "embedder" else read_settings(connection).get("embedder", DEFAULT_EMBEDDER)
    names = " ".join(shlex.quote(str(folder.parent / unescape_name(root))) for root in roots) or "FOLDER"
    default = embedder == DEFAULT_EMBEDDER and what != "embedder"
    option = "" if default else f" --embedder {shlex.quote(embedder)}"
    return IndexMismatchError(
        f"The index at {folder} was made with {what} {old}, and cannot be mixed with {new}. Make it anew: "
        f"rm -r {shlex.quote(str(folder))} && ragqa ingest {names} --index {shlex.quote(str(folder))}{option}"
    )
