"""Sentences that say the opposite of what a question asks: "can be solved" for "cannot be solved". Pure.

Such a sentence has all the question's words, so that likeness puts it first, and shown as the answer it
misleads most. Certain are three things: a word that the question denies and the sentence does not, or the
other way round; a word and the same with "un", "non" and the like before it; a word and its opposite.
Questions for yes or no are left alone, as a sentence that says the opposite answers them.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache

from ragqa.candidates import Candidate
from ragqa.features import content_words, stem
from ragqa.forms import STOP, WORD, form, forms_of, neighbours
from ragqa.proposals import ASKS_YES_OR_NO

DENIED = "not"
"""What a sentence must hold where the question denies; in `denials_of` for each way to say so."""
ALIKE = 0.5
"""Least share of the question's content words that the sentence, with its title, repeats."""
BEFORE, BEHIND = 8, 4
"""Words around one in which a denial may belong to it."""

_DENIES = re.compile(r"not|never|cannot|\w+n['’]t")
_DENYING = re.compile(
    r"not|never|nor?|none|nobody|nothing|nowhere|neither|without|cannot|\w+n['’]t|but|except\w*|exclu[ds]\w*"
    r"|exempt\w*|unless|unable|fail\w*|lack\w*|refus\w*|reject\w*|declin\w*|only|rather|instead"
    r"|den(?:y|ied|ies|ying)|avoid\w*|prevent\w*|prohibit\w*|forb[ia]\w*|absen\w*|hardly|rarely|seldom|few"
    r"|little|less|free|against|un(?!i|der|til|to)\w{3,}"
    r"|dis(?!count|cuss|cover|tan|tri|play|pat|eas|pos|k)\w{3,}|non\w*|mis(?!sion|ter)\w{3,}|impossib\w*|illegal\w*"
    r"|invalid\w*|ineligib\w*|\w{3,}less|too|nicht|kein\w*|ohne|pas|sans|aucune?",
    re.IGNORECASE,
)
"""All that may deny, widely: where one stands near, nothing is said of the sentence."""
_ASKS = re.compile(r"what|which|who|whom|whose|where|when|how|why", re.IGNORECASE)
_FREELY = frozenset("when how why".split())  # noqa: SIM905
"""Asked so, a sentence that says the opposite may answer: "open Monday to Friday" when it is not open."""
_CLAUSE = frozenset(
    """
    if when where because unless since that who which whose while whether although though whenever wherever
    what how until after before
    """.split()  # noqa: SIM905
)
"""A denial behind one of these is of a clause, not of what is asked or said."""
_LIGHT = frozenset(
    """
    a able also always an any be been commonly did do does ever had has have having often one still the three
    two use used usually yet
    """.split()  # noqa: SIM905
)
_ADVERB = re.compile(r"\w{2,}[^p\W]ly")  # not "apply"
_NO_DENIAL = frozenset(
    "as because earlier even exceed just later less merely more necessarily only so to until".split()  # noqa: SIM905
)
"""Behind "not", with it they deny no verb: "not only", "not to", "not more than"."""
_QUALIFIES = re.compile(
    r"\b(?:until|till|unless|except\w*|before|since|anymore|longer|only|but|yet|if|when|where|all|every|both"
    r"|any|alone)\b|\?|[“\"]",
    re.IGNORECASE,
)
"""With one of these a sentence that denies says when or for whom it does not: that may answer."""
_BOUNDS = re.compile(r"\bat (?:least|most)\b|\bmore or less\b", re.IGNORECASE)
"""Words of degree that compare nothing."""

_PREFIXED = {
    "in": """
    accurate active adequate appropriate appropriately capable complete completely consistent
    correct correctly definite dependent dependently direct directly effective efficient efficiently
    eligible expensive finite flexible formal formally frequent frequently human organic secure
    significant sufficient valid variable visible voluntary""",
    "im": "moral mobile mature perfect possible practical precise probable proper properly pure",
    "ir": "rational regular regularly relevant replaceable responsible reversible",
    "il": "legal legally legible licit logical",
    "dis": """
    advantage advantages agree agreed allow appear approve approved assemble connect connected continue
    continued courage honest like obey qualified qualify satisfied similar trust""",
}
"""Words that have an opposite with this before them; with "un" and "non" any word may."""
_SOLE = """
    north/south east/west northern/southern eastern/western buy/sell open/close opening/closing buyer/seller
    landlord/tenant lender/borrower employer/employee lessor/lessee licensor/licensee arrival/departure
    arrive/depart upper/lower credit/debit indoor/outdoor
"""
"""Opposites that often stand side by side: compared only before the same word."""
_GRADES = """
    largest/smallest biggest/smallest most/least more/fewer more/less higher/lower highest/lowest
    oldest/youngest older/younger newest/oldest maximum/minimum best/worst better/worse longest/shortest
    longer/shorter strongest/weakest stronger/weaker fastest/slowest faster/slower easiest/hardest
    easier/harder earliest/latest earlier/later heaviest/lightest heavier/lighter richest/poorest
    hottest/coldest increase/decrease increased/decreased major/minor internal/external domestic/foreign
    urban/rural include/exclude accept/reject approve/reject support/oppose encourage/discourage
    strengthen/weaken temporary/permanent voluntary/mandatory optional/mandatory optional/required
    natural/artificial positive/negative public/private majority/minority primary/secondary inbound/outbound
    import/export single/multiple strong/weak simple/complex common/rare expand/shrink attract/repel
    narrow/wide raise/lower rise/fall rose/fell
"""


def _both_ways(pairs: str) -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for pair in pairs.split():
        one, other = map(stem, pair.split("/"))
        found[one].add(other)
        found[other].add(one)
    return {word: frozenset(others) for word, others in found.items()}


_SIDE_BY_SIDE = _both_ways(_SOLE + _GRADES)
_OPPOSITES = _both_ways(_GRADES)
_WITH_PREFIX = _both_ways(
    " ".join(f"{word}/{prefix}{word}" for prefix, words in _PREFIXED.items() for word in words.split())
)


def turned(question: str, one: Candidate) -> Iterator[str]:
    """What the question says and the candidate says the opposite of, as forms of words.

    `DENIED` for what the question denies and the candidate affirms.
    """
    if ASKS_YES_OR_NO.match(question):
        return
    yield from _before_the_same_word(question, one)
    if _repeats(question, one) < ALIKE:
        return
    yield from _opposites(question, one)
    if not one.is_row:  # "Overtime: yes" denies and affirms by its cells
        yield from _affirmed(question, one)
        yield from _denied(question, one)


def denials_of(text: str) -> frozenset[str]:
    """`DENIED`, where the text may deny something."""
    return frozenset((DENIED,)) if any(map(_DENYING.fullmatch, WORD.findall(text))) else frozenset()


def _affirmed(question: str, one: Candidate) -> Iterator[str]:
    """`DENIED` where the question denies a word that the candidate has, and nothing near it may deny it."""
    words = WORD.findall(question)
    asks = [number for number, word in enumerate(words) if _ASKS.fullmatch(word)]
    if not asks or words[asks[0]].lower() in _FREELY or denials_of(f"{one.above} {_introduction(one)}"):
        return
    denied = _denied_word(words, {asks[0]})
    said = WORD.findall(one.shown)
    there = [place for place, word in enumerate(said) if form(word) == denied]
    near = (word for place in there for word in said[max(0, place - BEFORE) : place + BEHIND + 1])
    if there and not any(map(_DENYING.fullmatch, near)):
        yield DENIED


def _denied(question: str, one: Candidate) -> Iterator[str]:
    """The word that the question affirms and the candidate denies, on no condition."""
    words = WORD.findall(question)
    asks = [word.lower() for word in words if _ASKS.fullmatch(word)]
    if not asks or asks[0] in _FREELY or denials_of(question) or _QUALIFIES.search(one.shown):
        return
    said = WORD.findall(one.shown)
    denied = _denied_word(said, frozenset())
    if denied in map(form, words) and sum(form(word) == denied for word in said) == 1:
        yield denied


def _denied_word(words: list[str], asking: set[int] | frozenset[int]) -> str:
    """The form of the word that the main clause denies; empty if none. `asking` are places to look past."""
    for place, word in enumerate(words):
        if word.lower() in _CLAUSE and place not in asking:
            return ""
        if _DENIES.fullmatch(word):
            return _behind(words[place + 1 : place + 6])
    return ""


def _behind(words: list[str]) -> str:
    """The form of the first word of content, unless it is a name or the denial is none of a verb."""
    if not words or words[0].lower() in _NO_DENIAL:
        return ""
    heavy = (w for w in words if w.lower() not in STOP | _LIGHT and not _ADVERB.fullmatch(w))
    first = next(heavy, "")
    return "" if first[:1].isupper() else form(first)


def _opposites(question: str, one: Candidate) -> Iterator[str]:
    """Words of whose opposites the candidate has one, where neither denies anything."""
    plain, shown = _BOUNDS.sub(" ", question), _BOUNDS.sub(" ", one.shown)
    words = WORD.findall(plain)
    if any(_DENIES.fullmatch(word) or word == "no" for word in (*words, *WORD.findall(shown))):
        return
    asked, held, wide = {*map(form, words)}, forms_of(shown), forms_of(one.around)
    manner = words[0].lower() == "how" if words else False  # "incomplete" says how complete it is
    for word in asked - wide:
        others = _OPPOSITES.get(word, frozenset()) | (frozenset() if manner else _prefixed(word))
        if others & held and not others & asked:
            yield word


@lru_cache(maxsize=4096)
def _prefixed(word: str) -> frozenset[str]:
    """The forms with another prefix than the word's, that turn it into its opposite."""
    with_one = {f"{prefix}{word}" for prefix in ("un", "non", "non-") if len(word) >= 4}
    bare = {
        word.removeprefix(prefix)
        for prefix in ("un", "non", "non-")
        if word.startswith(prefix) and len(word) - len(prefix) >= 4
    }
    return _WITH_PREFIX.get(word, frozenset()) | with_one | bare


def _before_the_same_word(question: str, one: Candidate) -> Iterator[str]:
    asked, forms, held = forms_of(question), forms_of(one.around), _followed(one.shown)
    for word, follower in _followed(question):
        for other in _SIDE_BY_SIDE.get(word, frozenset()):
            if (other, follower) in held and other not in asked and word not in forms:
                yield word


@lru_cache(maxsize=4096)
def _followed(text: str) -> frozenset[tuple[str, str]]:
    """The forms of words and of the content word behind each."""
    return frozenset((form(one), form(word)) for one, word, _ in neighbours(text) if word.lower() not in STOP)


def _repeats(question: str, one: Candidate) -> float:
    """The share of the question's content words that the candidate, with its title, has."""
    asked = content_words(question)
    held = {*content_words(one.shown), *content_words(one.block.title)}
    return sum(word in held for word in asked) / max(1, len(asked))


def _introduction(one: Candidate) -> str:
    """The nearest line above the candidate that ends in a colon: "The following are not covered:"."""
    above = one.block.text[: max(0, one.start - one.block.start)]
    lines = (line.strip() for line in reversed(above.splitlines()))
    return next((line for line in lines if line.endswith(":")), "")
