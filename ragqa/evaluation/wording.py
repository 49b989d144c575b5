"""Measures of an answer's words against the gold answers, by the rules of SQuAD. Pure.

Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text", EMNLP 2016, section 6.1:
lower case, no punctuation, no articles, whitespace collapsed; the best score over the gold answers counts.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """The text as SQuAD compares it."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def exact_match(answer: str, gold: Sequence[str]) -> float:
    """1 where the answer equals a gold answer after normalisation, else 0."""
    return float(any(normalise(answer) == normalise(one) for one in gold))


def token_f1(answer: str, gold: Sequence[str]) -> float:
    """The best F1 of the answer's tokens against those of a gold answer, in [0, 1]."""
    return max((_f1(normalise(answer).split(), normalise(one).split()) for one in gold), default=0.0)


def _f1(answer: list[str], gold: list[str]) -> float:
    if not answer or not gold:
        return float(answer == gold)
    common = sum((Counter(answer) & Counter(gold)).values())
    if common == 0:
        return 0.0
    precision, recall = common / len(answer), common / len(gold)
    return 2 * precision * recall / (precision + recall)
