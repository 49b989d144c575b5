"""Running heads and feet: the lines that the pages of a PDF repeat around their text. Pure.

In the text they would stand inside sentences, tables and lists that run over a page, and be found and quoted
for every page once more.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ingest.parse.boxes import Row
from ingest.sentences import Span

Rows = Sequence[Row]

_EDGE = 2  # lines at the top and at the bottom of a page that may be running ones
_OFTEN = 3  # pages that a line without the word "page" has to stand on
_SHARE, _MANY = 0.4, 8  # of the pages, and how many of them, a line without a number has to stand on
_LONGEST = 150
_SMALLER = 0.95  # than the text's type
_OF = r"(?:\s*(?:of|von|de|sur|di|van|av|из|/)\s*\d{1,4})"
_PAGE = r"(?:page|seite|página|pagina|pág|sida|side|strona|страница|стр)\.?\s*"
# What says that its number is the page's: "Page 3 of 9" at either end of a line, "3 / 9" or "- 3 -" alone.
_PAGE_WORD = re.compile(
    rf"(?:^|.*[\s\W]){_PAGE}(\d{{1,4}}){_OF}?\W*$|^\W*{_PAGE}(\d{{1,4}})\b{_OF}?(?=\s|\W|$)", re.IGNORECASE
)
_ALONE = re.compile(rf"^\W*(\d{{1,4}}){_OF}?\W*$", re.IGNORECASE)
_AT_AN_END = re.compile(r"^\W*(\d{1,4})\s+\D*$|^\D.*?\s(\d{1,4})\W*$")
_NUMBERS = re.compile(r"\d+|\s+")
_WORDS = re.compile(r"\w")
_PAGE_BEFORE = re.compile(rf"[\[(]?\b{_PAGE}$", re.IGNORECASE)
_OF_BEHIND = re.compile(rf"^{_OF}?[\])]?", re.IGNORECASE)
_NOTICE = re.compile(
    r"://|www\.|[@©]|\b(?:confidential|registered|downloaded|generated|printed)\b", re.IGNORECASE
)
_TITLE = 100  # characters of a running line that may be a title
_PARTING = " \t,;|–—-·•/"
_ENDS = (".", "!", "?", ":", ";", ",")


@dataclass(frozen=True, slots=True)
class _Edge:
    """A row at the top or bottom of its page, and the number in it that may be the page's."""

    row: Row
    top: bool
    inner: tuple[Row, ...]
    """What stands next to it on the side of the text."""
    beyond: bool
    """Too far in to be a running line itself; what is further out may stand apart with it."""

    @property
    def set_apart(self) -> bool:
        return all(_gap(self.row, other) > 0.8 * max(self.row.size, 1.0) for other in self.inner)

    @property
    def form(self) -> str:
        return _NUMBERS.sub("", self.row.text).casefold()

    @property
    def worded(self) -> bool:
        return _PAGE_WORD.match(self.row.text) is not None

    @property
    def offset(self) -> int | None:
        """The page's number as printed, less the page's place in the file."""
        span = self._number
        return int(self.row.text[slice(*span)]) - self.row.page if span else None

    @property
    def unpaged(self) -> str:
        """The line without that number, the word before it and what parts it from the rest."""
        start, end = self._number or (len(self.row.text), len(self.row.text))
        before = _PAGE_BEFORE.sub("", self.row.text[:start])
        behind = _OF_BEHIND.sub("", self.row.text[end:])
        return f"{before.rstrip(_PARTING)}{behind.lstrip(_PARTING)}"

    @property
    def _number(self) -> Span | None:
        text = self.row.text
        found = _PAGE_WORD.match(text) or _ALONE.match(text) or _AT_AN_END.match(text)
        return found.span(found.lastindex or 0) if found else None  # one of its groups has the number


class Body(NamedTuple):
    """Pages without their running lines."""

    pages: list[list[Row]]
    once: list[Row]
    """One of each running line without a page number: it may say what nothing else does (an address)."""
    running: list[str]
    """The texts of all running lines, without page numbers, the most frequent first."""


def without_running(pages: Sequence[Rows]) -> Body:
    """The pages without their running lines. All rows stay where none would be left."""
    groups: dict[tuple[str, bool, bool], list[_Edge]] = defaultdict(list)
    for rows in pages:
        for edge in _edges(rows):
            groups[edge.form, edge.top, edge.beyond].append(edge)
    size = _body_size(pages)
    near = [group for group in groups.values() if not group[0].beyond]
    counting = [edge for group in near for edge in _numbered(group, size)]
    numbered = [edge.row for edge in counting]
    gone = {id(row) for row in numbered}
    repeated = [found for group in groups.values() if (found := _repeated(group, size, len(pages)))]
    running = gone
    for _ in range(_EDGE + 1):  # from the innermost, each line may make the next one stand apart
        apart = [group for group in repeated if _is_apart(group, size, running)]
        running = gone | {id(edge.row) for group in apart for edge in group}
    repeated = [group for group in apart if not group[0].beyond]
    running = gone | {id(edge.row) for group in repeated for edge in group}
    kept = [[row for row in rows if id(row) not in running] for rows in pages]
    if not any(kept):
        return Body([list(rows) for rows in pages], [], [])
    said = {row.text for rows in kept for row in rows}
    once = [group[0].row for group in repeated if id(group[0].row) not in gone]
    texts = Counter(edge.unpaged for edge in counting)
    texts += Counter(edge.row.text for group in repeated for edge in group if id(edge.row) not in gone)
    unsaid = [row for row in once if row.text not in said]
    return Body(kept, unsaid, [text for text, _ in texts.most_common()])


def full_title(title: str, running: Sequence[str]) -> str:
    """The running line that says the title, of two words or more, and something else; "" if none does.

    "Apple Inc. | Q3 2022 Form 10-Q" tells a document from its neighbours, "FORM 10-Q" on its first page does
    not. What pages say of themselves otherwise (addresses, notices, who printed them) are no titles.
    """
    if len(title.split()) < 2:
        return ""
    said = re.compile(rf"(?<!\w){re.escape(title)}(?!\w)", re.IGNORECASE)
    for line in running:
        says_more = said.search(line) and _WORDS.search(said.sub("", line))
        if says_more and len(line) <= _TITLE and not _NOTICE.search(line):
            return line
    return ""


def _edges(rows: Rows) -> Iterator[_Edge]:
    levels: list[list[Row]] = []
    for row in sorted(rows, key=lambda one: -one.y0):
        if levels and row.y1 > (levels[-1][0].y0 + levels[-1][0].y1) / 2:
            levels[-1].append(row)
        else:
            levels.append([row])
    for top in (True, False):
        inwards = levels if top else levels[::-1]
        for depth, level in enumerate(inwards[: _EDGE + 1]):
            inner = inwards[depth + 1] if depth + 1 < len(inwards) else ()
            for row in level:
                if len(row.text) <= _LONGEST and all(segment.upright for segment in row.segments):
                    yield _Edge(row, top, tuple(inner), depth == _EDGE)


def _gap(row: Row, other: Row) -> float:
    return max(row.y0 - other.y1, other.y0 - row.y1)


def _numbered(group: Sequence[_Edge], size: float) -> list[_Edge]:
    """Those of lines alike whose number goes up with the pages; on one page only with the word for it."""
    first = group[0]
    if not first.form or first.worded:
        least = 1 if first.worded and first.set_apart else 2
    elif first.row.text.endswith(_ENDS) or first.row.size > 1.05 * size or not _may_be_paged(first, size):
        return []
    else:
        least = 2 if _ALONE.match(first.row.text) else _OFTEN
    offsets = Counter(edge.offset for edge in group if edge.offset is not None)
    if not offsets:
        return []
    offset, count = offsets.most_common(1)[0]
    alike = [edge for edge in group if edge.offset == offset]
    if count < least or (count == 1 and offset):
        return []
    # Two numbers in a row are chance, unless they stand at one place; pages that are not full end anywhere.
    return alike if count >= _OFTEN or _on_one_level(alike) else []


def _may_be_paged(edge: _Edge, size: float) -> bool:
    """Whether its number may be the page's: "Flat 101" to "Flat 103" in the type of the text are no pages."""
    if not _WORDS.search(edge.form):
        return True
    row = edge.row
    alone = len(row.segments) > 1 and any(_ALONE.match(segment.text) for segment in row.segments)
    return not row.bold and (alone or row.size < _SMALLER * size)


def _repeated(group: Sequence[_Edge], size: float, pages: int) -> list[_Edge]:
    """Those of lines alike that say the same on many pages; on a few, or larger, they head what goes on."""
    text, _ = Counter(edge.row.text for edge in group).most_common(1)[0]
    same = [edge for edge in group if edge.row.text == text]
    few = len({edge.row.page for edge in same}) < max(_OFTEN, min(_SHARE * pages, _MANY))
    if few or same[0].row.size > 1.05 * size or not _on_one_level(same):
        return []
    # The first row of a table that goes on is repeated too, but close to the next.
    table = len(same[0].row.segments) > 1 and not all(edge.set_apart for edge in same)
    return [] if table else same


def _is_apart(group: Sequence[_Edge], size: float, running: Collection[int]) -> bool:
    """Whether most of them stand or look apart from the text, or beyond a running line; else they end it."""
    found = [
        edge.set_apart or edge.row.size < _SMALLER * size or any(id(row) in running for row in edge.inner)
        for edge in group
    ]
    return 2 * sum(found) > len(found)


def _on_one_level(edges: Sequence[_Edge]) -> bool:
    heights = [edge.row.y0 for edge in edges]
    return max(heights) - min(heights) < 4.0


def _body_size(pages: Sequence[Rows]) -> float:
    """The size of most characters."""
    weights: Counter[float] = Counter()
    for rows in pages:
        for row in rows:
            weights[round(2 * row.size) / 2] += len(row.text)
    return weights.most_common(1)[0][0] if weights else 0.0
