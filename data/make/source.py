"""Read the written source of a binary document: front matter and a small part of Markdown.

Knows headings, paragraphs, bullet and numbered lists and pipe tables; nothing about output formats.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["heading", "paragraph", "bullet", "number", "table"]


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of a document. `rows` is filled for tables, header first; `text` for everything else."""

    kind: Kind
    text: str = ""
    depth: int = 0
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """A written source: `properties` from the front matter, `body` as written, `blocks` as parsed."""

    path: Path
    properties: dict[str, str]
    body: str
    blocks: tuple[Block, ...]

    @property
    def date(self) -> str:
        """The document's date, as in 2024-06-12."""
        return self.properties["date"]


def read_source(path: Path) -> Source:
    """Parse the file at `path`; raises ValueError where the front matter is missing."""
    text = path.read_text(encoding="utf-8")
    match = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    if match is None:
        raise ValueError(f"{path}: no front matter. Start the file with --- and key: value lines.")
    pairs = (line.split(": ", 1) for line in match[1].splitlines())
    properties = {key: value.strip('"') for key, value in pairs}
    body = text[match.end() :]
    return Source(path, properties, body, tuple(parse_blocks(body)))


def parse_blocks(body: str) -> list[Block]:
    """Blocks of `body` in order; lines of one paragraph are joined by a space."""
    blocks: list[Block] = []
    for piece in re.split(r"\n\s*\n", body.strip()):
        lines = piece.splitlines()
        if lines[0].startswith("#"):
            marks, _, title = lines[0].partition(" ")
            blocks.append(Block("heading", title, depth=len(marks)))
        elif lines[0].startswith("|"):
            rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
            blocks.append(Block("table", rows=(rows[0], *rows[2:])))
        elif re.match(r"- |\d+\. ", lines[0]):
            kind: Kind = "bullet" if lines[0].startswith("- ") else "number"
            blocks.extend(Block(kind, line.removeprefix("- ")) for line in lines)
        else:
            blocks.append(Block("paragraph", " ".join(lines)))
    return blocks
