"""Which documents a `--where` leaves in. Pure."""

from fnmatch import fnmatchcase

from ingest.types import Metadata

Where = tuple[tuple[str, str], ...]
"""Key and value, all of which must hold. Letter case counts nowhere.

`source` holds where one of the document's sources begins with the value or, with `*`, `?` or `[`, fits it
as a glob; `title` and every other key where the document's value is equal.
"""


def matches(where: Where, title: str, metadata: Metadata, sources: tuple[str, ...]) -> bool:
    """Whether a document passes the filter."""
    values = {key.casefold(): value.casefold() for key, value in metadata}
    values["title"] = title.casefold()
    return all(
        _source_fits(wanted.casefold(), sources)
        if key.casefold() == "source"
        else values.get(key.casefold()) == wanted.casefold()
        for key, wanted in where
    )


def _source_fits(wanted: str, sources: tuple[str, ...]) -> bool:
    if any(sign in wanted for sign in "*?["):
        return any(
            fnmatchcase(source.casefold(), wanted) or source.casefold() == wanted for source in sources
        )
    return any(source.casefold().startswith(wanted) for source in sources)
