"""Names and paths in, live objects out: the one place that builds an answerer."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ingest.embed import Embedder, load_embedder
from ingest.index import find_index, open_index
from ragqa.answering import Answerer
from ragqa.errors import EngineUnavailableError
from ragqa.llm.engine import Engine
from ragqa.retriever import Retriever
from ragqa.settings import AnswerSettings, RetrievalSettings

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """Which engine, and which model folder or preset where the engine needs one."""

    name: str = AUTO
    model: str | None = None
    allow_unproven_length: bool = False


def _extractive(_choice: EngineChoice, embedder: Embedder) -> Engine:
    from ragqa.llm.extractive import ExtractiveEngine

    return ExtractiveEngine(embedder)


ENGINES: Mapping[str, Callable[[EngineChoice, Embedder], Engine]] = {
    "extractive": _extractive,
}
"""Every engine by name. `auto` is the first of these that measures at or above `extractive`."""


def build_engine(choice: EngineChoice, embedder: Embedder) -> Engine:
    """The engine of that name. Raises EngineUnavailableError with what to install where a part is missing."""
    name = "extractive" if choice.name == AUTO else choice.name
    if name not in ENGINES:
        raise EngineUnavailableError(
            f"No engine is called {name!r}. There are: {', '.join((AUTO, *ENGINES))}."
        )
    return ENGINES[name](choice, embedder)


def index_path(explicit: Path | None) -> Path:
    """The index that a command works on: `--index`, RAGQA_INDEX, or the nearest `.ragqa` upward."""
    named = os.environ.get("RAGQA_INDEX")
    return find_index(Path.cwd(), explicit or (Path(named) if named else None))


def new_index_path(explicit: Path | None) -> Path:
    """Where `ingest` writes: as `index_path`, else a new `.ragqa` in the working directory."""
    named = os.environ.get("RAGQA_INDEX")
    return explicit or (Path(named) if named else Path.cwd() / ".ragqa")


@contextmanager
def open_retriever(
    explicit: Path | None, settings: RetrievalSettings = RetrievalSettings()
) -> Iterator[Retriever]:
    """A retriever over one snapshot of the index."""
    with open_index(index_path(explicit)) as index:
        yield Retriever(index, load_embedder(index.settings.embedder), settings)


@contextmanager
def open_answerer(
    explicit: Path | None,
    choice: EngineChoice,
    retrieval: RetrievalSettings = RetrievalSettings(),
    answering: AnswerSettings = AnswerSettings(),
) -> Iterator[Answerer]:
    """An answerer over one snapshot of the index."""
    with open_retriever(explicit, retrieval) as retriever:
        yield Answerer(retriever, build_engine(choice, retriever.embedder), answering)


def default_workers() -> int:
    """A parsing process a core, four at most: each may hold two gigabytes."""
    return min(4, os.cpu_count() or 1)
