"""Folders in, the files in them out. Opens no file but `.ragqaignore`; knows no index and no format.

Never leaves a root: links to folders are not followed, links to files only where the target lies inside the
root. Folders named `.ragqa` or `.git` and whatever is not a regular file do not exist for it.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from ingest.errors import RootError
from ingest.types import SKIPPED

IGNORE_FILE = ".ragqaignore"
NEVER = frozenset({".ragqa", ".git"})


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file as it was seen. `name` is its path below the root, percent-escaped; empty if it is the root."""

    location: Path
    name: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Scan:
    """What a root holds, in alphabetical order; and the folders that could not be read, with the reason."""

    files: tuple[FoundFile, ...]
    unreadable: tuple[tuple[str, str], ...]


class Selection:
    """Which files of a root are wanted, by patterns in the syntax of gitignore.

    With `include`, only files that fit one of these. `paths`, absolute ones, are wanted whatever their names.
    Raises RootError for a pattern that is none.
    """

    def __init__(
        self, include: Sequence[str] = (), exclude: Sequence[str] = (), paths: Sequence[Path] = ()
    ) -> None:
        self._include = read_patterns(include, "--include") if include else None
        self._exclude = read_patterns(exclude, "--exclude") if exclude else None
        asked = [f"!{name}" for name in _spelled_out(include)]
        self._skipped = read_patterns([*SKIPPED, *asked], "--include")
        self._named = frozenset(part for path in paths for part in (path, *path.parents))

    def skips(self, location: Path) -> bool:
        """Whether a file or folder is unwanted for its name, and was not asked for by it."""
        return self._skipped.match_file(location.name) and location not in self._named

    def excludes(self, path: str) -> bool:
        """Whether a file, or a folder whose path ends in a slash, is unwanted whatever it holds."""
        return self._exclude is not None and self._exclude.match_file(path)

    def includes(self, path: str) -> bool:
        """Whether a file is among those asked for."""
        return self._include is None or self._include.match_file(path)


def _spelled_out(patterns: Sequence[str]) -> list[str]:
    """The skipped names that patterns ask for: `.env` and `.*` do, `*` and `*.md` do not, as in a shell."""
    skipped = GitIgnoreSpec.from_lines(SKIPPED)
    return [name for pattern in patterns for name in pattern.split("/") if skipped.match_file(name)]


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder to be read: `path` below the root with a slash at its end, and the rules that hold in it."""

    location: Path
    path: str
    rules: tuple[tuple[str, GitIgnoreSpec], ...]


def scan_root(root: Path, selection: Selection, index_folder: Path) -> Scan:
    """The wanted files of a root, which is a folder or a single file; the index itself is not among them.

    A single file is always wanted. Raises RootError where `root` is neither, and for what lies in a folder of
    a program's own (`.git`, an index).
    """
    if inside := next((part for part in root.parts if part in NEVER), None):
        raise RootError(f"{root} cannot be ingested: {inside} is a program's own, not a person's documents.")
    try:
        mode = root.stat().st_mode
    except OSError as error:
        raise RootError(f"{root} cannot be ingested: {error.strerror}.") from error
    if stat.S_ISREG(mode):
        status = root.stat()
        return Scan((FoundFile(root, "", status.st_size, status.st_mtime_ns),), ())
    if not stat.S_ISDIR(mode):
        raise RootError(f"{root} cannot be ingested: it is neither a file nor a folder.")
    files: list[FoundFile] = []
    unreadable: list[tuple[str, str]] = []
    folders = [_Folder(root, "", ())]
    while folders:
        folder = folders.pop()
        try:
            below, found = _read_folder(folder, root, selection, index_folder)
        except OSError as error:
            unreadable.append((escape_name(folder.path), error.strerror or str(error)))
            continue
        folders.extend(below)
        files.extend(found)
    return Scan(tuple(sorted(files, key=lambda file: file.name)), tuple(sorted(unreadable)))


def _read_folder(
    folder: _Folder, root: Path, selection: Selection, index_folder: Path
) -> tuple[list[_Folder], list[FoundFile]]:
    with os.scandir(folder.location) as entries:
        listed = list(entries)
    rules = folder.rules
    if any(entry.name == IGNORE_FILE and entry.is_file(follow_symlinks=False) for entry in listed):
        text = (folder.location / IGNORE_FILE).read_text(encoding="utf-8", errors="replace")
        spec = read_patterns(text.splitlines(), str(folder.location / IGNORE_FILE))
        rules = (*rules, (folder.path, spec))
    folders: list[_Folder] = []
    files: list[FoundFile] = []
    for entry in listed:
        path, location = folder.path + entry.name, Path(entry.path)
        if selection.skips(location) or entry.name in NEVER:  # a file, too: a worktree's `.git` is one
            continue
        if entry.is_dir(follow_symlinks=False):
            if location == index_folder:
                continue
            if not _ignored(f"{path}/", rules) and not selection.excludes(f"{path}/"):
                folders.append(_Folder(location, f"{path}/", rules))
        elif not _ignored(path, rules) and not selection.excludes(path) and selection.includes(path):
            files.extend(_regular_file(entry, path, root))
    return folders, files


def _regular_file(entry: os.DirEntry[str], path: str, root: Path) -> Iterator[FoundFile]:
    if entry.name == IGNORE_FILE:
        return
    try:
        if entry.is_symlink() and not Path(entry.path).resolve(strict=True).is_relative_to(root):
            return
        status = entry.stat()
    except (OSError, RuntimeError):  # a link to nothing or to itself, or a file that has just gone
        return
    if stat.S_ISREG(status.st_mode):
        yield FoundFile(Path(entry.path), escape_name(path), status.st_size, status.st_mtime_ns)


def _ignored(path: str, rules: tuple[tuple[str, GitIgnoreSpec], ...]) -> bool:
    """What the nearest `.ragqaignore` that says anything about `path` says."""
    for base, spec in reversed(rules):
        verdict = spec.check_file(path.removeprefix(base)).include
        if verdict is not None:
            return verdict
    return False


def read_patterns(lines: Sequence[str], origin: str) -> GitIgnoreSpec:
    """The patterns, or RootError naming where the bad one stands."""
    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError as error:
        raise RootError(f"A pattern of {origin} cannot be read: {error}") from error


def hash_file(file: FoundFile) -> str | None:
    """The sha256 of a file's bytes; None where it is no longer the file that was seen. Raises OSError."""
    with file.location.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        status = os.fstat(stream.fileno())
    return digest if is_same(file, status) else None


def is_same(file: FoundFile, status: os.stat_result) -> bool:
    """Whether a file still has the size and the time it was seen with."""
    return (status.st_size, status.st_mtime_ns) == (file.size, file.mtime_ns)


# Line breaks and other controls, and signs that turn the direction of what follows.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# What an escape made here can look like; a name that holds it already has its percent sign escaped.
_ESCAPE_LIKE = re.compile(r"%(?=[01][0-9A-F]|2[15]|7F|[89A-F][0-9A-F])")
# The mark between a container and its member.
_MEMBER_MARK = re.compile(r"!(?=/)")


def escape_name(name: str) -> str:
    """A file name as one printable line: undecodable bytes and controls in percent form.

    No two names give the same. Names of plain characters, spaces and single percent signs stay as they are.
    """
    name = _MEMBER_MARK.sub("%21", _ESCAPE_LIKE.sub("%25", name))
    return _UNPRINTABLE.sub(
        lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogateescape")), name
    )


_ESCAPE = re.compile(rb"%([01][0-9A-F]|2[15]|7F|[89A-F][0-9A-F])")


def unescape_name(name: str) -> str:
    """The file name that `escape_name` made this of, as the system takes it."""
    return os.fsdecode(_ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), os.fsencode(name)))
