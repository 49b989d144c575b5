"""An ingest brings an index in line with its roots: whole, repeatable, and safe to break off anywhere."""

import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import ingest.pipeline.run as run_module
from ingest.catalogue.schema import connect_writer
from ingest.discover import FoundFile
from ingest.errors import (
    IndexMismatchError,
    LockedError,
    PruneRefusedError,
    RootError,
    SourceNotFoundError,
    StorageError,
)
from ingest.index import check_index, open_index, remove_source
from ingest.pipeline import IngestOptions, Tools, ingest_paths
from ingest.pipeline.files import trusted_time
from tests.index_support import HashEmbedder, dump, ingest, light_tools

LONG_AGO = 1_600_000_000


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    for name in ("one", "two", "sub/three", "sub/four"):
        write(folder / f"{name}.md", f"# About {name}\n\nalpha {name} beta.\n\nAnother line of {name}.\n")
    return folder


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return tmp_path / ".ragqa"


def counts(report: Any) -> tuple[int, int, int, int, int]:
    return report.added, report.changed, report.unchanged, report.removed, report.renamed


def sources(index: Path) -> list[str]:
    with open_index(index) as opened:
        return [row.source for row in opened.sources()]


def test_each_kind_of_change_is_seen_and_counted(docs: Path, index: Path) -> None:
    assert counts(ingest(docs, index=index)) == (4, 0, 0, 0, 0)
    (docs / "two.md").rename(docs / "zwei.md")
    write(docs / "one.md", "# About one\n\nNow something else.\n")
    (docs / "sub" / "four.md").unlink()
    write(docs / "five.md", "# Five\n\nnumber 5.\n")
    assert counts(ingest(docs, index=index)) == (1, 1, 1, 1, 1)
    assert sources(index) == ["five.md", "one.md", "sub/three.md", "zwei.md"]
    assert check_index(index) == ()


def test_an_index_kept_in_line_says_what_a_fresh_one_says(docs: Path, index: Path, tmp_path: Path) -> None:
    ingest(docs, index=index)
    (docs / "two.md").rename(docs / "zwei.md")
    write(docs / "one.md", "plain words, no heading: number 7 delta.\n")
    (docs / "sub" / "four.md").unlink()
    write(docs / "copy.md", (docs / "sub" / "three.md").read_text())
    ingest(docs, index=index)
    ingest(docs, index=tmp_path / "fresh" / ".ragqa")
    kept, fresh = dump(index), dump(tmp_path / "fresh" / ".ragqa")
    kept["files"] = [row[1:] for row in kept["files"]]
    fresh["files"] = [row[1:] for row in fresh["files"]]
    assert kept == fresh


def test_unchanged_files_are_not_opened(docs: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest(docs, index=index)
    opened: list[str] = []
    original = Path.open

    def recorded(self: Path, *arguments: Any, **options: Any) -> Any:
        opened.append(self.name)
        return original(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", recorded)
    assert counts(ingest(docs, index=index)) == (0, 0, 4, 0, 0)
    assert [name for name in opened if name.endswith(".md")] == []
    write(docs / "one.md", "# Changed\n")
    ingest(docs, index=index)
    assert "one.md" in opened


def test_a_touched_file_is_read_but_nothing_changes(docs: Path, index: Path) -> None:
    ingest(docs, index=index)
    with open_index(index) as opened:
        state = opened.state
    os.utime(docs / "one.md", (LONG_AGO + 9, LONG_AGO + 9))
    embedder = HashEmbedder()
    assert counts(ingest(docs, index=index, tools=light_tools(embedder))) == (0, 0, 4, 0, 0)
    with open_index(index) as opened:
        assert opened.state == state
    assert embedder.texts == []


def test_the_same_size_within_the_same_tick_is_a_change(docs: Path, index: Path) -> None:
    (docs / "one.md").write_text("first")
    status = (docs / "one.md").stat()
    found = FoundFile(docs / "one.md", "one.md", status.st_size, status.st_mtime_ns)
    assert trusted_time(found) in (-1, status.st_mtime_ns)
    just_now = FoundFile(docs / "one.md", "one.md", 5, time.time_ns())
    assert trusted_time(just_now) == -1


def test_a_renamed_file_is_neither_parsed_nor_embedded(docs: Path, index: Path) -> None:
    ingest(docs, index=index)
    (docs / "sub").rename(docs / "moved")
    embedder = HashEmbedder()
    assert counts(ingest(docs, index=index, tools=light_tools(embedder))) == (0, 0, 2, 0, 2)
    assert embedder.texts == []
    assert sources(index) == ["moved/four.md", "moved/three.md", "one.md", "two.md"]


def test_names_swapped_are_two_changes(docs: Path, index: Path, tmp_path: Path) -> None:
    ingest(docs, index=index)
    (docs / "one.md").rename(docs / "x")
    (docs / "two.md").rename(docs / "one.md")
    (docs / "x").rename(docs / "two.md")
    for name in ("one.md", "two.md"):
        os.utime(docs / name, (LONG_AGO + 5, LONG_AGO + 5))
    assert counts(ingest(docs, index=index))[:3] == (0, 2, 2)
    with open_index(index) as opened:
        assert opened.document(opened.resolve("one.md")).title == "About two"
    assert check_index(index) == ()


def test_a_title_from_a_file_name_follows_the_first_of_its_names(tmp_path: Path, index: Path) -> None:
    docs = tmp_path / "docs"
    for name in ("b", "c", "other", "more"):
        write(docs / f"{name}.txt", "same words" if len(name) == 1 else f"{name} words")

    def title() -> str:
        with open_index(index) as opened:
            return opened.document(opened.resolve(next(row.source for row in opened.sources()))).title

    ingest(docs, index=index)
    assert title() == "b"
    write(docs / "a.txt", "same words")
    ingest(docs, index=index)
    assert title() == "a"
    (docs / "a.txt").unlink()
    (docs / "b.txt").unlink()
    ingest(docs, index=index)
    assert title() == "c"
    (docs / "c.txt").rename(docs / "a.txt")
    ingest(docs, index=index)
    assert title() == "a"
    assert check_index(index) == ()


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


def test_only_the_named_roots_are_touched(docs: Path, index: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write(other / "x.md", "# X\n\nonly here\n")
    ingest(docs, index=index)
    ingest(other, index=index)
    assert sources(index) == [
        "docs/one.md",
        "docs/sub/four.md",
        "docs/sub/three.md",
        "docs/two.md",
        "other/x.md",
    ]
    (docs / "one.md").unlink()
    write(other / "y.md", "# Y\n")
    assert counts(ingest(other, index=index)) == (1, 0, 1, 0, 0)
    assert "docs/one.md" in sources(index)


def test_roots_of_one_name_stay_apart(tmp_path: Path, index: Path) -> None:
    write(tmp_path / "a" / "docs" / "x.md", "# AX\n")
    write(tmp_path / "b" / "docs" / "x.md", "# BX\n")
    ingest(tmp_path / "a" / "docs", tmp_path / "b" / "docs", index=index)
    assert sources(index) == ["docs-2/x.md", "docs/x.md"]


def test_a_path_inside_a_root_stands_for_that_part_of_it(docs: Path, index: Path) -> None:
    ingest(docs, index=index)
    write(docs / "one.md", "# New one\n")
    write(docs / "sub" / "three.md", "# New three\n")
    assert counts(ingest(docs / "sub", index=index)) == (0, 1, 1, 0, 0)
    assert counts(ingest(docs / "one.md", index=index)) == (0, 1, 0, 0, 0)
    assert len(sources(index)) == 4


def test_two_paths_inside_a_root_stand_for_both_parts(docs: Path, index: Path) -> None:
    ingest(docs, index=index)
    write(docs / "one.md", "# New one\n")
    write(docs / "sub" / "three.md", "# New three\n")
    write(docs / "two.md", "# New two, not named\n")
    assert counts(ingest(docs / "one.md", docs / "sub", index=index)) == (0, 2, 1, 0, 0)
    (docs / "one.md").unlink()
    assert counts(ingest(docs / "sub", docs / "one.md", index=index)) == (0, 0, 2, 1, 0)
    with pytest.raises(RootError, match=r"nothing\.md"):
        ingest(docs / "sub", docs / "nothing.md", index=index)


@pytest.mark.parametrize("name", [b"r\xff", b"a!", b"100%25", b"line\nbreak"])
@pytest.mark.parametrize("inside", [True, False])
def test_a_root_of_any_name_is_found_again(tmp_path: Path, name: bytes, inside: bool) -> None:
    root = tmp_path / os.fsdecode(name) / "docs"
    write(root / "one.md", "# One\n")
    index = (tmp_path if inside else tmp_path / "elsewhere") / ".ragqa"
    assert counts(ingest(root, index=index)) == (1, 0, 0, 0, 0)
    write(root / "two.md", "# Two\n")
    assert counts(ingest(root, index=index)) == (1, 0, 1, 0, 0)
    assert sources(index) == ["one.md", "two.md"]


def test_a_folder_takes_over_the_roots_inside_it(docs: Path, index: Path) -> None:
    ingest(docs / "sub", docs / "one.md", index=index)
    assert sources(index) == ["one.md", "sub/four.md", "sub/three.md"]
    embedder = HashEmbedder()
    assert counts(ingest(docs, index=index, tools=light_tools(embedder))) == (1, 0, 3, 0, 0)
    assert sources(index) == ["one.md", "sub/four.md", "sub/three.md", "two.md"]
    with open_index(index) as opened:
        assert opened.stats().roots == ("docs",)


def test_an_index_may_move_together_with_its_folder(docs: Path, index: Path, tmp_path: Path) -> None:
    ingest(docs, index=index)
    new = tmp_path / "elsewhere"
    new.mkdir()
    docs.rename(new / "docs")
    index.rename(new / ".ragqa")
    assert counts(ingest(new / "docs", index=new / ".ragqa")) == (0, 0, 4, 0, 0)


def test_removing_most_of_a_root_must_be_allowed(docs: Path, index: Path) -> None:
    ingest(docs, index=index)
    for name in ("one.md", "two.md", "sub/three.md"):
        (docs / name).unlink()
    with pytest.raises(PruneRefusedError, match=r"3 of the 4 files.*--prune"):
        ingest(docs, index=index)
    assert len(sources(index)) == 4
    assert ingest(docs, index=index, prune=True).removed == 3
    assert sources(index) == ["sub/four.md"]


@pytest.mark.parametrize("missing", [True, False])
def test_a_root_that_is_gone_or_empty_is_not_emptied_silently(docs: Path, index: Path, missing: bool) -> None:
    ingest(docs, index=index)
    docs.rename(docs.parent / "unmounted")
    if not missing:
        docs.mkdir()
    with pytest.raises(PruneRefusedError, match="is a disk missing"):
        ingest(docs, index=index)
    assert ingest(docs, index=index, prune=True).removed == 4
    assert sources(index) == []
    with open_index(index) as opened:
        assert opened.stats().roots == (() if missing else ("docs",))
    assert check_index(index) == ()


def test_what_is_not_there_is_refused_and_leaves_no_index(tmp_path: Path, index: Path) -> None:
    with pytest.raises(RootError, match="nowhere"):
        ingest(tmp_path / "nowhere", index=index)
    assert not index.exists()


def test_a_refused_new_root_leaves_no_trace(docs: Path, index: Path, tmp_path: Path) -> None:
    ingest(docs, index=index)
    with pytest.raises(RootError, match="nowhere"):
        ingest(tmp_path / "nowhere", index=index)
    assert sources(index)[0] == "one.md"


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(docs: Path, index: Path) -> None:
    assert counts(ingest(docs, index=index, dry_run=True)) == (4, 0, 0, 0, 0)
    assert not index.exists()
    ingest(docs, index=index)
    before = dump(index)
    (docs / "two.md").rename(docs / "zwei.md")
    write(docs / "one.md", "# Changed\n")
    write(docs / "five.md", "# Five\n")
    (docs / "sub" / "four.md").unlink()
    report = ingest(docs, index=index, dry_run=True)
    assert counts(report) == (1, 1, 1, 1, 1)
    assert report.planned == (
        ("added", "five.md"),
        ("changed", "one.md"),
        ("removed", "sub/four.md"),
        ("renamed", "zwei.md"),
    )
    assert dump(index) == before
    assert ingest(docs, index=index).planned == ()


def test_a_dry_run_leaves_an_index_without_settings_to_the_next_run(docs: Path, index: Path) -> None:
    index.mkdir()
    connect_writer(index).close()  # as a process leaves it that was killed at its very first step
    assert counts(ingest(docs, index=index, dry_run=True)) == (4, 0, 0, 0, 0)
    ingest(docs, index=index)
    assert check_index(index) == ()


def test_options_pick_files(docs: Path, index: Path) -> None:
    ingest(docs, index=index, exclude=("sub/",))
    assert sources(index) == ["one.md", "two.md"]


@pytest.mark.parametrize(
    "options", [{"tools": light_tools(chunker_version="2")}, {"embedder": "openai:other"}]
)
def test_an_index_made_another_way_is_refused_with_the_command(docs: Path, index: Path, options: Any) -> None:
    ingest(docs, index=index)
    with pytest.raises(IndexMismatchError, match=r"rm -r .*ragqa ingest .*docs"):
        ingest(docs, index=index, **options)
    assert counts(ingest(docs, index=index, embedder="hash")) == (0, 0, 4, 0, 0)


def test_a_new_index_takes_no_folder_that_others_use(docs: Path, tmp_path: Path) -> None:
    mine = write(tmp_path / "notes" / "chroma" / "mine.txt", "kept\n")
    for place in (tmp_path / "notes", mine):
        with pytest.raises(RootError, match="folder of its own"):
            ingest(docs, index=place)
    assert mine.read_text() == "kept\n"
    assert sorted(path.name for path in (tmp_path / "notes").iterdir()) == ["chroma"]
    (tmp_path / "new").mkdir()
    assert ingest(docs, index=tmp_path / "new").added == 4


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


def test_a_removed_source_comes_back_with_the_next_ingest(docs: Path, index: Path) -> None:
    ingest(docs, index=index)
    assert remove_source(index, "one.md", 0) == ("one.md",)
    assert check_index(index) == ()
    with pytest.raises(SourceNotFoundError):
        remove_source(index, "one.md", 0)
    assert counts(ingest(docs, index=index)) == (1, 0, 3, 0, 0)


def test_members_of_containers_are_sources(tmp_path: Path, index: Path) -> None:
    mails = "".join(
        f"From a@b Thu Jan  1 00:00:0{n} 2024\nFrom: a@b.example\nSubject: Mail {n}\n\nBody of mail {n}.\n\n"
        for n in (1, 2)
    )
    write(tmp_path / "docs" / "mail.mbox", mails)
    write(tmp_path / "docs" / "z.md", "# Z\n")
    ingest(tmp_path / "docs", index=index)
    found = sources(index)
    assert found[:2] == ["mail.mbox!/1", "mail.mbox!/2"]
    assert remove_source(index, "mail.mbox!/1", 0) == ("mail.mbox!/1",)
    assert sources(index) == ["mail.mbox!/2", "z.md"]
    assert check_index(index) == ()
    ingest(tmp_path / "docs", index=index)
    assert sources(index) == found
    (tmp_path / "docs" / "mail.mbox").rename(tmp_path / "docs" / "post.mbox")
    assert ingest(tmp_path / "docs", index=index).renamed == 1
    assert sources(index)[:2] == ["post.mbox!/1", "post.mbox!/2"]


def test_two_runs_over_the_same_files_give_the_same_ids(docs: Path, tmp_path: Path) -> None:
    def ids(index: Path, workers: int) -> list[tuple[int, str]]:
        ingest_paths([docs], index, IngestOptions(workers=workers), tools=light_tools())
        with open_index(index) as opened:
            return [
                (chunk.id, chunk.text)
                for row in opened.sources()
                for chunk in opened.document_chunks(row.document_id or "")
            ]

    assert ids(tmp_path / "x" / ".ragqa", 0) == ids(tmp_path / "y" / ".ragqa", 2)
