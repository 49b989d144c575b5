"""Where output goes: pipes get all of it; a closed or full stream is one message, no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Run

QUESTION = "How many days of paid leave does an employee have?"
SENTENCE = "Every employee has 28 days of paid leave a year."
PROJECT = Path(__file__).parent.parent


def in_shell(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A shell line in which `ragqa` is the program."""
    return subprocess.run(
        ["sh", "-c", f'ragqa() {{ "{sys.executable}" -m ragqa "$@"; }}; {line}'],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def work(index_path: Path) -> Path:
    return index_path.parent


@pytest.mark.parametrize("command", ["ask", "search"])
def test_a_pipe_gets_whole_lines_however_narrow_the_terminal(ragqa: Run, work: Path, command: str) -> None:
    shown = ragqa(command, QUESTION, cwd=work, COLUMNS="40").stdout.splitlines()
    assert any(line.startswith("    ") and SENTENCE in line for line in shown)
    assert all(line == line.rstrip() for line in shown)


@pytest.mark.parametrize("line", ["ragqa sources list >&-", f"ragqa ask '{QUESTION}' >&-"])
def test_a_closed_stdout_is_said(work: Path, line: str) -> None:
    done = in_shell(line, work)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "stdout is closed" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("command", ["sources list --json", f"ask '{QUESTION}'"])
def test_a_full_stdout_is_said(work: Path, command: str) -> None:
    done = in_shell(f"ragqa {command} > /dev/full", work)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "No space left" in done.stderr


def test_a_closed_stderr_does_not_keep_the_answer_back(work: Path) -> None:
    done = in_shell(f"ragqa ask '{QUESTION}' 2>&-", work)
    assert done.returncode == 0
    assert SENTENCE in done.stdout


def test_a_reader_that_has_seen_enough_ends_it_quietly(work: Path) -> None:
    assert in_shell("ragqa sources list | true", work).stderr == ""


def test_an_interrupt_that_falls_into_an_import_still_exits_130(tmp_path: Path) -> None:
    """Compiled modules turn the interrupt into an ImportError."""
    program = (
        "import os, signal, ragqa.cli\n"
        # A test run in the background inherits an ignored SIGINT.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def broken():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        import time; time.sleep(5)\n"
        "    except KeyboardInterrupt as error:\n"
        "        raise ImportError('initialization failed') from error\n"
        "ragqa.cli.app.command('broken')(broken)\n"
        "ragqa.cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "broken"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (130, "ragqa: interrupted.\n")
