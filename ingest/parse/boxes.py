"""Words with their boxes, beside each other in segments and lines. Pure: no PDF library.

Boxes in PDF points, origin at the lower left.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """Characters between white space. `hyphen`: a line's end cut the word, its hyphen is not in the text.

    `upright`: it runs as most of the page does; a stamp in the margin does not.
    """

    text: str
    x0: float
    y0: float
    x1: float
    y1: float
    size: float
    hyphen: bool = False
    bold: bool = False
    upright: bool = True


@dataclass(frozen=True, slots=True)
class PageText:
    """A page's words in drawing order, turned so that they run from left to right. `number` from 1.

    `quarter_turns`: how often most of its words are turned to the left on the page as it is stored.
    `filled_in`: some words were written into it later, so that they come last.
    """

    number: int
    words: tuple[Word, ...]
    quarter_turns: int = 0
    filled_in: bool = False


Box = tuple[float, float, float, float]


def turn(box: Box, quarter_turns: int) -> Box:
    """x0, y0, x1, y1 after so many quarter turns to the left around the origin."""
    x0, y0, x1, y1 = box
    for _ in range(quarter_turns % 4):
        x0, y0, x1, y1 = -y1, x0, -y0, x1
    return x0, y0, x1, y1


@dataclass(frozen=True, slots=True)
class Segment:
    """Words beside each other on one baseline without a wide gap."""

    words: tuple[Word, ...]
    x0: float
    y0: float
    x1: float
    y1: float
    size: float

    @property
    def text(self) -> str:
        return join_words(self.words)

    @property
    def upright(self) -> bool:
        return self.words[0].upright

    @property
    def middle(self) -> float:
        return (self.y0 + self.y1) / 2


@dataclass(frozen=True, slots=True)
class Row:
    """One line as the page shows it: its segments from left to right (one, or the cells of a table's row).

    In a table whose columns are known (`ingest.parse.columns`) each has its place among so many of them.
    """

    segments: tuple[Segment, ...]
    page: int
    places: tuple[int, ...] = ()
    columns: int = 0

    @property
    def x0(self) -> float:
        return min(segment.x0 for segment in self.segments)

    @property
    def y0(self) -> float:
        return min(segment.y0 for segment in self.segments)

    @property
    def x1(self) -> float:
        return max(segment.x1 for segment in self.segments)

    @property
    def y1(self) -> float:
        return max(segment.y1 for segment in self.segments)

    @property
    def size(self) -> float:
        return max(self.segments, key=lambda segment: segment.x1 - segment.x0).size

    @property
    def words(self) -> tuple[Word, ...]:
        return tuple(word for segment in self.segments for word in segment.words)

    @property
    def bold(self) -> bool:
        words = self.words
        return 2 * sum(len(word.text) for word in words if word.bold) > sum(len(word.text) for word in words)

    @property
    def text(self) -> str:
        cells = (
            dict(zip(self.places, self.segments, strict=True))
            if self.places
            else dict(enumerate(self.segments))
        )
        width = self.columns or len(self.segments)
        return "\t".join(cells[place].text if place in cells else "" for place in range(width))


def join_words(words: tuple[Word, ...]) -> str:
    """The words of a line; a hyphen that pdfium took for a line's end, but was none, is put back."""
    parts: list[str] = []
    for number, word in enumerate(words):
        parts.append(word.text)
        if number + 1 < len(words):
            parts.append("-" if word.hyphen else " ")
    return "".join(parts)


def segment_of(words: Sequence[Word]) -> Segment:
    weights: dict[float, int] = {}
    for word in words:
        weights[word.size] = weights.get(word.size, 0) + len(word.text)
    return Segment(
        tuple(words),
        min(word.x0 for word in words),
        min(word.y0 for word in words),
        max(word.x1 for word in words),
        max(word.y1 for word in words),
        max(weights, key=lambda size: weights[size]),
    )


def on_one_line(a: "Word | Segment", b: "Word | Segment") -> bool:
    least = min(a.y1 - a.y0, b.y1 - b.y0)
    return a.upright == b.upright and min(a.y1, b.y1) - max(a.y0, b.y0) > 0.5 * least
