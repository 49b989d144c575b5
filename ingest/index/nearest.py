"""The chunks nearest to a vector: every stored vector compared, or what Chroma proposes of very many."""

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ingest.catalogue.reader import Ids, Matrix, read_matrix, read_vectors
from ingest.vectors import Neighbours, VectorsError, find_generation

VectorsState = Literal["complete", "absent", "damaged"]
"""Whether Chroma can be asked. If `damaged`, all vectors are compared; `ragqa index repair` helps."""


class VectorSearch:
    """The vectors of one snapshot; `generation` below `folder` is the one that the snapshot names.

    `approximate` asks Chroma, as long as it can be asked, where all chunks are wanted.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        folder: Path,
        generation: str,
        dimensions: int,
        *,
        approximate: bool,
    ) -> None:
        self._connection = connection
        self._folder = folder
        self.generation = generation
        self._dimensions = dimensions
        self._is_approximate = approximate
        self._neighbours: Neighbours | None = None
        self._newer: tuple[Ids, Matrix] | None = None
        self._matrix: tuple[Ids, Matrix] | None = None
        self.state: VectorsState = "absent"
        if generation:
            self.state = "complete" if find_generation(folder, generation) else "damaged"

    def close(self) -> None:
        """Let go of Chroma."""
        if self._neighbours is not None:
            self._neighbours.close()

    def search(
        self, vector: NDArray[np.float32], limit: int, allowed: list[int] | None
    ) -> list[tuple[int, float]]:
        """The nearest chunks, of those `allowed` (ascending; None: of all), with their cosine, best first."""
        if allowed is None and self._is_approximate:
            found = self._approximate(vector, limit)
            if found is not None:
                return found
        return self._exact(vector, limit, allowed)

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
        if self._newer is None:
            self._newer = read_matrix(self._connection, self._dimensions, neighbours.generation.through)
        ids = np.fromiter(stored, np.int64, len(stored))
        matrix = np.array([*stored.values()], np.float32).reshape(len(stored), self._dimensions)
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
            stored = read_vectors(self._connection, proposed)
            if len(stored) >= limit or wanted >= neighbours.generation.count:
                return stored
            wanted *= 4

    def _open_neighbours(self) -> Neighbours | None:
        if self._neighbours is None and self.state == "complete":
            generation = find_generation(self._folder, self.generation)
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
        self.state = "damaged"

    def _exact(
        self, vector: NDArray[np.float32], limit: int, allowed: list[int] | None
    ) -> list[tuple[int, float]]:
        if self._matrix is None:
            self._matrix = read_matrix(self._connection, self._dimensions)
        ids, matrix = self._matrix
        if allowed is not None:
            rows = np.searchsorted(ids, np.asarray(allowed, np.int64))
            ids, matrix = ids[rows], matrix[rows]
        return nearest(ids, matrix, vector, limit)


def nearest(ids: Ids, matrix: Matrix, vector: NDArray[np.float32], limit: int) -> list[tuple[int, float]]:
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
