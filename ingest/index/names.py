"""What a person calls a document: a source, or the beginning of its id."""

import sqlite3
from difflib import get_close_matches

from ingest.errors import SourceNotFoundError

SHORTEST_PREFIX = 4
_HINT = "List them with: ragqa sources list"


def resolve_name(connection: sqlite3.Connection, name: str) -> str:
    """The id of the one document that goes by `name`. Raises SourceNotFoundError with near names."""
    row = connection.execute(
        """
        SELECT documents.id, sources.code, sources.message
        FROM handles JOIN sources ON sources.id = handles.source_id
             LEFT JOIN documents ON documents.key = sources.document
        WHERE handles.source = ?""",
        (name,),
    ).fetchone()
    if row is not None and row[0] is None:
        raise SourceNotFoundError(f"{name} gave no document ({row[1]}): {row[2]}")
    if row is not None:
        return str(row[0])
    ids = _ids_beginning(connection, name.lower())
    if len(ids) == 1:
        return ids[0]
    if ids:
        raise SourceNotFoundError(
            f"Several documents have an id that begins with {name}: "
            f"{', '.join(found[:16] for found in ids)}. Give more of it."
        )
    raise SourceNotFoundError(f"No source is called {name}.{_near(connection, name)} {_HINT}")


def find_sources(connection: sqlite3.Connection, name: str) -> list[tuple[int, str]]:
    """Row id and handle of the source called `name`, or of all sources of the document whose id begins so.

    Raises SourceNotFoundError.
    """
    exact = connection.execute("SELECT source_id, source FROM handles WHERE source = ?", (name,)).fetchall()
    if exact:
        return exact
    document_id = resolve_name(connection, name)
    return connection.execute(
        "SELECT source_id, source FROM handles WHERE document = (SELECT key FROM documents WHERE id = ?) "
        "ORDER BY source",
        (document_id,),
    ).fetchall()


def _ids_beginning(connection: sqlite3.Connection, prefix: str) -> list[str]:
    if len(prefix) < SHORTEST_PREFIX or not set(prefix) <= set("0123456789abcdef"):
        return []
    rows = connection.execute(
        "SELECT id FROM documents WHERE id >= ? AND id < ? ORDER BY id LIMIT 5", (prefix, prefix + "g")
    )
    return [document_id for (document_id,) in rows]


def _near(connection: sqlite3.Connection, name: str) -> str:
    sources = [source for (source,) in connection.execute("SELECT source FROM handles ORDER BY source")]
    wanted = name.lower().removeprefix("./")
    near = [source for source in sources if wanted and wanted in source.lower()][:3]
    if not near:
        near = get_close_matches(name, sources, n=3)
    return f" Did you mean {' or '.join(near)}?" if near else ""
