"""HTML: its encoding as the page declares it, and what its head says of it."""

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, lookup

from ingest.parse import text

_CHARSET = re.compile(rb"""charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""", re.I)
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
        tree = html.document_fromstring(_without_declaration(markup))
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return []
    found: list[tuple[str, object]] = []
    for title in tree.iter("title"):
        found.append(("title", title.text_content()))
        break
    for link in tree.iter("link"):
        if "canonical" in (link.get("rel") or "").lower().split():
            found.append(("url", link.get("href")))
    for meta in tree.iter("meta"):
        name = meta.get("name") or meta.get("property") or meta.get("itemprop") or meta.get("http-equiv") or ""
        key = _HEAD_KEYS.get(name.strip().lower())
        if key:
            found.append((key, meta.get("content")))
    return [(key, value) for key, value in found if value and str(value).strip()]


def _without_declaration(markup: str) -> str:
    """lxml refuses a str that declares an encoding."""
    return re.sub(r"\A\s*<\?xml[^>]*\?>", "", markup.removeprefix("\ufeff"))


def clean_markup(markup: str) -> str:
    """What unstructured may read: no declaration, no invalid characters."""
    return _without_declaration(markup).replace("\0", "\ufffd")
