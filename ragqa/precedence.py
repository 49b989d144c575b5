"""Which sentence comes first, whatever scores best, for what a question names or repeats. Pure."""

import re
from collections.abc import Sequence
from dataclasses import replace

from ragqa.candidates import Candidate
from ragqa.features import content_words
from ragqa.forms import forms_of
from ragqa.namesakes import names_in

BEHIND = 2.0
"""Scores that it may lie below the best one there: "Good question!" says nothing."""
ALIKE = 0.75
"""Share of the words of two questions together that both have where they ask the same."""

_MEANT = re.compile(
    r"^\W*(?:what (?:does|do|did) (?P<means>.+?) (?:mean|stand for|refer to|denote)\b"
    r"|what(?:['’]s| is| are) meant by (?P<meant>.+?)[\s?.!]*$"
    r"|(?:what(?:['’]s| is| are)|define) (?P<is>.+?)[\s?.!]*$)",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"(?:an?|the)\s+", re.IGNORECASE)
_SAYS_WHAT = r"(?:means?|stands? for|denotes?|refers? to|(?:is|are) defined as)\b"


def naming_first(question: str, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The candidates; first the best sentence of the best one's block that has the question's names which the
    best has not.

    For questions that are answered by yes or no: "It does not run on Linux" answers, not what it runs on.
    """
    best = candidates[0]
    lacking = names_in(question) - forms_of(best.around)
    naming = [
        one for one in candidates if one.block.key == best.block.key and lacking <= forms_of(one.around)
    ]
    return _with_first(naming[0], candidates) if lacking and naming else tuple(candidates)


def answering_first(question: str, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The candidates; first the one right below the question, where a list of frequent ones asks the same.

    What follows it there may have more of the question's words: "The password is then …" below "How do I
    reset the password?".
    """
    asked = frozenset(content_words(question))
    below = [one for one in candidates if one.lead.endswith("?") and _asks_alike(asked, one.lead)]
    if not below:
        return tuple(candidates)
    best = below[0]
    near = (one for one in below if one.block.key == best.block.key and one.score >= best.score - BEHIND)
    return _with_first(min(near, key=lambda one: one.place), candidates)


def defining_first(question: str, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The candidates; first the best sentence of the best one's block that defines what the question asks the
    meaning of, where the best one does not.

    "The test ends with PASS, WARN or FAIL." has the words of "What does WARN mean in the test?"; the next
    sentence says what it means.
    """
    defines = _definition(question)
    best = candidates[0]
    if defines is None or defines.search(best.shown) or best.is_row:
        return tuple(candidates)
    found = (one for one in candidates if one.block.key == best.block.key and defines.search(one.shown))
    first = next(found, None)
    return tuple(candidates) if first is None else _with_first(first, candidates)


def _definition(question: str) -> re.Pattern[str] | None:
    """What a sentence holds that defines what the question asks for; None where it asks for no meaning.

    Without a verb of meaning the sentence must begin with it: "PASS is …", not "the state of PASS is …".
    """
    match = _MEANT.match(question)
    if match is None:
        return None
    term = _ARTICLE.sub("", next(filter(None, match.groups())).strip("\"'“”‘’ "), count=1)
    if not term:
        return None
    words = r"\s+".join(map(re.escape, term.split()))
    known = rf"(?<![\w-])[\"“'‘]?{words}[\"”'’]?(?: \([^)]*\))?,?"
    begins = rf"^\W*(?:(?:an?|the)\s+)?{known}\s+(?:is|are)\b"
    case = 0 if term.isupper() else re.IGNORECASE
    return re.compile(rf"{known}\s+{_SAYS_WHAT}|{begins}", case)


def _with_first(first: Candidate, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The candidates, that one first and scored as the best."""
    return (replace(first, score=candidates[0].score), *(one for one in candidates if one is not first))


def _asks_alike(asked: frozenset[str], lead: str) -> bool:
    words = frozenset(word for word in content_words(lead) if len(word) > 1)  # but not the Q of "Q: How …"
    return bool(asked) and len(asked & words) >= ALIKE * len(asked | words)
