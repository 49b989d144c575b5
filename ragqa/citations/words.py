"""Words of a text as they are compared: numbers by value, the rest lightly stemmed; its names. Pure."""

import re
import unicodedata
from collections.abc import Iterator, Set
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
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
_NEGATIONS = "no not never none nobody nothing neither nor non without cannot hardly unable"
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
    r"(?P<number>(?<![\w.])\d{1,3}(?:[,\u202f\u00a0'’٬，]\d{3})+(?!\d)(?:[.٫．]\d+)?|\d+(?:[.٫．]\d+)?)"
    r"(?:(?P<ordinal>(?:st|nd|rd|th)\b)| ?(?P<fraction>[¼-¾⅐-⅞]))?"
    r"|(?P<sign>[%$€£¥°％＄￡￥])"
    r"|(?P<part>[¼-¾⅐-⅞])"
    r"|(?P<cjk>[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+)"
    r"|(?P<word>(?:[^\W\d_]\.){2,}|[^\W\d_]+(?:['’][^\W\d_]+)*)"
    r"|(?P<stop>[.,;:!?()\n\t])"
)
_GROUPING = re.compile(r"[,\u202f\u00a0'’٬，]")
_SIGNS = {"%": "percent", "$": "dollar", "€": "euro", "£": "pound", "¥": "yen", "°": "degre"}
_SIGNS |= {"％": "percent", "＄": "dollar", "￡": "pound", "￥": "yen"}
CURRENCIES = "$€£¥＄￡￥"
_MINUS = "-−–－"
_MAY_BE_SIGNED = _MINUS + CURRENCIES
_BEFORE_MINUS = f"([{{<>≤≥=~≈{CURRENCIES}"  # or white space: "10-12", "2019-20" and "COVID-19" have none


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
            found.append(_number(match, numbered=bool(found) and found[-1].form in _NUMBERED))
    return _with_values(found) if valued else tuple(found)


def _number(match: re.Match[str], *, numbered: bool) -> Token:
    """A number of any script's digits, with its sign and a fraction behind it: "-18", "５００", "2½"."""
    digits = _GROUPING.sub("", match["number"] or "0")
    if not digits.isascii():
        digits = "".join(str(unicodedata.decimal(character, ".")) for character in digits)
    kind, text, (start, end) = match.lastgroup, match.string, match.span()
    if kind in ("fraction", "part"):
        digits = digits.partition(".")[0] + f"{unicodedata.numeric(match[kind]):.4f}"[1:]
    if start and text[start - 1] in _MAY_BE_SIGNED and _is_negative(text, start):
        digits = f"-{digits}"
        start -= text[start - 1] in _MINUS
    form = number_form(digits, numbered=numbered)
    return Token(f"{form}th" if kind == "ordinal" else form, text[start:end], start, end)


def _is_negative(text: str, start: int) -> bool:
    """Whether a minus belongs to the number: it stands alone before it or its currency, and is no range's."""
    at = start - 2 if start > 1 and text[start - 1] in CURRENCIES else start - 1
    if at < 0 or text[at] not in _MINUS:
        return False
    before = text[at - 1] if at else " "
    in_range = before in " \u00a0\u202f" and at > 1 and text[at - 2].isdecimal()
    return (before.isspace() or before in _BEFORE_MINUS) and not in_range


def number_form(digits: str, *, numbered: bool = False) -> str:
    """`1200`, `1200.0` and `01200` alike; but 3.10 is not 3.1 where things are numbered, as versions are."""
    sign = "-" if digits[0] == "-" else ""
    whole, _, fraction = digits.removeprefix("-").partition(".")
    fraction = fraction if numbered and fraction.strip("0") else fraction.rstrip("0")
    return f"#{sign}{whole.lstrip('0') or '0'}{'.' + fraction if fraction else ''}"


def _with_values(found: list[Token]) -> tuple[Token, ...]:
    """Words as numbers, or as part of one: "twenty-five", "1.2 million", "two and a half", "minus 4"."""
    joined: list[Token] = []
    for token in found:
        word = token.text.lower()
        form = f"#{_CARDINALS[word]}" if word in _CARDINALS else token.form
        form = f"#{_ORDINALS[word]}th" if word in _ORDINALS else form
        count = 3 if word == "half" and [one.form for one in joined[-2:]] == ["and", "a"] else 1
        value = None
        if len(joined) >= count and joined[-count].form[0] == "#" and token.start - joined[-1].end <= 1:
            value = _joined(joined[-count], token, form)
        if value is not None:
            text = " ".join(one.text for one in (*joined[-count:], token))
            joined[-count:] = [Token(value, text, joined[-count].start, token.end)]
        else:
            joined.append(token if form is token.form else token._replace(form=form))
    return tuple(_with_minus(joined) if any(token.form == "minus" for token in joined) else joined)


def _with_minus(found: list[Token]) -> list[Token]:
    """ "minus 4" as -4; "10 minus 4" stays."""
    result: list[Token] = []
    for token in found:
        behind = token.is_number and token.form[1] != "-" and result and result[-1].form == "minus"
        if behind and not (len(result) > 1 and result[-2].is_number):
            minus = result.pop()
            token = Token(f"#-{token.form[1:]}", f"{minus.text} {token.text}", minus.start, token.end)
        result.append(token)
    return result


def _joined(before: Token, token: Token, form: str) -> str | None:
    """The value of a number and the word behind it, if they are one number."""
    if before.form.endswith("th"):
        return None
    number = before.form[1:]
    if token.text.lower() == "half":
        return f"#{number}.5" if number.isdecimal() and token.start - before.end > 1 else None
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


def capitalised(found: tuple[Token, ...]) -> Iterator[list[Token]]:
    """Runs of capitalised words, small joining words within them left out."""
    run: list[Token] = []
    gap = False
    for token in found:
        if token.text[0].isupper() and not token.is_number and token.form[-3:] != "n't":
            run.append(token)
            gap = False
        elif run and token.form in _JOINS_NAMES and not gap:
            gap = True
        else:
            if run:
                yield run
            run, gap = [], False
    if run:
        yield run


def capitalised_names(found: tuple[Token, ...], seen_in_lower_case: Set[str]) -> Iterator[list[Token]]:
    """Those runs that are names: a first word is one unless it is common or `seen_in_lower_case`."""
    words = [token for token in found if not token.is_stop]
    firsts = {words[0].start} if words else set()
    firsts |= {b.start for a, b in pairwise(found) if a.form in (".", ":", "!", "?", "\n")}
    for run in capitalised(found):
        if run[0].start in firsts and not (run[0].text.isupper() and len(run[0].text) > 1):
            first = run[0].form
            common = (
                first in STOP_STEMS or first in NEGATIONS or first in _NO_NAMES or first in seen_in_lower_case
            )
            if common or run[0].text.endswith("ly"):
                run = run[1:]
        if run:
            yield run


_ENDINGS = (
    ("sses", "ss", 2), ("ies", "y", 2), ("ied", "y", 2), ("ings", "", 3), ("ing", "", 3), ("edly", "", 3),
    ("ed", "", 3), ("ly", "", 3), ("ches", "ch", 2), ("shes", "sh", 2), ("xes", "x", 2), ("ss", "ss", 1),
    ("us", "us", 1), ("is", "is", 1), ("s", "", 2),
)  # fmt: skip
_LAST_LETTERS = frozenset(ending[-1] for ending, _, _ in _ENDINGS)
STOP_STEMS = frozenset(map(stem, STOP_WORDS))
_VALUE_STEMS = frozenset(map(stem, (*_CARDINALS, *_ORDINALS, *_SCALES, "half", "minus")))
_NUMBERED_NAMES = "version release v ver section sec article art clause paragraph chapter annex figure table"
_NUMBERED = frozenset(map(stem, _NUMBERED_NAMES.split()))
_JOINS_NAMES = frozenset(("of", "the", "de", "la", "von", "van", "and", "for", "da", "del", "di"))
_NO_NAMES = frozenset(map(stem, ("Overall", "Therefore", "Moreover", "Instead", "Meanwhile", "Yes")))
