"""Two versions of one document: which of them a question is about. Pure.

Documents of one folder are versions of each other where their titles differ in a year or in the number
behind "version" alone. A question that names a version's year or number is about that version, one that
speaks of the past about an older one, any other about the newest. A version that stands alone is passed over
too where the question names another year or number.
"""

import re
from collections import defaultdict
from collections.abc import Sequence

from ragqa.types import ContextBlock

Age = tuple[str, ...]

_VERSION = re.compile(
    r"\b(?:versions?|v|rev(?:ision)?|edition|release|issue)\.? ?(\d+(?:\.\d+)*)\b", re.IGNORECASE
)
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_AMOUNT = re.compile(
    r"[$€£¥]\s?\d{4}(?!\d)|(?<!\d)\d{4}\s?(?:[$€£¥%°]|(?:euros?|dollars?|pounds|cents|EUR|USD|GBP|CHF"
    r"|per ?cent|litres?|liters?|rpm|bar|(?-i:[kcm]?m|k?g|k?W|k?V))\b)",  # "2024 v 2025" names two years
    re.IGNORECASE,
)
"""What looks like a year and is none."""
_WORD = re.compile(r"[^\W_]+")
_BEFORE = re.compile(r"\b(?:before|until|prior to|up to) (?:the year )?((?:19|20)\d\d)\b", re.IGNORECASE)
_PAST = re.compile(
    r"\b(?:used to|previous(?:ly)?|former(?:ly)?|earlier|superseded|in the past|back then|at that time"
    r"|(?:old|older|last) (?:version|policy|rules?|price|list))\b",
    re.IGNORECASE,
)
_COMPARES = re.compile(
    r"\b(?:chang\w+|differ\w*|compar\w+|versions|both|than|increase\w*|decrease\w*|rise|rose|fell"
    r"|(?:go|goes|went|gone) (?:up|down))\b",
    re.IGNORECASE,
)


def outdated(question: str, blocks: Sequence[ContextBlock]) -> frozenset[str]:
    """The ids of documents of which the blocks hold another version that the question is about."""
    families: dict[str, dict[str, ContextBlock]] = defaultdict(dict)
    for block in blocks:
        families[family_of(block)].setdefault(block.document_id, block)
    passed_over: set[str] = set()
    for name, family in families.items():
        if name and len(family) > 1 and all(map(age_of, family.values())):
            meant = about(question, list(family.values()))
            passed_over |= {document for document, one in family.items() if one not in meant}
    return frozenset(passed_over)


def of_another_time(question: str, blocks: Sequence[ContextBlock]) -> frozenset[str]:
    """The ids of documents that bear a year or version in their name, and nowhere the one asked about.

    What a price list of 2025 says is no answer for 2024, even where no list of 2024 is there. A version's
    number counts only where the question has a word of the title, as other things have versions too.
    """
    years, numbers = years_in(question), set(_VERSION.findall(question))
    if not (years or numbers) or _BEFORE.search(question) or _COMPARES.search(question):
        return frozenset()
    documents: dict[str, list[ContextBlock]] = defaultdict(list)
    for block in blocks:
        documents[block.document_id].append(block)
    asked = set(_WORD.findall(question.casefold()))
    return frozenset(
        document
        for document, held in documents.items()
        if (years and _lacks_years(held, years)) or (numbers and _lacks_versions(held, numbers, asked))
    )


def _lacks_years(blocks: Sequence[ContextBlock], asked: set[str]) -> bool:
    """Whether a document goes by years, but by none of these, and no block of it has one, "FY22" included."""
    own = set(_YEAR.findall(f"{blocks[0].source} {blocks[0].title}"))
    if not own or any(min(own) <= year <= max(own) for year in asked):
        return False
    date = dict(blocks[0].metadata).get("date", "")
    text = " ".join((date, *(part for one in blocks for part in (*one.section, one.text))))
    return not any(
        re.search(rf"(?<!\d){year}(?!\d)|(?:\bFY ?|['’/–-]){year[2:]}(?!\d)", text) for year in asked
    )


def _lacks_versions(blocks: Sequence[ContextBlock], asked: set[str], words: set[str]) -> bool:
    """Whether a document that the question names goes by a version, but has none of these anywhere."""
    own = set(_VERSION.findall(name_of(blocks[0])))
    if not own or not words & set(family_of(blocks[0]).split()[1:]):
        return False
    text = " ".join(part for one in blocks for part in (one.source, one.title, *one.section, one.text))
    held = set(_VERSION.findall(text))
    return not any(number == one or one.startswith(f"{number}.") for number in asked for one in held)


def is_quoted(block: ContextBlock) -> bool:
    """Whether a block is what a mail quotes of an older one: the line above it says who wrote it."""
    mail = block.source.lower().endswith((".eml", ".msg", ".mbox"))
    return mail and any(part.rstrip().endswith((":", "：")) for part in block.section)


def family_of(block: ContextBlock) -> str:
    """What versions share: the folder, and the title without year or version; empty where it has none.

    Where the title has none, the name of the file has to be the same without it, too: "statement 2024-01" and
    "statement 2024-02", both titled "Statement", are of different months.
    """
    folder, _, name = block.source.rpartition("/")
    stem = name.rpartition(".")[0] or name
    title = (block.title if block.title != block.source else "") or stem
    if _unmarked(title) != title:
        return " ".join([folder, *_WORD.findall(_unmarked(title).casefold())])
    if not _YEAR.search(name):
        return ""
    return " ".join([folder, *_WORD.findall(f"{title} {_unmarked(stem)}".casefold())])


def _unmarked(name: str) -> str:
    return _YEAR.sub(" ", _VERSION.sub(" ", name))


def years_in(question: str) -> set[str]:
    """The years that a question names; "2000 euros" is none."""
    return set(_YEAR.findall(_AMOUNT.sub(" ", question)))


def age_of(block: ContextBlock) -> Age:
    """What orders versions: the date, else the year in the name or title, then the version's number."""
    date = dict(block.metadata).get("date", "")
    named = max(_YEAR.findall(f"{block.source} {block.title}"), default="")
    number = _VERSION.search(name_of(block))
    parts = number[1].split(".") if number else []
    when = date if _YEAR.match(date) else named
    return (when, *(part.zfill(6) for part in parts)) if when or parts else ()


def about(question: str, family: Sequence[ContextBlock]) -> list[ContextBlock]:
    """The versions that the question is about, at least one; all of them where it compares."""
    ordered = sorted(family, key=age_of)
    limit = _BEFORE.search(question)
    if limit:
        return [one for one in ordered if age_of(one)[0] < limit[1]] or ordered[:1]
    years, numbers = years_in(question), set(_VERSION.findall(question))
    named = [one for one in ordered if years & years_of(one) or numbers & set(_VERSION.findall(name_of(one)))]
    if named or years or _COMPARES.search(question):
        return named or ordered
    return ordered[:-1] if _PAST.search(question) else ordered[-1:]


def name_of(block: ContextBlock) -> str:
    """The title with the first heading, which is often the title with the version behind it."""
    return " ".join((block.title, *block.section[:1]))


def years_of(block: ContextBlock) -> frozenset[str]:
    """The years that a version goes by."""
    return frozenset(_YEAR.findall(f"{age_of(block)[0]} {block.source} {block.title}"))
