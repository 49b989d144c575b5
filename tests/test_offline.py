"""Nothing leaves the machine: the whole way works without a network, and no internet socket is opened."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NO_NETWORK = ["unshare", "--map-root-user", "--net"]
INTERNET_SOCKET = re.compile(r"socket\(AF_INET6?\b")


def can_unshare() -> bool:
    return shutil.which("unshare") is not None and subprocess.call([*NO_NETWORK, "true"]) == 0


def commands(papers: Path, folder: Path) -> list[list[str]]:
    """Ingest with a worker process, ask, and a batch."""
    questions = folder / "questions.txt"
    questions.write_text("How often is the bilge pump serviced?\n")
    ragqa = [sys.executable, "-m", "ragqa"]
    return [
        [*ragqa, "ingest", str(papers), "--workers", "1"],
        [*ragqa, "ask", "How many days of paid leave does an employee have?"],
        [*ragqa, "batch", str(questions), "--output", str(folder / "answers.jsonl")],
    ]


@pytest.mark.skipif(not can_unshare(), reason="this system lets nobody make a network namespace")
def test_everything_works_without_a_network(papers: Path, tmp_path: Path) -> None:
    for command in commands(papers, tmp_path):
        command = [*NO_NETWORK, *command]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "answers.jsonl").read_text().count("\n") == 1


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_no_internet_socket_is_opened(papers: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    for command in commands(papers, tmp_path):
        strace = ["strace", "--follow-forks", "--seccomp-bpf", "-e", "trace=socket", "-o", str(trace)]
        subprocess.run([*strace, *command], cwd=tmp_path, capture_output=True, check=True)
        opened = [line for line in trace.read_text().splitlines() if INTERNET_SOCKET.search(line)]
        assert not opened, opened
