"""The contract scripts rely on: every --json output fits its schema, every exit code can be reached."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.conftest import Run

SCHEMAS = Path(__file__).parent.parent / "docs" / "schemas"
QUESTION = "How many days of paid leave does an employee have?"
UNKNOWN = "What is the melting point of tungsten carbide in the reactor of the moon base?"


def fits(name: str, text: str) -> list[Any]:
    """The JSON lines of an output, each held to the schema."""
    schema = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    rows = [json.loads(line) for line in text.splitlines()]
    assert rows
    for row in rows:
        jsonschema.validate(row, schema)
    return rows


def change(index: Path, statement: str) -> None:
    """Damage an index behind its back."""
    with closing(sqlite3.connect(index / "catalogue.sqlite")) as connection, connection:
        connection.execute(statement)


@pytest.fixture(scope="module")
def work(index_path: Path) -> Path:
    return index_path.parent


def test_ask_fits_its_schema_and_its_quotes_stand_in_the_source(ragqa: Run, work: Path) -> None:
    done = ragqa("ask", QUESTION, "--json", cwd=work)
    assert done.returncode == 0, done.stderr
    (answer,) = fits("ask", done.stdout)
    assert "28 days" in answer["answer"]
    assert answer["citations"]
    for citation in answer["citations"]:
        text = ragqa("sources", "text", citation["source"], cwd=work).stdout
        assert text[citation["start"] : citation["end"]] == citation["quote"]
    covered = "".join(answer["answer"][s["start"] : s["end"]] for s in answer["sentences"])
    assert "".join(covered.split()) == "".join(answer["answer"].split())


def test_auto_says_which_engine_it_took(ragqa: Run, work: Path) -> None:
    assert "Answered by extractive (minilm)." in ragqa("ask", QUESTION, cwd=work).stderr
    assert "Answered" not in ragqa("ask", QUESTION, "--engine", "extractive", cwd=work).stderr


def test_a_refusal_fits_the_same_schema_and_shows_nothing_unchecked(ragqa: Run, work: Path) -> None:
    (answer,) = fits("ask", ragqa("ask", UNKNOWN, "--json", cwd=work).stdout)
    assert answer["refused"]
    assert answer["refusal_reason"]
    assert answer["sentences"] == answer["citations"] == []


def test_search_fits_its_schema(ragqa: Run, work: Path) -> None:
    rows = fits("search", ragqa("search", "impeller", "--json", cwd=work).stdout)
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))


def test_sources_list_fits_its_schema(ragqa: Run, work: Path) -> None:
    rows = fits("sources-list", ragqa("sources", "list", "--json", cwd=work).stdout)
    assert {row["source"] for row in rows} == {"leave.md", "pumps.txt", "prices.csv", "visit.html"}
    leave = next(row for row in rows if row["source"] == "leave.md")
    assert leave["metadata"]["author"] == "Ines Okafor"


def test_ingest_fits_its_schema_and_reports_broken_files(ragqa: Run, papers: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(papers, tmp_path / "papers")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 and nothing more")
    (folder / "empty.txt").write_bytes(b"")
    done = ragqa("ingest", folder, "--json", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    (report,) = fits("ingest", done.stdout)
    assert report["added"] == 4
    assert [problem["source"] for problem in report["failed"]] == ["broken.pdf"]
    assert [problem["code"] for problem in report["skipped"]] == ["empty"]


@pytest.mark.parametrize(("command", "schema"), [("stats", "index-stats"), ("check", "index-check")])
def test_index_commands_fit_their_schemas(ragqa: Run, work: Path, command: str, schema: str) -> None:
    done = ragqa("index", command, "--json", cwd=work)
    assert done.returncode == 0, done.stderr
    fits(schema, done.stdout)


def test_doctor_fits_its_schema(ragqa: Run, work: Path) -> None:
    (report,) = fits("doctor", ragqa("doctor", "--json", cwd=work).stdout)
    seed = next(finding for finding in report["findings"] if finding["name"] == "airoboros-33b-16k")
    assert "non-commercial research only" in seed["detail"]


def test_batch_lines_fit_their_schema(ragqa: Run, work: Path, tmp_path: Path) -> None:
    questions = tmp_path / "questions.jsonl"
    questions.write_text(
        json.dumps({"id": 7, "question": QUESTION}) + "\n" + json.dumps({"id": "b", "question": UNKNOWN})
    )
    rows = fits("batch", ragqa("batch", questions, cwd=work).stdout)
    assert [row["id"] for row in rows] == [7, "b"]


def test_ingest_takes_the_index_that_the_other_commands_take(
    ragqa: Run, papers: Path, tmp_path: Path
) -> None:
    """The nearest one upward, and where a folder is named, the one inside it."""
    below = tmp_path / "docs" / "sub"
    below.mkdir(parents=True)
    (below / "a.md").write_text("# A\n\nThe first.\n")
    shutil.copytree(papers.parent / ".ragqa", tmp_path / ".ragqa")
    done = ragqa("ingest", ".", "--workers", "0", cwd=below)
    assert str(tmp_path / ".ragqa") in done.stderr
    assert ragqa("ingest", ".", "--workers", "0", "--index", tmp_path, cwd=below).returncode == 0
    assert [path.name for path in below.iterdir()] == ["a.md"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".ragqa", "docs"]


@pytest.mark.parametrize("command", ["ask", "search"])
def test_a_filter_that_leaves_nothing_is_said(ragqa: Run, work: Path, command: str) -> None:
    assert "autor=nobody" in ragqa(command, QUESTION, "--where", "autor=nobody", cwd=work).stderr
    assert "No document" not in ragqa(command, QUESTION, "--where", "date=2024-03", cwd=work).stderr


def test_an_answer_that_comes_at_once_is_not_streamed_unasked() -> None:
    from ragqa.cli.asking import streamer
    from ragqa.llm.engine import ignore_text

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr.isatty", lambda: True, raising=False)
        assert streamer(None, "extractive") is ignore_text
        assert streamer(None, "gptq") is not ignore_text
        assert streamer(True, "extractive") is not ignore_text


def test_exit_1_for_an_unknown_source(ragqa: Run, work: Path) -> None:
    done = ragqa("sources", "text", "no-such-file.md", cwd=work)
    assert done.returncode == 1
    assert "no-such-file.md" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("ask",),
        ("ask", "q", "--top-k", "0"),
        ("ask", "q", "--where", "nokey"),
        ("ask", "q", "--engine", "none"),
        ("eval", "any", "--engine", "none"),
        ("ask", "q", "--model", "some"),
        ("ask", "q", "--engine", "extractive", "--model", "some"),
        ("batch", "q.jsonl", "out.jsonl", "--device-map", "cuda"),
        ("eval", "any", "--engine", "auto", "--model", "some"),
        ("fly",),
        ("ask", " "),
        ("search", " "),
        ("eval", "any", "--html", "no/such/folder.html"),
    ],
)
def test_exit_2_for_wrong_usage(ragqa: Run, work: Path, arguments: tuple[str, ...]) -> None:
    assert ragqa(*arguments, cwd=work).returncode == 2


def test_an_answer_longer_than_the_window_is_refused_in_words(ragqa: Run, work: Path) -> None:
    done = ragqa("ask", QUESTION, "--max-answer-tokens", "100000", cwd=work)
    assert done.returncode == 1
    assert "fewer tokens" in done.stderr


def test_exit_4_for_a_refusal_only_when_asked_for(ragqa: Run, work: Path) -> None:
    assert ragqa("ask", UNKNOWN, cwd=work).returncode == 0
    assert ragqa("ask", UNKNOWN, "--fail-on-refusal", cwd=work).returncode == 4


def test_exit_5_where_there_is_no_index(ragqa: Run, tmp_path: Path) -> None:
    done = ragqa("ask", QUESTION, cwd=tmp_path)
    assert done.returncode == 5
    assert "ragqa ingest" in done.stderr


def test_exit_6_for_an_output_of_another_run(ragqa: Run, work: Path, tmp_path: Path) -> None:
    questions, output = tmp_path / "questions.txt", tmp_path / "answers.jsonl"
    questions.write_text(QUESTION)
    assert ragqa("batch", questions, "--output", output, cwd=work).returncode == 0
    questions.write_text(UNKNOWN)
    assert ragqa("batch", questions, "--output", output, cwd=work).returncode == 6


def test_exit_6_for_an_index_of_another_embedder(ragqa: Run, papers: Path, tmp_path: Path) -> None:
    index = shutil.copytree(papers.parent / ".ragqa", tmp_path / ".ragqa")
    change(index, "UPDATE settings SET value = 'other:model' WHERE key = 'embedder'")
    assert ragqa("ingest", papers, "--embedder", "minilm", "--index", index, cwd=tmp_path).returncode == 6


def test_exit_7_for_an_index_that_does_not_fit_itself(ragqa: Run, papers: Path, tmp_path: Path) -> None:
    index = shutil.copytree(papers.parent / ".ragqa", tmp_path / ".ragqa")
    change(index, "DELETE FROM embeddings WHERE chunk_id = (SELECT min(chunk_id) FROM embeddings)")
    done = ragqa("index", "check", "--json", "--index", index, cwd=tmp_path)
    assert done.returncode == 7
    assert not fits("index-check", done.stdout)[0]["ok"]


def test_exit_11_while_another_process_writes(ragqa: Run, papers: Path, index_path: Path) -> None:
    program = (
        "import sys, filelock; lock = filelock.FileLock(sys.argv[1]); lock.acquire();"
        "print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(index_path / "lock")]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        done = ragqa("ingest", papers, "--lock-timeout", "0", cwd=papers.parent)
        assert done.returncode == 11
    finally:
        holder.stdin.close()
        holder.wait()


def heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_exit_130_when_interrupted_and_the_run_continues(work: Path, tmp_path: Path, ragqa: Run) -> None:
    questions, output = tmp_path / "questions.txt", tmp_path / "answers.jsonl"
    questions.write_text("\n".join(f"{QUESTION} ({n})" for n in range(400)))
    command = [sys.executable, "-m", "ragqa", "batch", questions, "--output", output]
    # A test run in the background inherits an ignored SIGINT.
    running = subprocess.Popen(command, cwd=work, stderr=subprocess.DEVNULL, preexec_fn=heed_interrupts)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (output.exists() and output.read_bytes().count(b"\n") >= 3):
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    assert running.wait(30) == 130
    before = output.read_bytes().count(b"\n")
    assert 3 <= before < 400
