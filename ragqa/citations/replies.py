"""What a model wrote, taken apart: the answer, the blocks it claims, whether it refuses. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ingest.sentences import sentence_spans
from ragqa.citations.quotes import one_space
from ragqa.citations.refusals import refuses, stands_in
from ragqa.prompt.defusing import clean, restore
from ragqa.prompt.grammar import defuse_metadata, normalise
from ragqa.prompt.metadata import IDENTIFYING
from ragqa.types import ContextBlock, Prompt


@dataclass(frozen=True, slots=True)
class Reply:
    """`claimed` are keys of blocks in the prompt, `invented` the cited lines that name none of them."""

    answer: str
    claimed: tuple[str, ...]
    invented: tuple[str, ...]
    refuses: bool


_LABEL = r"(?:sources?|references?|reference\(s\)|source\(s\)|citations?)"
_LABEL_LINE = re.compile(
    rf"^[ \t>*_#\-]*{_LABEL}[ \t*_]*:[ \t*_]*(?P<rest>[^\n]*)$", re.IGNORECASE | re.MULTILINE
)
# Inside a line only behind the end of a sentence, and capitalised: "the main source: coal" is prose.
_LABEL_INLINE = re.compile(
    r"(?<=[.!?)\]\"”'’])[ \t]+\(?[*_]*(?:Sources?|References?|Reference\(s\)|Source\(s\)|SOURCES?)[*_]*:"
    r"[ \t*_]*(?P<rest>[^\n]*)$",
    re.MULTILINE,
)
_IN_BRACKETS = re.compile(
    rf"[ \t]*[(\[](?:see )?(?:{_LABEL}|ref|url|date)\.?:?[ \t]+(?P<rest>[^()\[\]\n]{{1,400}})[)\]]",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"[ \t]*\[(?:source )?(?P<numbers>\d{1,2}(?:\s*[,;]\s*\d{1,2})*)\]", re.IGNORECASE)
_BULLET = re.compile(r"^[ \t>]*(?:[-*+•‣·–—][ \t]+|\(?\d{1,2}[.)][ \t]+|\[(?P<number>\d{1,2})\]:?[ \t]*)?")
_URL = re.compile(r"(?:https?://|www\.)[^\s<>\"')\]]+")
_MARKDOWN_LINK = re.compile(r"\[([^\[\]]*)\]\((\S+?)\)")
_TURN = re.compile(r"BEGININPUT|BEGININSTRUCTION|^[ \t]*(?:USER|ASSISTANT|Human|### ?\w+) ?:", re.MULTILINE)
_LEFTOVERS = re.compile(
    r"BEGIN(?:INPUT|CONTEXT|INSTRUCTION)|END(?:INPUT|CONTEXT|INSTRUCTION)|</?s>|<\|[^|\n]{0,40}\|>|\[/?INST\]"
)
_OPENING = re.compile(r"\s*(?:(?:ASSISTANT|Assistant|Answer|ANSWER|Response)[ \t*]*:|\*\*Answer:?\*\*:?)\s*")
_LONGEST = 600  # characters of a label's sentence that may be a document's own
_KEYS = ("date", "url", "source", "title", "author", *IDENTIFYING)


def parse_reply(raw: str, prompt: Prompt) -> Reply:
    """Take a raw reply apart. Total: any text gives a Reply; `claimed` names only blocks of this prompt."""
    text = restore(_one_turn(clean(raw)))  # what a document has of markers and roles ends no turn
    reading = _Reading(text, prompt.blocks)
    answer = _tidy(reading.answer)
    return Reply(answer, reading.claimed, reading.invented, refuses(answer, prompt.blocks))


def _one_turn(text: str) -> str:
    """Without the prompt it may have repeated, and without the turn it may have made up behind its own."""
    if "ENDINSTRUCTION" in text:
        before, _, after = text.rpartition("ENDINSTRUCTION")
        text = after if after.strip() else before
    text = _OPENING.sub("", text, count=1) if _OPENING.match(text) else text
    for turn in _TURN.finditer(text):
        if text[: turn.start()].strip():
            text = text[: turn.start()]
            break
    return _LEFTOVERS.sub("", text)


def _tidy(text: str) -> str:
    text = re.sub(r"[ \t]+([.,;:!?](?:\s|$))", r"\1", text) if _NUMBERED.search(text) else text
    return re.sub(r"\n{3,}", "\n\n", text).strip()


class _Reading:
    """Splits text into answer and source lines, and looks the lines up among the blocks."""

    def __init__(self, text: str, blocks: Sequence[ContextBlock]) -> None:
        self.blocks = blocks
        self.texts = [_flat(block.text) for block in blocks]
        self.values = [
            {key.casefold(): normalise(value) for key, value in defuse_metadata(b.metadata)} for b in blocks
        ]
        self.keys = {key for values in self.values for key in values} | set(_KEYS)
        self._found: dict[str, None] = {}
        self._unknown: dict[str, None] = {}
        self.numbers: dict[int, tuple[str, ...]] = {}
        text = self._without_trailing_lines(self._without_label_parts(text))
        text = _IN_BRACKETS.sub(self._bracket, text)
        self.answer = _NUMBERED.sub(self._number, text)
        self.claimed = tuple(self._found)
        self.invented = tuple(self._unknown)

    def _without_label_parts(self, text: str) -> str:
        """Take out each label with the source lines behind it; prose behind them stays."""
        kept: list[str] = []
        position = 0
        while match := _first(_LABEL_LINE.search(text, position), _LABEL_INLINE.search(text, position)):
            rest = match["rest"].strip().rstrip("*_")
            end = match.end()
            said = len(match.group()) if self._is_prose(rest) else self._quoted(match.group())
            if said:
                kept.append(text[position : match.start() + said])
                position = match.start() + said
                continue
            lines = [rest] if rest else []
            for line_end, line in _lines(text, end):
                if line.strip() and not self._is_source_line(line, first=not lines):
                    break
                lines.append(line)
                end = line_end
            self._claim(lines)
            kept.append(text[position : match.start()])
            position = end
        kept.append(text[position:])
        return "".join(kept)

    def _without_trailing_lines(self, text: str) -> str:
        """Metadata lines of a block at the end, without a label."""
        lines = text.rstrip().split("\n")
        count = 0
        while count < len(lines) - 1 and self._names_a_block(lines[-1 - count]):
            count += 1
        if count:
            self._claim(lines[len(lines) - count :])
        return "\n".join(lines[: len(lines) - count]) if count else text

    def _names_a_block(self, line: str) -> bool:
        pair = self._pair(line)
        return pair is not None and any(values.get(pair[0]) == pair[1] for values in self.values)

    def _is_prose(self, rest: str) -> bool:
        """Whether what follows "Source:" is a sentence about sources."""
        words = rest.split()
        sentence = len(words) >= 8 and rest[-1:] in ".!?" and not _URL.search(rest)
        return sentence and not self._lookup([rest])[0]

    def _quoted(self, text: str) -> int:
        """The length of the first sentence, if a document says it ("Reference: LT-2031-B"), else 0.

        What names a block is a source line all the same: what documents say must not hide it.
        """
        _, end = next(iter(sentence_spans(text[:_LONGEST])), (0, 0))
        rest = text[:end].partition(":")[2].strip(" \t*_")
        if not rest or end == _LONGEST or self._lookup([rest])[0]:
            return 0
        said = _flat(text[:end]).lstrip(" >_#-")
        return end if any(stands_in(said, block) for block in self.texts) else 0

    def _is_source_line(self, line: str, *, first: bool) -> bool:
        bare = line[_end_of_bullet(line) :].strip()
        if self._pair(line) is not None or _URL.match(bare) or _MARKDOWN_LINK.match(bare):
            return True
        if self._lookup([line])[0] and len(bare) <= 300:
            return True
        listed = _end_of_bullet(line) > 0 and len(bare.split()) <= 15 and bare[-1:] not in ".!?"
        return listed or (first and len(bare.split()) <= 12 and bare[-1:] not in ".!?:")

    def _pair(self, line: str) -> tuple[str, str] | None:
        """Key and normalised value of a metadata line."""
        key, colon, value = line[_end_of_bullet(line) :].strip().partition(":")
        key = key.strip(" *_`").casefold()
        return (key, normalise(value)) if colon and key in self.keys else None

    def _claim(self, lines: Sequence[str]) -> None:
        """Look up groups of lines; a blank line, a bullet or a key seen before starts the next group."""
        group: list[str] = []
        seen: set[str] = set()
        for line in (*self._split_pairs(lines), ""):
            bullet = _BULLET.match(line)
            pair = self._pair(line)
            listed = bullet is not None and bullet.end() > len(line) - len(line.lstrip())
            starts = not line.strip() or listed or (pair is not None and pair[0] in seen)
            if group and (starts or pair is None):
                self._claim_group(group)
                group, seen = [], set()
            if line.strip():
                group.append(line)
                seen |= {pair[0]} if pair else set()

    def _split_pairs(self, lines: Sequence[str]) -> Iterator[str]:
        """`date: … url: …` written on one line, as several."""
        keys = "|".join(map(re.escape, sorted(self.keys, key=len, reverse=True)))
        inner = re.compile(rf"[ \t]*[,;|]?[ \t]+(?=(?:{keys}):[ \t])", re.IGNORECASE)
        for line in lines:
            whole = self._pair(line)
            known = whole is not None and any(values.get(whole[0]) == whole[1] for values in self.values)
            yield from [line] if known or whole is None else inner.split(line)

    def _claim_group(self, group: list[str]) -> None:
        places, number = self._lookup(group)
        keys = tuple(self.blocks[place].key for place in places)
        self._found.update(dict.fromkeys(keys))
        if number is not None:
            self.numbers[number] = keys
        if not keys:
            shown = "; ".join(line.strip() for line in group)
            self._unknown[shown] = None

    def _lookup(self, group: Sequence[str]) -> tuple[tuple[int, ...], int | None]:
        """The blocks that most of the lines name, and the number in the list, if it has one."""
        bullet = _BULLET.match(group[0])
        number = int(bullet["number"]) if bullet and bullet["number"] else None
        scores = [0] * len(self.blocks)
        for line in group:
            named = self._named(line)
            if named is None:
                return (), number  # a source or url that no block has: the rest of the lines cannot save it
            for place in named:
                scores[place] += 1
        pairs = {pair for line in group if (pair := self._pair(line)) is not None}
        ranks = [(score, -self._unsaid(place, pairs)) for place, score in enumerate(scores)]
        best = max(ranks, default=(0, 0))
        return tuple(place for place, rank in enumerate(ranks) if best[0] and rank == best), number

    def _unsaid(self, place: int, pairs: set[tuple[str, str]]) -> int:
        """How many lines that tell a block apart from others of its source were not written."""
        own = {(key, value) for key, value in self.values[place].items() if key in IDENTIFYING[1:]}
        return len(own - pairs)

    def _named(self, line: str) -> set[int] | None:
        """Blocks that one line names; None where it names a source that is not there."""
        pair = self._pair(line)
        if pair is not None:
            key, value = pair
            exact = {place for place, values in enumerate(self.values) if values.get(key) == value}
            if exact or key not in ("source", "url", "title"):
                return exact
            return self._by_value(value) or None
        links = _MARKDOWN_LINK.search(line)
        text = f"{links[1]} {links[2]}" if links else line[_end_of_bullet(line) :]
        number = re.fullmatch(r"\W*(?:source|document|block)?\W*(\d{1,2})\W*", line, re.IGNORECASE)
        if number and 1 <= int(number[1]) <= len(self.blocks):
            return {int(number[1]) - 1}
        return self._by_value(normalise(text))

    def _by_value(self, text: str) -> set[int]:
        """Blocks with a source, url or title that stands in the text; the longest such value decides."""
        best: tuple[int, set[int]] = (0, set())
        for place, values in enumerate(self.values):
            for key in ("source", "url", "title", "section"):
                value = values.get(key, "")
                if len(value) < 3 or len(value) < best[0] or not stands_in(value, text):
                    continue
                best = (len(value), best[1] | {place} if len(value) == best[0] else {place})
        return best[1]

    def _bracket(self, match: re.Match[str]) -> str:
        """`(source: x)` in the text; where a document has it and it names no block, it stays."""
        places, _ = self._lookup([match["rest"]])
        labelled = match.group().lstrip(" \t([").casefold().startswith(("source", "ref", "citation"))
        if not places and (not labelled or any(_flat(match.group()) in text for text in self.texts)):
            return match.group()
        self._claim_group([match["rest"]])
        return ""

    def _number(self, match: re.Match[str]) -> str:
        """`[1]`: an entry of the reply's own list, else a block by its place; note marks of the text stay."""
        before = match.string[max(0, match.start() - 12) : match.start()]
        copied = _flat(f"{before}{match.group()}")
        if not self.numbers and len(before.strip()) >= 3 and any(copied in text for text in self.texts):
            return match.group()
        numbers = [int(number) for number in re.findall(r"\d+", match["numbers"])]
        places = {n: tuple(block.key for block in self.blocks[n - 1 : n]) for n in numbers}
        keys = [(self.numbers or places).get(n, ()) for n in numbers]
        if not any(keys):
            return match.group()
        self._found.update(dict.fromkeys(key for group in keys for key in group))
        return ""


def _flat(text: str) -> str:
    """As a reply's words are looked for in a block."""
    return one_space(text.replace("*", ""))


def _end_of_bullet(line: str) -> int:
    bullet = _BULLET.match(line)
    return bullet.end() if bullet and bullet.group().strip() else 0


def _lines(text: str, position: int) -> Iterator[tuple[int, str]]:
    """The lines behind a position, each with its end."""
    while position < len(text):
        start = position + 1 if text[position] == "\n" else position
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield end, text[start:end]
        if end == position:
            return
        position = end


def _first(*matches: re.Match[str] | None) -> re.Match[str] | None:
    return min((match for match in matches if match), key=lambda match: match.start(), default=None)
