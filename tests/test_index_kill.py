"""Killed at any moment, an ingest leaves a sound index, and the next run gives what a fresh one gives.

RAGQA_KILLS sets how often; 50 takes about two minutes.
"""

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ingest.catalogue.locking import writer_lock
from ingest.errors import LockedError
from ingest.index import check_index, open_index
from tests.index_support import dump, ingest

KILLS = int(os.environ.get("RAGQA_KILLS", "12"))
ROOT = Path(__file__).parent.parent

CHILD = """
import sys
from pathlib import Path
import chromadb  # here, so that the kills fall on the ingest and not on this
from tests.index_support import ingest
print("go", flush=True)
ingest(Path(sys.argv[1]), index=Path(sys.argv[2]), prune=True)
print("done", flush=True)
"""


def start(docs: Path, index: Path) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(docs), str(index)],
        env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == "go\n"
    return child


def before(docs: Path) -> None:
    """60 documents; every third has a page of text."""
    docs.mkdir(parents=True)
    for number in range(60):
        body = f"alpha beta number {number}. " * (60 if number % 3 == 0 else 2)
        (docs / f"{number:03}.md").write_text(f"# Note {number}\n\n{body}\n\ngamma delta {number % 7}.\n")
        (docs / f"{number:03}.md").touch()


def after(docs: Path) -> None:
    """Of these, changes 15, renames 5, removes 15, doubles 5; adds 30."""
    for number in range(15):
        (docs / f"{number:03}.md").write_text(f"# Note {number}, new\n\nonly the new words {number}.\n" * 9)
    for number in range(15, 20):
        (docs / f"{number:03}.md").rename(docs / f"renamed-{number}.md")
    for number in range(20, 35):
        (docs / f"{number:03}.md").unlink()
    for number in range(35, 40):
        shutil.copy(docs / f"{number:03}.md", docs / f"copy-{number}.md")
    for number in range(30):
        (docs / f"added-{number}.txt").write_text(f"no heading, beta {number}.\n\n" * 12)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, float]:
    """A folder with an index of what was before and documents as they are after; a fresh dump; a time."""
    place = tmp_path_factory.mktemp("kill")
    before(place / "docs")
    ingest(place / "docs", index=place / ".ragqa")
    after(place / "docs")
    shutil.copytree(place / "docs", place / "fresh" / "docs")
    ingest(place / "fresh" / "docs", index=place / "fresh" / ".ragqa")
    expected = dump(place / "fresh" / ".ragqa")
    shutil.rmtree(place / "fresh")
    shutil.copytree(place, place.parent / "timed")
    child = start(place.parent / "timed" / "docs", place.parent / "timed" / ".ragqa")
    started = time.monotonic()
    assert child.wait() == 0
    return place, expected, time.monotonic() - started


@pytest.mark.parametrize("seed", range(KILLS))
def test_after_a_kill_the_next_run_gives_what_a_fresh_index_gives(
    template: tuple[Path, Any, float], tmp_path: Path, seed: int
) -> None:
    place, expected, duration = template
    work = tmp_path / "work"
    shutil.copytree(place, work)
    child = start(work / "docs", work / ".ragqa")
    # One moment in each of the equal parts of a run, so that few kills spread over all of it.
    time.sleep(duration * (seed + random.Random(seed).random()) / KILLS)
    child.kill()
    child.wait()
    problems = [problem for problem in check_index(work / ".ragqa") if "vector collection" not in problem]
    assert problems == []
    with open_index(work / ".ragqa", exact_below=0) as opened:
        assert opened.lexical("alpha number", 5)
    ingest(work / "docs", index=work / ".ragqa", prune=True)
    assert check_index(work / ".ragqa") == ()
    assert dump(work / ".ragqa") == expected


def test_a_first_ingest_killed_at_once_is_begun_anew(
    template: tuple[Path, Any, float], tmp_path: Path
) -> None:
    place, expected, duration = template
    for part in (0.0, 0.1, 0.5):
        work = tmp_path / str(part)
        shutil.copytree(place / "docs", work / "docs")
        child = start(work / "docs", work / ".ragqa")
        time.sleep(duration * part)
        child.kill()
        child.wait()
        ingest(work / "docs", index=work / ".ragqa")
        assert check_index(work / ".ragqa") == ()
        assert dump(work / ".ragqa") == expected


def test_of_two_ingests_at_once_one_waits_for_the_other(
    template: tuple[Path, Any, float], tmp_path: Path
) -> None:
    place, expected, _ = template
    shutil.copytree(place, tmp_path / "work")
    docs, index = tmp_path / "work" / "docs", tmp_path / "work" / ".ragqa"
    with writer_lock(index, 0):
        children = [start(docs, index) for _ in range(2)]
        with pytest.raises(LockedError):
            ingest(docs, index=index, prune=True, lock_timeout=0)
    assert [child.wait() for child in children] == [0, 0]
    assert check_index(index) == ()
    assert dump(index) == expected


def test_a_reader_sees_one_state_all_the_time(template: tuple[Path, Any, float], tmp_path: Path) -> None:
    """What is asked while an ingest writes is answered from between two of its files, never from within."""
    place, expected, _ = template
    shutil.copytree(place, tmp_path / "work")
    index = tmp_path / "work" / ".ragqa"
    child = start(tmp_path / "work" / "docs", index)
    with open_index(index) as first:
        found = first.lexical("alpha number", 50)
        states = set()
        while child.poll() is None:
            with open_index(index, exact_below=0) as opened:
                states.add(opened.state)
                hits = opened.lexical("beta", 400)
                chunks = opened.chunks([chunk for chunk, _ in hits])
                assert all(
                    chunk.text == opened.document(chunk.document_id).text[chunk.start : chunk.end]
                    for chunk in chunks[:20]
                )
                opened.dense(opened.vectors([hits[0][0]])[0], 10)
            assert first.lexical("alpha number", 50) == found
        assert first.chunks([chunk for chunk, _ in found])
    assert child.returncode == 0
    assert len(states) > 1
    assert dump(index) == expected
