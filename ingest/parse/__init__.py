"""Files into documents. `parse_file` here and now, `ParsePool` in worker processes with limits.

Light to import: each parser loads with the first file that needs it.
"""

from pathlib import Path

from ingest.parse.files import parse_file
from ingest.parse.formats import supported as _supported_suffix
from ingest.parse.limits import Limits
from ingest.parse.pool import ParsePool

PARSER_VERSION = 7
"""Raised when the same bytes give another document: the pipeline then parses again."""

__all__ = ["PARSER_VERSION", "Limits", "ParsePool", "parse_file", "supported"]


def supported(path: Path) -> bool:
    """A hint by suffix: whether a file of this name is of a kind that is read. The content decides."""
    return _supported_suffix(path.suffix)
