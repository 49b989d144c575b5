"""Lists in the text of a block: which pieces are items of one list, and the line that introduces them. Pure.

An item says its part of a sentence: "fines and penalties" is covered or excluded, as the line above the list
has it. Where it is not certain which line that is, an item has none.
"""

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from itertools import pairwise

from ingest.sentences import Span
from ragqa.tables import LABELS

_BULLETS = "-*+•‣◦▪▸●○■□·–—"
_MARKER = re.compile(
    rf"(?P<bullet>[{_BULLETS}])[ \t]+(?=\S)"
    r"|(?P<open>\(?)(?P<path>(?:\d{1,2}\.)*)"
    r"(?:(?P<number>\d{1,2})|(?P<letter>[a-z](?=[.)])|[A-Z](?=\)))|(?P<roman>[ivx]{2,5})(?=[.)]))(?P<close>[.)]?)\s+(?=\S)"
)
_ROMAN = "i ii iii iv v vi vii viii ix x xi xii xiii xiv xv".split()  # noqa: SIM905
_COMPLETED = re.compile(
    r"(?:[,–—]|\b(?:shall|must|may|will|cannot|can|to|of|for|if|not|is|are|where|that|the|by|with|who|which|any"
    r"|when|unless|includes?|including))$",
    re.IGNORECASE,
)
"""Ends of a line that no sentence ends with: what stands below completes it."""


@dataclass(frozen=True, slots=True)
class ItemList:
    """The items of a list in order, each the places of its pieces; what belongs to an item goes with it.

    `opening` is the place of the line that introduces the list, `introduced` are the places of the items that
    it certainly introduces. `kind` tells its markers from those of other lists, "" where it has none, `first`
    is the number of its first item, 0 where it has none.
    """

    kind: str
    first: int
    opening: int | None
    introduced: tuple[int, ...]
    items: tuple[tuple[int, ...], ...]

    @property
    def is_clauses(self) -> bool:
        """Whether its numbers are those of clauses, as 3.1 and 3.2."""
        return "." in self.kind[:-1]

    @property
    def is_numbered(self) -> bool:
        """Whether the items are in an order of their own: not by bullets, nor as clauses are."""
        return self.first > 0 and not self.is_clauses

    @property
    def begins(self) -> bool:
        """Whether its first item is in the block."""
        return self.first < 2

    @property
    def places(self) -> tuple[int, ...]:
        return tuple(place for item in self.items for place in item)


@dataclass(slots=True)
class _Open:
    """A list that is being read; `last` is the last place that surely belongs to it.

    `interrupted` says that its opening may not be that of the items to come, `paused` that something stands
    behind its last item which belongs to it only where another follows.
    """

    kind: str
    first: int
    number: int
    opening: int | None
    starts: list[int]
    introduced: list[int]
    last: int
    interrupted: bool = False
    paused: bool = False

    def follows(self, kind: str, number: int) -> bool:
        return kind == self.kind and (number == 0 or number == self.number + 1)


@dataclass(slots=True)
class _Lists:
    """Reads the pieces in order: `open` are the lists that may go on, the innermost last. `before` is the
    piece before the one that is read, and `paragraph` whether it begins a paragraph.
    """

    text: str
    spans: Sequence[Span]
    headings: Set[int]
    found: list[_Open] = field(default_factory=list)
    open: list[_Open] = field(default_factory=list)
    before: int | None = None
    paragraph: bool = True

    def read(self, place: int, readings: Sequence[tuple[str, int]]) -> None:
        parted = self.before is None or self._apart(self.before, place)
        if (readings and self._item(place, readings)) or self._line(place, parted=parted):
            self._belongs(place)
        elif parted:
            self.open = [one for one in self.open if one.first]
            for one in self.open:
                one.interrupted = one.paused = True
        elif self.open and self.open[-1].last == self.before:
            self._belongs(place)
        self.before, self.paragraph = place, parted

    def ends(self, place: int, *, heads: bool) -> None:
        """A heading, which may introduce a list, or a row of a table, which does not."""
        self.open = []
        self.before, self.paragraph = place if heads else None, True

    def _item(self, place: int, readings: Sequence[tuple[str, int]]) -> bool:
        """Take the piece for the next item of a list or the first of a new one, if it can be either."""
        opening = self.before if self._opens(place) else None
        going_on = [
            (depth, number)
            for depth, one in enumerate(self.open)
            for kind, number in readings
            if one.follows(kind, number)
        ]
        anew = opening is not None and self.paragraph and not self._is_marked(opening)
        if going_on and not anew:
            depth, number = going_on[-1]
            del self.open[depth + 1 :]
            self._goes_on(place, number, doubtful=opening is not None)
            return True
        first = [one for one in readings if one[1] < 2 or opening is not None]
        if first:
            kind, number = first[0]
            introduced = [] if opening is None else [place]
            begun = _Open(kind, number, number, opening, [place], introduced, place)
            self.found.append(begun)
            self.open.append(begun)
        return bool(first)

    def _line(self, place: int, *, parted: bool) -> bool:
        """Take a line without a marker for an item, as bullets are not always stored: in the paragraph behind
        a line that ends with a colon.
        """
        if parted and self.before is not None and self.before not in self.headings and self._announces():
            begun = _Open("", 0, 0, self.before, [place], [place], place)
            self.found.append(begun)
            self.open.append(begun)
            return True
        last = self.open[-1] if self.open else None
        if parted or last is None or last.kind or last.last != self.before:
            return False
        if _begins_line(self.text, self.spans[place][0]):
            last.starts.append(place)
            last.introduced.append(place)
        return True

    def _belongs(self, place: int) -> None:
        for one in self.open:
            one.last = one.last if one.paused else place

    def _goes_on(self, place: int, number: int, *, doubtful: bool) -> None:
        one = self.open[-1]
        one.number, one.paused = number, False
        one.starts.append(place)
        one.interrupted = one.interrupted or doubtful
        if one.opening is not None and not one.interrupted:
            one.introduced.append(place)

    def _opens(self, place: int) -> bool:
        """Whether the piece before introduces a list that begins at the place."""
        if self.before is None:
            return False
        line = self._text(self.before).rstrip("*_ ")
        if line.endswith(":"):
            return self._announces()
        begun = _MARKER.sub("", self._text(place), count=1)[:1].islower()
        return begun and self.before not in self.headings and _COMPLETED.search(line) is not None

    def _announces(self) -> bool:
        """Whether the piece before ends with a colon, and is no label that announces a reply's sources."""
        line = "" if self.before is None else self._text(self.before).rstrip("*_ ")
        named = line[:-1].strip("*_# ").casefold()
        return line.endswith(":") and any(map(str.isalpha, line)) and named not in LABELS

    def _is_marked(self, place: int) -> bool:
        return is_item(self._text(place)) and _begins_line(self.text, self.spans[place][0])

    def _apart(self, one: int, other: int) -> bool:
        """Whether a blank line parts two pieces."""
        return "\n\n" in self.text[self.spans[one][1] : self.spans[other][0]]

    def _text(self, place: int) -> str:
        start, end = self.spans[place]
        return self.text[start:end]


def lists_in(
    text: str, spans: Sequence[Span], headings: Set[int], rows: Set[int], running: Set[int]
) -> tuple[ItemList, ...]:
    """The lists of a text that is cut into pieces, in the order in which they begin.

    Headings and rows of tables, given by their places, end lists; running lines stand in none.
    """
    reading = _Lists(text, spans, headings)
    for place, (start, end) in enumerate(spans):
        if place in running:
            continue
        if place in headings or place in rows:
            reading.ends(place, heads=place in headings)
        else:
            margin = start - text.rfind("\n", 0, start) - 1
            reading.read(place, _readings(text[start:end], margin) if _begins_line(text, start) else ())
    return tuple(_closed(one, running) for one in reading.found)


def is_item(line: str) -> bool:
    """Whether a line begins with the marker of an item."""
    return bool(_readings(line))


def follows(line: str, before: str) -> bool:
    """Whether a line's marker is the next of the one that the line before begins with."""
    known = _readings(before)
    return any(
        kind == other and (number == 0 or number == last + 1)
        for kind, number in _readings(line)
        for other, last in known
    )


def _readings(line: str, margin: int = 0) -> tuple[tuple[str, int], ...]:
    """What a line's marker may be, as kind and number; "i." is a letter or a number. Bullets have 0, and are
    of one list where the margins are alike.

    A number without a sign is a marker only before a capital: "2 Switch off", not "60 per cent".
    """
    match = _MARKER.match(line)
    if match is None:
        return ()
    if match["bullet"]:
        return ((f"{match['bullet']}{margin}", 0),)
    around = f"{match['open']}{match['path']}%s{match['close']}"
    bare = not (match["open"] or match["path"] or match["close"])
    if match["number"]:
        sure = not bare or line[match.end()].isupper()
        return ((around % "1", int(match["number"])),) if sure else ()
    found: list[tuple[str, int]] = []
    word = match["letter"] or match["roman"]
    if word in _ROMAN:
        found.append((around % "i", _ROMAN.index(word) + 1))
    if match["letter"]:
        found.append((around % ("A" if word.isupper() else "a"), ord(word.casefold()) - ord("a") + 1))
    return tuple(found)


def _closed(one: _Open, running: Set[int]) -> ItemList:
    edges = [*one.starts, one.last + 1]
    items = tuple(
        tuple(place for place in range(start, end) if place not in running) for start, end in pairwise(edges)
    )
    return ItemList(one.kind, one.first, one.opening, tuple(one.introduced), items)


def _begins_line(text: str, start: int) -> bool:
    return not text[text.rfind("\n", 0, start) + 1 : start].strip()
