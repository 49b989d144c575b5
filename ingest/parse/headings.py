"""Which blocks of a PDF are headings: those of its outline, else those that are set like one. Pure."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from ingest.parse.paragraphs import Block, running_form

_NUMBERED = re.compile(r"(\d{1,2}(?:\.\d{1,2})*)\.?\s+\S")
_WORDS = re.compile(r"\w+")
Outline = Sequence[tuple[int, str, int]]


def mark_headings(
    pages: Sequence[Sequence[Block]], outline: Outline, running: frozenset[str]
) -> list[list[Block]]:
    """The blocks with headings marked. The outline counts if a third of its titles stand on their pages."""
    if outline:
        marked, found = _by_outline(pages, outline)
        if 3 * found >= len(outline):
            return marked
    return _by_type(pages, running)


def _plain(text: str) -> str:
    return "".join(_WORDS.findall(text)).lower()


def _by_outline(pages: Sequence[Sequence[Block]], outline: Outline) -> tuple[list[list[Block]], int]:
    wanted: dict[int, list[tuple[int, str]]] = {}
    for depth, title, page in outline:
        wanted.setdefault(page, []).append((depth, _plain(title)))
    found = 0
    marked = []
    for number, blocks in enumerate(pages, start=1):
        titles = wanted.get(number, [])
        result: list[Block] = []
        for block in blocks:
            parts, matched = _split_title(block, titles)
            result += parts
            found += matched
        marked.append(result)
    return marked, found


def _split_title(block: Block, titles: list[tuple[int, str]]) -> tuple[list[Block], bool]:
    """The block as a heading, or cut behind the rows that are one. A title is found once."""
    if block.kind in ("table_row", "table_header") and len(block.rows[0].segments) > 2:
        return [block], False
    text = ""
    for count, row in enumerate(block.rows[:4], start=1):
        text += _plain(row.text)
        unnumbered = text.lstrip("0123456789")
        for entry in titles:
            if entry[1] and (
                entry[1] in (text, unnumbered) or (len(entry[1]) > 8 and _close(text, entry[1]))
            ):
                titles.remove(entry)
                head = Block("heading", block.rows[:count], depth=entry[0])
                rest = [replace(block, rows=block.rows[count:], joined=False)] if block.rows[count:] else []
                return [head, *rest], True
    return [block], False


def _close(text: str, title: str) -> bool:
    """A heading that carries a number, "Chapter", or a page number more than the outline's title."""
    return text.endswith(title) and len(text) - len(title) <= 9


def _by_type(pages: Sequence[Sequence[Block]], running: frozenset[str]) -> list[list[Block]]:
    body, body_bold = _body(pages)
    candidates = {
        id(block): _size(block)
        for page in pages
        for block in page
        if _is_set_like_heading(block, body, body_bold) and running_form(block.text) not in running
    }
    sizes = sorted(set(candidates.values()), reverse=True)
    set_large = sum(len(block.text) for page in pages for block in page if id(block) in candidates)
    if not candidates or set_large > 0.4 * sum(len(block.text) for page in pages for block in page):
        return [list(page) for page in pages]
    return [
        [
            _heading(block, sizes.index(candidates[id(block)])) if id(block) in candidates else block
            for block in page
        ]
        for page in pages
    ]


def _heading(block: Block, rank: int) -> Block:
    match = _NUMBERED.match(block.text)
    depth = rank + 1 if not match else max(rank + 1, 1 + match.group(1).count("."))
    return Block("heading", block.rows, depth=min(depth, 6))


def _size(block: Block) -> float:
    return round(2 * block.rows[0].size) / 2


def _body(pages: Sequence[Sequence[Block]]) -> tuple[float, bool]:
    """The font size and weight of most characters."""
    weights: Counter[tuple[float, bool]] = Counter()
    for page in pages:
        for block in page:
            for row in block.rows:
                weights[(round(2 * row.size) / 2, row.bold)] += len(row.text)
    return weights.most_common(1)[0][0] if weights else (0.0, False)


def _runs_upwards(block: Block) -> bool:
    return not all(segment.upright for row in block.rows for segment in row.segments)


def _is_set_like_heading(block: Block, body: float, body_bold: bool) -> bool:
    text = block.text
    if block.kind not in ("paragraph", "list_item") or len(block.rows) > 3 or not 2 <= len(text) <= 160:
        return False
    letters = sum(character.isalpha() for character in text)
    if (
        letters < 2
        or letters < 0.4 * len(text)
        or text.endswith((",", ";"))
        or "\t" in text
        or _runs_upwards(block)
    ):
        return False
    if block.rows[0].size >= 1.12 * body:
        return True
    bold = all(row.bold for row in block.rows) and not body_bold
    return (
        bold and block.rows[0].size >= 0.95 * body and not text.endswith((".", ":")) and len(block.rows) <= 2
    )
