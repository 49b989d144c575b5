"""Where a new index may be made."""

from pathlib import Path

from ingest.catalogue.schema import DATABASE
from ingest.discover import escape_name
from ingest.errors import RootError
from ingest.index import INDEX_FOLDER

LEFT_OVER = frozenset({DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", "lock"})
"""What a process leaves that was killed before it made a table."""


def require_own_folder(index_path: Path) -> None:
    """Raise RootError where an index would be made among other files: it empties its `chroma`."""
    if index_path.name == INDEX_FOLDER and not index_path.is_file():
        return
    if index_path.is_dir():
        others = sorted(path.name for path in index_path.iterdir() if path.name not in LEFT_OVER)
    else:
        others = [index_path.name] if index_path.exists() else []
    if others:
        raise RootError(
            f"{index_path} cannot become an index: there is {escape_name(others[0])} already, and an index "
            f"needs a folder of its own. Name a new one, as {index_path / INDEX_FOLDER}."
        )
