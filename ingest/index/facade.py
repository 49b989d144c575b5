"""Reading an index. An open Index is one snapshot: what others write meanwhile is not seen."""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from ingest.catalogue import lexical, reader
from ingest.catalogue.filters import Where, matches
from ingest.catalogue.reader import IndexedChunk, IndexedDocument, SourceRow
from ingest.catalogue.schema import (
    DATABASE,
    connect_reader,
    storage_errors,
)
from ingest.errors import NoIndexError, SourceNotFoundError
from ingest.index.derived import VECTORS_FOLDER
from ingest.index.mismatch import require_schema
from ingest.index.names import resolve_name
from ingest.types import Line
from ingest.vectors import Neighbours, VectorsError, find_generation

INDEX_FOLDER = ".ragqa"
EXACT_BELOW = 100_000
"""Up to this many chunks every vector is compared. CPU at 50,000 chunks of 384 dimensions: first question
0.23 s (Chroma 0.95, most of it its import), 7 ms for later ones (9 ms), and nothing is missed."""
VectorsState = Literal["complete", "absent", "damaged"]
"""Whether Chroma can be asked. If `damaged`, all vectors are compared; `ragqa index repair` helps."""
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


def open_index(path: Path, *, exact_below: int = EXACT_BELOW) -> "Index":
    """The index in the folder `path`, as it is now. Use as a context manager, or close it.

    Raises NoIndexError, IndexMismatchError (another schema), StorageError (unreadable).
    """
    if not (path / DATABASE).is_file():
        raise NoIndexError(f"There is no index at {path}. Make one with: ragqa ingest FOLDER")
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
        self._chunk_count = int(connection.execute("SELECT count(*) FROM chunks").fetchone()[0])
        self._terms = lexical.QueryTerms()
        self._frequencies: dict[str, int] = {}
        self._matrix: tuple[reader.Ids, reader.Matrix] | None = None
        self._exact_below = exact_below
        self._generation = values["generation"]
        self._neighbours: Neighbours | None = None
        self._newer: tuple[reader.Ids, reader.Matrix] | None = None
        self.vectors_state: VectorsState = "absent"
        if self._generation:
            intact = find_generation(path / VECTORS_FOLDER, self._generation)
            self.vectors_state = "complete" if intact else "damaged"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the snapshot."""
        with self._lock:
            self._terms.close()
            if self._neighbours is not None:
                self._neighbours.close()
            self._connection.close()

    def lexical(
        self, query: str, limit: int, where: Where = (), weights: tuple[float, float, float] = WEIGHTS
    ) -> list[tuple[int, float]]:
        """The best chunks by words: (chunk id, bm25), higher is better. Any text is a query, and no character
        of it an operator. Words that more than a tenth of the chunks hold are left out, unless all do.
        """
        with self._lock, storage_errors(self.path):
            chosen = self._choose(query)
            if not chosen or limit < 1:
                return []
            expression = lexical.match_expression(chosen)
            if not where:
                return lexical.search(self._connection, expression, weights, limit)
            return lexical.search_within(self._connection, expression, weights, limit, self._allowed(where))

    def _choose(self, query: str) -> list[str]:
        frequencies = [(word, self._frequency(stem)) for stem, word in self._terms.split(query).items()]
        return lexical.choose_terms(frequencies, self._chunk_count)

    def coverage(self, query: str, chunk_ids: Sequence[int]) -> dict[int, float]:
        """For each of the chunks, how much of the query its own text holds: 0 to 1, words by their rarity."""
        with self._lock, storage_errors(self.path):
            stems = {word: stem for stem, word in self._terms.split(query).items()}
            held = dict.fromkeys(chunk_ids, 0.0)
            total = 0.0
            for word in self._choose(query):
                weight = lexical.rarity(self._frequency(stems[word]), self._chunk_count)
                total += weight
                for chunk_id in lexical.holding(self._connection, word, chunk_ids):
                    held[chunk_id] += weight
        return {chunk_id: weight / total for chunk_id, weight in held.items()} if total else held

    def telling_words(self, chunk_ids: Sequence[int], query: str, limit: int) -> list[str]:
        """The words that tell these chunks from all others and are not of the query, best first."""
        with self._lock, storage_errors(self.path):
            chunks = reader.read_chunks(self._connection, chunk_ids)
            texts = [self._terms.sequence(chunk.text) for chunk in chunks]
            asked = self._terms.split(query)
            weights = lexical.shares([Counter(stem for stem, _ in text) for text in texts if text])
            new = {stem: weight for stem, weight in weights.items() if stem not in asked}
            frequencies = {stem: self._frequency(stem) for stem in new}
            words = dict(pair for text in texts for pair in text)
            return [words[stem] for stem in lexical.most_telling(new, frequencies, self._chunk_count, limit)]

    def _frequency(self, stem: str) -> int:
        if stem not in self._frequencies:
            row = self._connection.execute("SELECT doc FROM terms WHERE term = ?", (stem,)).fetchone()
            self._frequencies[stem] = int(row[0]) if row else 0
        return self._frequencies[stem]

    def dense(self, vector: NDArray[np.float32], limit: int, where: Where = ()) -> list[tuple[int, float]]:
        """The chunks nearest to a unit vector (dimensions,): (chunk id, cosine), best first, ties by id."""
        with self._lock, storage_errors(self.path):
            if not where and self._chunk_count > self._exact_below:
                found = self._approximate(vector, limit)
                if found is not None:
                    return found
            return self._exact(vector, limit, self._allowed(where) if where else None)

    def _approximate(self, vector: NDArray[np.float32], limit: int) -> list[tuple[int, float]] | None:
        """What Chroma proposes and all chunks it does not hold, by stored embeddings; None without it."""
        neighbours = self._open_neighbours()
        if neighbours is None:
            return None
        try:
            stored = self._proposed(neighbours, vector, limit)
        except VectorsError:
            self._give_up_neighbours()
            return None
        dimensions = self.settings.dimensions
        if self._newer is None:
            self._newer = reader.read_matrix(self._connection, dimensions, neighbours.generation.through)
        ids = np.fromiter(stored, np.int64, len(stored))
        matrix = np.array([*stored.values()], np.float32).reshape(len(stored), dimensions)
        best = nearest(ids, matrix, vector, limit) + nearest(*self._newer, vector, limit)
        return sorted(best, key=lambda pair: (-pair[1], pair[0]))[:limit]

    def _proposed(
        self, neighbours: Neighbours, vector: NDArray[np.float32], limit: int
    ) -> dict[int, NDArray[np.float32]]:
        """At least `limit` ids near a vector, with their stored embeddings, unless there are fewer."""
        wanted = 2 * limit + 20
        while True:
            proposed = neighbours.search(vector, wanted)
            # Chroma still holds chunks that were removed: those have no row any more.
            stored = reader.read_vectors(self._connection, proposed)
            if len(stored) >= limit or wanted >= neighbours.generation.count:
                return stored
            wanted *= 4

    def _open_neighbours(self) -> Neighbours | None:
        if self._neighbours is None and self.vectors_state == "complete":
            generation = find_generation(self.path / VECTORS_FOLDER, self._generation)
            try:
                self._neighbours = Neighbours(generation) if generation else None
            except VectorsError:
                self._give_up_neighbours()
        return self._neighbours

    def _give_up_neighbours(self) -> None:
        """From here on this snapshot is searched exactly: its generation was replaced or damaged."""
        if self._neighbours is not None:
            with suppress(VectorsError):
                self._neighbours.close()
        self._neighbours = None
        self.vectors_state = "damaged"

    def _exact(
        self, vector: NDArray[np.float32], limit: int, allowed: list[int] | None
    ) -> list[tuple[int, float]]:
        if self._matrix is None:
            self._matrix = reader.read_matrix(self._connection, self.settings.dimensions)
        ids, matrix = self._matrix
        if allowed is not None:
            rows = np.searchsorted(ids, np.asarray(allowed, np.int64))
            ids, matrix = ids[rows], matrix[rows]
        return nearest(ids, matrix, vector, limit)

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
            self._generation,
            self.vectors_state,
        )


def nearest(
    ids: reader.Ids, matrix: reader.Matrix, vector: NDArray[np.float32], limit: int
) -> list[tuple[int, float]]:
    """The `limit` rows of matrix (n, d) with the greatest dot product with vector (d,), best first."""
    if limit < 1 or not len(ids):
        return []
    scores = matrix @ np.asarray(vector, np.float32)
    best = np.arange(len(ids))
    if limit < len(ids):
        threshold = np.partition(scores, len(ids) - limit)[len(ids) - limit]
        best = np.flatnonzero(scores >= threshold)
    best = best[np.lexsort((ids[best], -scores[best]))][:limit]
    return [(int(ids[row]), float(scores[row])) for row in best]
