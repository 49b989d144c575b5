"""What of a reply claims nothing: greetings and courtesies, headings, questions back. Pure.

None of them may carry a figure: what has one is a claim, however politely it begins.
"""

import re
from collections.abc import Set

from ragqa.citations.words import capitalised_names, tokens

_LEAD_IN = re.compile(
    r"(?:\W*\b(?:hello|hi|hey|sure|certainly|of course|thanks|thank you|you['’]?re welcome|great|ok|okay"
    r"|in (?:summary|conclusion))(?:\s+there)?\s*(?:[,:!.;–—]|$)|\W*\b(?:please )?note that\b)+\s*",
    re.IGNORECASE,
)
_COURTESY = re.compile(
    r"(?:thank(?:s| you)(?! to\b)|i hope|here (?:is|are)\b.*:$|answer:?$|please note\W*$)(?!\w).*",
    re.IGNORECASE | re.DOTALL,
)
# "If you need any help, let me know", not "If you need a key, ask the porter": what is wanted is help, and
# who gives it is the one who writes.
_WANTED = (
    r"if (?:you(?:['’]d| would)? (?:have|need|want|like)|there (?:is|are))\b[^.!?]{0,60}?"
    r"\b(?:questions?|help|assistance|information|details?|clarification|anything|support|doubts?|concerns?)\b"
)
_US = (
    r"(?:ask(?=\W*$| (?:me|us|away|any|more|further)\b)|contact (?:me|us)|let (?:me|us) know"
    r"|reach out(?: to (?:me|us))?)(?! (?:to|at|by|in|on|the|your)\b)"
)
_OFFERED = (
    rf"(?:(?:please |just |feel free to |do(?:n['’]t| not) hesitate to )*{_US}|(?:please )?feel free\W*$"
    r"|i(?:['’]m| am) (?:here|happy|glad)|i(?:['’]ll| will| can|['’]d) (?:be|help|gladly))"
)
_OFFER = re.compile(rf"{_WANTED}\W*|(?:{_WANTED}[^.!?]{{0,60}}?\W)?{_OFFERED}\b.*", re.IGNORECASE | re.DOTALL)
_ADDRESS = re.compile(r"@|://|\bwww\.")
_HEADING = 8
"""Content words that a heading, or what announces a list, has at most."""


def without_lead_in(text: str) -> str:
    """A sentence without the courtesy before its claim: "Sure, it is 25 days." is about 25 days."""
    found = _LEAD_IN.match(text)
    return text[found.end() :] if found else text


def claims_nothing(text: str, said: Set[str]) -> bool:
    """Whether a sentence says nothing to check; `said` are its words of content."""
    bare = text.strip().strip("*#_ ")
    if any(token.is_number for token in tokens(bare)):
        return bool(re.fullmatch(r"here (?:is|are)\b.*:", bare, re.IGNORECASE | re.DOTALL))
    heading = (text.startswith("#") or bare.endswith(":")) and len(said) <= _HEADING
    courtesy = _COURTESY.fullmatch(bare) or (_OFFER.fullmatch(bare) and not _names(bare))
    return not said or heading or bare.endswith("?") or bool(courtesy)


def _names(text: str) -> bool:
    """Whether someone or something is named, or an address given."""
    runs = capitalised_names(tokens(text), frozenset(("if", "please", "feel", "let", "do", "contact", "ask")))
    named = any(token.text[:2] not in ("I", "I'", "I’") for run in runs for token in run)
    return named or bool(_ADDRESS.search(text))
