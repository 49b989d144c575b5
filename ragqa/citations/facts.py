"""The parts of a sentence that a paraphrase may not change: numbers, dates, units, names, negation. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from ragqa.citations.measures import UNITS, Date, date_occurs, dates, quantities
from ragqa.citations.words import NEGATIONS, STOP_STEMS, Token, stem, tokens

_OPPOSITE_PAIRS = (
    "more less, increase decrease, rise fall, above below, before after, minimum maximum, first last, "
    "allow forbid, allow prohibit, permit prohibit, higher lower, north south, east west, "
    "accept reject, include exclude, "
    "win lose, won lost, male female, husband wife, mother father, brother sister, son daughter, start end, "
    "begin end, open close, legal illegal, mandatory optional, internal external, buy sell, earlier later"
)
OPPOSITES = [tuple(map(stem, pair.split())) for pair in _OPPOSITE_PAIRS.split(", ")]
_OPPOSED = frozenset(form for pair in OPPOSITES for form in pair)

_JOINS_NAMES = frozenset(("of", "the", "de", "la", "von", "van", "and", "for", "da", "del", "di"))
_NO_NAMES = frozenset(map(stem, ("Overall", "Therefore", "Moreover", "Instead", "Meanwhile", "Yes")))
_NEIGHBOURS = 3  # content words on each side of a fact that tell what it is a fact of
_REACH = 6  # content words between a number and such a neighbour in the quote
_CONCEDING = frozenset(map(stem, ("although", "though", "whereas", "while", "but", "except", "however")))
_SCOPE = 4  # content words behind a negation that it is taken to deny


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that must occur in a quote. `forms` are the words of it; `date` for dates only.

    `neighbours` are content words beside it in the answer: one of them must stand near it in the quote, too.
    """

    kind: Literal["number", "date", "unit", "name"]
    text: str
    forms: tuple[str, ...]
    date: Date | None = None
    neighbours: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text says. `sequence` are its content words in order, `scopes` those behind each negation,
    `conceded` the first of each such scope in an aside ("although no civilian has had it").
    """

    forms: frozenset[str]
    sequence: tuple[str, ...]
    dates: frozenset[Date]
    quantities: frozenset[tuple[str, str]]
    initials: frozenset[str]
    scopes: tuple[tuple[str, ...], ...]
    conceded: frozenset[str]

    @property
    def negated(self) -> frozenset[str]:
        return frozenset(form for scope in self.scopes for form in scope)


@lru_cache(maxsize=4096)
def read(text: str) -> Reading:
    """All that a quote can carry."""
    found = tokens(text)
    forms = {token.form for token in found}
    # "21st" also carries 21, and "5-day" 5; not the other way round.
    forms |= {form.removesuffix("th") for form in forms if form[0] == "#"}
    return Reading(
        frozenset(forms),
        tuple(
            token.form.removesuffix("th") if token.is_number else token.form
            for token in found
            if token.is_content
        ),
        frozenset(date for date, _, _ in dates(text)),
        frozenset((number.form, unit) for number, unit, _ in quantities(found)),
        frozenset(
            "".join(token.text[0] for token in run).lower() for run in _capitalised(found) if len(run) > 1
        ),
        tuple(_scopes(found)),
        frozenset(_conceded(found)),
    )


def facts(text: str, seen_in_lower_case: Set[str]) -> tuple[Fact, ...]:
    """What of a sentence must occur in its quotes, in order.

    A capitalised first word counts as a name unless it was `seen_in_lower_case` elsewhere.
    """
    found = tokens(text)
    result: list[tuple[int, int, Fact]] = []
    dated: set[int] = set()
    for date, start, end in dates(text):
        dated.update(range(start, end))
        result.append((start, end, Fact("date", text[start:end], (), date)))
    for token in found:
        if token.is_number and token.start not in dated:
            if token.form == "#1" and token.text.isalpha():
                continue  # "one of them" counts nothing
            result.append((token.start, token.end, Fact("number", token.text, (token.form,))))
    for number, unit, shown in quantities(found):
        result.append((number.start, number.end, Fact("unit", shown, (number.form, unit))))
    for run in capitalised_names(found, seen_in_lower_case):
        forms = tuple(token.form for token in run if token.form not in STOP_STEMS)
        if forms and run[0].start not in dated:
            start, end = run[0].start, run[-1].end
            result.append((start, end, Fact("name", text[start:end], forms)))
    result.sort(key=lambda item: item[0])
    content = [token for token in found if token.is_content and not token.is_number]
    told = (replace(fact, neighbours=_neighbours(content, start, end)) for start, end, fact in result)
    return tuple(dict.fromkeys(told))


def _neighbours(content: Sequence[Token], start: int, end: int) -> frozenset[str]:
    """The nearest of the content words on both sides of a span."""
    before = bisect_right(content, start, key=lambda token: token.end)
    after = bisect_left(content, end, key=lambda token: token.start)
    nearest = (*content[max(0, before - _NEIGHBOURS) : before], *content[after : after + _NEIGHBOURS])
    return frozenset(token.form for token in nearest)


def holds(reading: Reading, fact: Fact, beside: Set[str] = frozenset()) -> bool:
    """Whether a quote carries the fact. Names may also stand in `beside` (words of title and heading)."""
    if fact.kind == "date":
        known = fact.date is not None and date_occurs(fact.date, reading.dates, reading.forms)
        return known and _near(reading, fact, ())
    if fact.kind == "unit":
        return _holds_quantity(reading, fact.forms, beside)
    if fact.kind == "number":
        return fact.forms[0] in reading.forms and _near(reading, fact, fact.forms)
    if _holds_name(reading, fact.forms, beside):
        return True
    return _holds_name(reading, fact.forms, reading.forms) and _near(reading, fact, ())


def _holds_name(reading: Reading, forms: tuple[str, ...], words: Set[str]) -> bool:
    initials = "".join(form[0] for form in forms)
    if len(forms) > 1 and (initials in words or initials.upper() in words):
        return True
    return all(
        form in words
        or (words is reading.forms and form.lower() in reading.initials)
        or has_variant(words, form)
        for form in forms
    )


def _near(reading: Reading, fact: Fact, forms: tuple[str, ...]) -> bool:
    """Whether a neighbour of the fact stands within reach of `forms` in the quote (anywhere if empty)."""
    if not fact.neighbours:
        return True
    reach = set(reading.sequence)
    if forms:
        wanted = forms[0].removesuffix("th")
        places = [place for place, form in enumerate(reading.sequence) if form == wanted]
        reach = {form for at in places for form in reading.sequence[max(0, at - _REACH) : at + _REACH + 1]}
    return not reach.isdisjoint(fact.neighbours) or any(has_variant(reach, form) for form in fact.neighbours)


def contradiction(answer: Reading, quotes: Sequence[Reading]) -> str | None:
    """The word in which an answer and its quotes say the opposite, "not" for negation; None if none."""
    forms = frozenset(form for quote in quotes for form in quote.forms)
    denied = frozenset(form for quote in quotes for form in quote.negated)
    for scope in answer.scopes:
        # The first word behind the negation that the quotes have must be denied there, too. Taking any of the
        # first three let through three times as many flipped answers and no more true ones (clapnq).
        shared = [form for form in scope if form in forms][:1]
        if not denied or (shared and shared[0] not in denied):
            return "not"
    for quote in quotes:
        for scope in quote.scopes:
            # "given to civilians, although no civilian has had it since 1879" says both.
            said_too = scope and scope[0] in quote.conceded and quote.sequence.count(scope[0]) > 1
            if scope and not said_too and scope[0] in answer.forms and scope[0] not in answer.negated:
                return "not"
    for one, other in () if answer.forms.isdisjoint(_OPPOSED) else OPPOSITES:
        for said, opposite in ((one, other), (other, one)):
            only_said = said in answer.forms and said not in forms
            if only_said and opposite in forms and opposite not in answer.forms:
                return said
    return None


def _holds_quantity(reading: Reading, forms: tuple[str, ...], beside: Set[str]) -> bool:
    number, unit = forms
    if (number, unit) in reading.quantities:
        return True
    # A table has the unit in its header: the number stands alone there, the unit elsewhere.
    alone = number in reading.forms and not any(number == other for other, _ in reading.quantities)
    return alone and any(UNITS.get(form) == unit for form in reading.forms | beside)


def _capitalised(found: tuple[Token, ...]) -> Iterator[list[Token]]:
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
    words = [token for token in found if not token.is_stop]
    firsts = {words[0].start} if words else set()
    firsts |= {b.start for a, b in pairwise(found) if a.form in (".", ":", "!", "?", "\n")}
    for run in _capitalised(found):
        if run[0].start in firsts and not (run[0].text.isupper() and len(run[0].text) > 1):
            first = run[0].form
            common = (
                first in STOP_STEMS or first in NEGATIONS or first in _NO_NAMES or first in seen_in_lower_case
            )
            if common or run[0].text.endswith("ly"):
                run = run[1:]
        if run:
            yield run


def has_variant(words: Set[str], form: str) -> bool:
    """ "America" in "American": one is the beginning of the other, and not much of it."""
    return len(form) >= 5 and any(
        (word.startswith(form) or form.startswith(word))
        and len(word) >= 5
        and abs(len(word) - len(form)) <= 3
        for word in words
    )


def _scopes(found: tuple[Token, ...]) -> Iterator[tuple[str, ...]]:
    """The content words that each negation denies."""
    for place, token in enumerate(found):
        following = found[place + 1 : place + 12]
        if token.form not in NEGATIONS or not following:
            continue
        if following[0].form == "only" or (
            token.form == "no" and (following[0].is_number or following[0].is_stop)
        ):
            continue  # "not only …"; "No. 4"; "No, …" answers a question
        yield tuple(_denied(following))


def _conceded(found: tuple[Token, ...]) -> Iterator[str]:
    """The first content word behind each negation of a clause that takes something back."""
    aside = False
    for place, token in enumerate(found):
        aside = token.form in _CONCEDING or (aside and token.form not in (".", ";", "!", "?", "\n"))
        if aside and token.form in NEGATIONS:
            yield from (word.form for word in found[place + 1 : place + 4] if word.is_content)


def _denied(following: Iterable[Token]) -> Iterator[str]:
    count = 0
    for token in following:
        if token.form in (".", ";", ":", "!", "?", ",", ")", "\n", "but"):
            return
        if token.is_content:
            yield token.form
            count += 1
        if count == _SCOPE:
            return
