"""Measures of what an answer cites against the gold evidence. Pure.

After ALCE (Gao et al., "Enabling Large Language Models to Generate Text with Citations", EMNLP 2023,
section 3.3), with the annotators' evidence in place of a judging model: a citation is right where its quote
overlaps the gold evidence of its document, and citations support a statement where one of them is right.
ALCE's recall of a statement is whether its citations together support it; a citation is precise where its
statement is supported and it is not irrelevant, that is, unable to support the statement alone while the
others do without it. With that judge a precise citation is a right one. Both are means over an answer's
statements and citations, then over answers; a citation counts once for each statement that has it.
"""

from collections.abc import Mapping, Sequence

Span = tuple[int, int]
Place = tuple[str, Span]
"""A document id with a span of its text, white space taken out."""


def squeeze(text: str) -> str:
    """The text without white space: line ends and double spaces differ between a set and what was parsed."""
    return "".join(text.split())


def find_all(quote: str, text: str) -> list[Span]:
    """Where the quote stands in the text, as spans of the squeezed text; overlapping finds excluded."""
    needle, found, at = squeeze(quote), [], 0
    haystack = squeeze(text)
    while needle and (at := haystack.find(needle, at)) >= 0:
        found.append((at, at + len(needle)))
        at += len(needle)
    return found


def overlaps(one: Span, other: Span) -> bool:
    """Whether at least half of the shorter span lies in the other."""
    shared = min(one[1], other[1]) - max(one[0], other[0])
    return shared > 0 and 2 * shared >= min(one[1] - one[0], other[1] - other[0])


def is_right(citation: Place, evidence: Mapping[str, Sequence[Span]]) -> bool:
    """Whether a cited place overlaps the gold evidence of its document."""
    document, span = citation
    return any(overlaps(span, gold) for gold in evidence.get(document, ()))


def evidence_hit(citations: Sequence[Place], evidence: Mapping[str, Sequence[Span]], depth: int) -> float:
    """1 where one of the first `depth` citations is right, else 0."""
    return float(any(is_right(place, evidence) for place in citations[:depth]))


def citation_precision(sentences: Sequence[Sequence[Place]], evidence: Mapping[str, Sequence[Span]]) -> float:
    """The share of right ones among the citations of an answer's sentences; 0 where nothing is cited."""
    citations = [place for places in sentences for place in places]
    return sum(is_right(place, evidence) for place in citations) / max(1, len(citations))


def citation_recall(sentences: Sequence[Sequence[Place]], evidence: Mapping[str, Sequence[Span]]) -> float:
    """The share of an answer's sentences with a right citation; 0 for an answer without sentences."""
    carried = sum(any(is_right(place, evidence) for place in places) for places in sentences)
    return carried / max(1, len(sentences))
