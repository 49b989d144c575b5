"""What of a reply claims nothing: greetings and courtesies, headings, questions back. Pure.

None of them may carry a figure: what has one is a claim, however politely it begins.
"""

import re
from collections.abc import Set

from ragqa.citations.words import tokens

_LEAD_IN = re.compile(
    r"(?:\W*\b(?:hello|hi|hey|sure|certainly|of course|thanks|thank you|you['’]?re welcome|great|ok|okay"
    r"|in (?:summary|conclusion))(?:\s+there)?\s*(?:[,:!.;–—]|$)|\W*\b(?:please )?note that\b)+\s*",
    re.IGNORECASE,
)
_COURTESY = re.compile(
    r"(?:thank(?:s| you)|i hope|let me know|please (?:note|let|feel)|if you (?:have|need)|feel free"
    r"|here (?:is|are)\b.*:$|answer:?$)(?!\w).*",
    re.IGNORECASE | re.DOTALL,
)
_HEADING = 8
"""Content words that a heading, or what announces a list, has at most."""


def without_lead_in(text: str) -> str:
    """A sentence without the courtesy before its claim: "Sure, it is 25 days." is about 25 days."""
    return _LEAD_IN.sub("", text, count=1) if _LEAD_IN.match(text) else text


def claims_nothing(text: str, said: Set[str]) -> bool:
    """Whether a sentence says nothing to check; `said` are its words of content."""
    bare = text.strip().strip("*#_ ")
    if any(token.is_number for token in tokens(bare)):
        return bool(re.fullmatch(r"here (?:is|are)\b.*:", bare, re.IGNORECASE | re.DOTALL))
    heading = (text.startswith("#") or bare.endswith(":")) and len(said) <= _HEADING
    return not said or heading or bare.endswith("?") or bool(_COURTESY.fullmatch(bare))
