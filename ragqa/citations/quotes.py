"""The sentences of the packed blocks, and which of them a text repeats word for word. Pure."""

import re
from collections.abc import Sequence, Set
from typing import NamedTuple

from ingest.sentences import Span, sentence_spans
from ragqa.candidates import items_in_words, rows_in_words
from ragqa.citations.words import STOP_STEMS, stem, tokens
from ragqa.prompt.defusing import clean
from ragqa.types import ContextBlock

_LINE = re.compile(r"\S(?:.*\S)?")
_WHOLE = re.compile(r"[.!?。！？][\"'”’)\]]*$")
_PLAIN_WORD = re.compile(r"[^\W_]+")
_NO_SPACES = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")


class Quote(NamedTuple):
    """A sentence of the block at place `block`; `start` and `end` are offsets into the block's text."""

    block: int
    start: int
    end: int
    text: str
    words: frozenset[str]


class Library:
    """All sentences of the blocks; those of claimed blocks come first where two read the same."""

    def __init__(self, blocks: Sequence[ContextBlock], claimed: Set[str]) -> None:
        self.claimed = {place for place, block in enumerate(blocks) if block.key in claimed}
        self.quotes = [
            Quote(place, start, end, block.text[start:end], plain_words(block.text[start:end]))
            for place, block in enumerate(blocks)
            for start, end in sentence_spans(block.text)
        ]
        self._texts = [block.text for block in blocks]
        self._rows = {
            one_space(shown): [(place, *span) for span in spans]
            for place, block in enumerate(blocks)
            for shown, spans in rows_in_words(block)
        }
        self._items = {
            one_space(said): [(place, *span) for span in spans]
            for place, block in enumerate(blocks)
            for said, spans in items_in_words(block)
        }
        self._beginnings: dict[str, list[tuple[str, int]]] = {}
        by_claim = sorted(
            range(len(self.quotes)), key=lambda number: self.quotes[number].block not in self.claimed
        )
        for number in by_claim:
            text = one_space(self.quotes[number].text)
            self._beginnings.setdefault(_beginning(text, 0), []).append((text, number))

    def row(self, text: str) -> tuple[Quote, ...]:
        """The table row that the text names cell by cell, and its header; none where it is no such row."""
        return self._known(self._rows.get(one_space(text), []))

    def item(self, text: str) -> tuple[Quote, ...]:
        """The list's item that the text says behind the line that introduces it, and that line, else none."""
        return self._known(self._items.get(one_space(text), []))

    def _known(self, wanted: Sequence[tuple[int, int, int]]) -> tuple[Quote, ...]:
        found = {(quote.block, quote.start, quote.end): quote for quote in self.quotes} if wanted else {}
        return tuple(found[key] for key in wanted if key in found)

    def sentences(self, answer: str) -> tuple[Span, ...]:
        """The sentences of an answer. A line that is a table row or a list's item behind the line that
        introduces it stays whole, whatever full stops it has.
        """
        lines = _LINE.finditer(answer)
        rows = [line.span() for line in lines if self.row(line.group()) or self.item(line.group())]
        edges = [0, *(edge for row in rows for edge in row), len(answer)]
        found = list(rows)
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            found += [(start + first, start + last) for first, last in sentence_spans(answer[start:end])]
        return tuple(sorted(found))

    def copied(self, text: str, most: int) -> tuple[Quote, ...]:
        """The sentences that the text is made of, white space aside; none if it is not, or of too many.

        Sentences that follow each other in a block become one quote where there would be more than `most`.
        """
        wanted = one_space(text)
        numbers: list[int] = []
        position = 0
        while position < len(wanted):
            found = self._at(wanted, position, numbers[-1] if numbers else None)
            if found is None:
                return ()
            numbers.append(found[1])
            position += len(found[0]) + 1
        return self._quotes(self._runs(numbers), most)

    def _at(self, wanted: str, position: int, last: int | None) -> tuple[str, int] | None:
        """The longest sentence at a place; of equals the one behind the last, else the first by claim."""
        best: tuple[str, int] | None = None
        for text, number in self._beginnings.get(_beginning(wanted, position), ()):
            end = position + len(text)
            fits = wanted.startswith(text, position) and (end == len(wanted) or wanted[end] == " ")
            follows = last is not None and number == last + 1
            if fits and (best is None or len(text) > len(best[0]) or (len(text) == len(best[0]) and follows)):
                best = text, number
        return best

    def _runs(self, numbers: Sequence[int]) -> list[list[Quote]]:
        """Sentences, those together that follow each other in a block."""
        runs: list[list[Quote]] = []
        before = -2
        for number in numbers:
            quote = self.quotes[number]
            if number == before + 1 and runs[-1][-1].block == quote.block:
                runs[-1].append(quote)
            else:
                runs.append([quote])
            before = number
        return runs

    def _quotes(self, runs: Sequence[list[Quote]], most: int) -> tuple[Quote, ...]:
        """The quotes of a text; none where a heading and a line of elsewhere make it: together they say what
        neither does.
        """
        if len(runs) > 1 and any(len(run) == 1 and not _WHOLE.search(run[0].text) for run in runs):
            return ()
        if sum(map(len, runs)) <= most:
            return tuple(dict.fromkeys(quote for run in runs for quote in run))
        return tuple(map(self._joined, runs)) if len(runs) <= most else ()

    def _joined(self, run: Sequence[Quote]) -> Quote:
        text = self._texts[run[0].block][run[0].start : run[-1].end]
        return run[0]._replace(end=run[-1].end, text=text)


def plain_words(text: str) -> frozenset[str]:
    """Stems without the care of `tokens`: fast, to find candidates."""
    if not text.isascii() and _NO_SPACES.search(text):
        return frozenset(token.form for token in tokens(text)) - STOP_STEMS
    return frozenset(map(stem, _PLAIN_WORD.findall(text))) - STOP_STEMS


def lower_case_words(text: str) -> frozenset[str]:
    """Stems of the words that stand in small letters somewhere in the text."""
    return frozenset(stem(word) for word in set(_PLAIN_WORD.findall(text)) if word.islower())


def one_space(text: str) -> str:
    return " ".join(clean(text).split())


def _beginning(text: str, position: int) -> str:
    """What sentences are looked up by: their first word."""
    end = text.find(" ", position)
    return text[position : end if end >= 0 else len(text)]
