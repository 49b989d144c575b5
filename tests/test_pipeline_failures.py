"""Files that fail, a second writer, an interrupt, a full disk: the index stays whole and says what it was."""

import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

import ingest.pipeline.run as run_module
from ingest.catalogue.schema import connect_writer
from ingest.discover import FoundFile
from ingest.errors import LockedError, SourceNotFoundError, StorageError
from ingest.index import check_index, open_index
from ingest.pipeline import Tools
from tests.index_support import counts, dump, ingest, light_tools, sources, write

pytest_plugins = ("tests.small_folder",)


def test_failures_are_tried_again_and_skipped_files_only_when_something_is_new(
    tmp_path: Path, index: Path
) -> None:
    docs = tmp_path / "docs"
    write(docs / "a.md", "# A\n\ntext")
    write(docs / "empty.md", "")
    write(docs / "what.bin", "\0\1\2")
    report = ingest(docs, index=index)
    assert {(problem.source, problem.code) for problem in report.skipped} == {
        ("empty.md", "empty"), ("what.bin", "unsupported"),
    }  # fmt: skip
    assert counts(report) == (1, 0, 0, 0, 0)
    hashed: list[str] = []
    original = run_module.hash_file
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "hash_file", lambda file: hashed.append(file.name) or original(file))
        again = ingest(docs, index=index)
        assert hashed == []
        assert again.skipped == report.skipped
        ingest(docs, index=index, tools=light_tools(parser_version="2"))
        assert hashed == ["a.md", "empty.md", "what.bin"]


def test_a_file_that_cannot_be_opened_is_failed_and_tried_again(
    docs: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(docs, index=index)
    write(docs / "one.md", "# Changed\n\nlocked away\n")
    original = run_module.hash_file

    def refuse(file: FoundFile) -> str | None:
        if file.name == "one.md":
            raise PermissionError(13, "Permission denied")
        return original(file)

    monkeypatch.setattr(run_module, "hash_file", refuse)
    report = ingest(docs, index=index)
    assert [(problem.source, problem.code) for problem in report.failed] == [("one.md", "unreadable")]
    with open_index(index) as opened, pytest.raises(SourceNotFoundError, match="Permission denied"):
        opened.resolve("one.md")
    monkeypatch.undo()
    assert ingest(docs, index=index).failed == ()
    assert check_index(index) == ()


def test_a_file_that_changes_while_it_is_read_waits_for_the_next_run(docs: Path, index: Path) -> None:
    ingest(docs, index=index)
    write(docs / "one.md", "# First change\n")
    tools = light_tools()
    original = tools.open_pool

    class Meddling:
        def __init__(self, workers: int) -> None:
            self.pool = original(workers)

        def __enter__(self) -> "Meddling":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def parse(self, paths):
            for result in self.pool.parse(paths):
                (docs / "one.md").write_text("# Second, longer change\n")
                yield result

    report = ingest(docs, index=index, tools=Tools(Meddling, *list_of(tools)[1:]))
    assert [(problem.source, problem.code) for problem in report.failed] == [("one.md", "changed")]
    with open_index(index) as opened:
        assert opened.document(opened.resolve("one.md")).title == "About one"
    assert counts(ingest(docs, index=index)) == (0, 1, 3, 0, 0)


def list_of(tools: Any) -> list[Any]:
    return [getattr(tools, name) for name in tools.__slots__]


def test_a_second_writer_is_told_of_the_first(docs: Path, index: Path) -> None:
    ingest(docs, index=index)
    write(docs / "one.md", "# Changed\n")
    errors: list[BaseException] = []

    def second(*_: object) -> None:
        def go() -> None:
            try:
                ingest(docs, index=index, lock_timeout=0)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=go)
        thread.start()
        thread.join()

    ingest(docs, index=index, progress=second)
    assert errors
    assert all(isinstance(error, LockedError) for error in errors)
    assert check_index(index) == ()


def test_an_interrupt_keeps_what_was_stored(docs: Path, index: Path, tmp_path: Path) -> None:
    def interrupt(stage: str, done: int, _total: int | None) -> None:
        if (stage, done) == ("files", 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(docs, index=index, progress=interrupt)
    assert sources(index) == ["one.md", "sub/four.md"]
    assert counts(ingest(docs, index=index)) == (2, 0, 2, 0, 0)
    assert check_index(index) == ()


def test_a_full_disk_is_said_and_the_index_goes_on_answering(
    docs: Path, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Allow the database n more pages, for growing n, until an ingest passes."""
    ingest(docs, index=index)
    for number in range(5):
        write(docs / f"new{number}.md", f"# New {number}\n\n" + f"words of number {number} " * 400)
    (docs / "two.md").unlink()
    refused = 0
    for pages in (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512):

        def limited(folder: Path, pages: int = pages) -> sqlite3.Connection:
            connection = connect_writer(folder)
            used = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {used + pages}")
            return connection

        monkeypatch.setattr(run_module, "connect_writer", limited)
        try:
            ingest(docs, index=index)
        except StorageError as error:
            refused += "full" in str(error)
        with open_index(index) as opened:
            assert opened.lexical("alpha three", 3)
        problems = [problem for problem in check_index(index) if "vector collection" not in problem]
        assert problems == []
        if pages == 512:
            break
    assert refused >= 3
    monkeypatch.undo()
    ingest(docs, index=index)
    ingest(docs, index=tmp_path / "fresh" / ".ragqa")
    kept, fresh = dump(index), dump(tmp_path / "fresh" / ".ragqa")
    assert {**kept, "files": 0} == {**fresh, "files": 0}


def test_the_nth_write_may_fail(docs: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's authorizer refuses the n-th write, for growing n; whichever it is, the index stays sound."""
    ingest(docs, index=index)
    expected = None
    for nth in (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 100_000):
        write(docs / "one.md", f"# One\n\nversion {nth} alpha.\n")
        seen = [0]

        def authorize(action: int, *_: object, seen: list[int] = seen, nth: int = nth) -> int:
            if action in (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE):
                seen[0] += 1
                if seen[0] == nth:
                    return sqlite3.SQLITE_DENY
            return sqlite3.SQLITE_OK

        def refusing(folder: Path, authorize: Any = authorize) -> sqlite3.Connection:
            connection = connect_writer(folder)
            connection.set_authorizer(authorize)
            return connection

        monkeypatch.setattr(run_module, "connect_writer", refusing)
        try:
            expected = ingest(docs, index=index)
        except StorageError:
            expected = None
        assert check_index(index) == ()
        assert len(sources(index)) == 4
    assert expected is not None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_index_answers_and_refuses_changes(docs: Path, index: Path) -> None:
    ingest(docs, index=index)
    index.chmod(0o500)
    try:
        with open_index(index) as opened:
            assert opened.lexical("alpha", 3)
        with pytest.raises(StorageError):
            ingest(docs, index=index)
    finally:
        index.chmod(0o700)
