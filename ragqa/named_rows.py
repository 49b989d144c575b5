"""Rows of a table beside the one whose first cell the question names. Pure."""

import re
from collections import defaultdict
from collections.abc import Sequence

from ragqa.candidates import Candidate
from ragqa.features import content_words

OPEN = re.compile(r"\b(?:besides|other than|apart from|except|instead of|or)\b", re.IGNORECASE)
"""A question with one of these names things that the answer is not about."""
_BESIDE = re.compile(r"\b(?:than|after|before|from|follow\w*|next)\b", re.IGNORECASE)
"""A question that names one thing to ask for another."""


def beside_named_rows(question: str, candidates: Sequence[Candidate]) -> frozenset[int]:
    """The places of rows in tables of which the question names other rows, by all words of their first cell.

    Of "Sales" and "Sales Europe" a question about Sales Europe names the second.
    """
    if OPEN.search(question) or _BESIDE.search(question):
        return frozenset()
    asked = frozenset(content_words(question))
    tables: dict[str, dict[int, frozenset[str]]] = defaultdict(dict)
    for place, one in enumerate(candidates):
        if one.is_row:
            tables[one.block.key][place] = frozenset(content_words(one.text.partition("\t")[0]))
    beside: set[int] = set()
    for labels in tables.values():
        top = min(labels, key=lambda place: candidates[place].place)  # of words alone, it may be the header
        named = {
            label
            for place, label in labels.items()
            if place != top and label <= asked and any(map(str.isalpha, label))
        }
        fullest = {label for label in named if not any(label < other for other in named)}
        beside |= {place for place, label in labels.items() if fullest and label not in fullest}
    return frozenset(beside)
