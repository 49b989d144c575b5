"""XML of no known kind as text: the words of its elements. No entity of another file is read, none grows."""

from ingest.parse.canonical import Piece
from ingest.parse.problems import failed, skipped
from ingest.parse.tables import table_pieces

_ROW_TAGS = frozenset({"tr", "row"})
_HEADING_TAGS = frozenset({"title", "heading", "head", "h1", "h2", "h3"})
_INLINE_TAGS_NAMES = (
    "a b i u em strong italic bold emphasis sub sup span xref ext-link code tt quote named-content sc "
    "styled-content underline bi link ulink ref"
)
_INLINE_TAGS = frozenset(_INLINE_TAGS_NAMES.split())


def xml_pieces(data: bytes) -> list[Piece]:
    """One piece for each element that holds text of its own, in document order.

    Raises Unparsable: `too_large` where entities grow beyond libxml2's amplification limit, `parser_error`
    where nothing can be read.
    """
    from lxml import etree

    root = None
    # "internal" reads no file and no address; a document with such an entity is read without any.
    for entities, recover in (("internal", False), (False, False), (False, True)):
        parser = etree.XMLParser(
            resolve_entities=entities,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            recover=recover,
            remove_comments=True,
            remove_pis=True,
        )
        try:
            root = etree.fromstring(data, parser)
            break
        except etree.XMLSyntaxError as error:
            if "amplification" in str(error) or "entity reference loop" in str(error):
                raise skipped("too_large", "Its XML entities grow beyond all measure: not read.") from None
    if root is None:
        raise failed("parser_error", "The XML is damaged and holds nothing that can be read.")
    pieces: list[Piece] = []
    _walk(root, pieces, depth=0)
    return pieces


def _name(element: object) -> str:
    tag = element.tag  # type: ignore[attr-defined]
    return tag.rsplit("}", 1)[-1].lower() if isinstance(tag, str) else ""


def _walk(root: object, pieces: list[Piece], depth: int) -> None:
    """Depth first without recursion, so that deep nesting costs no stack."""
    stack: list[tuple[object | str, int]] = [(root, depth)]
    while stack:
        item, level = stack.pop()
        if isinstance(item, str):
            _add(pieces, "paragraph", item, level)
            continue
        children = list(item)  # type: ignore[call-overload]
        name = _name(item)
        if not name:
            continue
        if name in _ROW_TAGS and children:
            cells = ["".join(child.itertext()) for child in children]
            row = table_pieces([cells], header=False)
            pieces.extend(row)
        elif all(_name(child) in _INLINE_TAGS or not _name(child) for child in children):
            _add(pieces, "heading" if name in _HEADING_TAGS else "paragraph", "".join(item.itertext()), level)  # type: ignore[attr-defined]
        else:
            later: list[tuple[object | str, int]] = [(item.text or "", level)]  # type: ignore[attr-defined]
            for child in children:
                later += ((child, level + 1), (child.tail or "", level))
            stack.extend(reversed(later))


def _add(pieces: list[Piece], kind: str, text: str, level: int) -> None:
    lines = (" ".join(line.split()) for line in text.split("\n"))
    text = "\n".join(line for line in lines if line)
    if text:
        depth = max(1, min(level, 6)) if kind == "heading" else 0
        pieces.append(Piece(kind, text, depth=depth))  # type: ignore[arg-type]
