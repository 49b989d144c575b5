"""What an ingest is asked for, works with, and reports."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ingest.embed import Embedder
from ingest.types import Chunk, Document, Member


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """What a person can ask for. `embedder` None is the index's own; `lock_timeout` is in seconds."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    workers: int = 1
    embedder: str | None = None
    dry_run: bool = False
    prune: bool = False
    lock_timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class SourceProblem:
    """A source that gives no document, and why."""

    source: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """What an ingest did. The counts are of files that gave documents (`removed`: that did or might have).

    `failed` and `skipped` are all sources of the named roots that give no document now, whether they were
    tried in this run or in an earlier one. `chunks` is the size of the index afterwards, `seconds` the wall
    time by stage. `planned`, in a dry run alone, is what would become of which source, as the counts name it.
    """

    added: int
    changed: int
    unchanged: int
    removed: int
    renamed: int
    failed: tuple[SourceProblem, ...]
    skipped: tuple[SourceProblem, ...]
    chunks: int
    seconds: tuple[tuple[str, float], ...]
    planned: tuple[tuple[str, str], ...] = ()


class Pool(Protocol):
    """Something that parses files, in any order."""

    def parse(self, paths: Iterable[Path]) -> Iterator[tuple[Path, tuple[Member, ...]]]:
        """Each path with its members."""
        ...


@dataclass(frozen=True, slots=True)
class Tools:
    """The stops between a file and the catalogue, and the versions under which their results are kept."""

    open_pool: Callable[[int], AbstractContextManager[Pool]]
    parser_version: str
    chunk: Callable[[Document], tuple[Chunk, ...]]
    chunker_version: str
    load_embedder: Callable[[str], Embedder]
    default_embedder: str
    embedding_text: Callable[[str, Chunk, str], str]


def default_tools() -> Tools:
    """The ones that ship."""
    from ingest.chunk import CHUNKER_VERSION, chunk_document
    from ingest.embed import DEFAULT_EMBEDDER, embedding_text, load_embedder
    from ingest.parse import PARSER_VERSION, Limits, ParsePool

    # A file that was too large is tried again when the limits change.
    limits = hashlib.sha256(repr(Limits()).encode()).hexdigest()[:8]
    return Tools(
        ParsePool,
        f"{PARSER_VERSION}-{limits}",
        chunk_document,
        CHUNKER_VERSION,
        load_embedder,
        DEFAULT_EMBEDDER,
        embedding_text,
    )
