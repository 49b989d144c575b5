"""What of a folder is ingested, and what never is."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.discover import Selection, escape_name, hash_file, scan_root, unescape_name
from ingest.errors import RootError


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def names(root: Path, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> list[str]:
    return [file.name for file in scan_root(root, Selection(include, exclude), root / "kept").files]


def test_files_come_in_order_with_size_and_time(tmp_path: Path) -> None:
    make(tmp_path, "b.md", "a/z.md", "a.md")
    scan = scan_root(tmp_path, Selection(), tmp_path / ".ragqa")
    assert [file.name for file in scan.files] == ["a.md", "a/z.md", "b.md"]
    status = (tmp_path / "b.md").stat()
    assert (scan.files[2].size, scan.files[2].mtime_ns) == (status.st_size, status.st_mtime_ns)


def test_indexes_and_repositories_are_never_ingested(tmp_path: Path) -> None:
    make(tmp_path, "a.md", ".git/HEAD", "x/.ragqa/catalogue.sqlite", "kept/catalogue.sqlite", "x/.git/y/z")
    assert names(tmp_path) == ["a.md"]
    make(tmp_path, "tree/.git")
    assert names(tmp_path, include=(".*",)) == []
    for root in (".git", "x/.ragqa", "x/.git/y", "tree/.git"):
        with pytest.raises(RootError, match="a program's own"):
            names(tmp_path / root)


def test_hidden_lock_and_backup_files_are_taken_only_where_a_pattern_spells_them_out(tmp_path: Path) -> None:
    make(tmp_path, "a.md", "a.md~", "~$a.docx", ".env", "x/.env", ".notes/b.md", ".notes/.env")
    make(tmp_path, "node_modules/c/readme.md", "x/__pycache__/d.md")
    for include in ((), ("*",), ("*.md",), ("a*", "../x", "./y")):
        assert names(tmp_path, include=include) == ["a.md"]
    assert names(tmp_path, include=(".env",)) == [".env", "x/.env"]
    assert names(tmp_path, include=("/.env", "*~", "~$*")) == [".env", "a.md~", "~$a.docx"]
    assert names(tmp_path, include=("*", ".notes/**")) == [".notes/b.md", "a.md"]
    assert names(tmp_path, include=("node_modules/",)) == ["node_modules/c/readme.md"]


def test_a_hidden_file_or_folder_is_taken_where_its_path_is_named(tmp_path: Path) -> None:
    make(tmp_path, "a.md", ".env", ".x/b.md", ".x/.y/c.md", ".x/.z/d.md", "e/.env")
    paths = [tmp_path, tmp_path / ".env", tmp_path / ".x" / ".y"]
    scan = scan_root(tmp_path, Selection(paths=paths), tmp_path / ".ragqa")
    assert [file.name for file in scan.files] == [".env", ".x/.y/c.md", ".x/b.md", "a.md"]
    assert names(tmp_path / ".x" / ".y") == ["c.md"]


def test_no_link_leaves_the_root_and_no_folder_is_read_twice(tmp_path: Path) -> None:
    root = tmp_path / "root"
    make(root, "a.md", "sub/b.md")
    make(tmp_path, "secret.md", "elsewhere/c.md")
    (root / "out.md").symlink_to(tmp_path / "secret.md")
    (root / "out").symlink_to(tmp_path / "elsewhere")
    (root / "loop").symlink_to(root)
    (root / "twice").symlink_to(root / "sub")
    (root / "dangling.md").symlink_to(root / "nothing")
    (root / "self.md").symlink_to(root / "self.md")
    (root / "in.md").symlink_to(root / "sub" / "b.md")
    assert names(root) == ["a.md", "in.md", "sub/b.md"]


def test_only_regular_files_are_files(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    os.mkfifo(tmp_path / "pipe.md")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.md"))
        assert names(tmp_path) == ["a.md"]
    with pytest.raises(RootError, match="neither"):
        scan_root(tmp_path / "pipe.md", Selection(), tmp_path)


def test_include_and_exclude_pick_by_glob(tmp_path: Path) -> None:
    make(tmp_path, "a.md", "b.txt", "drafts/c.md", "x/d.md")
    assert names(tmp_path, include=("*.md",)) == ["a.md", "drafts/c.md", "x/d.md"]
    assert names(tmp_path, exclude=("drafts/", "*.txt")) == ["a.md", "x/d.md"]
    assert names(tmp_path, include=("*.md", "*.txt"), exclude=("/x/**",)) == ["a.md", "b.txt", "drafts/c.md"]


def test_ignore_files_hold_below_them_and_the_nearest_wins(tmp_path: Path) -> None:
    make(
        tmp_path,
        "a.log",
        "b.md",
        "deep/a.log",
        "deep/keep.log",
        "deep/down/c.md",
        "build/x.md",
        "deep/build.md",
    )
    (tmp_path / ".ragqaignore").write_text("# comment\n*.log\n/build/\n")
    (tmp_path / "deep" / ".ragqaignore").write_text("!keep.log\ndown/\n")
    assert names(tmp_path) == ["b.md", "deep/build.md", "deep/keep.log"]


def test_a_single_file_is_a_root_of_its_own(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    (tmp_path / ".ragqaignore").write_text("*")
    assert names(tmp_path / "a.md") == [""]


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RootError, match=r"nowhere.*No such file"):
        scan_root(tmp_path / "nowhere", Selection(), tmp_path)


def test_a_bad_pattern_is_named_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(RootError, match="--exclude"):
        Selection(exclude=("!",))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_an_unreadable_folder_is_reported(tmp_path: Path) -> None:
    make(tmp_path, "closed/a.md", "b.md")
    (tmp_path / "closed").chmod(0)
    scan = scan_root(tmp_path, Selection(), tmp_path / ".ragqa")
    (tmp_path / "closed").chmod(0o700)
    assert [file.name for file in scan.files] == ["b.md"]
    assert [name for name, _ in scan.unreadable] == ["closed/"]


def test_undecodable_names_are_one_printable_line(tmp_path: Path) -> None:
    for name in (b"caf\xe9.txt", b"caf%E9.txt", b"two\nlines.txt", b"100%.txt", "caf\u00e9.txt".encode()):
        (Path(os.fsdecode(bytes(tmp_path) + b"/" + name))).write_bytes(name)
    scan = scan_root(tmp_path, Selection(), tmp_path / ".ragqa")
    assert [file.name for file in scan.files] == [
        "100%.txt",
        "caf%25E9.txt",
        "caf%E9.txt",
        "caf\u00e9.txt",
        "two%0Alines.txt",
    ]
    assert all(hash_file(file) for file in scan.files)


@given(st.binary(max_size=12), st.binary(max_size=12))
def test_two_names_never_share_a_handle(one: bytes, other: bytes) -> None:
    escaped = escape_name(os.fsdecode(one)), escape_name(os.fsdecode(other))
    assert (escaped[0] == escaped[1]) == (one == other)
    escaped[0].encode("utf-8")
    assert len(escaped[0].splitlines()) <= 1


@given(st.binary(max_size=12) | st.text("%!/0125AF\u0085\n\u2028", max_size=6).map(os.fsencode))
def test_a_handle_leads_back_to_its_name(name: bytes) -> None:
    assert unescape_name(escape_name(os.fsdecode(name))) == os.fsdecode(name)


@given(st.text("%!/0125AF\u0085\n", max_size=6), st.text("%!/0125AF\u0085\n", max_size=6))
def test_names_that_look_escaped_stay_apart(one: str, other: str) -> None:
    assert (escape_name(one) == escape_name(other)) == (one == other)


def test_a_file_that_changed_since_it_was_seen_has_no_hash(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    file = scan_root(tmp_path, Selection(), tmp_path / ".ragqa").files[0]
    assert hash_file(file) is not None
    (tmp_path / "a.md").write_text("longer than before")
    assert hash_file(file) is None
