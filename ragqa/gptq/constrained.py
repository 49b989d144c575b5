"""Source lines under a constraint: after `Source:` only lines of blocks in the prompt can be written.

Knows no model: a constraint looks at the ids written so far and names the ids that may come next. Whatever
the weights say, a source that is not in the prompt cannot be written.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol

from ingest.types import Metadata
from ragqa.prompt import defuse_metadata

_WORD = r"(?:sources?|references?|source\(s\)|reference\(s\)|citations?)"
# A label begins a line, or stands capitalised behind the end of a sentence.
_AT_LINE = rf"(?:^|\n)[ \t>*_#\-(]*(?i:{_WORD})"
_IN_LINE = rf"(?<=[.!?)\]\"”'’])[ \t]+[(*_]*(?=[SRC])(?i:{_WORD})"
_LABEL_START = rf"(?:{_AT_LINE}|{_IN_LINE})[*_ \t]*"
_LABEL = re.compile(rf"{_LABEL_START}:[*_ \t]*(?P<newlines>\s*)\Z")
_LABEL_WORD = re.compile(rf"{_LABEL_START}\Z")
_PAST_COLON = re.compile(r"[*_ \t]*:\s*[^\s*_]")
_LOOK_BACK = 12
"""Tokens that a label and the character before it surely fit in."""


class Constraint(Protocol):
    """What may come next."""

    def allowed(self, ids: Sequence[int]) -> frozenset[int] | None:
        """The ids that may follow the reply's `ids` so far; None where any may."""
        ...


@dataclass(frozen=True, slots=True)
class _Place:
    """A place in a line of a block: the next id to write is `lines[block][line][offset]`.

    `first` is the line that the block's citation began with, `done` are the blocks cited before it.
    """

    block: int
    line: int
    offset: int
    first: int
    done: frozenset[int] = frozenset()


class SourceConstraint:
    """Any text up to a label; then lines of a block, whole, in their order, at least one; then the end, or
    another block's lines, of which the first has the key that the block before began with: so a reader of the
    reply knows them apart.

    `blocks` holds the metadata lines of each block of the prompt, `ends` the ids that end a reply. Without
    any line in the prompt, a label can only be followed by the end.
    """

    def __init__(self, blocks: Sequence[Metadata], tokenizer: Any, ends: frozenset[int]) -> None:
        self._tokenizer, self._ends = tokenizer, ends
        shown = [defuse_metadata(block) for block in blocks]
        self._keys = [[key for key, _ in lines] for lines in shown]
        self._lines = [[self._encode(f"\n{key}: {value}") for key, value in lines] for lines in shown]
        self._newline = self._encode("\n")
        self._seen: tuple[int, ...] = ()
        self._places: frozenset[_Place] | None = None

    def allowed(self, ids: Sequence[int]) -> frozenset[int] | None:
        """The ids that may follow, None before a label."""
        if tuple(ids[: len(self._seen)]) != self._seen:
            self._seen, self._places = (), None
        for number in range(len(self._seen), len(ids)):
            self._take(ids[: number + 1])
        self._seen = tuple(ids)
        if self._places is not None:
            return self._following(self._places)
        if _LABEL_WORD.search(self._decode(ids[-_LOOK_BACK:])):
            return _not_past_colon(self._tokenizer)
        return None

    def _take(self, ids: Sequence[int]) -> None:
        if self._places is not None:
            self._places = self._advance(self._places, ids[-1])
            return
        label = _LABEL.search(self._decode(ids[-_LOOK_BACK:]))
        if label:
            self._places = self._starts(newline_written=bool(label["newlines"]))

    def _starts(self, newline_written: bool) -> frozenset[_Place]:
        skip = len(self._newline) if newline_written else 0
        return frozenset(
            _Place(block, line, skip, first=line)
            for block, lines in enumerate(self._lines)
            for line, line_ids in enumerate(lines)
            if line_ids[:skip] == self._newline[:skip]
        )

    def _advance(self, places: frozenset[_Place], token: int) -> frozenset[_Place]:
        reached = set()
        for place in self._with_next_lines(places):
            ids = self._lines[place.block][place.line]
            if place.offset < len(ids) and ids[place.offset] == token:
                reached.add(replace(place, offset=place.offset + 1))
        return frozenset(reached)

    def _with_next_lines(self, places: frozenset[_Place]) -> set[_Place]:
        """The places, and where a line is whole the beginnings of what may follow it."""
        more = set(places)
        for place in places:
            lines = self._lines[place.block]
            if place.offset == len(lines[place.line]):
                later = range(place.line + 1, len(lines))
                more.update(replace(place, line=line, offset=0) for line in later)
                more.update(self._next_blocks(place))
        return more

    def _next_blocks(self, place: _Place) -> Iterator[_Place]:
        """The first lines of blocks that are not cited yet."""
        done = place.done | {place.block}
        key = self._keys[place.block][place.first]
        for block, keys in enumerate(self._keys):
            if block not in done and key in keys:
                line = keys.index(key)
                yield _Place(block, line, 0, first=line, done=done)

    def _following(self, places: frozenset[_Place]) -> frozenset[int]:
        found: set[int] = set()
        whole = False
        for place in self._with_next_lines(places):
            ids = self._lines[place.block][place.line]
            if place.offset < len(ids):
                found.add(ids[place.offset])
            else:
                whole = True
        return frozenset(found) | (self._ends if whole or not found else frozenset())

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))

    def _decode(self, ids: Sequence[int]) -> str:
        return _decoded(self._tokenizer, ids)


@lru_cache(maxsize=4)
def _not_past_colon(tokenizer: Any) -> frozenset[int]:
    """All ids but those that hold a label's colon together with the text behind it (`://`)."""
    texts = ((token, _decoded(tokenizer, [token])) for token in range(len(tokenizer)))
    return frozenset(token for token, text in texts if not _PAST_COLON.match(text))


def _decoded(tokenizer: Any, ids: Sequence[int]) -> str:
    text: str = tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text


def restrict(logits: Any, allowed: frozenset[int] | None) -> Any:
    """The logits (vocabulary,) with what is not allowed at minus infinity; unchanged where any may come."""
    if allowed is None:
        return logits
    import torch

    keep = torch.tensor(sorted(allowed), device=logits.device)
    masked = torch.full_like(logits, float("-inf"))
    masked[keep] = logits[keep]
    return masked
