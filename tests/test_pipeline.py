"""An ingest brings an index in line with its roots: whole, repeatable, and safe to break off anywhere."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from ingest.catalogue.schema import connect_writer
from ingest.discover import FoundFile
from ingest.errors import IndexMismatchError, RootError, SourceNotFoundError
from ingest.index import check_index, open_index, remove_source
from ingest.pipeline import IngestOptions, ingest_paths
from ingest.pipeline.files import trusted_time
from tests.index_support import LONG_AGO, HashEmbedder, counts, dump, ingest, light_tools, sources, write

pytest_plugins = ("tests.small_folder",)


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


def test_a_renamed_file_whose_name_is_its_title_is_read_again_under_the_new_one(
    tmp_path: Path, index: Path
) -> None:
    docs = tmp_path / "docs"
    for name in ("a", "c", "note", "other"):
        write(docs / f"{name}.txt", "same words" if len(name) == 1 else f"{name} words")
    ingest(docs, index=index)
    (docs / "note.txt").rename(docs / "letter.txt")
    (docs / "a.txt").rename(docs / "z.txt")
    planned = ingest(docs, index=index, dry_run=True)
    assert ("renamed", "letter.txt") in planned.planned
    assert counts(planned) == counts(ingest(docs, index=index)) == (0, 0, 2, 0, 2)
    with open_index(index) as opened:
        found = {row.source: opened.document(row.document_id or "").title for row in opened.sources()}
    assert found == {"c.txt": "c", "letter.txt": "letter", "other.txt": "other", "z.txt": "c"}
    assert check_index(index) == ()


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


def test_a_hidden_file_is_taken_when_named_and_leaves_with_its_folder(docs: Path, index: Path) -> None:
    write(docs / ".env", "the password is number 7\n")
    assert counts(ingest(docs, index=index)) == (4, 0, 0, 0, 0)
    assert counts(ingest(docs / ".env", index=index)) == (1, 0, 0, 0, 0)
    assert ".env" in sources(index)
    assert counts(ingest(docs, index=index)) == (0, 0, 4, 1, 0)
    assert check_index(index) == ()


@pytest.mark.parametrize(
    "options", [{"tools": light_tools(chunker_version="2")}, {"embedder": "openai:other"}]
)
def test_an_index_made_another_way_is_refused_with_the_command(docs: Path, index: Path, options: Any) -> None:
    ingest(docs, index=index)
    embedder = options.get("embedder", "hash")
    command = rf"rm -r {index} && ragqa ingest .*docs --index {index} --embedder {embedder}$"
    with pytest.raises(IndexMismatchError, match=command):
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
