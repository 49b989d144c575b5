"""Metadata as one-line values: keys, dates, front matter. Pure but for the YAML reader."""

import re
from collections.abc import Iterable
from datetime import datetime

from ingest.types import Metadata

_KEY = re.compile(r"[^a-z0-9_-]+")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+")
_FRONT_MATTER = re.compile(
    r"\A\ufeff?---[ \t]*\r?\n(?![ \t]*\r?\n)(.{0,65536}?)^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)",
    re.DOTALL | re.MULTILINE,
)
_HEADING = re.compile(r"^#{1,6} \S", re.MULTILINE)
_PDF_DATE = re.compile(r"D?:?(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?\s*(?:(Z)|([+-])(\d\d)'?(\d\d)?)?")
# What programs write where nobody wrote anything: it is no author, no title, no comment.
_BY_PROGRAMS = re.compile(
    r"\((?:anonymous|unspecified|unknown|untitled|none)\)|generated (?:by|using) python-\w+|python-docx"
    r"|openpyxl|microsoft office user",
    re.IGNORECASE,
)
_WRITTEN_DATES = ("%B %d, %Y", "%b %d, %Y", "%d %B %Y", "%d %b %Y", "%Y/%m/%d", "%d.%m.%Y", "%Y-%m-%d %H:%M")
DATE_KEYS = frozenset({"date", "created", "modified", "updated", "published"})
MAX_VALUE = 500
MAX_ENTRIES = 64


def clean_metadata(pairs: Iterable[tuple[str, object]]) -> Metadata:
    """Pairs as they may be shown: `[a-z0-9_-]{1,40}` keys, one-line values; no empty ones, no repeats.

    Nor what a program fills in by itself, as "(anonymous)".
    """
    found: dict[str, str] = {}
    for raw_key, raw_value in pairs:
        key = _KEY.sub("_", str(raw_key).strip().lower()).strip("_")[:40]
        value = one_line_value(raw_value)
        if key in DATE_KEYS:
            value = iso_date(value)
        says_nothing = not value or _BY_PROGRAMS.fullmatch(value)
        if key and not says_nothing and key not in found and len(found) < MAX_ENTRIES:
            found[key] = value
    return tuple(found.items())


def one_line_value(value: object) -> str:
    """A scalar as text; a list's scalars joined by ", "; likewise a mapping's values. One level deep."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        scalars = [str(item) for item in value[:100] if not isinstance(item, list | tuple | dict)]
        return one_line_value(", ".join(scalars))
    return " ".join(_CONTROL.sub(" ", str(value)[: 4 * MAX_VALUE]).split())[:MAX_VALUE]


def iso_date(text: str) -> str:
    """`text` as an ISO 8601 date or datetime where it is one in a usual form, else unchanged."""
    text = text.strip()
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        pass
    else:
        return text if len(text) <= 10 else parsed.isoformat(timespec="seconds")
    for form in _WRITTEN_DATES:
        try:
            parsed = datetime.strptime(text, form)  # noqa: DTZ007  a date as written has no zone
        except ValueError:
            continue
        return parsed.isoformat(timespec="minutes") if "%H" in form else parsed.date().isoformat()
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(text).isoformat(timespec="seconds")
    except (ValueError, TypeError, IndexError, OverflowError):
        return text


def pdf_date(text: str) -> str:
    """A PDF date string (ISO 32000-1, 7.9.4) as ISO 8601; "" if it is none."""
    match = _PDF_DATE.match(text.strip())
    if not match:
        return ""
    year, month, day, hour, minute, second, zulu, sign, zone_hour, zone_minute = match.groups()
    date = f"{year}-{month or '01'}-{day or '01'}"
    zone = "+00:00" if zulu else f"{sign}{zone_hour}:{zone_minute or '00'}" if sign else ""
    whole = date if hour is None else f"{date}T{hour}:{minute or '00'}:{second or '00'}{zone}"
    try:
        datetime.fromisoformat(whole)
    except ValueError:
        return ""
    return whole


def split_front_matter(text: str) -> tuple[list[tuple[str, object]], str]:
    """The keys of a YAML front matter, and the text after it; nothing and the whole text if there is none."""
    match = _FRONT_MATTER.match(text)
    if not match:
        return [], text
    import yaml

    try:
        # The base loader makes strings alone: no objects, no dates to print back, no numbers to round.
        loaded = yaml.load(match.group(1), Loader=yaml.BaseLoader)  # noqa: S506
    except (yaml.YAMLError, RecursionError, ValueError):
        return [], text
    if not isinstance(loaded, dict):
        return [], text
    # A section between rules: its heading would be a comment. Who names a title may well comment on it.
    if _HEADING.search(match.group(1)) and "title" not in loaded:
        return [], text
    return [(str(key), value) for key, value in loaded.items()], text[match.end() :]
