"""Which sentences of the blocks answer the question, and how surely. Pure but for the embedding it is handed.

First form: cosine of question and sentence, the question's words weighted by rarity, and the block's score.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.sentences import sentence_spans
from ragqa.types import ContextBlock

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
WORD = re.compile(r"\w+")
# Embedding is most of the cost of an answer: 64 sentences are about 1,900 tokens, 0.8 s of one CPU. The rest
# is left out by shared words and block.
EMBEDDED_SENTENCES = 64
ANSWER_SENTENCES = 3
THRESHOLD = 0.45


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence of a block; `start` and `end` are offsets into the document."""

    block: ContextBlock
    start: int
    end: int
    text: str
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Selection:
    """The sentences that answer, best first, and the confidence in [0, 1] that they do."""

    sentences: tuple[Candidate, ...]
    confidence: float
    refuses: bool


def select(question: str, blocks: Sequence[ContextBlock], embed: Embed) -> Selection:
    """At most three sentences that answer the question; refuses below the threshold."""
    candidates = sentences_of(blocks)
    if not candidates:
        return Selection((), 0.0, True)
    lexical = overlaps(question, [candidate.text for candidate in candidates])
    best_block = max(block.score for block in blocks)
    prior = [0.15 * (candidate.block.score - best_block) for candidate in candidates]
    order = sorted(range(len(candidates)), key=lambda row: (-(lexical[row] + prior[row]), row))
    kept = order[:EMBEDDED_SENTENCES]
    vectors = embed([question, *(candidates[row].text for row in kept)])
    cosines = vectors[1:] @ vectors[0]
    scored = [
        (0.6 * float(cosine) + 0.4 * lexical[row] + prior[row], row) for cosine, row in zip(cosines, kept, strict=True)
    ]
    scored.sort(key=lambda pair: (-pair[0], pair[1]))
    top = scored[0][0]
    chosen = [candidates[row] for score, row in scored[:ANSWER_SENTENCES] if score >= 0.85 * top]
    confidence = 1 / (1 + math.exp(-10 * (top - THRESHOLD)))
    return Selection(tuple(chosen), confidence, confidence < 0.5)


def sentences_of(blocks: Sequence[ContextBlock]) -> list[Candidate]:
    """Every sentence of every block, in order."""
    return [
        Candidate(block, block.start + start, block.start + end, block.text[start:end])
        for block in blocks
        for start, end in sentence_spans(block.text)
    ]


def overlaps(question: str, texts: Sequence[str]) -> list[float]:
    """For each text the share of the question's words it holds, rare words counting more (idf over the texts)."""
    words = [frozenset(WORD.findall(text.lower())) for text in texts]
    frequency = Counter(word for text in words for word in text)
    wanted = {word: math.log((len(texts) + 1) / (frequency[word] + 0.5)) for word in WORD.findall(question.lower())}
    total = sum(wanted.values()) or 1.0
    return [sum(weight for word, weight in wanted.items() if word in text) / total for text in words]
