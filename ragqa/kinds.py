"""What a question asks for, a time, a count, a person …, and whether a sentence holds such a thing. Pure."""

import re

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
NAME = re.compile(r"(?<![.!?] )(?<!^)\b[A-Z][\w’'-]+")
PLACE = re.compile(
    r"\b(?:in|at|near|of|from|to|on|between|outside|across) (?:the )?[A-Z][\w-]+|\b(?:located|situated)\b"
)
CAUSE = re.compile(
    r"\b(?:because|due to|since|so that|in order to|caused?|therefore|as a result|reason|led to|leads? to"
    r"|results?)\b",
    re.IGNORECASE,
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
