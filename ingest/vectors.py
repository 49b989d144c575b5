"""The vectors once more, as a Chroma collection for indexes too large to compare every vector. Derived.

A *generation* is one collection in a folder of its own. It is written once, closed, and marked complete;
after that nobody writes to it again, so that a reader can never meet a half-written one. More chunks are
added to a copy, which becomes the next generation. What is known of Chroma 1.5.9, each measured: it crashes
the process (SIGSEGV) on a shortened file, it answers wrongly without an error when its folder has gone, and
its counts say nothing about what can be found. Hence the marker with the sizes of all files, looked at
before and after every question.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.errors import StorageError

MARKER = "complete.json"
BATCH = 5_000
"""Chroma refuses more than 5,461 rows at once."""
SAME = 1e-5
"""Nearer than this (1 - cosine) two float32 unit vectors are one."""
SAMPLES = 16
"""So many vectors must find themselves before a generation is called complete."""
# Random vectors in 384 dimensions, the hardest case: of the true first ten, 0.998 are found at 5,000 vectors.
# Chroma's own settings (16, 100, 100) find 0.68.
HNSW = {
    "space": "ip",
    "max_neighbors": 32,
    "ef_construction": 200,
    "ef_search": 400,
    "num_threads": 1,
    # Nothing is left to write when it is closed. Else each reader completes the files, even two at once.
    "batch_size": 1,
    "sync_threshold": 1,
}
COLLECTION = "chunks"
_DATABASE = "chroma.sqlite3"
"""Every reader adds a row to it, so that it grows a little."""

Matrix = NDArray[np.float32]
Batches = Iterable[tuple[NDArray[np.int64], Matrix]]


@dataclass(frozen=True, slots=True)
class Generation:
    """A complete generation: all chunks that were there with an id up to `through`, `count` in number."""

    folder: Path
    through: int
    count: int
    files: tuple[tuple[str, int, str], ...]

    @property
    def name(self) -> str:
        """The name by which the catalogue knows it."""
        return self.folder.name

    def is_intact(self) -> bool:
        """Whether its files still have the sizes they were closed with."""
        try:
            return all(
                size == found if name != _DATABASE else size <= found
                for name, size, found in (
                    (name, size, (self.folder / name).stat().st_size) for name, size, _ in self.files
                )
            )
        except OSError:
            return False

    def is_unchanged(self) -> bool:
        """Whether its vectors are the very bytes they were closed with; reads all of them."""
        return self.is_intact() and all(
            _digest(self.folder / name) == digest for name, _, digest in self.files if name != _DATABASE
        )


class VectorsError(Exception):
    """Chroma could not do it. Callers fall back on exact search, or tell the person."""


def find_generation(folder: Path, name: str) -> Generation | None:
    """The generation of that name below `folder`; None if missing, unfinished or not as it was closed."""
    if not name:
        return None
    try:
        marker = json.loads((folder / name / MARKER).read_text(encoding="utf-8"))
        files = tuple((str(file), int(size), str(digest)) for file, size, digest in marker["files"])
        generation = Generation(folder / name, int(marker["through"]), int(marker["count"]), files)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return generation if generation.is_intact() else None


def write_generation(
    folder: Path,
    base: Generation | None,
    batches: Batches,
    progress: Callable[[int], None] = lambda _: None,
) -> Generation:
    """A new, complete generation below `folder`: what `base` holds, then these ids and unit vectors,
    ascending.

    Every id must be greater than all that `base` holds. `progress` is told how many were added so far. Raises
    StorageError; what is then left behind has no marker, and remove_generations takes it away.
    """
    place = _next_folder(folder)
    through, count = (base.through, base.count) if base else (0, 0)
    samples: list[tuple[int, Matrix]] = []
    try:
        if base:
            shutil.copytree(base.folder, place, ignore=shutil.ignore_patterns(MARKER))
        with _Collection(place, create=True) as collection:
            added = 0
            for ids, matrix in batches:
                collection.add(ids, matrix)
                samples += [(int(ids[row]), matrix[row].copy()) for row in (0, len(ids) // 2, -1)]
                through, added = int(ids[-1]), added + len(ids)
                progress(added)
        _check_size(place, count + added, samples)
        with _Collection(place) as collection:
            missing = _not_found(collection, samples[:: max(1, len(samples) // SAMPLES)])
        if missing:
            raise VectorsError(f"{len(missing)} of the vectors just written cannot be found")
        return _mark_complete(place, through, count + added)
    except (VectorsError, OSError) as error:
        raise StorageError(
            f"The vector collection {place} could not be written: {error}. The documents are safe and can be "
            f"searched. Free some space, then run: ragqa index repair"
        ) from error


def remove_generations(folder: Path, keep: str) -> None:
    """Delete every generation but one, whole or unfinished."""
    if not folder.is_dir():
        return
    for place in folder.iterdir():
        if place.name != keep:
            shutil.rmtree(place, ignore_errors=True)


class Neighbours:
    """An open generation that can be asked. Not for several threads at once."""

    def __init__(self, generation: Generation) -> None:
        """Raises VectorsError."""
        self.generation = generation
        self._collection = _Collection(generation.folder)

    def search(self, vector: Matrix, limit: int) -> list[int]:
        """About the `limit` nearest ids to a unit vector (dimensions,), nearest first.

        Raises VectorsError, also where the generation was not intact before or after the question.
        """
        self._require_intact()
        found = self._collection.query(vector, min(limit, self.generation.count))
        self._require_intact()
        return [chunk_id for chunk_id, _ in found]

    def lost(self, samples: Sequence[tuple[int, Matrix]]) -> list[int]:
        """Those of these ids that are not among the nearest to their own vector. Raises VectorsError."""
        self._require_intact()
        return _not_found(self._collection, samples)

    def close(self) -> None:
        """Let go of its files."""
        self._collection.close()

    def _require_intact(self) -> None:
        if not self.generation.is_intact():
            raise VectorsError(f"{self.generation.folder} is not as it was closed")


class _Collection:
    """One Chroma collection, opened and closed. All of Chroma's errors become VectorsError."""

    def __init__(self, folder: Path, *, create: bool = False) -> None:
        # Before the import, or it is too late: a setting in the environment wins over the one given here.
        os.environ["ANONYMIZED_TELEMETRY"] = "False"
        with _chroma_errors():
            import chromadb
            from chromadb.config import Settings

            folder.mkdir(parents=True, exist_ok=True)
            client: Any = chromadb.PersistentClient(
                str(folder), settings=Settings(anonymized_telemetry=False)
            )
            self._client = client
            if create:
                configuration = {"hnsw": HNSW}
                self._rows = client.get_or_create_collection(
                    COLLECTION, embedding_function=None, configuration=configuration
                )
            else:
                self._rows = client.get_collection(COLLECTION, embedding_function=None)

    def __enter__(self) -> "_Collection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, ids: NDArray[np.int64], matrix: Matrix) -> None:
        with _chroma_errors():
            for start in range(0, len(ids), BATCH):
                part = slice(start, start + BATCH)
                self._rows.add(ids=[str(chunk_id) for chunk_id in ids[part]], embeddings=matrix[part])

    def query(self, vector: Matrix, limit: int) -> list[tuple[int, float]]:
        """Ids with their distance, 1 - cosine, nearest first."""
        with _chroma_errors():
            found = self._rows.query(query_embeddings=vector[None, :], n_results=limit, include=["distances"])
            return [
                (int(chunk_id), float(distance))
                for chunk_id, distance in zip(found["ids"][0], found["distances"][0], strict=True)
            ]

    def holds(self, chunk_id: int, vector: Matrix) -> bool:
        """Whether the id is there with this unit vector."""
        with _chroma_errors():
            kept = self._rows.get(ids=[str(chunk_id)], include=["embeddings"])["embeddings"]
            return len(kept) == 1 and 1 - float(np.asarray(kept[0]) @ vector) <= SAME

    def close(self) -> None:
        with _chroma_errors():
            self._client.close()


@contextmanager
def _chroma_errors() -> Iterator[None]:
    """Chroma's core is Rust, and its panics come as BaseException; what the person does passes."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:
        raise VectorsError(f"{type(error).__name__}: {error}") from error


def _not_found(collection: _Collection, samples: Sequence[tuple[int, Matrix]]) -> list[int]:
    """Ids whose vector is gone, or, where most cannot be reached by their own vector, those that cannot."""
    lost = []
    for chunk_id, vector in samples:
        found = collection.query(vector, 10)
        # Equal texts have equal vectors: ten others as near as a vector is to itself are an answer too.
        if chunk_id not in {other for other, _ in found} and (len(found) < 10 or found[-1][1] > SAME):
            lost.append(chunk_id)
    if 2 * len(lost) > len(samples):
        return lost
    # Hundreds of equal vectors are a circle that leads to few others: hard to reach is not lost.
    return [one for one, vector in samples if one in lost and not collection.holds(one, vector)]


def _next_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    numbers = [int(place.name) for place in folder.iterdir() if place.name.isdecimal()]
    return folder / str(max(numbers, default=0) + 1)


def _check_size(place: Path, count: int, samples: Sequence[tuple[int, Matrix]]) -> None:
    """A vector file that is too short crashes whoever opens it, so look at its size first."""
    needed = count * 4 * len(samples[0][1]) if samples else 0
    if count > 0 and sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) < needed:
        raise VectorsError("its files are shorter than its vectors")


def _mark_complete(place: Path, through: int, count: int) -> Generation:
    files = []
    for file in sorted(place.rglob("*")):
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
            files.append((file.relative_to(place).as_posix(), file.stat().st_size, _digest(file)))
    generation = Generation(place, through, count, tuple(files))
    fields = asdict(generation)
    del fields["folder"]
    unfinished = place / f"{MARKER}.part"
    unfinished.write_text(json.dumps(fields), encoding="utf-8")
    unfinished.replace(place / MARKER)
    return generation


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
