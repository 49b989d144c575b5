"""Text of documents and questions, made harmless for a prompt. Pure.

One character of each dangerous word is replaced by a look-alike of the same length, so that parser and
tokenizer no longer see the word, a person still reads it, and offsets hold. Nothing is shown to people in
this form: quotes are cut from the canonical text.
"""

import re
import unicodedata
from collections.abc import Mapping

# None of these has a compatibility decomposition: a tokenizer that normalises (NFKC) does not turn them
# back. They are not used for anything else, so `restore` can. The colon's is a symbol, not a letter: words
# stay words.
LOOK_ALIKES: Mapping[str, str] = {
    "E": "\u0395",  # Greek capital epsilon
    "e": "\u0435",  # Cyrillic small ie
    ":": "\u2236",  # ratio
    "#": "\u266f",  # music sharp
    "[": "\u2772",  # light left tortoise shell bracket ornament
    "<": "\u2039",  # single left-pointing angle quotation mark
}
_HIDDEN = "\u200b"  # stands for any character that shows nothing


def _hidden_between(word: str, gap: str) -> str:
    """A pattern of the word with `gap` allowed between its letters; its first letter E is the group."""
    letters = [re.escape(letter) for letter in word]
    first = word.index("E")
    letters[first] = f"({letters[first]})"
    return gap.join(letters)


_MARKER_WORDS = [edge + part for edge in ("BEGIN", "END") for part in ("INPUT", "CONTEXT", "INSTRUCTION")]
_ROLES = "user|assistant|system|human"
_H = f"{_HIDDEN}*"
_SPECIAL = (
    "s|unk|pad|bos|eos|cls|sep|mask|image|im_start|im_end|im_sep|start_of_turn|end_of_turn|endoftext|system|user"
    r"|assistant|instructions?|prompt|extra_id_\d+|reserved_\w{1,30}|0x[0-9a-f]{2}"
)

# Each pattern captures the one character to replace. They are matched against the folded text (see `_fold`).
_PATTERNS: tuple[re.Pattern[str], ...] = (
    # The six markers, in any case: written as one word they mean nothing else.
    *(re.compile(_hidden_between(word, _H), re.IGNORECASE) for word in _MARKER_WORDS),
    # With gaps ("BEGIN INPUT", "B E G I N…") in capitals only: "end, input" and "begin context" are plain
    # English.
    *(re.compile(_hidden_between(word, rf"[ \t_.\-▁{_HIDDEN}]{{0,3}}")) for word in _MARKER_WORDS),
    # Roles: capitalised anywhere (the wrapper puts them in the middle of a line), in small letters where a
    # line starts. The colon is replaced, so that the word stays findable.
    re.compile(
        rf"(?:{'|'.join(map(_H.join, _ROLES.title().split('|') + _ROLES.upper().split('|')))})"
        rf"[ \t*_{_HIDDEN}]*(:)"
    ),
    re.compile(
        rf"^[ \t>*_\-]*(?:{'|'.join(map(_H.join, _ROLES.split('|')))})[ \t*_{_HIDDEN}]*(:)",
        re.IGNORECASE | re.MULTILINE,
    ),
    # Alpaca: "### Instruction:", "### Response" alone on its line.
    re.compile(
        rf"^[ \t]*#{{1,5}}(#)[ \t{_HIDDEN}]*(?:instruction|response|input|prompt|question|{_ROLES})s?"
        r"[ \t*]*(?::|$)",
        re.IGNORECASE | re.MULTILINE,
    ),
    # In the middle of a line, as a title's value stands, with its colon.
    re.compile(
        rf"#{{1,5}}(#)[ \t{_HIDDEN}]*(?:instruction|response|input|prompt|question|{_ROLES})s?[ \t*]*:",
        re.IGNORECASE,
    ),
    # Llama 2 and Mistral: [INST] [/INST] <<SYS>> <</SYS>> [AVAILABLE_TOOLS] …
    re.compile(
        rf"(\[){_H}/?{_H}(?:{_H.join('INST')}|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_\w+)\s?\]", re.IGNORECASE
    ),
    re.compile(rf"(<){_H}<{_H}/?{_H}{_H.join('SYS')}{_H}>", re.IGNORECASE),
    # Special tokens: <|…|> of any name, and those in angle brackets that tokenizers have.
    re.compile(rf"(<){_H}\|"),
    re.compile(rf"(<){_H}/?{_H}(?:{_SPECIAL}){_H}/?>", re.IGNORECASE),
)

# Shows nothing but belongs to words of some scripts (joiners, soft hyphen, variation selectors): left in
# place, but seen through when looking for markers.
_SEEN_THROUGH = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200c\u200d\u2061-\u2064\ufe00-\ufe0f]"
)
# Line ends of other kinds become line ends, so that "at the start of a line" means what a reader takes it
# for.
_LINE_ENDS = re.compile("[\x0b\x0c\x85\u2028\u2029]|\r(?!\n)")
# Spaces in place of: control characters (terminal, NUL), direction overrides (they show other words than
# the model reads), zero-width spaces, tag characters and runs of selectors (they carry text that nobody
# sees).
_UNSEEN = re.compile(
    "[\x00-\x08\r\x0e-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060\u2065-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e00ff]|[\U000e0100-\U000e01ef]{2,}"
)
_SURROGATES = re.compile("[\ud800-\udfff]")  # tokenizers refuse them


def clean(text: str) -> str:
    """Characters that hide or break something, replaced one for one; idempotent."""
    if text.isascii() and text.replace("\n", " ").replace("\t", " ").isprintable():
        return text
    text = _LINE_ENDS.sub("\n", text)
    text = _UNSEEN.sub(lambda run: " " * len(run.group()), text)
    return _SURROGATES.sub("\ufffd", text)


def defuse(text: str) -> str:
    """The same text, of the same length, with no marker, role, special token or control; idempotent."""
    text = clean(text)
    while found := _dangerous(text):
        characters = list(text)
        for place, character in found.items():
            characters[place] = LOOK_ALIKES[character]
        text = "".join(characters)
    return text


def restore(text: str) -> str:
    """Undo the look-alikes in what a model copied, wherever that gives a word that `defuse` would change.

    Greek and Russian text keeps its own letters.
    """
    back = text.translate(_BACK)
    if back == text:
        return text
    dangerous = _dangerous(back)
    return "".join(
        dangerous[place] if place in dangerous and LOOK_ALIKES[dangerous[place]] == character else character
        for place, character in enumerate(text)
    )


def _dangerous(text: str) -> dict[int, str]:
    """Places to replace, each with the plain character that stands there."""
    folded = text if text.isascii() else text.translate(_FOLDED)
    return {match.start(1): match[1] for pattern in _PATTERNS for match in pattern.finditer(folded)}


class _Folding(dict[int, str]):
    """Each character as one plain character: full-width and styled letters folded, hidden ones all alike."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        plain = unicodedata.normalize("NFKC", character)
        if _SEEN_THROUGH.match(character) or 0xE0100 <= code <= 0xE01EF:
            plain = _HIDDEN
        self[code] = plain if len(plain) == 1 else character
        return self[code]


_FOLDED = _Folding()
_BACK = {ord(look_alike): plain for plain, look_alike in LOOK_ALIKES.items()}
