"""Reading an index. An open Index is one snapshot: what others write meanwhile is not seen."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ingest.catalogue import reader
from ingest.catalogue.filters import Where, matches
from ingest.catalogue.reader import IndexedChunk, IndexedDocument, SourceRow
from ingest.catalogue.schema import connect_reader, storage_errors
from ingest.errors import SourceNotFoundError
from ingest.index.derived import VECTORS_FOLDER
from ingest.index.finding import require_index
from ingest.index.mismatch import require_schema
from ingest.index.names import resolve_name
from ingest.index.nearest import VectorSearch, VectorsState
from ingest.index.words import WordSearch
from ingest.types import Line

EXACT_BELOW = 100_000
"""Up to this many chunks every vector is compared. CPU at 50,000 chunks of 384 dimensions: first question
0.23 s (Chroma 0.95, most of it its import), 7 ms for later ones (9 ms), and nothing is missed."""
WEIGHTS = (2.0, 1.0, 1.0)
"""How much a word counts in a title, in the heading trail, in the text."""


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """What an index was made with."""

    schema_version: str
    embedder: str
    dimensions: int
    chunker_version: str


@dataclass(frozen=True, slots=True)
class IndexStats:
    """Figures about an index. `statuses` counts sources by status, or by code where there is no document."""

    path: str
    settings: IndexSettings
    roots: tuple[str, ...]
    sources: int
    documents: int
    chunks: int
    characters: int
    statuses: tuple[tuple[str, int], ...]
    bytes: int
    generation: str
    vectors: VectorsState


def open_index(path: Path, *, exact_below: int = EXACT_BELOW) -> "Index":
    """The index in the folder `path`, as it is now. Use as a context manager, or close it.

    Raises NoIndexError, IndexMismatchError (another schema), StorageError (unreadable).
    """
    require_index(path)
    with storage_errors(path):
        connection = connect_reader(path)
        try:
            connection.execute("BEGIN")
            return Index(path, connection, exact_below)
        except BaseException:
            connection.close()
            raise


class Index:
    """One snapshot of an index. Its methods may be called from several threads; they wait for each other."""

    def __init__(self, path: Path, connection: sqlite3.Connection, exact_below: int) -> None:
        self.path = path
        self._connection = connection
        self._lock = RLock()
        values = require_schema(connection, path)
        self.settings = IndexSettings(
            values["schema_version"], values["embedder"], int(values["dimensions"]), values["chunker_version"]
        )
        self.state = f"{values['identity']}-{values['revision']}"
        count = int(connection.execute("SELECT count(*) FROM chunks").fetchone()[0])
        self._words = WordSearch(connection, count)
        self._vectors = VectorSearch(
            connection,
            path / VECTORS_FOLDER,
            values["generation"],
            self.settings.dimensions,
            approximate=count > exact_below,
        )

    @property
    def vectors_state(self) -> VectorsState:
        """Whether Chroma can be asked, as far as this snapshot has seen."""
        return self._vectors.state

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the snapshot."""
        with self._lock:
            self._words.close()
            self._vectors.close()
            self._connection.close()

    def lexical(
        self, query: str, limit: int, where: Where = (), weights: tuple[float, float, float] = WEIGHTS
    ) -> list[tuple[int, float]]:
        """The best chunks by words: (chunk id, bm25), higher is better. Any text is a query, and no character
        of it an operator. Words that more than a tenth of the chunks hold are left out, unless all do.
        """
        with self._lock, storage_errors(self.path):
            allowed = self._allowed(where) if where else None
            return self._words.search(query, limit, weights, allowed)

    def coverage(self, query: str, chunk_ids: Sequence[int]) -> dict[int, float]:
        """For each of the chunks, how much of the query its own text holds: 0 to 1, words by their rarity."""
        with self._lock, storage_errors(self.path):
            return self._words.coverage(query, chunk_ids)

    def telling_words(self, chunk_ids: Sequence[int], query: str, limit: int) -> list[str]:
        """The words that tell these chunks from all others and are not of the query, best first."""
        with self._lock, storage_errors(self.path):
            texts = [chunk.text for chunk in reader.read_chunks(self._connection, chunk_ids)]
            return self._words.telling_words(texts, query, limit)

    def dense(self, vector: NDArray[np.float32], limit: int, where: Where = ()) -> list[tuple[int, float]]:
        """The chunks nearest to a unit vector (dimensions,): (chunk id, cosine), best first, ties by id."""
        with self._lock, storage_errors(self.path):
            return self._vectors.search(vector, limit, self._allowed(where) if where else None)

    def holds(self, where: Where) -> bool:
        """Whether any document passes the filter."""
        with self._lock, storage_errors(self.path):
            return bool(self._allowed(where))

    def _allowed(self, where: Where) -> list[int]:
        keys = [
            key
            for key, title, metadata, sources in reader.read_filter_rows(self._connection)
            if matches(where, title, metadata, sources)
        ]
        return reader.read_chunk_ids(self._connection, keys)

    def chunks(self, ids: Sequence[int]) -> tuple[IndexedChunk, ...]:
        """These chunks in this order. KeyError where an id is not of this index."""
        with self._lock, storage_errors(self.path):
            return reader.read_chunks(self._connection, ids)

    def document_chunks(self, document_id: str) -> tuple[IndexedChunk, ...]:
        """All chunks of a document in the order of its text; none for an unknown id."""
        with self._lock, storage_errors(self.path):
            return reader.read_document_chunks(self._connection, document_id)

    def vectors(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """The embeddings (len(ids), dimensions) of these chunks. KeyError for an id that is not there."""
        with self._lock, storage_errors(self.path):
            found = reader.read_vectors(self._connection, ids)
        rows = [found[int(chunk_id)] for chunk_id in ids]
        return np.stack(rows) if rows else np.empty((0, self.settings.dimensions), np.float32)

    def document(self, document_id: str) -> IndexedDocument:
        """One document with its text. Raises SourceNotFoundError."""
        with self._lock, storage_errors(self.path):
            found = reader.read_document(self._connection, document_id)
        if found is None:
            raise SourceNotFoundError(
                f"No document has the id {document_id}. List them with: ragqa sources list"
            )
        return found

    def resolve(self, name: str) -> str:
        """The id of the document that a source, or the start of an id, names. Raises SourceNotFoundError."""
        with self._lock, storage_errors(self.path):
            return resolve_name(self._connection, name)

    def boxes(self, document_id: str, start: int, end: int) -> tuple[Line, ...]:
        """The page lines that share at least one code point with [start, end) of the document's text."""
        with self._lock, storage_errors(self.path):
            return reader.read_lines(self._connection, document_id, start, end)

    def sources(self) -> Iterator[SourceRow]:
        """Every source in alphabetical order, those without a document too."""
        with self._lock, storage_errors(self.path):
            rows = list(reader.read_sources(self._connection))
        return iter(rows)

    def stats(self) -> IndexStats:
        """Counts, sizes and versions."""
        with self._lock, storage_errors(self.path):
            counts = reader.read_counts(self._connection)
            roots = reader.read_roots(self._connection)
        size = sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())
        return IndexStats(
            str(self.path),
            self.settings,
            roots,
            counts.sources,
            counts.documents,
            counts.chunks,
            counts.characters,
            counts.statuses,
            size,
            self._vectors.generation,
            self._vectors.state,
        )
