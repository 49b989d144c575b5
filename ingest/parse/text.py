"""Plain text: which encoding, and which lines belong together. Knows no markup."""

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from itertools import pairwise

from ingest.parse.canonical import Piece, one_line
from ingest.parse.problems import skipped

# UTF-32's mark starts with UTF-16's, so it is asked first.
_MARKS = (
    (BOM_UTF8, "utf-8-sig"),
    (BOM_UTF32_LE, "utf-32"),
    (BOM_UTF32_BE, "utf-32"),
    (BOM_UTF16_LE, "utf-16"),
    (BOM_UTF16_BE, "utf-16"),
)
_BLANK = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")
LIST_MARK = re.compile(r"\s*(?:[-*+•‣◦▪●–]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+\S")
_NUMBERED = re.compile(
    r"(?i:chapter|part|section|article|appendix|clause|schedule)\s+\S"
    r"|\d{1,2}(?:\.\d{1,2})*\.?\s+[^\W\d_a-zß-öø-ÿ]|§+\s*\d"
)
# "CLAUSE 15. REDELIVERY. The Vessel shall …": the title of a clause in the line of its text.
_RUN_IN_TITLE = re.compile(
    r"((?:[A-Z]{4,}\s+)?\d{1,3}(?:\.\d{1,2})*[.:]\s+[A-Z]{2}[A-Z ,'’&/-]{1,60})\.\s+(?=[A-Z\"“(][\w\"”]*\s)"
)
_COUNTED = re.compile(r"\s*\(?(?:\d{1,3}|[a-z])[.)]\s")
_MONTH = (
    "(?:jan(?:uary|uar)?|feb(?:ruary|ruar)?|mar(?:ch)?|märz|apr(?:il)?|may|mai|june?|juni|july?|juli|aug(?:ust)?"
    "|sept?(?:ember)?|o[ck]t(?:ober)?|nov(?:ember)?|de[cz](?:ember)?)"
)
_WEEKDAY = "(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day|(?:mon|diens|donners|frei|sams|sonn)tag|mittwoch)"
_DATE = re.compile(
    rf"(?:{_WEEKDAY}[,.]?\s+)?(?:\d{{1,2}}(?:st|nd|rd|th|\.)?\s+{_MONTH}\.?(?:,?\s+\d{{4}})?"
    rf"|{_MONTH}\.?\s+\d{{1,2}}(?:st|nd|rd|th)?(?:,?\s+\d{{4}})?)",
    re.IGNORECASE,
)
_QUANTITY = re.compile(
    r"\d{1,2}(?:\.\d{1,2})?\s+(?:(?:days?|weeks?|months?|years?|hours?|minutes?|units?|pieces?|persons?|people)"
    r"|(?-i:[kMGT]B|[kMGm]?(?:W|V|A|Hz|Wh)|Nm|N|Pa|K|L))",
    re.IGNORECASE,
)
_CURRENCY = "(?:EUR|USD|GBP|CHF|JPY|CNY|INR|CAD|AUD|SEK|NOK|DKK|PLN|CZK|[$€£¥])"
# A sum, a value behind its label, the number of a document, a house in a street.
_VALUE = re.compile(
    rf"{_CURRENCY}\s?\d|\d\s?{_CURRENCY}|:\s*[-+#]?\d"
    r"|(?i:\b(?:number|no|nr|nummer|id|ref|reference|code|tel|phone|fax)\b\.?\s*#?\d{3,})"
    r"|(?i:^\d{1,2}\s.*\b(?:street|road|avenue|lane|boulevard|terrace|crescent)$)"
)
_SECTION = re.compile(r"\d{1,2}(?:\.\d{1,2})*\.\s|\d{1,2}(?:\.\d{1,2})+\s|[^\W\d]+\s\d+[.:\s]|§")
_UNDERLINE = re.compile(r"[=\-~*#^]{3,}")
_SHORT = 8  # words of a heading that has no empty line below it
_SAMPLE = 200_000


def decode(data: bytes) -> str:
    """The text of these bytes: byte order mark, else UTF-8, else the most likely encoding.

    Raises Unparsable (`unsupported`) for bytes that are no text.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decoded(data, encoding)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = _guess(data)
    if "\0" in text[:_SAMPLE]:
        text = _unmarked_wide(data) or text
    if _looks_binary(text):
        raise skipped("unsupported", "The file holds binary data, not text: convert it to PDF or text first.")
    return text


def _decoded(data: bytes, encoding: str) -> str:
    """What cannot be decoded becomes lone surrogates, which the canonical text replaces and counts."""
    handler = "surrogatepass" if encoding.startswith("utf-16") else "surrogateescape"
    try:
        return data.decode(encoding, errors=handler)
    except UnicodeDecodeError:
        return data.decode(encoding, errors="replace")


def is_utf8(data: bytes) -> bool:
    """Whether the bytes are readable UTF-8 text, or text with a byte order mark."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return any(data.startswith(mark) for mark, _ in _MARKS)
    return not _looks_binary(text)


def _unmarked_wide(data: bytes) -> str | None:
    """UTF-16 without a mark shows as a NUL in every other byte of western text."""
    sample = data[:4000]
    for encoding, zeros in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[0::2])):
        if len(zeros) > 2 and zeros.count(0) > 0.7 * len(zeros):
            return _decoded(data, encoding)
    return None


def _guess(data: bytes) -> str:
    wide = _unmarked_wide(data)
    if wide is not None:
        return wide
    # A stray bad byte in a long UTF-8 text is a damaged text, not another encoding.
    lenient = data.decode("utf-8", errors="replace")
    wide_characters = sum(map(len, re.findall("[\u0080-\ufffc]+", lenient)))
    if lenient.count("\ufffd") * 20 <= wide_characters:
        return _decoded(data, "utf-8")
    from charset_normalizer import from_bytes

    best = from_bytes(data[:_SAMPLE]).best()
    encoding = best.encoding if best else "cp1252"
    if len(data) < 256:
        encoding = _short_encoding(data) or encoding
    return _decoded(data, encoding)


def _short_encoding(data: bytes) -> str | None:
    """Statistics need text: a short one is Japanese if it decodes to kana or to kanji apart from Latin words,
    western if to Latin letters.
    """
    try:
        japanese = data.decode("cp932")
    except UnicodeDecodeError:
        japanese = ""
    kana = re.search("[\u3040-\u30ff]", japanese)
    # "règlement" in Windows-1252 decodes to "r鑒lement".
    apart = not re.search("[a-z][\u4e00-\u9fff]|[\u4e00-\u9fff][a-z]", japanese)
    if (kana or apart) and len(re.findall("[\u3040-\u30ff\u4e00-\u9fff]", japanese)) >= 2:
        return "cp932"
    western = data.decode("cp1252", errors="replace")
    return "cp1252" if not re.search("[\ufffd\u0080-\u009f]", western) else None


def _looks_binary(text: str) -> bool:
    sample = text[:_SAMPLE]
    controls = len(re.findall("[\x00-\x08\x0e-\x1a\x1c-\x1f\ufffd\ud800-\udfff]", sample))
    return controls > 0.1 * max(len(sample), 1)


def text_pieces(text: str) -> list[Piece]:
    """Paragraphs between blank lines, lists line by line, and lines that stand alone like headings do."""
    text = line_ends(text)
    pieces: list[Piece] = []
    for block in _BLANK.split(text):
        lines = [line.rstrip() for line in block.strip("\n").split("\n") if line.strip()]
        pieces.extend(_block_pieces(lines))
    return _counted_apart(pieces)


def _counted_apart(pieces: list[Piece]) -> list[Piece]:
    """Numbered lines with nothing but the next between them are a list, not headings of nothing."""
    found = list(pieces)
    for number, (piece, below) in enumerate(pairwise([*pieces, Piece("heading", "", depth=1)])):
        numbered = piece.kind == "heading" and LIST_MARK.match(piece.text)
        above = found[number - 1] if number else None
        last = above is not None and above.kind == "list_item" and not below.text
        if numbered and ((LIST_MARK.match(below.text) and below.depth == piece.depth) or last):
            found[number] = Piece("list_item", piece.text)
    return found


def code_pieces(text: str) -> list[Piece]:
    """Source code: one piece per group of lines between blank lines, with its indentation."""
    text = line_ends(text)
    return [Piece("code", block) for block in _BLANK_LINES.split(text)]


def line_ends(text: str) -> str:
    """What is invalid is replaced, and counted, where the pieces are laid out."""
    return re.sub("\r\n?|[\f\v]", "\n", text.removeprefix("\ufeff"))


def _block_pieces(lines: list[str]) -> list[Piece]:
    if not lines:
        return []
    if len(lines) >= 2 and _UNDERLINE.fullmatch(lines[1].strip()) and len(lines[0].strip()) <= 100:
        depth = 1 if lines[1].strip()[0] in "=#*" else 2
        return [Piece("heading", lines[0], depth=depth), *_block_pieces(lines[2:])]
    if _is_heading(lines[0].strip()) and (len(lines) == 1 or _ends_early(lines)):
        depth = _heading_depth(lines[0].strip())
        return [Piece("heading", lines[0], depth=depth), *_block_pieces(lines[1:])]
    if title := _RUN_IN_TITLE.match(lines[0].strip()):
        rest = lines[0].strip()[title.end() :]
        below = Piece("paragraph", "\n".join([rest, *lines[1:]]))
        return [Piece("heading", title[1] + ".", depth=_heading_depth(title[1])), below]
    starts = [number for number, line in enumerate(lines) if LIST_MARK.match(line)]
    if len(starts) >= 2 or (starts == [0] and len(lines) == 1):
        before = [Piece("paragraph", "\n".join(lines[: starts[0]]))] if starts[0] else []
        ends = [*starts[1:], len(lines)]
        items = ["\n".join(lines[start:end]) for start, end in zip(starts, ends, strict=True)]
        return before + [Piece("list_item", item, joined=number > 0) for number, item in enumerate(items)]
    return [Piece("paragraph", "\n".join(lines))]


def _ends_early(lines: list[str]) -> bool:
    """Whether the first line ends before it is full: the next line's first word had room on it."""
    if LIST_MARK.match(lines[0]) and any(_COUNTED.match(line) for line in lines[1:]):
        return False  # the first item of a list
    widest = max(len(line) for line in lines[1:])
    return len(lines[0].split()) <= _SHORT and len(lines[0]) + 1 + len(lines[1].split()[0]) < widest


def _is_heading(line: str) -> bool:
    if not 3 <= len(line) <= 90 or line[-1] in ".,;:!?" or _is_data(line):
        return False
    letters = [character for character in line if character.isalpha()]
    shouted = len(letters) >= 4 and all(character.isupper() for character in letters) and "\t" not in line
    return shouted or (bool(_NUMBERED.match(line)) and len(one_line(line)) <= 70)


def _is_data(line: str) -> bool:
    """A date, an amount or a value: a line to quote. One with the number of a section may name a sum."""
    if _DATE.fullmatch(line) or _QUANTITY.fullmatch(line):
        return True
    return not _SECTION.match(line) and _VALUE.search(line) is not None


def _heading_depth(line: str) -> int:
    match = re.match(r"\d{1,2}((?:\.\d{1,2})*)", line)
    return 1 if not match else 1 + match.group(1).count(".")
