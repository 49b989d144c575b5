"""Question files in, questions out. Knows no index and no engine."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragqa.errors import QuestionFileError

QuestionId = str | int


@dataclass(frozen=True, slots=True)
class Question:
    """One line of a question file."""

    id: QuestionId
    text: str


def read_questions(path: Path) -> tuple[Question, ...]:
    """The questions of a .txt (id = line number), .csv or .jsonl file, in order.

    Raises QuestionFileError naming the line: unreadable, another ending, no question, an id that comes twice.
    """
    readers = {".txt": _read_txt, ".csv": _read_csv, ".jsonl": _read_jsonl}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise QuestionFileError(f"{path}: a question file ends in .txt, .csv or .jsonl.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise QuestionFileError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise QuestionFileError(f"{path} is not UTF-8 at byte {error.start}. Save it as UTF-8.") from error
    questions = tuple(reader(path, text))
    if not questions:
        raise QuestionFileError(f"{path} holds no question.")
    seen: set[str] = set()
    for question in questions:
        if str(question.id) in seen:
            raise QuestionFileError(f"{path}: the id {question.id!r} comes twice. Ids must differ.")
        seen.add(str(question.id))
    return questions


def _read_txt(_path: Path, text: str) -> Iterator[Question]:
    # Not splitlines: what an editor counts as a line ends in \n, \r\n or \r, not in U+2028 and the like.
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        if line.strip():
            yield Question(number, line.strip())


def _read_csv(path: Path, text: str) -> Iterator[Question]:
    # Strict: a quotation mark that is never closed would make one question of the rest of the file.
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        missing = {"id", "question"} - set(rows.fieldnames or ())
        if missing:
            raise QuestionFileError(
                f"{path}: the first line lacks the column {' and '.join(sorted(missing))}. "
                "It names the columns, with commas between them."
            )
        for row in rows:
            if None in row:
                raise QuestionFileError(
                    f"{path}, line {rows.line_num}: more cells than columns. Put a question "
                    "that has a comma in quotes."
                )
            if any(row.values()):  # spreadsheets leave rows of commas behind
                yield _question(path, rows.line_num, row)
    except csv.Error as error:
        raise QuestionFileError(f"{path}, line {rows.line_num + 1}: not CSV ({error}).") from error


def _read_jsonl(path: Path, text: str) -> Iterator[Question]:
    # Not splitlines: a JSON string may hold U+2028 and the like unescaped.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise QuestionFileError(f"{path}, line {number}: not JSON ({error}).") from error
        yield _question(path, number, row)


def _question(path: Path, number: int, row: Any) -> Question:
    fields = row if isinstance(row, dict) else {}
    question_id, text = fields.get("id"), fields.get("question")
    if isinstance(question_id, bool) or not isinstance(question_id, str | int) or question_id == "":
        raise QuestionFileError(f'{path}, line {number}: needs an "id", a string or a whole number.')
    if not isinstance(text, str) or not text.strip():
        raise QuestionFileError(f'{path}, line {number}: needs a "question" with text in it.')
    return Question(question_id, text.strip())
