"""Where an index lies: `.ragqa`, looked for upward as git looks for its own folder, or what was named."""

from pathlib import Path

from ingest.catalogue.schema import DATABASE
from ingest.errors import NoIndexError

INDEX_FOLDER = ".ragqa"


def find_index(start: Path, explicit: Path | None) -> Path:
    """The index folder to use: `explicit` where given, else `.ragqa` in `start` or the nearest folder above.

    `explicit` may also name the folder that holds `.ragqa`. Raises NoIndexError, which says where it looked.
    """
    places = [folder / INDEX_FOLDER for folder in (start.absolute(), *start.absolute().parents)]
    if explicit is not None:
        places = [explicit, explicit / INDEX_FOLDER]
    for place in places:
        if (place / DATABASE).is_file():
            return place
    looked = f"{places[0]}" if explicit is not None else f"{start.absolute()} and the folders above it"
    raise NoIndexError(f"There is no index here: looked in {looked}. Make one with: ragqa ingest FOLDER")


def require_index(path: Path) -> None:
    """Raise NoIndexError unless the folder `path` holds an index."""
    if not (path / DATABASE).is_file():
        raise NoIndexError(f"There is no index at {path}. Make one with: ragqa ingest FOLDER")
