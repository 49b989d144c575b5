"""What a question asks for, a time, a count, a person …, and whether a sentence holds such a thing. Pure."""

import re
from calendar import day_name, month_name

SENTENCE_ENDS = (".", "!", "?", "。", "！", "？", '"', "”")
DATE = re.compile(
    r"\b(?:1[0-9]|20)\d\d(?:s|\b)|\b(?:January|February|March|April|May|June|July|August|September|October"
    r"|November|December)\b|\b(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day\b"
    r"|\b\d{1,2}(?:st|nd|rd|th)? century\b"
    r"|\b\d{4}\b"
)
NUMBER = re.compile(
    r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|hundred|"
    r"thousand|million|billion|half|twice|once|dozen|several)\b",
    re.IGNORECASE,
)
YEAR = re.compile(
    r"\b(?:1\d|20)\d\d(?:s|\b)|\b\d{3,4} ?(?:BCE?|AD|CE)\b|\b\d{1,2}(?:st|nd|rd|th) century", re.IGNORECASE
)
MOMENT = re.compile(
    r"\d|\b(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?|spring|summer|autumn|winter|noon|midnight|mornings?|evenings?"
    r"|nights?|today|tomorrow|daily|weekly|monthly|quarterly|annually|yearly|(?:week|month|quarter|year|decade"
    r"|centur|season|term)(?:s|y|ies)?|before|after|during|until|since|once|every|as soon as|o'clock)\b",
    re.IGNORECASE,
)
COUNT = re.compile(
    r"\b\d[\d,.]*|\b(?:no|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|twenty|thirty"
    r"|forty|fifty|sixty|seventy|eighty|ninety|hundreds?|thousands?|millions?|billions?|half|thirds?|quarters?"
    r"|dozens?|several|both|few|many|most|majority|percent|single|pair|couple|once|twice)\b",
    re.IGNORECASE,
)
ASKS_MOMENT = re.compile(
    r"\bwhen (?:is|are|was|were|do|does|did|will|would|can|could|should|has|have|had|must|may)\b"
    r"|\b(?:what|which) (?:year|date|day|month|time|century|decade)\b",
    re.IGNORECASE,
)
ASKS_YEAR = re.compile(r"\b(?:what|which) (?:year|century|decade)\b", re.IGNORECASE)
ASKS_MONEY = re.compile(
    r"^(?:price|cost|fee|salary)\b"
    r"|\b(?:what|how much) (?:is|are|was|were|will be)(?: \w+['’]s?)? (?:the |an? )?(?:[\w-]+ ){0,3}?"
    r"(?:price|cost|fee|rent|salary|premium|deposit)s?\b(?! based)(?! for\W*$)"
    r"|\b(?:what|how much) (?:does|do|did|will|would)\b.* (?:cost|charge|earn|owe)\b"
    r"|\bhow (?:expensive|dear|cheap)\b",
    re.IGNORECASE,
)
MONEY = re.compile(
    r"[£$€¥₹]|\b(?:EUR|USD|GBP|CHF|JPY|SEK|NOK|DKK|dollars?|euros?|pounds?|cents?|pence|francs?|kronor|free|nothing"
    r"|no charge|gratis|percent)\b|%",
    re.IGNORECASE,
)
COUNTED = re.compile(
    r"\bhow many ([\w' -]+?)(?: (?:are|is|were|was|did|do|does|have|has|had|can|could|will|would|of|in|on"
    r"|that|there|to|for|at)\b|\?|$)",
    re.IGNORECASE,
)
PEOPLE = frozenset(("people", "person", "men", "women", "member", "inhabitant", "resident"))
"""What is counted under these names may be asked for under another."""
COUNTED_WITHIN = 5
"""Words behind a number among which the thing it counts is looked for."""
WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_MONTH = "|".join(month_name[1:])
CALENDAR_DATE = re.compile(
    rf"\b(?:\d{{1,2}} (?:{_MONTH})|(?:{_MONTH}) \d{{1,2}})\b(?:,? \d{{4}})?|\b(?:{_MONTH}) \d{{4}}\b"
)
"""Numbers that count nothing."""
DAY = re.compile(rf"\b(?:{'|'.join(day_name)})s?\b")
CAPITAL = re.compile(r"\b[A-Z][\w’'-]+")
NAME = re.compile(r"(?<![.!?] )(?<!^)\b[A-Z][\w’'-]+")
PLACE = re.compile(
    r"\b(?:in|at|near|of|from|to|on|between|outside|across) (?:the )?[A-Z][\w-]+|\b(?:located|situated)\b"
)
CAUSE = re.compile(
    r"\b(?:because|due to|since|so that|in order to|caused?|therefore|as a result|reason|led to|leads? to"
    r"|results?)\b",
    re.IGNORECASE,
)
ASKS_WHY = re.compile(
    r"\bwhy\b|\bfor (?:what|which) reason\b|\bwhat (?:is|was|were) the reasons?\b", re.IGNORECASE
)
MANNER = re.compile(r"\b(?:by|through|using|via|with|first|then|steps?|method|process)\b", re.IGNORECASE)
DEFINES = re.compile(
    r"\b(?:is|are|was|were|means?|refers?|known as|called|defined|describes?)\b", re.IGNORECASE
)

# What a question asks for: the first that matches. An answer should hold what the second pattern finds.
KINDS: tuple[tuple[str, re.Pattern[str], re.Pattern[str]], ...] = tuple(
    (kind, re.compile(asked, re.IGNORECASE), held)
    for kind, asked, held in (
        ("time", r"\bwhen\b|\b(?:what|which|in what) (?:year|date|day|month|time|century|decade)\b", DATE),
        (
            "count",
            r"\bhow (?:many|much|long|old|far|tall|big|large|high|often|fast|deep|wide)\b"
            r"|\bwhat (?:is|was|were|are)? ?(?:the )?(?:number|amount|percentage|percent|population|rate"
            r"|total|size)\b",
            NUMBER,
        ),
        (
            "place",
            r"\bwhere\b|\b(?:what|which) (?:city|country|state|place|location|continent|town|county)\b",
            PLACE,
        ),
        (
            "person",
            r"\bwho(?:m|se)?\b|\b(?:what|which) (?:person|man|woman|actor|president|king|queen|author)\b",
            NAME,
        ),
        ("cause", r"\bwhy\b|\bwhat (?:causes?|caused|is the reason|was the reason|led)\b", CAUSE),
        ("manner", r"\bhow\b", MANNER),
        ("meaning", r"\bwhat (?:is|are|was|were|does .* mean)\b|\bdefin|\bmeaning\b", DEFINES),
        ("thing", r"\bwhat\b|\bwhich\b", NAME),
    )
)


def kind_of(question: str) -> tuple[str, re.Pattern[str]] | None:
    """What is asked for, with the pattern an answer holds; None for claims and yes-or-no questions."""
    return next(((kind, held) for kind, asked, held in KINDS if asked.search(question)), None)


def held_columns(kind: tuple[str, re.Pattern[str]] | None, text: str) -> list[float]:
    """1 in the column of the kind asked for where the text holds it; last, 1 where it does not hold it."""
    held = kind is not None and bool(kind[1].search(text))
    columns = [float(held and kind is not None and kind[0] == name) for name, _, _ in KINDS]
    return [*columns, float(kind is not None and not held)]


def lacks_asked(question: str, text: str, *, is_row: bool = False) -> bool:
    """Whether a time, a count, a sum or a person is asked for and the text holds none but the question's own.

    Of "how many lamps" a number must stand before the lamps; a row of a table may name them, or a currency,
    elsewhere.
    """
    if ASKS_MONEY.search(question) and not is_row:
        return not _new(MONEY, question, text)
    kind = kind_of(question)
    name = kind[0] if kind else ""
    if name == "person":
        asked = {word.casefold() for word in WORD.findall(question)}
        return all(word.casefold() in asked for word in _names(text))
    if name == "time" and ASKS_MOMENT.search(question):
        return not _new(YEAR if ASKS_YEAR.search(question) else MOMENT, question, text)
    if name != "count":
        return False
    found, counted = _new_counts(question, text), COUNTED.search(question)
    if counted is None or is_row:
        return not found
    things = {_singular(word) for word in WORD.findall(counted[1])} | PEOPLE
    return not any(things.intersection(_counted_by(text, match.end())) for match in found)


def answer_lacks(question: str, answer: str) -> bool:
    """As `lacks_asked`, of the words that a reader takes for the answer itself; none lack everything."""
    kind = kind_of(question)
    name = kind[0] if kind else ""
    if name == "person":
        asked = {word.casefold() for word in WORD.findall(question)}
        return all(word.casefold() in asked for word in CAPITAL.findall(_undated(answer)))
    if name == "time" and ASKS_MOMENT.search(question):
        return not _new(YEAR if ASKS_YEAR.search(question) else MOMENT, question, answer)
    return name == "count" and not _new_counts(question, answer)


def _new(sought: re.Pattern[str], question: str, text: str) -> list[re.Match[str]]:
    """What is found of it in the text; a number or name of the question is no news."""
    return [m for m in sought.finditer(text) if m.group().islower() or m.group() not in question]


def _new_counts(question: str, text: str) -> list[re.Match[str]]:
    """What is counted in the text. The numbers of a single date count nothing: 8 August is no answer to "how
    long", from May to August is one.
    """
    found, dates = _new(COUNT, question, text), list(CALENDAR_DATE.finditer(text))
    return [one for one in found if len(dates) != 1 or not dates[0].start() <= one.start() < dates[0].end()]


def _undated(text: str) -> str:
    """The text without dates and days of the week, whose words name nobody; April alone may be a person."""
    return DAY.sub(" ", CALENDAR_DATE.sub(" ", text))


def _names(text: str) -> list[str]:
    """Words with a capital but for those of dates; the first word of the text alone is none."""
    names = CAPITAL.findall(_undated(text))
    return [] if len(names) == 1 and text.lstrip().startswith(names[0]) else names


def _counted_by(text: str, end: int) -> set[str]:
    """The words behind a number that ends there."""
    return {_singular(word) for word in WORD.findall(text[end : end + 80])[:COUNTED_WITHIN]}


def _singular(word: str) -> str:
    low = word.casefold().removesuffix("'s").removesuffix("’s")
    return low.removesuffix("ies") + "y" if low.endswith("ies") and len(low) > 4 else low.removesuffix("s")
