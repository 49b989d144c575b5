"""Question files in, answers out: nothing lost, nothing twice, whatever is killed."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ragqa.answering import Answerer
from ragqa.batch import cell, require_outputs, run_batch, run_of, write_csv
from ragqa.errors import OutputError, QuestionFileError, RunMismatchError
from ragqa.llm.replay import ReplayEngine
from ragqa.questions import Question, read_questions
from ragqa.settings import AnswerSettings
from ragqa.wiring import open_retriever

QUESTIONS = tuple(Question(n, f"What is rule {n} about paid leave?") for n in range(1, 6))
RUN = run_of(QUESTIONS, "state", {})


def silent(_done: int, _total: int) -> None:
    """No progress."""


@pytest.fixture
def answerer(index_path: Path):
    replies = {question.text: "Every employee has 28 days of paid leave a year." for question in QUESTIONS}
    with open_retriever(index_path) as retriever:
        yield Answerer(retriever, ReplayEngine(replies), AnswerSettings())


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("q.txt", "\ufeffFirst?\n\n  Second?  \n"),
        ("q.csv", "id,question,note\n1,First?,x\n3,Second?,y\n"),
        ("q.csv", "id,question,note\n1,First?,x\n,,\n3,Second?\n"),
        ("q.jsonl", '{"id": 1, "question": "First?"}\n\n{"id": 3, "question": "Second?"}'),
    ],
)
def test_every_kind_of_file_gives_ids_and_questions(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert [(str(question.id), question.text) for question in read_questions(path)] == [
        ("1", "First?"),
        ("3", "Second?"),
    ]


@pytest.mark.parametrize(
    ("name", "data", "named"),
    [
        ("q.pdf", b"x", r"\.txt, \.csv or \.jsonl"),
        ("q.txt", b"\n\n", "no question"),
        ("q.txt", b"\xff\xfe\x00", "UTF-8"),
        ("q.csv", b"id,ask\n1,x\n", "column question"),
        ("q.jsonl", b'{"id": 1}', "line 1"),
        ("q.jsonl", b'{"id": 1, "question": "a"}\n{"id"', "line 2"),
        ("q.jsonl", b'{"id": 1, "question": "a"}\n{"id": "1", "question": "b"}', "comes twice"),
        ("q.jsonl", b"[1, 2]", "line 1"),
        ("q.jsonl", b"[" * 200_000, "line 1: not JSON"),
        ("q.csv", b'id,question\n1,"a\n2,b\n', "line 2: not CSV"),
        ("q.csv", b"id,question\n1,For flat 7, what is the deposit?\n", "line 2: more cells than columns"),
        ("q.csv", b'id,question\n1,a\n2,"b" or c\n', "line 3: not CSV"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path: Path, name: str, data: bytes, named: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(QuestionFileError, match=named):
        read_questions(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("q.txt", "First\u2028half?\n\x0cSecond?\r\nThird?"),
        ("q.csv", 'id,question\r\n1,First\u2028half?\r\n2,Second?\r\n3,"Third?"\r\n'),
    ],
)
def test_a_line_ends_where_an_editor_ends_it(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode())
    assert [(str(question.id), question.text) for question in read_questions(path)] == [
        ("1", "First\u2028half?"),
        ("2", "Second?"),
        ("3", "Third?"),
    ]


def test_a_missing_file_is_an_error_for_people(tmp_path: Path) -> None:
    with pytest.raises(QuestionFileError, match="cannot be read"):
        read_questions(tmp_path / "none.txt")


def test_errors_are_lines_and_are_tried_again(tmp_path: Path, answerer: Answerer) -> None:
    output = tmp_path / "answers.jsonl"
    narrow = Answerer(answerer.retriever, ReplayEngine(answerer.engine.replies, window=10), AnswerSettings())
    first = run_batch(QUESTIONS, narrow.ask, output, RUN, silent)
    assert (first.failed, first.answered) == (5, 0)
    assert {row["error"]["code"] for row in rows(output)} == {"prompt_too_long"}
    second = run_batch(QUESTIONS, answerer.ask, output, RUN, silent)
    assert (second.failed, second.kept) == (0, 0)
    assert [row["id"] for row in rows(output)] == [1, 2, 3, 4, 5]
    assert not any("error" in row for row in rows(output))


def test_a_torn_last_line_is_asked_again_and_the_rest_is_kept(tmp_path: Path, answerer: Answerer) -> None:
    output = tmp_path / "answers.jsonl"
    run_batch(QUESTIONS, answerer.ask, output, RUN, silent)
    whole = output.read_bytes()
    output.write_bytes(whole[:-40])
    summary = run_batch(QUESTIONS, answerer.ask, output, RUN, silent)
    assert summary.kept == 4
    assert [row["id"] for row in rows(output)] == [1, 2, 3, 4, 5]


def test_another_runs_output_is_refused_and_left_alone(tmp_path: Path, answerer: Answerer) -> None:
    output = tmp_path / "answers.jsonl"
    run_batch(QUESTIONS, answerer.ask, output, RUN, silent)
    before = output.read_bytes()
    with pytest.raises(RunMismatchError, match="index_state"):
        run_batch(QUESTIONS, answerer.ask, output, run_of(QUESTIONS, "newer", {}), silent)
    (tmp_path / "answers.jsonl.run.json").unlink()
    with pytest.raises(RunMismatchError, match="does not say"):
        run_batch(QUESTIONS, answerer.ask, output, RUN, silent)
    assert output.read_bytes() == before


def test_the_table_holds_the_same_answers_and_no_formula(tmp_path: Path, answerer: Answerer) -> None:
    output, table = tmp_path / "answers.jsonl", tmp_path / "answers.csv"
    questions = (Question("=1+1", QUESTIONS[0].text),)
    run_batch(questions, answerer.ask, output, RUN, silent)
    write_csv(output, table)
    with table.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["id"] == "'=1+1"
    assert row["answer"] == rows(output)[0]["answer"]
    assert "leave.md" in row["citations"]
    assert cell("@SUM(A1)") == "'@SUM(A1)"


def test_the_table_holds_a_question_that_no_encoding_has(tmp_path: Path, answerer: Answerer) -> None:
    output, table = tmp_path / "answers.jsonl", tmp_path / "new" / "answers.csv"
    answerer.engine.replies["\ud800 leave?"] = "Every employee has 28 days of paid leave a year."
    run_batch((Question(1, "\ud800 leave?"),), answerer.ask, output, RUN, silent)
    write_csv(output, table)
    assert "28 days" in table.read_text(encoding="utf-8")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is no file")
def test_an_output_that_is_no_file_is_refused_untouched(tmp_path: Path, answerer: Answerer) -> None:
    for output in (tmp_path, Path("/dev/full")):
        with pytest.raises(OutputError, match=str(output)):
            run_batch(QUESTIONS, answerer.ask, output, RUN, silent)
    assert not Path("/dev/full.lock").exists()


def test_what_a_run_needs_is_never_overwritten(tmp_path: Path) -> None:
    """An empty question file, or the answers themselves as the table."""
    questions, output = tmp_path / "q.txt", tmp_path / "answers.jsonl"
    questions.write_text("What?\n")
    require_outputs(questions, output, tmp_path / "answers.csv")
    for wrong in ((questions, None), (output, questions), (output, tmp_path / "." / "answers.jsonl")):
        with pytest.raises(OutputError, match="overwrite"):
            require_outputs(questions, *wrong)


@pytest.mark.timeout(900)
def test_killed_at_random_moments_every_question_is_answered_once(index_path: Path, tmp_path: Path) -> None:
    kills = int(os.environ.get("RAGQA_TEST_KILLS", "6"))
    questions, output = tmp_path / "questions.txt", tmp_path / "answers.jsonl"
    questions.write_text("\n".join(f"How often is pump {n} serviced?" for n in range(200)))
    command = [sys.executable, "-m", "ragqa", "batch", questions, "--output", output, "--index", index_path]
    randomly = random.Random(5)
    for _ in range(kills):
        running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        lines = output.read_bytes().count(b"\n") if output.exists() else 0
        target = lines + randomly.randint(0, 160 // kills)
        while (
            running.poll() is None and (output.read_bytes().count(b"\n") if output.exists() else 0) <= target
        ):
            time.sleep(randomly.random() / 50)
        running.send_signal(signal.SIGKILL)
        running.wait()
    assert subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0
    ids = [row["id"] for row in rows(output)]
    assert sorted(ids) == list(range(1, 201))
