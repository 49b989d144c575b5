"""HTML: its encoding as the page declares it, and what its head says of it."""

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, lookup
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from ingest.parse import text
from ingest.parse.canonical import raised
from ingest.parse.tables import LABEL, span

_CHARSET = re.compile(rb"""charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""", re.IGNORECASE)
_INVALID = re.compile("[\x00\ud800-\udfff]")  # what lxml cannot encode
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_HEAD_KEYS = {
    "author": "author",
    "article:author": "author",
    "dc.creator": "author",
    "citation_author": "author",
    "date": "date",
    "article:published_time": "date",
    "dc.date": "date",
    "dcterms.created": "date",
    "datepublished": "date",
    "citation_publication_date": "date",
    "article:modified_time": "modified",
    "last-modified": "modified",
    "og:url": "url",
    "description": "description",
    "og:description": "description",
    "keywords": "keywords",
    "og:site_name": "site",
}


def decode_html(data: bytes) -> str:
    """The page's text: byte order mark, else UTF-8 if it is, else the declared charset, else a guess."""
    if data.startswith((BOM_UTF8, BOM_UTF16_LE, BOM_UTF16_BE)):
        return text.decode(data)
    try:
        plain = data.decode("utf-8")
        if not plain.isascii():
            return plain
    except UnicodeDecodeError:
        pass
    declared = _CHARSET.search(data[:4096])
    if declared:
        try:
            encoding = lookup(declared.group(1).decode("ascii")).name
            # Browsers read Latin-1 as Windows-1252, so pages were written that way.
            return data.decode("cp1252" if encoding in ("iso8859-1", "ascii") else encoding)
        except (LookupError, UnicodeDecodeError):
            pass
    return text.decode(data)


def head_metadata(markup: str) -> list[tuple[str, object]]:
    """Title, author, date, address, description and keywords from the page's head."""
    from lxml import etree, html

    try:
        tree = html.document_fromstring(_INVALID.sub("\ufffd", _without_declaration(markup)))
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return []
    found: list[tuple[str, object]] = []
    found += [("title", title.text_content()) for title in list(tree.iter("title"))[:1]]
    for link in tree.iter("link"):
        if "canonical" in (link.get("rel") or "").lower().split():
            found.append(("url", link.get("href")))
    for meta in tree.iter("meta"):
        name = (
            meta.get("name") or meta.get("property") or meta.get("itemprop") or meta.get("http-equiv") or ""
        )
        key = _HEAD_KEYS.get(name.strip().lower())
        if key:
            found.append((key, meta.get("content")))
    return [(key, value) for key, value in found if value and str(value).strip()]


def _without_declaration(markup: str) -> str:
    """lxml refuses a str that declares an encoding."""
    return re.sub(r"\A\s*<\?xml[^>]*\?>", "", markup.removeprefix("\ufeff"))


_CHANGED = re.compile(r"<(?:table|ol|sup|details|summary|figure|figcaption)\b", re.IGNORECASE)
_AROUND_MARKS = frozenset({"a", "span", "b", "i", "em", "strong", "small"})
_LAYOUT_CELL = 600  # characters; a table with a longer cell lays out a page, it does not hold data


def clean_markup(markup: str) -> str:
    """What unstructured may read: no declaration, no invalid characters, no tables that lay out the page.

    The numbers that a browser shows before list items are text. What folds or has a caption is a block, and
    numbers raised behind others stay apart from them.
    """
    from lxml import etree, html

    markup = _INVALID.sub("\ufffd", _without_declaration(markup))
    if not _CHANGED.search(markup):
        return markup
    try:
        tree = html.document_fromstring(writable(markup))
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return markup
    raise_numbers(tree)
    _plain_blocks(tree)
    _plain_tables(tree)
    _number_items(tree)
    return str(html.tostring(tree, encoding="unicode"))


def writable(markup: str) -> str:
    """The markup without the control characters that lxml reads and refuses to write."""
    return _CONTROLS.sub("\ufffd", markup.replace("\f", " ").replace("\v", " "))


def raise_numbers(tree: Any) -> None:
    """Write `<sup>` behind a number in superscript characters, so that 19<sup>2</sup> is not read as 192."""
    for mark in tree.iter("sup"):
        before, words = _text_before(mark), "".join(mark.itertext())
        if raised(before, words) == words:
            continue
        for part in mark.iter():
            part.text = raised(before, part.text or "")
            if part is not mark:
                part.tail = raised(before, part.tail or "")


def _text_before(element: Any) -> str:
    """The text that an inline element directly follows."""
    previous, parent = element.getprevious(), element.getparent()
    if previous is not None:
        return previous.tail or "".join(previous.xpath(".//text()"))
    return parent.text or (_text_before(parent) if parent.tag in _AROUND_MARKS else "")


def _plain_blocks(tree: Any) -> None:
    """What unstructured does not know and drops, as blocks that it reads."""
    for block in tree.iter("details", "summary", "figure", "figcaption"):
        block.tag = "div"


def _number_items(tree: Any) -> None:
    """Write the numbers of ordered lists before their items, but where a browser shows none or they stand."""
    for ordered in tree.iter("ol"):
        hidden = re.search(r"list-style[^;]*none", ordered.get("style") or "")
        if hidden or ordered.get("type", "1") != "1" or ordered.get("reversed") is not None:
            continue
        number = _integer(ordered.get("start"), 1)
        for item in ordered.iterchildren("li"):
            number = _integer(item.get("value"), number)
            first = item
            while not (first.text or "").strip() and len(first) and first[0].tag in ("p", "div"):
                first = first[0]
            if not re.match(r"\s*\d+[.)]", first.text or ""):
                first.text = f"{number}. {(first.text or '').lstrip()}"
            number += 1


def _integer(written: str | None, default: int) -> int:
    """The number that is written, if it is one that a list could have."""
    return int(written) if written and re.fullmatch(r"-?\d{1,8}", written.strip()) else default


def _plain_tables(tree: Any) -> None:
    """Tables around tables or around prose become blocks; in others a line break inside a cell becomes a
    space, and cells that span stand in every place they span.
    """
    for table in list(tree.iter("table")):
        own = list(_own_cells(table))
        nested = next(table.iterdescendants("table"), None) is not None
        if nested or any(len("".join(cell.itertext())) > _LAYOUT_CELL for cell in own):
            _unwrap(table)
        else:
            for cell in own:
                for line_break in list(cell.iter("br", "p", "div", "li")):
                    line_break.tail = " " + (line_break.tail or "")
            if sum(span(cell, "colspan") * span(cell, "rowspan") for cell in own) <= _MOST_SPANNED * len(own):
                _spell_out_spans(table)
            _mark_names(table)


def _own_cells(table: Any) -> Iterator[Any]:
    for cell in table.iter("td", "th"):
        if next(cell.iterancestors("table"), None) is table:
            yield cell


def _unwrap(table: Any) -> None:
    parts = [
        part
        for part in table.iterdescendants("tr", "td", "th", "tbody", "thead", "tfoot")
        if next(part.iterancestors("table"), None) is table
    ]
    for part in (table, *parts):
        part.tag = "div"


def _mark_names(table: Any) -> None:
    """Where no cell of two columns is marked as a header: the first row is one if it is bold or has numbers
    below it; else the cells on the left name those beside them, as Monday does its dish.
    """
    if next(table.iter("th", "thead"), None) is not None:
        return
    rows = [cells for row in table.iter("tr") if len(cells := list(row.iterchildren("td"))) != 1]
    if len(rows) < 2 or any(len(row) != 2 for row in rows):
        return
    if all(map(_is_bold, rows[0])):
        names = rows[0]
    elif all(any(map(str.isdecimal, "".join(value.itertext()))) for _, value in rows[1:]):
        return
    else:
        names = [name for name, _ in rows]
    for name in names:
        name.tag = "th"


def _is_bold(cell: Any) -> bool:
    words = "".join(cell.itertext()).strip()
    marked = any("".join(part.itertext()).strip() == words for part in cell.iter("b", "strong"))
    return bool(words) and (marked or cell.get("scope") == "col" or "bold" in (cell.get("style") or ""))


_MOST_SPANNED = 5  # places for each cell of a table; one that claims more is no table of data, or a trap
_Held = dict[int, tuple[int, Any]]  # by column: how many rows below a cell still spans, and the cell


def _spell_out_spans(table: Any) -> None:
    """Put a cell into every place of a row and column that it spans: unstructured drops the spans.

    What stands alone in its row is a title and stays single. So does the label of a row of data ("Total")
    that spans columns: the places behind it are left empty.
    """
    held: _Held = {}
    group = None
    for row in list(table.iter("tr")):
        if row.getparent() is not group:  # no cell reaches from the head of a table into its body
            held, group = {}, row.getparent()
        cells = list(row.iterchildren("td", "th"))
        if len(cells) == 1 and not held:
            continue
        heads = all(cell.tag == "th" for cell in cells) or row.getparent().tag == "thead"
        places: list[Any] = []
        for cell in cells:
            _take_held(places, held)
            width, height = span(cell, "colspan"), span(cell, "rowspan")
            for name in ("colspan", "rowspan"):
                cell.attrib.pop(name, None)
            spanned = [cell, *(_copy(cell, filled=heads or bool(places)) for _ in range(width - 1))]
            if height > 1:
                held |= {column: (height - 1, one) for column, one in enumerate(spanned, len(places))}
            places += spanned
        _take_held(places, held)
        row[:] = places


def _take_held(places: list[Any], held: _Held) -> None:
    """Fill the next places of a row with the cells above that reach into it."""
    while len(places) in held:
        rows, cell = held.pop(len(places))
        if rows > 1:
            held[len(places)] = rows - 1, cell
        places.append(_copy(cell, filled=True))


def _copy(cell: Any, *, filled: bool) -> Any:
    again = deepcopy(cell)
    if not filled or len("".join(cell.itertext())) > LABEL:
        again.clear()
    return again
