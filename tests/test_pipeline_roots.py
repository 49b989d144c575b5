"""Which roots and paths a run touches, and what of an index it may remove."""

import os
from pathlib import Path

import pytest

from ingest.errors import PruneRefusedError, RootError
from ingest.index import check_index, open_index
from tests.index_support import HashEmbedder, counts, ingest, light_tools, sources, write

pytest_plugins = ("tests.small_folder",)


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
