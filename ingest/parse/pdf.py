"""PDF text with its page boxes. The one file that knows pypdfium2.

pdfium gives characters in the order in which the page draws them, with boxes. What belongs together, and in
which order people read it, is found in `ingest.parse.layout`.
"""

import ctypes
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from math import pi
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as raw

from ingest.parse.boxes import Box, PageText, Word, turn
from ingest.parse.canonical import Piece, declared_title, heading_title, one_line, raised
from ingest.parse.headings import mark_headings
from ingest.parse.layout import page_rows
from ingest.parse.metadata import clean_metadata, pdf_date
from ingest.parse.paragraphs import (
    Block,
    block_piece,
    counted_rows,
    over_breaks,
    page_blocks,
    running_texts,
    vocabulary,
)
from ingest.parse.problems import encrypted, failed, skipped
from ingest.parse.running import full_title, without_running

_SOFT_HYPHENS = frozenset((0x02, 0xFFFE))
_SPACES = frozenset((0x20, 0x09, 0xA0, 0x0D, 0x0A, 0x00))
_BOLD = re.compile(r"bold|black|heavy|semibold|demi", re.IGNORECASE)
_BEHIND_NUMBER = re.compile(r"(?<=[0-9])[0-9+−–-]|(?<=[0-9][.,])[0-9]")
_FEW_CHARACTERS = 20  # a page of fewer under a picture is a scan with a stamp on it
_NO_TITLE = re.compile(
    r"^(?:untitled.*|microsoft (?:word|powerpoint|excel) - .*|.*\.(?:docx?|dvi|indd|qxd|tex|pptx?|rtf))$",
    re.IGNORECASE,
)


def read_pdf(data: bytes) -> tuple[list[Piece], list[tuple[str, object]], int]:
    """The pieces in reading order, the properties, the number of pages.

    Raises Unparsable: `password`, `needs_ocr` (no page has text), `parser_error`.
    """
    document = _open(data)
    try:
        pages, pictures = [], 0
        for number in range(len(document)):
            page, pictured = _read_page(document, number)
            pages.append(page)
            pictures += pictured
        without = [page.number for page in pages if not page.words]
        characters = sum(len(word.text) for page in pages for word in page.words)
        if not characters or (pictures >= len(pages) and characters < _FEW_CHARACTERS * len(pages)):
            raise skipped(
                "needs_ocr", "No page has text, it may be a scan: run OCR on it (ocrmypdf FILE OUT)."
            )
        metadata = _properties(document)
        if without:
            metadata.append(("pages_without_text", ", ".join(map(str, without))))
        declared = declared_title(clean_metadata(metadata))
        pieces, replaced, title = _pieces(pages, list(_outline(document)), declared)
        if title:
            metadata = [("title", title), *(pair for pair in metadata if pair[0] != "title")]
        if replaced:
            metadata.append(("replaced_characters", replaced))
        return pieces, metadata, len(pages)
    finally:
        document.close()


def _pieces(
    pages: list[PageText], outline: list[tuple[int, str, int]], declared: str
) -> tuple[list[Piece], int, str]:
    """Pieces of all pages, how many characters were replaced, and the title as the pages' heads say it."""
    body = without_running([page_rows(page) for page in pages])
    counted = counted_rows(body.pages)
    blocks = [page_blocks(rows, counted) for rows in body.pages]
    words = vocabulary(pages)
    marked = mark_headings(blocks, outline, running_texts(blocks))
    turns = {page.number: page.quarter_turns for page in pages}
    running = [Block("paragraph", (row,), depth=1) for row in body.once]  # below no heading
    made = [
        block_piece(block, words, turns[block.rows[0].page]) for block in (*over_breaks(marked), *running)
    ]
    pieces = [piece for piece, _ in made]
    title = declared or heading_title(pieces)
    return pieces, sum(count for _, count in made), full_title(title, body.running)


def _open(data: bytes) -> Any:
    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        if "password" in str(error).lower():
            raise encrypted("The PDF") from None
        raise failed("parser_error", f"The PDF cannot be opened ({error}): save it again.") from None
    if len(document) == 0:
        document.close()
        raise failed("parser_error", "The PDF has no pages: save it again.")
    with suppress(pdfium.PdfiumError):  # a broken form; the pages may be whole
        document.init_forms()  # draws the values of fields that have no appearance yet
    return document


def _read_page(document: Any, number: int) -> tuple[PageText, bool]:
    """The page's words in drawing order, and whether a picture covers most of it. A broken page has none."""
    try:
        page, filled_in = _with_annotations(document, document[number], number)
    except pdfium.PdfiumError:
        return PageText(number + 1, ()), False
    try:
        text_page, turns = _text_of(page)
        try:
            words = tuple(_words(text_page, turns))
        finally:
            text_page.close()
        few = sum(len(word.text) for word in words) < _FEW_CHARACTERS
        return PageText(number + 1, words, turns, filled_in), few and _has_picture(page)
    except pdfium.PdfiumError:
        return PageText(number + 1, ()), False
    finally:
        page.close()


def _with_annotations(document: Any, page: Any, number: int) -> tuple[Any, bool]:
    """The page with the values of its fields and the notes on it in its text, and whether there are any."""
    if not any(_is_written(page, place) for place in range(raw.FPDFPage_GetAnnotCount(page.raw))):
        return page, False
    before = _count_characters(page)
    if raw.FPDFPage_Flatten(page.raw, raw.FLAT_NORMALDISPLAY) != raw.FLATTEN_SUCCESS:
        return page, False
    page.close()
    page = document[number]
    return page, _count_characters(page) != before


def _is_written(page: Any, place: int) -> bool:
    annotation = raw.FPDFPage_GetAnnot(page.raw, place)
    kind = raw.FPDFAnnot_GetSubtype(annotation)
    raw.FPDFPage_CloseAnnot(annotation)
    return kind in (raw.FPDF_ANNOT_WIDGET, raw.FPDF_ANNOT_FREETEXT)


def _count_characters(page: Any) -> int:
    text_page = page.get_textpage()
    count: int = text_page.count_chars()
    text_page.close()
    return count


def _text_of(page: Any) -> tuple[Any, int]:
    """The page's text, and how often most of it is turned to the left on the page as it is stored."""
    text_page = page.get_textpage()
    turns = _quarter_turns(text_page)
    if turns == 0 and page.get_rotation():  # pdfium looks for lines along the page as it is shown
        text_page.close()
        page.set_rotation(0)
        text_page = page.get_textpage()
    return text_page, turns


def _quarter_turns(text_page: Any) -> int:
    """How most characters of a sample are turned to the left, in quarters: 1 for text that runs upwards."""
    count = text_page.count_chars()
    turns = Counter(
        _turns(text_page.raw, index)
        for index in range(0, count, max(1, count // 50))
        if raw.FPDFText_GetUnicode(text_page.raw, index) not in _SPACES
    )
    return turns.most_common(1)[0][0] if turns else 0


def _turns(handle: Any, index: int) -> int:
    return int(round(-raw.FPDFText_GetCharAngle(handle, index) / (pi / 2)) % 4)


def _has_picture(page: Any) -> bool:
    width, height = page.get_size()
    for item in page.get_objects(max_depth=3):
        if item.type == raw.FPDF_PAGEOBJ_IMAGE:
            left, bottom, right, top = item.get_bounds()
            if (right - left) * (top - bottom) > 0.4 * width * height:
                return True
    return False


def _words(text_page: Any, quarter_turns: int) -> Iterator[Word]:
    """Words between white space, with the box of their first and last character."""
    handle = text_page.raw
    count = text_page.count_chars()
    read = raw.FPDFText_GetUnicode
    codes = [read(handle, index) for index in range(count)]
    _raise_numbers(handle, codes, quarter_turns)
    box, start, index = raw.FS_RECTF(), 0, 0
    while index <= count:
        code = codes[index] if index < count else 0x20
        if code in _SPACES or code in _SOFT_HYPHENS:
            if index > start:
                word = _word(handle, codes, start, index, box, quarter_turns)
                yield replace(word, hyphen=True) if code in _SOFT_HYPHENS else word
            start = index + 1
        index += 1


def _raise_numbers(handle: Any, codes: list[int], quarter_turns: int) -> None:
    """A number that is set small and high behind another one becomes superscript: "40" and a mark "2"."""
    text = "".join(map(chr, codes))
    for found in _BEHIND_NUMBER.finditer(text):
        start = end = found.start()
        number = _box(handle, start - 1, quarter_turns)
        while end < len(codes) and text[end].strip() and _is_raised(handle, end, number, quarter_turns):
            end += 1
        codes[start:end] = map(ord, raised(text[max(0, start - 2) : start], text[start:end]))


def _is_raised(handle: Any, index: int, number: Box, quarter_turns: int) -> bool:
    box = _box(handle, index, quarter_turns)
    height = number[3] - number[1]
    return box[3] - box[1] < 0.8 * height and box[1] > number[1] + 0.2 * height


def _box(handle: Any, index: int, quarter_turns: int) -> Box:
    box = raw.FS_RECTF()
    raw.FPDFText_GetLooseCharBox(handle, index, box)
    return turn((box.left, box.bottom, box.right, box.top), -quarter_turns)


def _word(handle: Any, codes: list[int], start: int, end: int, box: Any, quarter_turns: int) -> Word:
    raw.FPDFText_GetLooseCharBox(handle, start, box)
    x0, y0, x1, y1 = box.left, box.bottom, box.right, box.top
    if end - start > 1:
        raw.FPDFText_GetLooseCharBox(handle, end - 1, box)
        x0, x1 = min(x0, box.left), max(x1, box.right)
        y0, y1 = min(y0, box.bottom), max(y1, box.top)
    x0, y0, x1, y1 = turn((x0, y0, x1, y1), -quarter_turns)
    tall = end - start > 1 and y1 - y0 > 1.2 * (x1 - x0)  # "it" is, and so is a word that runs upwards
    upright = not tall or _turns(handle, start) == quarter_turns
    size = _size(raw.FPDFText_GetFontSize(handle, start), y1 - y0 if upright else x1 - x0)
    text, bold = _decoded(codes[start:end]), _is_bold(handle, start)
    return Word(text, x0, y0, x1, y1, size, bold=bold, upright=upright)


def _size(declared: float, height: float) -> float:
    """The size as shown: the declared one leaves out the text's own scaling, and is 1 in many files."""
    return declared if 0.6 * declared < height < 2.2 * declared else height / 1.2


def _decoded(codes: list[int]) -> str:
    """pdfium may give a character beyond the basic plane as two surrogates."""
    text = "".join(map(chr, codes))
    if any(0xD800 <= code <= 0xDFFF for code in codes):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


_NAME_LENGTH = 128
_name_buffer = ctypes.create_string_buffer(_NAME_LENGTH)
_flags = ctypes.c_int()


def _is_bold(handle: Any, index: int) -> bool:
    if raw.FPDFText_GetFontWeight(handle, index) >= 600:
        return True
    length = raw.FPDFText_GetFontInfo(handle, index, _name_buffer, _NAME_LENGTH, ctypes.byref(_flags))
    return 0 < length <= _NAME_LENGTH and bool(_BOLD.search(_name_buffer.value.decode("latin-1")))


def _outline(document: Any) -> Iterator[tuple[int, str, int]]:
    """Depth from 1, title and page number of each bookmark."""
    try:
        for number, bookmark in enumerate(document.get_toc(max_depth=8)):
            if number >= 5000:
                return
            target = bookmark.get_dest()
            page = target.get_index() if target else None
            title = one_line(bookmark.get_title().replace("\0", ""))
            if page is not None and title:
                yield bookmark.level + 1, title, page + 1
    except (pdfium.PdfiumError, UnicodeDecodeError, ValueError):
        return


def _properties(document: Any) -> list[tuple[str, object]]:
    found = {key: " ".join(str(value).split()) for key, value in document.get_metadata_dict().items()}
    pairs: list[tuple[str, object]] = []
    if not _NO_TITLE.match(found.get("Title", "")):
        pairs.append(("title", found.get("Title")))
    pairs += [
        ("author", found.get("Author")),
        ("subject", found.get("Subject")),
        ("keywords", found.get("Keywords")),
    ]
    created, modified = pdf_date(found.get("CreationDate", "")), pdf_date(found.get("ModDate", ""))
    return [*pairs, ("date", created or modified), ("created", created), ("modified", modified)]
