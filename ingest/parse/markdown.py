"""Markdown, read with markdown-it (CommonMark and tables).

Not through unstructured: it needs a blank line before a list, loses lists indented by two, words in angle
brackets and front matter, and costs more than a second to import.
"""

import re
from itertools import groupby
from typing import TYPE_CHECKING

from ingest.parse.canonical import BULLET, Piece, raised
from ingest.parse.metadata import split_front_matter
from ingest.parse.tables import html_table_pieces, table_pieces
from ingest.parse.webpage import clean_markup, raise_numbers, writable

if TYPE_CHECKING:
    from markdown_it.token import Token


def markdown_pieces(text: str) -> tuple[list[Piece], list[tuple[str, object]]]:
    """The pieces of a markdown text, and its front matter's keys."""
    from markdown_it import MarkdownIt

    metadata, body = split_front_matter(text)
    parser = MarkdownIt("commonmark", {"maxNesting": 50}).enable(["table", "strikethrough"])
    reader = _Reader()
    tokens = parser.parse(body.replace("\0", "\ufffd"))
    for markup, group in groupby(tokens, key=lambda token: token.type == "html_block"):
        if not markup:
            for token in group:
                reader.read(token)
            continue
        blocks = [token.content for token in group]
        # A table with an empty line in it is several blocks of HTML.
        for block in ["\n".join(blocks)] if any(map(_TABLE.search, blocks)) else blocks:
            reader.read_markup(block)
    return reader.pieces, metadata


_TABLE = re.compile(r"(<table\b.*?(?:</table>|\Z))", re.DOTALL | re.IGNORECASE)


class _Reader:
    """Walks the flat list of block tokens; holds what encloses the next text."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self._heading = 0
        self._items: list[bool] = []  # for each open list item: whether its first text is out
        self._list_started = False
        self._number = ""  # of the open list item, until its first text is out
        self._rows: list[list[str]] | None = None

    def read(self, token: "Token") -> None:
        match token.type:
            case "heading_open":
                self._heading = int(token.tag[1:])
            case "heading_close":
                self._heading = 0
            case "bullet_list_open" | "ordered_list_open":
                self._list_started = bool(self._items) and self._list_started
            case "list_item_open":
                self._items.append(False)
                # As written: a clause is cited by it. Two numbers where an item begins with a list.
                if token.info:
                    self._number = self._number.removesuffix(BULLET) + f"{token.info}{token.markup} "
                else:
                    self._number = self._number or BULLET
            case "list_item_close":
                self._items.pop()
                self._number = ""
            case "table_open":
                self._rows = []
            case "tr_open" if self._rows is not None:
                self._rows.append([])
            case "table_close" if self._rows is not None:
                self.pieces += table_pieces(self._rows, header=True)
                self._rows = None
            case "inline":
                self._add(inline_text(token))
            case "fence" | "code_block":
                self.pieces.append(Piece("code", token.content))
                self._list_started = False

    def read_markup(self, markup: str) -> None:
        """Read HTML: its tables as those of web pages, the rest as text."""
        for part in _TABLE.split(markup):
            rows = html_table_pieces(clean_markup(f"<div>{part}</div>")) if _TABLE.match(part) else []
            if rows and self._rows is None:
                self.pieces += rows
                self._list_started = False
            else:
                self._add(visible_html(part))

    def _add(self, text: str) -> None:
        if self._rows is not None:
            self._rows[-1].append(text)
        if self._rows is not None or not text.strip():
            return
        text, self._number = (self._number.removesuffix(BULLET) if self._heading else self._number) + text, ""
        if self._heading:
            self.pieces.append(Piece("heading", " ".join(text.split()), depth=self._heading))
            self._list_started = False
        elif self._items:
            self.pieces.append(Piece("list_item", text, joined=self._list_started))
            self._items[-1] = self._list_started = True
        else:
            self.pieces.append(Piece("paragraph", text))
            self._list_started = False


def inline_text(token: "Token") -> str:
    """The words of an inline token as a reader sees them: no emphasis marks, no link targets, no images."""
    parts: list[str] = []
    mark: int | None = None  # where the raised text begins, if any is open
    for child in token.children or ():
        match child.type:
            case "text" | "code_inline" | "text_special":
                parts.append(child.content)
            case "softbreak" | "hardbreak":
                parts.append("\n")
            case "html_inline" if _BREAK.match(child.content):
                parts.append("\n")
            case "html_inline" if child.content.lower().startswith("<sup>"):
                while parts and not parts[-1]:
                    parts.pop()
                mark = len(parts)
            case "html_inline" if mark is not None and child.content.lower().startswith("</sup>"):
                before = parts[mark - 1] if mark else ""
                parts[mark:] = [raised(before, "".join(parts[mark:]))]
                mark = None
            case "html_inline" if not _is_tag(child.content):
                parts.append(child.content)
            case "image":
                parts.append(child.content)
    return "".join(parts)


_BREAK = re.compile(r"<br\b", re.IGNORECASE)
_INLINE_TAGS_NAMES = (
    "a abbr b bdi bdo big br center cite code data del dfn div em font i img input ins kbd label mark p "
    "q s samp small span strike strong sub sup time tt u var wbr details summary"
)
_INLINE_TAGS = frozenset(_INLINE_TAGS_NAMES.split())


def _is_tag(markup: str) -> bool:
    """`<name>` in a sentence is a placeholder unless HTML knows the name."""
    name = markup.strip("</> \n").split(" ")[0].rstrip("/").lower()
    return name in _INLINE_TAGS or markup.startswith(("<!", "<?"))


_BLOCKS = (
    "br", "p", "div", "li", "dt", "dd", "tr", "td", "th", "caption", "summary", "details", "figcaption",
    "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "section", "article",
)  # fmt: skip


def visible_html(markup: str) -> str:
    """The words of an HTML block inside markdown."""
    from lxml import etree, html

    try:
        tree = html.document_fromstring(f"<div>{writable(markup)}</div>")
    except (etree.ParserError, etree.XMLSyntaxError):
        return ""
    for hidden in list(tree.iter("script", "style", etree.Comment)):
        hidden.drop_tree()
    raise_numbers(tree)
    for block in tree.iter(*_BLOCKS):  # words of two blocks are no one word
        block.text = "\n" + (block.text or "")
        block.tail = "\n" + (block.tail or "")
    lines = (" ".join(line.split()) for line in tree.text_content().split("\n"))
    return "\n".join(line for line in lines if line)
