"""Names and paths in, live objects out: the one place that builds an answerer."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path

from ingest.embed import Embedder, load_embedder
from ingest.errors import NoIndexError
from ingest.index import INDEX_FOLDER, find_index, open_index
from ingest.progress import Progress, silent
from ragqa.answering import Answerer
from ragqa.errors import EngineUnavailableError
from ragqa.gptq.finetune.making import TUNED
from ragqa.gptq.presets import Preset, preset_of
from ragqa.judging import Judging
from ragqa.llm.engine import Engine
from ragqa.narrowing import Narrowing
from ragqa.reader import Reader
from ragqa.reranker import Reranker, load_reranker
from ragqa.retriever import Retriever
from ragqa.selection import Embed
from ragqa.settings import AnswerSettings, RetrievalSettings

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """Which engine, and which model folder or preset where the engine needs one."""

    name: str = AUTO
    model: str | None = None
    allow_unproven_length: bool = False
    device_map: str = "cpu"
    # Told how far a model is that is made on its first use.
    tick: Progress = field(default=silent, repr=False, compare=False)


def _extractive(_choice: EngineChoice, embedder: Embedder) -> Engine:
    from ragqa.llm.extractive import ExtractiveEngine

    return ExtractiveEngine(judging_with(embedder.embed), embedder.name)


def _gptq(choice: EngineChoice, embedder: Embedder) -> Engine:
    from ragqa.llm.gptq import INSTALL, open_gptq_engine

    try:
        from ragqa.gptq.model import LoadOptions
    except ImportError as error:
        raise EngineUnavailableError(INSTALL) from error
    return open_gptq_engine(
        choice.model or DEFAULT_MODEL,
        LoadOptions(device_map=choice.device_map),
        allow_unproven_length=choice.allow_unproven_length,
        judge=judging_with(embedder.embed).opinion,
        tick=choice.tick,
    )


@lru_cache(maxsize=4)
def judging_with(embed: Embed) -> Judging:
    """The judge that narrowing, refusing and quoting share, so that a question's blocks are read once."""
    return Judging(embed, shared_reader)


@cache
def shared_reader() -> Reader:
    """The package's reader, loaded once, however many indexes are opened."""
    return Reader.load()


def _auto_gptq(choice: EngineChoice, embedder: Embedder) -> Engine:
    from ragqa.llm.gptq import INSTALL, Arithmetic, open_gptq_engine

    try:
        from ragqa.gptq.model import LoadOptions
        from ragqa.llm.auto_gptq import RemoteDecoder
    except ImportError as error:
        raise EngineUnavailableError(INSTALL) from error
    return open_gptq_engine(
        choice.model or DEFAULT_MODEL,
        LoadOptions(dtype="float32"),
        allow_unproven_length=choice.allow_unproven_length,
        judge=judging_with(embedder.embed).opinion,
        tick=choice.tick,
        arithmetic=Arithmetic("auto-gptq", RemoteDecoder.open),
    )


DEFAULT_MODEL = TUNED
ENGINES: Mapping[str, Callable[[EngineChoice, Embedder], Engine]] = {
    "extractive": _extractive,
    "gptq": _gptq,
    "auto-gptq": _auto_gptq,
}
"""Every engine by name."""

INSTANT = frozenset({"extractive"})
"""Engines that have their whole answer at once: nobody watches it being written."""

BEST = "extractive"
"""What `auto` takes: no model that ships measures above it yet (docs/quality.md)."""


def build_engine(choice: EngineChoice, embedder: Embedder) -> Engine:
    """The engine of that name. Raises EngineUnavailableError with what to install where a part is missing."""
    name = BEST if choice.name == AUTO else choice.name
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
    """Where `ingest` writes: as `index_path`, else the folder that was named, else a new `.ragqa` here."""
    named = os.environ.get("RAGQA_INDEX")
    wanted = explicit or (Path(named) if named else None)
    try:
        return find_index(Path.cwd(), wanted)
    except NoIndexError:
        return wanted or Path.cwd() / INDEX_FOLDER


@contextmanager
def open_retriever(
    explicit: Path | None, settings: RetrievalSettings = RetrievalSettings()
) -> Iterator[Retriever]:
    """A retriever over one snapshot of the index."""
    with open_index(index_path(explicit)) as index:
        yield Retriever(
            index, load_embedder(index.settings.embedder), settings, build_reranker(settings.reranker)
        )


def build_reranker(name: str | None) -> Reranker | None:
    """The reranker of that name, if any. Raises RerankerError where it cannot be had."""
    return load_reranker(name) if name else None


@contextmanager
def open_answerer(
    explicit: Path | None,
    choice: EngineChoice,
    retrieval: RetrievalSettings = RetrievalSettings(),
    answering: AnswerSettings = AnswerSettings(),
) -> Iterator[Answerer]:
    """An answerer over one snapshot of the index."""
    with open_retriever(explicit, settings_for(choice, retrieval)) as retriever:
        yield answerer_of(retriever, choice, answering)


def answerer_of(retriever: Retriever, choice: EngineChoice, answering: AnswerSettings) -> Answerer:
    """An answerer, its blocks narrowed to as many as its model was tuned on."""
    engine = build_engine(choice, retriever.embedder)
    preset, settings = preset_for(choice), retriever.settings
    # Who asks for more chunks than usual wants a prompt that is filled.
    if preset is None or preset.max_blocks is None or settings.block_limit > settings.max_blocks:
        return Answerer(retriever, engine, answering)
    judging = judging_with(retriever.embedder.embed)
    narrowing = Narrowing(preset.max_blocks, lambda *asked: judging.judge(*asked).candidates)
    return Answerer(retriever, engine, answering, narrowing)


def settings_for(choice: EngineChoice, settings: RetrievalSettings) -> RetrievalSettings:
    """The settings with blocks as long as those that the chosen model was tuned on."""
    preset = preset_for(choice)
    if preset is None or preset.block_tokens is None:
        return settings
    return replace(settings, block_tokens=preset.block_tokens)


def preset_for(choice: EngineChoice) -> Preset | None:
    """What is known by name of the model that will answer."""
    name = BEST if choice.name == AUTO else choice.name
    return preset_of((choice.model or DEFAULT_MODEL).partition(":")[0]) if "gptq" in name else None


def default_workers() -> int:
    """A parsing process a core, four at most: each may hold two gigabytes."""
    return min(4, os.cpu_count() or 1)
