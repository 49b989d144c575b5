"""What a hostile file costs: one worker and one Problem, never the run. Workers are real processes here."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.parse import Limits, ParsePool
from ingest.types import Document, Problem
from tests.parse_documents import pdf_bytes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def children(parent: int) -> list[int]:
    """The spawned workers of a process, without multiprocessing's resource tracker."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if int(fields[1]) == parent and b"spawn_main" in command and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def reads(process: int, path: Path) -> bool:
    """Whether the process has the file open."""
    try:
        return any(Path(link).resolve() == path for link in Path(f"/proc/{process}/fd").iterdir())
    except OSError:
        return False


def write_documents(folder: Path, count: int) -> list[Path]:
    paths = []
    for number in range(count):
        paths.append(folder / f"{number}.md")
        paths[-1].write_text(f"# Note {number}\n\nThe body of note {number}.\n")
    return paths


def blocking_file(folder: Path, name: str = "blocks.txt") -> Path:
    """A pipe that nobody writes to: whoever reads it waits."""
    path = folder / name
    os.mkfifo(path)
    return path


def test_every_path_comes_back_once_with_its_document(tmp_path: Path) -> None:
    paths = write_documents(tmp_path, 30)
    with ParsePool(2) as pool:
        results = list(pool.parse(paths))
    assert sorted(path for path, _ in results) == sorted(paths)
    for path, (member,) in results:
        assert isinstance(member.outcome, Document)
        assert member.outcome.title == f"Note {path.stem}"


def test_without_workers_the_result_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf_bytes([[(72, 700, 10, "Some words on a page.")]]))
    paths = [*write_documents(tmp_path, 2), tmp_path / "a.pdf", tmp_path / "missing.md"]
    with ParsePool(2) as pool:
        in_workers = dict(pool.parse(paths))
    with ParsePool(0) as inline:
        assert dict(inline.parse(paths)) == in_workers


def test_paths_are_taken_as_workers_come_free(tmp_path: Path) -> None:
    paths = write_documents(tmp_path, 40)
    taken = []

    def lazily():
        for path in paths:
            taken.append(path)
            yield path

    with ParsePool(2) as pool:
        next(iter(pool.parse(lazily())))
        assert len(taken) < 10


def test_a_file_that_takes_too_long_is_a_timeout_and_the_rest_is_read(tmp_path: Path) -> None:
    blocked = blocking_file(tmp_path)
    paths = [blocked, *write_documents(tmp_path, 6)]
    with ParsePool(2, Limits(seconds=1.0)) as pool:
        results = dict(pool.parse(paths))
    problem = results.pop(blocked)[0].outcome
    assert isinstance(problem, Problem)
    assert (problem.status, problem.code) == ("failed", "timeout")
    assert "1 s" in problem.message
    assert all(isinstance(member.outcome, Document) for (member,) in results.values())


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_dies_costs_the_file_it_read(tmp_path: Path, kill: signal.Signals) -> None:
    blocked = blocking_file(tmp_path)
    others = write_documents(tmp_path, 6)

    with ParsePool(1) as pool:
        writer = os.open(blocked, os.O_RDWR)  # holds the pipe open: the reader waits for ever

        def end_worker() -> None:
            while not any(reads(worker, blocked) for worker in children(os.getpid())):
                time.sleep(0.02)
            for worker in children(os.getpid()):
                os.kill(worker, kill)

        thread = threading.Thread(target=end_worker)
        thread.start()
        results = dict(pool.parse([blocked, *others]))
        thread.join()
        os.close(writer)
    problem = results.pop(blocked)[0].outcome
    assert isinstance(problem, Problem)
    assert (problem.status, problem.code) == ("failed", "crashed")
    assert kill.name in problem.message
    assert all(isinstance(member.outcome, Document) for (member,) in results.values())


def test_workers_killed_between_files_cost_nothing(tmp_path: Path) -> None:
    first, *rest = write_documents(tmp_path, 12)
    with ParsePool(1) as pool:
        assert isinstance(next(iter(pool.parse([first])))[1][0].outcome, Document)
        for worker in children(os.getpid()):
            os.kill(worker, signal.SIGKILL)
        time.sleep(0.5)
        results = dict(pool.parse(rest))
    assert len(results) == len(rest)
    assert all(isinstance(member.outcome, Document) for (member,) in results.values())


def test_a_file_that_needs_too_much_memory_fails_alone(tmp_path: Path) -> None:
    hog = tmp_path / "hog.csv"
    hog.write_bytes(b"name,amount\n" + b"x,1\n" * 5_000_000)
    paths = [hog, *write_documents(tmp_path, 4)]
    with ParsePool(1, replace(Limits(), memory_bytes=400 << 20)) as pool:
        results = dict(pool.parse(paths))
    problem = results.pop(hog)[0].outcome
    assert isinstance(problem, Problem)
    assert (problem.status, problem.code) == ("failed", "memory")
    assert all(isinstance(member.outcome, Document) for (member,) in results.values())


PARENT = """
import sys
from pathlib import Path
from ingest.parse import ParsePool

if __name__ == "__main__":
    with ParsePool(2) as pool:
        for _ in pool.parse([Path(p) for p in sys.argv[1:]]):
            print("parsed", flush=True)
"""


def started_parent(folder: Path) -> "subprocess.Popen[str]":
    """A process of its own with a worker that waits in a file, past its first document."""
    script = folder / "parent.py"
    script.write_text(PARENT)
    paths = [*write_documents(folder, 1), blocking_file(folder, "a.txt"), blocking_file(folder, "b.txt")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    process = subprocess.Popen(
        [sys.executable, script, *paths], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "parsed\n"
    return process


def test_workers_die_with_their_parent(tmp_path: Path) -> None:
    process = started_parent(tmp_path)
    workers = children(process.pid)
    assert workers
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while any(is_running(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [worker for worker in workers if is_running(worker)]


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_workers_leave_the_interrupt_to_their_parent(tmp_path: Path) -> None:
    process = started_parent(tmp_path)
    try:
        deadline = time.monotonic() + 20
        while not all(ignores_interrupt(worker) for worker in children(process.pid)):
            assert time.monotonic() < deadline  # a worker that has just started needs a moment
            time.sleep(0.05)
        assert children(process.pid)
    finally:
        process.kill()
        process.wait()


def ignores_interrupt(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return True  # it has ended
    return bool(int(status.split("SigIgn:")[1].split()[0], 16) >> (signal.SIGINT - 1) & 1)
