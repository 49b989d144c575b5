"""Words of a text as they are compared: numbers by value, the rest lightly stemmed. Pure; knows no prompt."""

import re
import unicodedata
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

_STOP_WORDS = (
    "a about above according after again all also although am among an and any are as at be because been "
    "before being below between both but by can could did do does doing down during each either etc even "
    "few for from further had has have having he her here hers him his how however i if in into is it its "
    "itself just may me might more most much must my of off on once one only or other our out over own "
    "per please same shall she should since so some such than that the their theirs them then there these "
    "they this those through thus to too under until up upon us very was we well were what when where "
    "whereas whether which while who whom whose why will with within would yes you your"
)
_NEGATIONS = "no not never none nobody nothing neither nor without cannot hardly unable"
STOP_WORDS = frozenset(_STOP_WORDS.split())
NEGATIONS = frozenset(_NEGATIONS.split())
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty"
)
_TENS = "thirty forty fifty sixty seventy eighty ninety"
# "first" and "second" are words of order and of time more often than numbers.
_RANKS = (
    "third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
    "sixteenth seventeenth eighteenth nineteenth twentieth"
)
_CARDINALS = {word: value for value, word in enumerate(_SMALL.split())} | {
    word: 10 * tens for tens, word in enumerate(_TENS.split(), 3)
}
_ORDINALS = {word: value for value, word in enumerate(_RANKS.split(), 3)}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "mn": 10**6, "billion": 10**9, "bn": 10**9}

_TOKEN = re.compile(
    r"(?P<number>(?<![\w.])[0-9]{1,3}(?:[,\u202f\u00a0'’][0-9]{3})+(?![0-9])(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?)"
    r"(?P<ordinal>(?:st|nd|rd|th)\b)?"
    r"|(?P<sign>[%$€£¥°])"
    r"|(?P<cjk>[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+)"
    r"|(?P<word>(?:[^\W\d_]\.){2,}|[^\W\d_]+(?:['’][^\W\d_]+)*)"
    r"|(?P<stop>[.,;:!?()\n\t])"
)
_GROUPING = re.compile(r"[,\u202f\u00a0'’]")
_SIGNS = {"%": "percent", "$": "dollar", "€": "euro", "£": "pound", "¥": "yen", "°": "degre"}


class Token(NamedTuple):
    """`form` is what is compared; `#12.5` for a number, `#3th` for an ordinal, punctuation as itself.

    A NamedTuple, as a prompt has 10,000 of them: three times as fast to make as a frozen dataclass.
    """

    form: str
    text: str
    start: int
    end: int

    @property
    def is_number(self) -> bool:
        return self.form[0] == "#"

    @property
    def is_stop(self) -> bool:
        return not self.form[0].isalnum() and self.form[0] not in "#_"

    @property
    def is_content(self) -> bool:
        """Whether it counts towards coverage."""
        return not (
            self.is_stop or self.form in STOP_STEMS or self.form in NEGATIONS or self.form[-3:] == "n't"
        )


@lru_cache(maxsize=2048)
def tokens(text: str) -> tuple[Token, ...]:
    """Numbers, words, and the punctuation that bounds clauses, in order. Linear time, any text."""
    found = []
    valued = False
    for match in _TOKEN.finditer(text):
        kind, piece, start = match.lastgroup, match.group(), match.start()
        if kind == "word":
            form = stem(piece)
            if form in STOP_WORDS and len(form) > 1 and piece.isupper():
                form = form.upper()  # "US", "U.S.", "WHO", "IT" are names
            valued = valued or form in _VALUE_STEMS
            found.append(Token(form, piece, start, start + len(piece)))
            if form[-3:] == "n't":  # "doesn't" = "does not"
                found.append(Token("not", piece, start, start + len(piece)))
        elif kind == "stop":
            found.append(Token(piece, piece, start, start + 1))
        elif kind == "sign":
            found.append(Token(_SIGNS[piece], piece, start, start + 1))
        elif kind == "cjk":
            # No spaces between words: pairs of characters stand in for them.
            pairs = [piece[n : n + 2] for n in range(max(1, len(piece) - 1))]
            found += [Token(pair, pair, start + n, start + n + len(pair)) for n, pair in enumerate(pairs)]
        else:
            form = number_form(_GROUPING.sub("", match["number"])) + ("th" if match["ordinal"] else "")
            found.append(Token(form, piece, start, start + len(piece)))
    return _with_values(found) if valued else tuple(found)


def number_form(digits: str) -> str:
    """`1200`, `1200.0` and `01200` alike."""
    whole, _, fraction = digits.partition(".")
    fraction = fraction.rstrip("0")
    return f"#{whole.lstrip('0') or '0'}{'.' + fraction if fraction else ''}"


def _with_values(found: list[Token]) -> tuple[Token, ...]:
    """Number words as numbers, and number and scale as one: "five", "twenty-five", "1.2 million"."""
    joined: list[Token] = []
    for token in found:
        word = token.text.lower()
        form = f"#{_CARDINALS[word]}" if word in _CARDINALS else token.form
        form = f"#{_ORDINALS[word]}th" if word in _ORDINALS else form
        value = _joined(joined[-1], token, form) if joined and token.start - joined[-1].end <= 1 else None
        if value is None:
            joined.append(token._replace(form=form))
        else:
            before = joined.pop()
            joined.append(Token(value, f"{before.text} {token.text}", before.start, token.end))
    return tuple(joined)


def _joined(before: Token, token: Token, form: str) -> str | None:
    """The value of a number and the word behind it, if they are one number."""
    if not before.is_number or before.form.endswith("th"):
        return None
    number = before.form[1:]
    if scale := _SCALES.get(token.text.lower()):
        return number_form(f"{Decimal(number) * scale:f}") if len(number) < 20 else None
    tens = before.text.isalpha() and len(number) == 2 and number[1] == "0" and number != "10"
    ones = token.text.isalpha() and form[0] == "#" and form[1:].removesuffix("th") in set("123456789")
    return f"#{int(number) + int(form[1])}{form[2:]}" if tens and ones else None


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """A word without case, accents, possessive and the commonest English endings; never empty."""
    word = word.lower().replace("’", "'").replace(".", "")
    if not word.isascii():
        word = "".join(c for c in unicodedata.normalize("NFKD", word) if c.isalnum() or c == "'")
    if word.endswith("n't"):
        return word
    word = word.removesuffix("'s").replace("'", "")
    if word in NEGATIONS or word in STOP_WORDS:
        return word
    for ending, instead, least in _ENDINGS if word[-1:] in _LAST_LETTERS else ():
        if word.endswith(ending) and len(word) - len(ending) >= least:
            word = word[: len(word) - len(ending)] + instead
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiouls":
        word = word[:-1]  # stopped = stop
    return (word[:-1] if len(word) > 4 and word.endswith("e") else word) or "_"


_ENDINGS = (
    ("sses", "ss", 2), ("ies", "y", 2), ("ied", "y", 2), ("ings", "", 3), ("ing", "", 3), ("edly", "", 3),
    ("ed", "", 3), ("ly", "", 3), ("ches", "ch", 2), ("shes", "sh", 2), ("xes", "x", 2), ("ss", "ss", 1),
    ("us", "us", 1), ("is", "is", 1), ("s", "", 2),
)  # fmt: skip
_LAST_LETTERS = frozenset(ending[-1] for ending, _, _ in _ENDINGS)
STOP_STEMS = frozenset(map(stem, STOP_WORDS))
_VALUE_STEMS = frozenset(map(stem, (*_CARDINALS, *_ORDINALS, *_SCALES)))
