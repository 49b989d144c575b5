"""What goes with the best sentence, so that it answers: the whole list, the sentence beside it. Pure.

The models rank single sentences. A step of a procedure, a sentence that gives no reason where the next one
does, or "Rejected." alone are right by their words and answer little.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ragqa.candidates import Candidate, Pieces
from ragqa.features import content_words
from ragqa.forms import forms_of
from ragqa.kinds import ASKS_WHY, CAUSE, SENTENCE_ENDS, WORD
from ragqa.lists import ItemList, is_item
from ragqa.namesakes import names_in

MOST_ITEMS = 12
MOST_PIECES = 30
"""Items and pieces of a list that is shown whole: a longer one is no answer that a person reads."""
SHORT = 3
"""Words below which a sentence is shown with the one behind it: "Rejected." or "Not yet."."""

BEGINNING = 6
"""Letters in common that make two words one, as in the check: "installing", "installation"."""

_ASKS_HOW = re.compile(
    r"\bhow (?:to|(?:do|does|can|could|should|shall|must|would) (?:i|we|you|one))\b|\bwhat are the\b",
    re.IGNORECASE,
)
_ASKS_STEPS = re.compile(
    r"\b(?:what|which|describe|show|give|explain)\b.*\b(?:steps|procedure|instructions)\b"
    r"|\bstep[- ]by[- ]step\b|^\W*(?:please )?list\b|\blist (?:all|of all)\b"
    r"|\b(?:what|which)\b.*\bare there\b",
    re.IGNORECASE,
)
_PROCEDURES = frozenset(
    content_words("step steps procedure procedures instruction instructions list how follow")
)
"""Words for a list itself: a heading of these alone is about what its title is about."""
_THEREFORE = r"(?:so|hence|thus|therefore|accordingly|consequently|for th(?:is|at|ese) reasons?|as a result)"
_GOES_ON = re.compile(
    rf"(?:it|this|that|these|those|they|such|{_THEREFORE})\b|[^.]*\b(?:therefore|hence|thus)\b", re.IGNORECASE
)
"""Sentences that rest on the one before them."""
_RESULTS = re.compile(r"\b(?:therefore|hence|thus|accordingly|consequently|as a result)\b", re.IGNORECASE)
"""Words for a cause that stands before the sentence: behind the best one it says what came of that."""


def completed(
    question: str, sentences: Sequence[Candidate], candidates: Sequence[Candidate], pieces: Sequence[Pieces]
) -> tuple[Candidate, ...]:
    """The whole list that the question asks for and the best sentence points to; else the sentences, no more
    of them than there were or two, the best with the one beside it that it needs.

    `candidates` are all that may be shown, `pieces` the blocks they are of.
    """
    listed = whole_list(question, sentences, pieces)
    if listed:
        return listed
    together = _together(question, sentences[0], candidates)
    places = {(one.block.key, one.place) for one in together}
    # A line that introduces a list says nothing without it.
    places |= {
        (made.block.key, one.opening) for made in pieces for one in made.lists if one.opening is not None
    }
    others = (one for one in sentences[1:] if (one.block.key, one.place) not in places)
    return (*together, *others)[: max(len(sentences), len(together))]


def whole_list(
    question: str, sentences: Sequence[Candidate], pieces: Sequence[Pieces]
) -> tuple[Candidate, ...]:
    """The list in order, with the line that introduces it, where that line is the best sentence; and where
    the question asks for steps or items, and one of them is the best sentence, or the headings above them say
    what is asked. () where none is sure.

    Where a sentence has a name of the question that the list has not, the list is of something else.
    """
    best = sentences[0]
    held = _list_of(best, pieces)
    if held is not None and held.opens(best):
        return held.scored(best)
    in_full = _ASKS_STEPS.search(question) is not None
    if not in_full and not _ASKS_HOW.search(question):
        return ()
    asked = _words(question) - _PROCEDURES
    if held is not None:
        # One step that says more of what is asked than the headings do is the answer: how to drain a node.
        heads = asked & _words(held.heads)
        found = held if heads and (in_full or len(heads) >= len(asked & _words(best.shown))) else None
    else:
        found = _list_about(asked, best, pieces)
    if found is None:
        return ()
    lacking = names_in(question) - forms_of(" ".join((found.heads, *(one.shown for one in found.pieces))))
    places = {(one.block.key, one.place) for one in found.pieces}
    others = (one for one in sentences if (one.block.key, one.place) not in places)
    if any(lacking & forms_of(one.around) for one in others):
        return ()
    return found.scored(best)


@dataclass(frozen=True, slots=True)
class _Found:
    """A list as it is shown, what stands above it, and of that what is not of the whole document."""

    pieces: tuple[Candidate, ...]
    heads: str
    own: str

    def opens(self, one: Candidate) -> bool:
        """Whether the sentence is the line that introduces the list, and says nothing without it."""
        return one.place == self.pieces[0].place and not is_item(one.text) and one.text.endswith(":")

    def scored(self, best: Candidate) -> tuple[Candidate, ...]:
        return tuple(replace(one, score=best.score) for one in self.pieces)


def _list_of(best: Candidate, pieces: Sequence[Pieces]) -> _Found | None:
    """The list whose item or opening the sentence is: the outermost of numbers, else the innermost."""
    made = next(made for made in pieces if made.block.key == best.block.key)
    around = [one for one in made.lists if best.place in (one.opening, *one.places)]
    numbered = [one for one in around if one.is_numbered]
    chosen = numbered[:1] or around[-1:]
    return _shown(made, chosen[0]) if chosen else None


def _list_about(asked: frozenset[str], best: Candidate, pieces: Sequence[Pieces]) -> _Found | None:
    """The list of numbers in the best sentence's document whose headings say all that is asked.

    Its own heading must say some of it, or nothing but that steps follow: below the title of a manual stand
    many lists.
    """
    found: list[tuple[int, _Found]] = []
    for made in pieces:
        if made.block.document_id != best.block.document_id:
            continue
        for one in made.lists:
            shown = _shown(made, one) if one.is_numbered else None
            if shown is None or not asked or not asked <= _words(shown.heads):
                continue
            own = _words(shown.own)
            if asked & own or (own and own <= _PROCEDURES):
                found.append((len(asked & own), shown))
    return max(found, key=lambda one: one[0], default=(0, None))[1]


def _shown(made: Pieces, one: ItemList) -> _Found | None:
    """The list as it is shown, each item with its marker; None where it is cut, too short or long."""
    by_place = {candidate.place: candidate for candidate in made.candidates}
    items = [by_place[place] for place in one.places if place in by_place]
    # Clauses, 3.1 and 3.2, are a list only where a line says of what.
    many = (len(one.items) > 1 and not one.is_clauses) or one.opening is not None
    if not one.begins or not many or len(one.items) > MOST_ITEMS or len(items) > MOST_PIECES:
        return None
    if len(items) < len(one.places) or any(item.is_row for item in items):
        return None
    if _is_cut(items[-1], one, made):
        return None
    opening = by_place.get(one.opening) if one.opening is not None else None
    line = made.lines[one.opening] if one.opening is not None else ""
    whole = tuple(replace(item, shown=made.lines[item.place], opening="") for item in items)
    title, trail = made.block.title, made.block.section
    near = (*(part for part in trail[-1:] if part != title), items[0].lead, line)
    own = " \n ".join(part for part in near if part != title)
    heads = " \n ".join((items[0].above, line))
    return _Found((*([opening] if opening else []), *whole), heads, own)


def _is_cut(last: Candidate, one: ItemList, made: Pieces) -> bool:
    """Whether the last piece breaks off inside a sentence, as at the end of a page."""
    behind = next((other for other in made.candidates if other.place > last.place), None)
    if behind is not None and behind.text[0].islower() and not last.text.endswith(SENTENCE_ENDS):
        return True
    return last.place != one.items[-1][0] and not last.text.endswith((*SENTENCE_ENDS, ";", ":"))


def _together(question: str, best: Candidate, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The sentence and the one beside it that it needs, in their order."""
    beside = {one.place: one for one in candidates if one.block.key == best.block.key}
    before, behind = beside.get(best.place - 1), beside.get(best.place + 1)
    before = replace(before, score=best.score) if before and _touch(before, best) else None
    behind = replace(behind, score=best.score) if behind and _touch(best, behind) else None
    if behind and len(WORD.findall(best.text)) < SHORT and best.text.endswith(SENTENCE_ENDS):
        return best, behind
    if not ASKS_WHY.search(question) or best.is_row or CAUSE.search(best.shown):
        return (best,)
    if behind and CAUSE.search(behind.shown) and not _RESULTS.search(behind.shown):
        return best, behind
    if before and (CAUSE.search(before.shown) or _GOES_ON.match(best.shown)):
        return before, best
    return (best,)


def _touch(one: Candidate, other: Candidate) -> bool:
    """Whether one sentence follows the other in a paragraph, neither of them an item of a list."""
    between = one.block.text[one.end - one.block.start : other.start - other.block.start]
    return "\n\n" not in between and not (one.is_row or other.is_row or is_item(other.text))


def _words(text: str) -> frozenset[str]:
    return frozenset(word[:BEGINNING] for word in content_words(text))
