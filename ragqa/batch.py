"""Questions in, a JSON line an answer out: written and fsynced as made, so that a killed run resumes.

Beside `answers.jsonl` stands `answers.jsonl.run.json`: the questions' sha256, the index's state, the
settings. A run that differs is refused, never mixed.
"""

import csv
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from ingest.errors import IngestError, LockedError
from ragqa.contract import SCHEMA_VERSION, Json, answer_json, dumps
from ragqa.errors import OutputError, RagqaError, RunMismatchError
from ragqa.questions import Question
from ragqa.types import Answer


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did. `kept` were answered by an earlier run."""

    answered: int = 0
    refused: int = 0
    failed: int = 0
    kept: int = 0
    refused_before: int = 0


def answer_line(question: Question, ask: Callable[[str], Answer]) -> Json:
    """The line of one question: its answer, or the error that kept it from one."""
    try:
        answer = ask(question.text)
    except (RagqaError, IngestError) as error:
        return {
            "schema_version": SCHEMA_VERSION,
            "id": question.id,
            "question": question.text,
            "error": {"code": error_code(error), "message": str(error)},
        }
    return {"id": question.id, **answer_json(answer)}


def error_code(error: Exception) -> str:
    """The error's class as scripts name it: PromptTooLongError is `prompt_too_long`."""
    name = type(error).__name__.removesuffix("Error")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def run_batch(
    questions: Sequence[Question],
    ask: Callable[[str], Answer],
    output: Path,
    run: Json,
    progress: Callable[[int, int], None],
) -> Summary:
    """Answer what the output does not hold yet, a line and an fsync a question.

    `run` is what must be equal for a run to be continued. `progress` gets done and total. Raises
    RunMismatchError where the output belongs to another run, LockedError while another process writes it,
    OutputError where it is no file.
    """
    require_file(output)
    with _locked(output):
        check_run(output, {"schema_version": SCHEMA_VERSION, **run})
        done = _keep_answered(output, questions)
        summary = Summary(kept=len(done), refused_before=sum(done.values()))
        with output.open("ab") as file:
            for number, question in enumerate(questions, start=1):
                if str(question.id) not in done:
                    line = answer_line(question, ask)
                    _append(file, line)
                    summary = counted(summary, line)
                progress(number, len(questions))
    return summary


def stream_batch(
    questions: Sequence[Question],
    ask: Callable[[str], Answer],
    put: Callable[[str], None],
    progress: Callable[[int, int], None],
) -> Summary:
    """Answer all questions to `put`, a line each. Nothing is kept: stopped, it starts again."""
    summary = Summary()
    for number, question in enumerate(questions, start=1):
        line = answer_line(question, ask)
        put(dumps(line) + "\n")
        summary = counted(summary, line)
        progress(number, len(questions))
    return summary


def counted(summary: Summary, line: Json) -> Summary:
    """The summary with one more line."""
    failed = "error" in line
    refused = not failed and bool(line["refused"])
    return replace(
        summary,
        answered=summary.answered + (not failed and not refused),
        refused=summary.refused + refused,
        failed=summary.failed + failed,
    )


def run_of(questions: Sequence[Question], index_state: str, settings: Json) -> Json:
    """What a run is known by: its questions, its index and its settings."""
    listed = json.dumps([[question.id, question.text] for question in questions])
    return {
        "questions_sha256": hashlib.sha256(listed.encode()).hexdigest(),
        "index_state": index_state,
        "settings": settings,
    }


def check_run(output: Path, run: Json) -> None:
    """Write the run's record beside a new output; raise RunMismatchError where another one stands there."""
    record = output.with_name(output.name + ".run.json")
    if output.exists() and output.stat().st_size:
        try:
            before = json.loads(record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise RunMismatchError(
                f"{output} exists, but {record.name} beside it does not say from which run. "
                "Name another --output, or move it away."
            ) from None
        if before != run:
            keys = sorted(key for key in {*before, *run} if before.get(key) != run.get(key))
            raise RunMismatchError(
                f"{output} belongs to a run with other {', '.join(keys)}. "
                "Name another --output, or move it away."
            )
        return
    _replace(record, json.dumps(run, indent=1, ensure_ascii=True) + "\n")


def require_outputs(questions: Path, output: Path | None, table: Path | None) -> None:
    """Raise OutputError where a file to be written cannot be one, or is the questions or the other file."""
    taken = [questions.resolve()]
    for path in (output, table):
        if path is None:
            continue
        require_file(path)
        if path.resolve() in taken:
            raise OutputError(f"{path} would overwrite what this run needs. Name another file.")
        taken.append(path.resolve())


def require_file(path: Path) -> None:
    """Raise OutputError where a path is there and no file: a folder, a device, a pipe."""
    if path.exists() and not path.is_file():
        raise OutputError(
            f"{path} cannot be written: it is {'a folder' if path.is_dir() else 'no regular file'}. "
            "Name a file; without --output the lines go to stdout."
        )


def write_csv(output: Path, table: Path) -> None:
    """The answers of a JSONL output as a table for spreadsheets, written whole."""
    with _replacing(table) as file:
        writer = csv.writer(file)
        writer.writerow(["id", "question", "answer", "refused", "confidence", "citations", "error"])
        for raw in output.read_text(encoding="utf-8").split("\n"):
            if raw:
                writer.writerow([cell(value) for value in table_row(json.loads(raw))])


def table_row(line: Json) -> list[object]:
    """The cells of one answer line."""
    asked = [line["id"], line["question"]]
    if "error" in line:
        return [*asked, "", "", "", "", f"{line['error']['code']}: {line['error']['message']}"]
    cited = "\n".join(cited_text(citation) for citation in line["citations"])
    return [*asked, line["answer"], line["refused"], line["confidence"], cited, ""]


def cited_text(citation: Json) -> str:
    """A citation in one cell: number, source, page, quote on one line."""
    page = f", page {citation['page']}" if citation["page"] else ""
    quote = " ".join(citation["quote"].split())
    return f'[{citation["id"]}] {citation["source"]}{page}: "{quote}"'


def cell(value: object) -> object:
    """A cell that no spreadsheet takes for a formula: documents are hostile."""
    if isinstance(value, str) and value.lstrip()[:1] in ("=", "+", "-", "@"):
        return "'" + value
    return value


def _keep_answered(output: Path, questions: Sequence[Question]) -> dict[str, bool]:
    """Leave only whole answered lines in the output; their ids, with whether they were refused."""
    if not output.exists():
        return {}
    asked = {str(question.id) for question in questions}
    kept: dict[str, tuple[str, bool]] = {}
    # A kill can leave the last line torn, in the middle of a character too.
    for raw in output.read_bytes().decode("utf-8", "replace").split("\n"):
        try:
            line = json.loads(raw)
        except ValueError:
            continue
        if "error" not in line and str(line["id"]) in asked:
            kept.setdefault(str(line["id"]), (raw, bool(line["refused"])))
    _replace(output, "".join(raw + "\n" for raw, _ in kept.values()))
    return {question_id: refused for question_id, (_, refused) in kept.items()}


def _append(file: IO[bytes], line: Json) -> None:
    try:
        file.write(dumps(line).encode("utf-8") + b"\n")
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(
            f"{file.name} cannot be written: {error.strerror}. "
            "Answers so far stay; make room and run the same command again."
        ) from error


def _replace(path: Path, text: str) -> None:
    with _replacing(path) as file:
        file.write(text)


@contextmanager
def _replacing(path: Path) -> Iterator[IO[str]]:
    """A file that takes its name only once it is whole and on the disk."""
    draft = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # "replace": a question file may hold lone surrogates, which no encoding has.
        with draft.open("w", encoding="utf-8", errors="replace", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}.") from error


@contextmanager
def _locked(output: Path) -> Iterator[None]:
    import fcntl

    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        lock = output.with_name(output.name + ".lock").open("w")
    except OSError as error:
        raise OutputError(f"{output} cannot be written: {error.strerror}. Name another --output.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LockedError(
                f"Another process writes {output}. Wait for it, or name another --output."
            ) from None
        yield
