"""One file into members: its own document, or those inside it, and what went wrong where there is none."""

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ingest.parse import packages
from ingest.parse.canonical import assemble
from ingest.parse.formats import sniff
from ingest.parse.limits import DEFAULT_LIMITS, Limits
from ingest.parse.names import SEPARATOR, member_names
from ingest.parse.problems import Unparsable, failed, skipped
from ingest.parse.readers import Source, read
from ingest.types import SKIPPED, Document, Member, Problem

if TYPE_CHECKING:
    from ingest.parse.mail import Mail


@dataclass(slots=True)
class _Budget:
    """What is left for all members of one file together."""

    members: int
    unpacked: int

    def take(self, size: int) -> None:
        self.members -= 1
        self.unpacked -= size
        if self.members < 0 or self.unpacked < 0:
            raise skipped(
                "too_large", "The container holds more than is read of one file: unpack or split it."
            )


@dataclass(frozen=True, slots=True)
class _Holder:
    """A file on its way: its member's name, the name its suffix and stem are taken from, its bytes."""

    name: str
    label: str
    data: bytes

    @property
    def stem(self) -> str:
        return PurePosixPath(self.label.rsplit(SEPARATOR, 1)[-1]).stem or self.label


_Inside = Iterator[tuple[str, bytes | Document | Problem]]


def parse_file(path: Path, limits: Limits = DEFAULT_LIMITS) -> tuple[Member, ...]:
    """The documents of one file, or why it has none. Never raises for what the file holds.

    A plain file is one member named "". A zip, an mbox, a mail with attachments give a member each.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(limits.max_bytes + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return (Member("", Problem("failed", "unreadable", f"The file cannot be read: {reason}.")),)
    except MemoryError as error:
        return (Member("", problem_of(error)),)
    if len(data) > limits.max_bytes:
        message = f"The file exceeds {limits.max_bytes >> 20} MB: split it."
        return (Member("", Problem("skipped", "too_large", message)),)
    budget = _Budget(limits.max_members, limits.max_unpacked_bytes)
    return tuple(_members(_Holder("", path.name, data), limits, budget, depth=0))


def _members(holder: _Holder, limits: Limits, budget: _Budget, depth: int) -> Iterator[Member]:
    """The members of one file, itself first; names of those deeper in are joined by `!/`."""
    try:
        if not holder.data:
            raise skipped("empty", "The file is empty.")
        suffix = sniff(holder.data, holder.label)
        inside = _CONTAINERS.get(suffix)
        if inside is None:
            yield Member(holder.name, _document(holder, suffix, limits))
            return
        if depth >= limits.max_depth:
            raise skipped("too_large", f"It lies {depth} containers deep: unpack the outer ones first.")
        count = 0
        for count, (name, content) in enumerate(inside(holder, limits), start=1):  # noqa: B007  read below
            yield from _inner_members(name, content, limits, budget, depth)
            if budget.members < 0 or budget.unpacked < 0:
                return
        if not count:
            raise skipped("empty", "The container holds no file.")
    except Exception as error:
        yield Member(holder.name, problem_of(error))


def _inner_members(
    name: str, content: bytes | Document | Problem, limits: Limits, budget: _Budget, depth: int
) -> Iterator[Member]:
    try:
        budget.take(len(content) if isinstance(content, bytes) else 0)
    except Unparsable as outcome:
        yield Member(name, outcome.problem)
        return
    if isinstance(content, bytes):
        yield from _members(_Holder(name, name, content), limits, budget, depth + 1)
    else:
        yield Member(name, content)


def problem_of(error: BaseException) -> Problem:
    """What a parser's exception means for the person whose file it is."""
    if isinstance(error, Unparsable):
        return error.problem
    if isinstance(error, MemoryError):
        gc.collect()
        return Problem("failed", "memory", "The file needs more memory than one file may take: split it.")
    if isinstance(error, RecursionError):
        return Problem("failed", "parser_error", "The file is nested too deeply to be read.")
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return Problem(
        "failed", "parser_error", f"The file cannot be read, is it damaged? Save it again. ({reason})"
    )


def _document(holder: _Holder, suffix: str, limits: Limits) -> Document:
    parsed = read(Source(holder.data, suffix, limits))
    if sum(len(piece.text) for piece in parsed.pieces) > limits.max_characters:
        raise skipped("too_large", f"It holds more than {limits.max_characters} characters: split it.")
    return assemble(
        holder.data,
        parsed.pieces,
        parsed.metadata,
        stem=holder.stem,
        pages=parsed.pages,
        headed=parsed.headed,
    )


def _inside_zip(holder: _Holder, limits: Limits) -> _Inside:
    with packages.open_zip(holder.data) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir() and not _is_litter(info.filename)]
        names = member_names(holder.name, [info.filename for info in infos])
        for name, info in zip(names, infos, strict=True):
            try:
                yield name, packages.read_member(archive, info, limits.max_unpacked_bytes)
            except Unparsable as outcome:
                yield name, outcome.problem


def _is_litter(filename: str) -> bool:
    """What operating systems leave in archives, and what is not read in a folder either."""
    parts = [part for part in filename.replace("\\", "/").split("/") if part not in (".", "..")]
    left = parts[:1] == ["__MACOSX"] or parts[-1:] in (["Thumbs.db"], ["desktop.ini"])
    return left or any(fnmatchcase(part, pattern) for part in parts for pattern in SKIPPED)


def _inside_mbox(holder: _Holder, limits: Limits) -> _Inside:
    from ingest.parse.mail import split_mbox

    contents = split_mbox(holder.data)
    if not contents:
        raise failed("parser_error", "The mailbox holds no line that starts a mail: is it an mbox?")
    names = member_names(holder.name, [str(number) for number in range(1, len(contents) + 1)])
    for name, content in zip(names, contents, strict=True):
        yield from _inside_eml(_Holder(name, name, content), limits)


def _inside_eml(holder: _Holder, limits: Limits) -> _Inside:  # noqa: ARG001  one signature for the table below
    from ingest.parse.mail import read_eml

    return _inside_mail(holder, read_eml)


def _inside_msg(holder: _Holder, limits: Limits) -> _Inside:  # noqa: ARG001
    from ingest.parse.mail import read_msg

    return _inside_mail(holder, read_msg)


def _inside_mail(holder: _Holder, reader: "Callable[[bytes], Mail]") -> _Inside:
    """The mail itself under its own name, then what is attached to it."""
    from ingest.parse.mail import mail_metadata, mail_pieces

    try:
        mail = reader(holder.data)
        yield holder.name, assemble(holder.data, mail_pieces(mail), mail_metadata(mail), stem=holder.stem)
    except Exception as error:
        yield holder.name, problem_of(error)
        return
    names = member_names(holder.name, [name for name, _ in mail.attachments])
    for name, (_, content) in zip(names, mail.attachments, strict=True):
        yield name, content


_CONTAINERS: dict[str, Callable[[_Holder, Limits], _Inside]] = {
    ".zip": _inside_zip,
    ".mbox": _inside_mbox,
    ".eml": _inside_eml,
    ".msg": _inside_msg,
}
