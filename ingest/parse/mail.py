"""Mail: .eml through the standard library, .msg through oxmsg, .mbox split into its mails.

unstructured's readers flatten attachments into one text with the mail; here each is a member of its own.
"""

import io
import re
from codecs import lookup
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email import message_from_bytes, policy
from email.message import Message
from typing import Any

from ingest.parse.canonical import Piece
from ingest.parse.problems import skipped
from ingest.parse.text import decode, line_ends, text_pieces

_HEADERS = ("Subject", "From", "To", "Cc", "Date", "Message-ID")
_SHOWN = ("From", "To", "Cc", "Date")
# "From here on" starts a sentence; a program's line has a time and a year, in all of a mailbox or in none.
_MBOX_FROM = re.compile(rb"^From [^\n]*\d\d:\d\d[^\n]*\d{4}[^\n]*\n", re.MULTILINE)
_UNDATED_FROM = re.compile(rb"^From [^\n]*\n", re.MULTILINE)
_SEALED_NAMES = ("smime.p7m", "message.rpmsg", ".pgp-encrypted")
_ENCRYPTED = (
    "multipart/encrypted",
    "application/pkcs7-mime",
    "application/x-pkcs7-mime",
    "application/pgp-encrypted",
)
# A line, wrapped or not, that ends in a colon, and the marked lines below it: `On 3 May, Tom wrote:`, `> …`.
_QUOTATION = re.compile(
    r"^(?!>)(?P<by>(?:.+\n(?=[<a-z])){0,2}.+[:\uff1a])\s*\n(?P<quoted>>.*(?:\s*\n>.*)*)", re.MULTILINE
)
_ATTRIBUTES = re.compile(
    r"@|\b(?:wrote|writes|schrieb|écrit|escribió|scritto|schreef|skrev|escreveu|napisał|napisała)\b|写道|пишет|писал"
)
"""What tells a line that names somebody from one's own that ends in a colon."""
_GREETING = re.compile(r"[^\n]{2,60}[,!:]")
_QUOTE_MARK = re.compile(r"^> ?", re.MULTILINE)
_QUOTED_DEPTH = 3  # as a heading: the subject's is 1, the writer's own are 2
_QUOTES_IN_QUOTES = 4


@dataclass(frozen=True, slots=True)
class Body:
    """What a mail says, or a part of it: HTML or plain text."""

    text: str
    is_html: bool


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail: headers, what it says in order, and what is attached, each by name."""

    headers: tuple[tuple[str, str], ...]
    bodies: tuple[Body, ...]
    attachments: tuple[tuple[str, bytes], ...]


def read_eml(data: bytes) -> Mail:
    """The mail of an .eml file. Raises Unparsable (`password`) for an encrypted one."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        data = decode(data).encode("utf-8")
    data = data.removeprefix(b"\xef\xbb\xbf")
    if data.startswith(b"From "):
        data = data.partition(b"\n")[2]
    message = message_from_bytes(data, policy=policy.default)
    kind = message.get_content_type()
    if kind in _ENCRYPTED and "signed" not in str(message.get("Content-Type", "")).lower():
        raise skipped("password", "The mail is encrypted: save a decrypted copy from the mail program.")
    headers = tuple((name, value) for name in _HEADERS if (value := _header(message, name)))
    bodies, attachments = _parts(message)
    return Mail(headers, tuple(bodies), tuple(attachments))


def _header(message: Message, name: str) -> str:
    try:
        return " ".join(str(message.get(name) or "").split())
    except (ValueError, IndexError, AttributeError, TypeError, LookupError):
        # The standard library's parser of structured headers stumbles over malformed ones.
        raw = dict(message.raw_items()).get(name, "")
        return " ".join(str(raw).split())


def _parts(message: Message) -> tuple[list[Body], list[tuple[str, bytes]]]:
    """The bodies, HTML where it stands as an alternative to plain text, and the attachments."""
    bodies: list[Body] = []
    attachments: list[tuple[str, bytes]] = []
    for number, (part, replaced) in enumerate(_leaves(message), start=1):
        kind, name = part.get_content_type(), _filename(part)
        if kind == "message/rfc822":
            inner = part.get_payload()
            first = inner[0] if isinstance(inner, list) and inner else None
            content = first.as_bytes() if isinstance(first, Message) else b""
            attachments.append((name or f"mail-{number}.eml", content))
        elif _is_attached(part, first=not bodies):
            if not (kind.startswith("image/") and part.get("Content-ID")):  # a picture of the body itself
                attachments.append((name or f"attachment-{number}", _content(part)))
        elif _is_body(part) and not replaced and (text := _text(part)).strip():
            bodies.append(Body(text, kind == "text/html"))
    return bodies, attachments


def _is_attached(part: Message, *, first: bool) -> bool:
    """Whether a part is a file. Text with a name is one unless it comes first: programs name bodies, too."""
    named = bool(_filename(part)) and not (_is_body(part) and first)
    return _disposition(part) == "attachment" or (named and part.get_content_type() != "text/calendar")


def _is_body(part: Message) -> bool:
    return part.get_content_maintype() == "text" and part.get_content_subtype() != "calendar"


def _leaves(message: Message) -> Iterator[tuple[Message, bool]]:
    """Parts in order, not into attached mails: those are members of their own.

    With each whether an alternative says the same in HTML.
    """
    stack = [(message, False)]
    while stack:
        part, replaced = stack.pop()
        if part.get_content_type() == "message/rfc822" and part is not message:
            yield part, replaced
        elif part.is_multipart():
            payload = part.get_payload()
            parts = [p for p in payload if isinstance(p, Message)] if isinstance(payload, list) else []
            alternatives = part.get_content_type() == "multipart/alternative"
            best = next((p for p in reversed(parts) if _says_in_html(p)), None) if alternatives else None
            stack.extend((p, replaced or best not in (None, p)) for p in reversed(parts))
        else:
            yield part, replaced


def _says_in_html(message: Message) -> bool:
    return any(
        part.get_content_type() == "text/html" and _disposition(part) != "attachment" and _text(part).strip()
        for part, _ in _leaves(message)
    )


def _disposition(part: Message) -> str:
    return str(part.get("Content-Disposition") or "").split(";")[0].strip().lower()


def _filename(part: Message) -> str:
    try:
        return part.get_filename() or ""
    except (ValueError, TypeError, LookupError, AttributeError):
        return ""


def _content(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _text(part: Message) -> str:
    data = _content(part)
    charset = part.get_content_charset() or ""
    try:
        if charset and lookup(charset).name == "iso8859-1":
            charset = "cp1252"  # as browsers do: mail programs of Windows call it the other
        return data.decode(charset) if charset else decode(data)
    except (LookupError, UnicodeDecodeError):
        return decode(data)


def split_mbox(data: bytes) -> list[bytes]:
    """The mails of an mbox, in order: a line `From …` after an empty one starts each."""
    line = _MBOX_FROM if _MBOX_FROM.match(data) else _UNDATED_FROM
    starts = [m for m in line.finditer(data) if m.start() == 0 or _after_blank(data, m.start())]
    ends = [m.start() for m in starts[1:]] + [len(data)]
    return [data[m.end() : end].replace(b"\n>From ", b"\nFrom ") for m, end in zip(starts, ends, strict=True)]


def _after_blank(data: bytes, position: int) -> bool:
    return data[max(0, position - 4) : position].endswith((b"\n\n", b"\r\n\r\n"))


def read_msg(data: bytes) -> Mail:
    """The mail of an Outlook .msg file. Raises Unparsable (`password`) for an encrypted one."""
    import oxmsg

    message: Any = oxmsg.Message.load(io.BytesIO(data))
    attachments = [
        (a.file_name or f"attachment-{n}", a.file_bytes or b"") for n, a in enumerate(message.attachments, 1)
    ]
    kind = str(getattr(message, "message_class", "") or "")
    sealed = any(name.lower().endswith(_SEALED_NAMES) for name, _ in attachments)
    if sealed or (kind.upper().startswith("IPM.NOTE.SMIME") and "MultipartSigned" not in kind):
        raise skipped("password", "The mail is encrypted: save a decrypted copy from the mail program.")
    sent = {str(k).lower(): str(v) for k, v in (message.message_headers or {}).items()}
    date = message.sent_date.isoformat() if message.sent_date else sent.get("date", "")
    recipients = "; ".join(f"{r.name} <{r.email_address}>" for r in message.recipients)
    headers = (
        ("Subject", message.subject or ""),
        ("From", message.sender or sent.get("from", "")),
        ("To", sent.get("to") or recipients),
        ("Cc", sent.get("cc", "")),
        ("Date", date),
        ("Message-ID", sent.get("message-id", "")),
    )
    html, plain = message.html_body, message.body
    return Mail(
        tuple((k, " ".join(v.split())) for k, v in headers if v),
        (Body(html, is_html=True),) if html else (Body(plain or "", is_html=False),),
        tuple(attachments),
    )


def mail_pieces(mail: Mail) -> list[Piece]:
    """What a mail program shows: the subject, who wrote to whom and when, the body."""
    found = dict(mail.headers)
    shown = "\n".join(f"{name}: {found[name]}" for name in _SHOWN if name in found)
    body = [piece for one in mail.bodies for piece in _pieces_of(one)]
    if not body and not mail.headers:
        raise skipped("empty", "The mail holds no text.")
    return [Piece("heading", found.get("Subject", ""), depth=1), Piece("paragraph", shown), *body]


def _pieces_of(body: Body) -> list[Piece]:
    if not body.is_html:
        return _body_pieces(line_ends(body.text), _QUOTES_IN_QUOTES)
    from ingest.parse.partition import html_pieces
    from ingest.parse.webpage import clean_markup

    return html_pieces(clean_markup(body.text))


def _body_pieces(text: str, levels: int) -> list[Piece]:
    """Plain text; quoted words, without their marks, are a section of whoever the line above them names.

    Where no line does, the marks stay: they are all that tells whose words these are not. They stay, too,
    where a question is quoted and answered below: apart, neither says anything.
    """
    pieces: list[Piece] = []
    end = 0
    for found in _QUOTATION.finditer(text) if levels else ():
        answered = found["quoted"].rstrip().endswith("?") and text[found.end() :].strip()
        if answered or not _ATTRIBUTES.search(found["by"]):
            continue
        pieces += _own_pieces(text[end : found.start()])
        pieces.append(Piece("heading", found["by"], depth=_QUOTED_DEPTH))
        quoted = _body_pieces(_QUOTE_MARK.sub("", found["quoted"]), levels - 1)
        pieces += [replace(piece, depth=piece.depth and piece.depth + _QUOTED_DEPTH) for piece in quoted]
        end = found.end()
    return pieces + _own_pieces(text[end:])


def _own_pieces(text: str) -> list[Piece]:
    """The writer's own words, of which the first end the quotation above them."""
    pieces = _headed(text_pieces(text))
    for first in pieces[:1]:
        pieces[0] = replace(first, depth=min(first.depth or _QUOTED_DEPTH, _QUOTED_DEPTH))
    return pieces


def _headed(pieces: list[Piece]) -> list[Piece]:
    """Headings stand below the subject. A line in capitals above the greeting, or alone at the top, is none.

    It marks the mail ("URGENT", "WITHOUT PREJUDICE"), and what follows goes on to other matters. A mail that
    is written in sections has two and more, or one below the first matter.
    """
    shouted = [piece.kind == "heading" and piece.text.isupper() for piece in pieces]
    found: list[Piece] = []
    for number, piece in enumerate(pieces):
        below = pieces[number + 1].text if number + 1 < len(pieces) else ""
        opens = all(_GREETING.fullmatch(above.text) for above in pieces[:number])
        if shouted[number] and (_GREETING.fullmatch(below) or (opens and sum(shouted) == 1)):
            found.append(Piece("paragraph", piece.text))
        else:
            found.append(replace(piece, depth=piece.depth and piece.depth + 1))
    return found


def mail_metadata(mail: Mail) -> list[tuple[str, object]]:
    found = dict(mail.headers)
    # Without a subject the first heading would be the title, and that may be of what is quoted.
    title = found.get("Subject") or found.get("From")
    pairs: list[tuple[str, object]] = [("title", title), ("author", found.get("From"))]
    return pairs + [
        (name.lower(), found.get(name)) for name in ("Date", "From", "To", "Cc", "Subject", "Message-ID")
    ]
