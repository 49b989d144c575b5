"""The parts of a sentence that a paraphrase may not change: numbers, dates, units, names, negation. Pure."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import takewhile
from typing import Literal, NamedTuple

from ragqa.citations.measures import UNITS, Date, date_occurs, dates, quantities
from ragqa.citations.words import (
    NEGATIONS,
    STOP_STEMS,
    Token,
    capitalised,
    capitalised_names,
    number_form,
    stem,
    tokens,
)

_OPPOSITE_PAIRS = (
    "more less, increase decrease, rise fall, above below, before after, minimum maximum, first last, "
    "allow forbid, allow prohibit, permit prohibit, higher lower, north south, east west, "
    "accept reject, include exclude, "
    "win lose, won lost, male female, husband wife, mother father, brother sister, son daughter, start end, "
    "begin end, open close, legal illegal, mandatory optional, internal external, buy sell, earlier later"
)
OPPOSITES = [tuple(map(stem, pair.split())) for pair in _OPPOSITE_PAIRS.split(", ")]
_OPPOSED = frozenset(form for pair in OPPOSITES for form in pair)

_NEIGHBOURS = 3  # content words on each side of a fact that tell what it is a fact of
_REACH = 6  # content words between a number and such a neighbour in the quote
_CONCEDING = frozenset(map(stem, ("although", "though", "whereas", "while", "but", "except", "however")))
_SCOPE = 4  # content words behind a negation that it is taken to deny
_CLAUSE = frozenset((".", ";", ":", "!", "?", ",", ")", "\n", "but"))
_CLAUSE_BEFORE = _CLAUSE | _CONCEDING | {"(", "and", "or", "yet"}
_ENDS_CLAUSE = frozenset(("not", "never", "cannot"))
_NO_ELLIPSIS = frozenset(("or", "if", "why", "than"))  # "whether or not", "if not"
_PREFIX = re.compile(r"(?:non|un(?!(?:less|like)$))(?=[a-z]{4})", re.IGNORECASE)


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


class Denial(NamedTuple):
    """Content words `behind` a negation, which it denies, and those of its clause `before` it.

    "but visitors may not.": with none behind it, what was said of others is denied of those before it.
    """

    before: tuple[str, ...]
    behind: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text says. `sequence` are its content words in order, `conceded` the first behind each negation
    in an aside ("although no civilian has had it"), `prefixed` what "non" and perhaps "un" deny in one word.
    """

    forms: frozenset[str]
    sequence: tuple[str, ...]
    dates: frozenset[Date]
    quantities: frozenset[tuple[str, str]]
    initials: frozenset[str]
    denials: tuple[Denial, ...]
    conceded: frozenset[str]
    prefixed: frozenset[str]

    @property
    def negated(self) -> frozenset[str]:
        return frozenset(form for denial in self.denials for form in denial.behind)

    @property
    def excepted(self) -> frozenset[str]:
        """Whom an ellipsis denies it of."""
        return frozenset(form for denial in self.denials if not denial.behind for form in denial.before)


@lru_cache(maxsize=4096)
def read(text: str) -> Reading:
    """All that a quote can carry."""
    found = tokens(text)
    forms = {token.form for token in found}
    # "21st" also carries 21, and "5-day" 5; not the other way round.
    forms |= {form.removesuffix("th") for form in forms if form[0] == "#"}
    # "3.10" alone may be a version's number; not "-$3.10", whose sign is not in the number's text.
    forms |= {f"#{t.text}" for t in found if t.text[-1] == "0" and "." in t.text and t.form[1] != "-"}
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
            "".join(token.text[0] for token in run).lower() for run in capitalised(found) if len(run) > 1
        ),
        tuple(_denials(found)),
        frozenset(_conceded(found)),
        frozenset(stem(t.text[at.end() :]) for t in found if (at := _PREFIX.match(t.text))),
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
        if token.is_number and token.end - 1 not in dated:
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
        form = fact.forms[0]
        shown = form if form[1] == "-" else f"#{fact.text}"
        known = form in reading.forms or shown in reading.forms
        return known and _near(reading, fact, (form, shown, number_form(form[1:].removesuffix("th"))))
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
        wanted = {form.removesuffix("th") for form in forms}
        places = [place for place, form in enumerate(reading.sequence) if form in wanted]
        reach = {form for at in places for form in reading.sequence[max(0, at - _REACH) : at + _REACH + 1]}
    return not reach.isdisjoint(fact.neighbours) or any(has_variant(reach, form) for form in fact.neighbours)


def contradiction(answer: Reading, quotes: Sequence[Reading]) -> str | None:
    """The word in which an answer and its quotes say the opposite, "not" for negation; None if none."""
    forms = frozenset(form for quote in quotes for form in quote.forms)
    if _denies(answer, quotes, forms) or any(_is_denied(answer, quote) for quote in quotes):
        return "not"
    for one, other in () if answer.forms.isdisjoint(_OPPOSED) else OPPOSITES:
        for said, opposite in ((one, other), (other, one)):
            only_said = said in answer.forms and said not in forms
            if only_said and opposite in forms and opposite not in answer.forms:
                return said
    return None


def _denies(answer: Reading, quotes: Sequence[Reading], forms: Set[str]) -> bool:
    """Whether the answer denies what the quotes do not."""
    prefixed = frozenset(form for quote in quotes for form in quote.prefixed)
    excepted = frozenset(form for quote in quotes for form in quote.excepted)
    denied = frozenset(form for quote in quotes for form in quote.negated)
    denied |= excepted | (prefixed & answer.forms)
    for before, behind in answer.denials:
        if behind and not excepted.isdisjoint(before):
            continue  # "visitors may not" denies of visitors whatever was said of others
        # The first word behind the negation that the quotes have must be denied there, too. Taking any of the
        # first three let through three times as many flipped answers and no more true ones (clapnq).
        shared = [form for form in behind if form in forms][:1]
        if not denied or (shared and shared[0] not in denied):
            return True
    return not (answer.prefixed - answer.forms - denied - prefixed).isdisjoint(forms)


def _is_denied(answer: Reading, quote: Reading) -> bool:
    """Whether the quote denies what the answer says."""
    negated = answer.negated | answer.prefixed
    for before, behind in quote.denials:
        if behind:
            # "given to civilians, although no civilian has had it since 1879" says both.
            said_too = behind[0] in quote.conceded and quote.sequence.count(behind[0]) > 1
            if not said_too and behind[0] in answer.forms and behind[0] not in negated:
                return True
            continue
        # In "staff may enter the shop, visitors to the shop may not" the visitors are told from the staff.
        told = [form for form in before if quote.sequence.count(form) == 1][:1]
        beside = negated.union(*(denial.before for denial in answer.denials))
        if told and told[0] in answer.forms and told[0] not in beside:
            return True
    return not ((quote.prefixed - quote.forms - negated).isdisjoint(answer.forms))


def _holds_quantity(reading: Reading, forms: tuple[str, ...], beside: Set[str]) -> bool:
    number, unit = forms
    if (number, unit) in reading.quantities:
        return True
    # A table has the unit in its header: the number stands alone there, the unit elsewhere.
    alone = number in reading.forms and not any(number == other for other, _ in reading.quantities)
    return alone and any(UNITS.get(form) == unit for form in reading.forms | beside)


def has_variant(words: Set[str], form: str) -> bool:
    """ "America" in "American": one is the beginning of the other, and not much of it."""
    return len(form) >= 5 and any(
        (word.startswith(form) or form.startswith(word))
        and len(word) >= 5
        and abs(len(word) - len(form)) <= 3
        for word in words
    )


def _denials(found: tuple[Token, ...]) -> Iterator[Denial]:
    """What each negation denies."""
    for place, token in enumerate(found):
        if token.form not in NEGATIONS:
            continue
        window = found[place + 1 : place + 12]
        ends = token.form in _ENDS_CLAUSE and not (place and found[place - 1].form in _NO_ELLIPSIS)
        first = window[0] if window else token
        named = token.form == "no" and (first.is_number or first.is_stop)
        twice = token.form == "non" and any(t.form in NEGATIONS for t in found[max(0, place - 2) : place])
        if named or twice or first.form == "only" or not (window or ends):
            continue  # "No. 4"; "No, …" answers a question; "not a non-binding plan"; "not only …"
        behind = _content(window, _CLAUSE, 1 if token.form == "non" else _SCOPE)
        before = _content(found[max(0, place - 11) : place][::-1], _CLAUSE_BEFORE, _SCOPE)
        yield Denial(before[::-1] if behind or ends else (), behind)


def _conceded(found: tuple[Token, ...]) -> Iterator[str]:
    """The first content word behind each negation of a clause that takes something back, and behind "non"."""
    aside = False
    for place, token in enumerate(found):
        aside = token.form in _CONCEDING or (aside and token.form not in (".", ";", "!", "?", "\n"))
        if (aside and token.form in NEGATIONS) or token.form == "non":
            yield from (word.form for word in found[place + 1 : place + 4] if word.is_content)


def _content(window: Sequence[Token], ends: Set[str], most: int) -> tuple[str, ...]:
    """The first content words before the clause ends, but for those behind "non": it denies them itself."""
    clause = list(takewhile(lambda token: token.form not in ends, window))
    before = ["", *(token.form for token in clause)]
    words = [t.form for form, t in zip(before, clause, strict=False) if t.is_content and form != "non"]
    return tuple(words[:most])
