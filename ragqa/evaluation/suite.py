"""A folder with a question set in, its figures out: ingests the documents, asks the questions, reports."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from zlib import crc32

from ingest.embed import Embedder, load_embedder
from ingest.index import Index, open_index
from ingest.pipeline import IngestOptions, Tools, ingest_paths
from ingest.progress import Progress, silent
from ragqa.cache import cache_folder
from ragqa.errors import QuestionFileError
from ragqa.evaluation.blind import BlindRetriever, RememberingEmbedder
from ragqa.evaluation.corpus import write_corpus
from ragqa.evaluation.given import GivenRetriever
from ragqa.evaluation.question_set import Question, QuestionSet, read_questions, read_set
from ragqa.evaluation.report import EvalReport, report_of
from ragqa.evaluation.run import Asking, OnQuestion, gold_documents
from ragqa.settings import AnswerSettings, RetrievalSettings
from ragqa.wiring import EngineChoice, answerer_of, build_reranker, index_path, settings_for


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """What is measured. `engine` None measures retrieval alone; `part` is `all`, or the `even` or `odd` half;
    `alone` is `dense` or `lexical` where one retriever's own ranking is measured in place of the fused one;
    `given` hands the prompt that many blocks, the question's own among them, in place of what is found.

    Halves are by subject (`questions_of`), the same in every run: choose on one, report on the other.
    """

    engine: EngineChoice | None = None
    retrieval: RetrievalSettings = field(default_factory=RetrievalSettings)
    answering: AnswerSettings = field(default_factory=AnswerSettings)
    gold_removed: bool = False
    alone: str | None = None
    given: int | None = None
    part: str = "all"
    limit: int | None = None


def ignore_progress(_done: int, _total: int) -> None:
    """Progress for nobody."""


def build_index(
    question_set: QuestionSet,
    folder: Path,
    workers: int = 1,
    tools: Tools | None = None,
    tick: Progress = silent,
) -> tuple[Path, Mapping[str, str]]:
    """The index of a set's documents under `folder`, and the set's id by source. Made once, then kept.

    Raises QuestionFileError where a document of the set could not be ingested.
    """
    places = write_corpus(question_set, folder / "documents")
    index = folder / ".ragqa"
    report = ingest_paths([folder / "documents"], index, IngestOptions(workers=workers), tick, tools)
    if report.failed:
        first = report.failed[0]
        raise QuestionFileError(f"{question_set.name}: {first.source} could not be ingested: {first.message}")
    return index, places


def measure(
    name: str,
    questions: tuple[Question, ...],
    index_path: Path,
    places: Mapping[str, str],
    options: EvalOptions = EvalOptions(),
    on_question: OnQuestion = ignore_progress,
    embedder: Embedder | None = None,
) -> EvalReport:
    """The figures of these questions on an index. `places` maps its sources to the ids the questions use;
    where both are the same it is empty. Raises QuestionFileError where no question is left, or where the
    index holds none of the documents they name.
    """
    with open_index(index_path) as index:
        embedder = RememberingEmbedder(embedder or load_embedder(index.settings.embedder))
        if options.engine is not None:
            options = replace(options, retrieval=settings_for(options.engine, options.retrieval))
        retriever = retriever_of(index, embedder, options)
        retriever.alone = options.alone
        answerer = None
        if options.engine is not None:
            answerer = answerer_of(retriever, options.engine, options.answering)
        asking = Asking(retriever, answerer, places)
        chosen = drawn(questions_of(questions, options.part), options.limit)
        unknown = known_or_refused(name, chosen, asking, index_path)
        chosen = tuple(map(asking.as_indexed, chosen))
        outcomes = asking.ask_all(chosen, gold_removed=options.gold_removed, on_question=on_question)
        engine, model = (answerer.engine.name, answerer.engine.model) if answerer else ("", "")
    return replace(report_of(name, engine, model, outcomes), unknown=unknown)


def retriever_of(index: Index, embedder: Embedder, options: EvalOptions) -> BlindRetriever:
    """What hands over the blocks: the product's retriever, or one that knows which are the question's own."""
    if options.given is None:
        reranker = build_reranker(options.retrieval.reranker)
        return BlindRetriever(index, embedder, options.retrieval, reranker)
    given = GivenRetriever(index, embedder, options.retrieval)
    given.count = options.given
    return given


def known_or_refused(
    name: str, questions: tuple[Question, ...], asking: Asking, index_path: Path
) -> tuple[str, ...]:
    """Gold documents that the index lacks. Figures that could only be 0 are refused: QuestionFileError."""
    if not questions:
        raise QuestionFileError(f"{name}: no question is left to ask. Take another --part, or a larger set.")
    unknown = asking.unknown(questions)
    named = {one for question in questions for one in gold_documents(question)}
    if named and len(unknown) == len(named):
        raise QuestionFileError(
            f"{name}: none of its gold documents is in the index at {index_path}, {unknown[0]!r} for one. "
            "Name them as `ragqa sources list` does, or ask another --index."
        )
    return unknown


def measure_set(named: str, explicit: Path | None, options: EvalOptions, tick: Progress) -> EvalReport:
    """The figures of a set by folder, by name under RAGQA_EVAL_DATA, or of a question file on an index.

    A set's documents are ingested once, into the cache. Raises QuestionFileError where there is no such set.
    """

    def done(number: int, total: int) -> None:
        tick("questions", number, total)

    path = Path(named)
    if path.suffix == ".jsonl":
        return measure(path.stem, read_questions(path), index_path(explicit), {}, options, done)
    folder = find_set(path)
    question_set = read_set(folder)
    made, places = build_index(question_set, cache_of(folder), tick=tick)
    return measure(question_set.name, question_set.questions, made, places, options, done)


def find_set(path: Path) -> Path:
    """The set's folder: the path itself, else that name under RAGQA_EVAL_DATA or its `eval`."""
    data = os.environ.get("RAGQA_EVAL_DATA")
    places = [path, *([Path(data) / path, Path(data) / "eval" / path] if data else [])]
    for place in places:
        if (place / "questions.jsonl").is_file():
            return place
    looked = ", ".join(map(str, places))
    raise QuestionFileError(
        f"No question set {path}: no questions.jsonl in {looked}. Name a folder that holds one (its form: "
        "ragqa eval --help), or where sets lie by RAGQA_EVAL_DATA."
    )


def cache_of(folder: Path) -> Path:
    """Where a set's index is kept: by the place and the content of its documents; of PDFs, by the place."""
    documents = folder / "documents.jsonl"
    content = documents.read_bytes() if documents.is_file() else b""
    key = sha256(str(folder.resolve()).encode() + content).hexdigest()[:16]
    return cache_folder() / "eval" / f"{folder.name}-{key}"


def read_baseline(path: Path) -> Mapping[str, Any]:
    """An earlier `eval --json`. Raises QuestionFileError where it is none."""
    try:
        baseline = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise QuestionFileError(
            f"{path} is no earlier eval --json: {error}. Make one: ragqa eval SET --json > FILE."
        ) from error
    if not isinstance(baseline, dict) or "metrics" not in baseline:
        raise QuestionFileError(
            f"{path} is no earlier eval --json: it has no metrics. Take the whole output."
        )
    return baseline


def questions_of(questions: tuple[Question, ...], part: str) -> tuple[Question, ...]:
    """All questions, or the half that `part` (`even` or `odd`) names.

    A question's half follows from the title of the document it was asked of (the document's id where it has
    none, the question's own where no document is known), so that no article is in both.
    """
    if part == "all":
        return questions
    return tuple(one for one in questions if half_of(one) == part)


def drawn(questions: tuple[Question, ...], limit: int | None) -> tuple[Question, ...]:
    """At most `limit` questions in their order, drawn by id: a set's first ones are often of one document."""
    if limit is None or limit >= len(questions):
        return questions
    lots = sorted((crc32(f"draw {one.id}".encode("utf-8", "replace")), one.id) for one in questions)
    names = {question_id for _, question_id in lots[:limit]}
    return tuple(one for one in questions if one.id in names)


def half_of(question: Question) -> str:
    """`even` or `odd`, by the CRC-32 of the question's subject."""
    return ("even", "odd")[crc32((question.subject or question.id).encode("utf-8", "replace")) % 2]
