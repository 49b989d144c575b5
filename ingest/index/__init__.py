"""The index as others see it: find it, open it, ask it; check, repair, and remove from it."""

from ingest.catalogue.filters import Where
from ingest.catalogue.reader import IndexedChunk, IndexedDocument, SourceRow
from ingest.index.check import check_index
from ingest.index.finding import INDEX_FOLDER, find_index
from ingest.index.maintenance import remove_source, repair_index
from ingest.index.snapshot import Index, IndexSettings, IndexStats, open_index

__all__ = [
    "INDEX_FOLDER",
    "Index",
    "IndexSettings",
    "IndexStats",
    "IndexedChunk",
    "IndexedDocument",
    "SourceRow",
    "Where",
    "check_index",
    "find_index",
    "open_index",
    "remove_source",
    "repair_index",
]
