"""Which documents a `--where` leaves in. Pure."""

from fnmatch import fnmatchcase

from ingest.types import Metadata

Where = tuple[tuple[str, str], ...]
"""Key and value, all of which must hold. Letter case counts nowhere.

A value with `*`, `?` or `[` is a glob. Without one `source` holds where one of the document's sources begins
with the value, `date` where the document's date does (2024, 2024-11), and every other key where it is equal.
"""


BY_PREFIX = frozenset({"source", "date"})


def matches(where: Where, title: str, metadata: Metadata, sources: tuple[str, ...]) -> bool:
    """Whether a document passes the filter."""
    values: dict[str, tuple[str, ...]] = {key.casefold(): (value,) for key, value in metadata}
    values |= {"title": (title,), "source": sources}
    return all(
        any(_fits(key, wanted, value.casefold()) for value in values.get(key, ()))
        for key, wanted in ((key.casefold(), wanted.casefold()) for key, wanted in where)
    )


def _fits(key: str, wanted: str, value: str) -> bool:
    if any(sign in wanted for sign in "*?["):
        return fnmatchcase(value, wanted) or value == wanted
    return value.startswith(wanted) if key in BY_PREFIX else value == wanted
