"""Question sets: a folder of `documents.jsonl` and `questions.jsonl`, or a question file for an index.

    documents.jsonl   {"id", "title", "text", "meta": {…}}
    questions.jsonl   {"id", "question", "answers": […], "gold_doc_ids": […], "answerable": true,
                       "evidence": [{"doc_id", "quotes": […], "start"?, "end"?, "pdf"?, "page0"?}],
                       "meta": {"nearest_doc": an unanswerable question's document of the same subject}}

Only `id` and `question` are needed. Without `answerable` a question with answers or gold documents is
answerable. A folder may hold `pdfs/` in place of its texts: then `doc_id` (or `pdf`) is a file name there,
and `page0`, counted from 0, narrows the evidence to a page. For a question file `doc_id` is a source of the
index.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ragqa.errors import QuestionFileError


@dataclass(frozen=True, slots=True)
class SetDocument:
    """A document of a set, before it is ingested."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What carries the gold answer: quotes of a document, or a page of it (from 1).

    `start` is where a single quote, which may stand there often, begins in the set's text, white space not
    counted.
    """

    document: str
    quotes: tuple[str, ...]
    page: int | None
    start: int | None


@dataclass(frozen=True, slots=True)
class Question:
    """A question with what is known about its answer.

    `asked_of` is the document it was asked of: the first gold one, or the nearest where there is none.
    Questions of one `subject`, the title of the document they were asked of, fall into the same half.
    """

    id: str
    text: str
    answers: tuple[str, ...]
    gold: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    answerable: bool
    subject: str = ""
    asked_of: str = ""


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """Questions with the folder of their documents; `documents` is empty where `pdfs` holds them."""

    name: str
    questions: tuple[Question, ...]
    documents: tuple[SetDocument, ...]
    pdfs: Path | None


def read_set(folder: Path) -> QuestionSet:
    """The set in a folder. Raises QuestionFileError where a file is missing or a line cannot be read."""
    pdfs = folder / "pdfs"
    questions = read_questions(folder / "questions.jsonl")
    if pdfs.is_dir():
        held = {path.name for path in pdfs.iterdir()}
        kept = tuple(one for one in questions if all(part.document in held for part in one.evidence))
        return QuestionSet(folder.name, kept, (), pdfs)
    documents = tuple(document_of(record) for record in records(folder / "documents.jsonl", ("id", "text")))
    known = {document.id: document for document in documents}
    return QuestionSet(folder.name, tuple(placed(one, known) for one in questions), documents, None)


def placed(question: Question, known: Mapping[str, SetDocument]) -> Question:
    """The question with its evidence's starts counted without white space, and its subject's title."""
    evidence = tuple(
        replace(part, start=solid(known[part.document].text, part.start))
        if part.start is not None and part.document in known
        else part
        for part in question.evidence
    )
    asked = known.get(question.subject)
    return replace(question, evidence=evidence, subject=(asked and asked.title) or question.subject)


def solid(text: str, end: int) -> int:
    """How many characters that are not white space stand before `end`."""
    return len("".join(text[:end].split()))


def read_questions(path: Path) -> tuple[Question, ...]:
    """The questions of a JSONL file, ids unique. Raises QuestionFileError."""
    questions = tuple(
        question_of(record, place) for place, record in placed_records(path, ("id", "question"))
    )
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise QuestionFileError(f"{path}: the id {question.id!r} comes twice. Ids must differ.")
        seen.add(question.id)
    return questions


def records(path: Path, needed: tuple[str, ...]) -> Iterator[Mapping[str, Any]]:
    """The JSON objects of a file, each with the needed keys. Raises QuestionFileError, naming the line."""
    return (record for _, record in placed_records(path, needed))


def placed_records(path: Path, needed: tuple[str, ...]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """As `records`, each behind the name of its line."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise QuestionFileError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise QuestionFileError(f"{path} is not UTF-8: {error}. Save it as UTF-8.") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            place = f"{path}, line {number}"
            yield place, record_of(place, line, needed)


def record_of(place: str, line: str, needed: tuple[str, ...]) -> Mapping[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise QuestionFileError(f"{place} is not JSON: {error}.") from error
    if not isinstance(record, dict):
        raise QuestionFileError(f"{place} is not a JSON object. Write one object a line.")
    if isinstance(record.get("id"), int) and not isinstance(record["id"], bool):
        record["id"] = str(record["id"])
    missing = [key for key in needed if not isinstance(record.get(key), str)]
    if missing:
        raise QuestionFileError(f"{place} lacks {', '.join(missing)} as a string.")
    return record


def document_of(record: Mapping[str, Any]) -> SetDocument:
    return SetDocument(record["id"], str(record.get("title") or ""), record["text"])


def question_of(record: Mapping[str, Any], place: str) -> Question:
    """The question of a JSON object; `place` names its line in errors. Raises QuestionFileError."""
    answers = texts_of(record, "answers", place)
    evidence = tuple(evidence_of(part, place) for part in list_of(record, "evidence", dict, place))
    gold = tuple(dict.fromkeys(texts_of(record, "gold_doc_ids", place)))
    if any(part.page is not None for part in evidence):
        gold = tuple(dict.fromkeys(page_id(part.document, part.page) for part in evidence))
    answerable = record.get("answerable", bool(answers or gold))
    if not isinstance(answerable, bool):
        raise QuestionFileError(f'{place}: "answerable" is {answerable!r}. Write true or false.')
    meta = record.get("meta")
    nearest = meta.get("nearest_doc") if isinstance(meta, dict) else None
    subject = gold[0] if gold else str(nearest or "")
    return Question(record["id"], record["question"], answers, gold, evidence, answerable, subject, subject)


def texts_of(record: Mapping[str, Any], key: str, place: str) -> tuple[str, ...]:
    """A list of texts or numbers, each as text; one that stands alone is a list of one."""
    return tuple(str(one) for one in list_of(record, key, (str, int, float), place))


def list_of(record: Mapping[str, Any], key: str, kind: Any, place: str) -> list[Any]:
    """What a key holds, as a list. Raises QuestionFileError where an item is not of the kind."""
    held = record.get(key)
    found = held if isinstance(held, list) else [] if held is None else [held]
    if not all(isinstance(one, kind) for one in found):
        wanted = "objects" if kind is dict else "texts"
        raise QuestionFileError(f'{place}: "{key}" is no list of {wanted}.')
    return found


def evidence_of(part: Mapping[str, Any], place: str) -> Evidence:
    page, start = part.get("page0"), part.get("start")
    if not all(one is None or isinstance(one, int) for one in (page, start)):
        raise QuestionFileError(f'{place}: "page0" and "start" of evidence are whole numbers.')
    document = str(part.get("pdf") or part.get("doc_id") or "")
    quotes = texts_of(part, "quotes", place)
    return Evidence(document, quotes, None if page is None else int(page) + 1, start)


PAGE_MARK = "#page="


def page_id(document: str, page: int | None) -> str:
    """The gold id of a document's page, or of the whole document."""
    return document if page is None else f"{document}{PAGE_MARK}{page}"
