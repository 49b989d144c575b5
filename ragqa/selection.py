"""Which sentences of the blocks answer the question, and how surely. Pure but for the embedding it is handed.

Two linear models over `ragqa.features`, fitted by `benchmarks/selection.py`, whose weights and the data they
come from are in `assets/selection.json`: one ranks the sentences, one says from the best of them whether the
documents hold the answer.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from ingest.sentences import sentence_spans
from ragqa.features import (
    CONFIDENCE_FEATURES,
    FEATURES,
    Numbers,
    Passage,
    confidence_features,
    features,
    lexical_scores,
)
from ragqa.types import ContextBlock

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
# Embedding is most of the cost of an answer: 64 sentences are about 1,900 tokens, 0.8 s of one CPU. The rest
# is left out by shared words and block.
EMBEDDED_SENTENCES = 64
ANSWER_SENTENCES = 3
SENTENCE_ENDS = (".", "!", "?", "。", "！", "？", '"', "”")
RUNNING_LINE = 12
"""Fewest characters of a line that is recognised when it comes again; rows of a table are often shorter."""


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
    """The sentences that answer, best first; the confidence in [0, 1] that the documents hold the answer."""

    sentences: tuple[Candidate, ...]
    confidence: float
    refuses: bool


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear model of standardised features: `weights · (x - mean) / deviation + bias`."""

    mean: Numbers
    deviation: Numbers
    weights: Numbers
    bias: float

    def __call__(self, rows: Numbers) -> Numbers:
        """A score for each row, shape (n, features) -> (n,)."""
        scores: Numbers = ((rows - self.mean) / self.deviation) @ self.weights + self.bias
        return scores


@dataclass(frozen=True, slots=True)
class Model:
    """Both models, and what a threshold means: `margin` in scores, `threshold` in confidence."""

    ranking: Linear
    confidence: Linear
    margin: float
    threshold: float


def select(question: str, blocks: Sequence[ContextBlock], embed: Embed) -> Selection:
    """At most three sentences that answer the question, best first; refuses below the threshold."""
    model = load_model()
    ranked, rows, scores = rank(question, blocks, embed, model)
    if not ranked:
        return Selection((), 0.0, True)
    logit = float(model.confidence(confidence_features(question, rows, scores)[None, :])[0])
    confidence = 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))
    best = ranked[0].score
    chosen = tuple(one for one in ranked[:ANSWER_SENTENCES] if one.score >= best - model.margin)
    return Selection(chosen, confidence, confidence < model.threshold)


def rank(
    question: str, blocks: Sequence[ContextBlock], embed: Embed, model: Model
) -> tuple[list[Candidate], Numbers, Numbers]:
    """The sentences of the blocks, best first, with features (n, features) and scores (n,) in that order."""
    candidates, rows = candidate_features(question, blocks, embed)
    if not candidates:
        return [], rows, np.zeros(0)
    scores = model.ranking(rows)
    order = np.argsort(-scores, kind="stable")
    ranked = [
        Candidate(one.block, one.start, one.end, one.text, float(scores[row]))
        for row in order
        for one in (candidates[row],)
    ]
    return ranked, rows[order], scores[order]


def candidate_features(
    question: str, blocks: Sequence[ContextBlock], embed: Embed
) -> tuple[list[Candidate], Numbers]:
    """Every sentence of the blocks in order, and its features, shape (n, len(FEATURES))."""
    found = without_running_lines([(block, sentences_of(block)) for block in blocks])
    found = sorted(((b, s) for b, s in found if s), key=lambda pair: -pair[0].score)
    passages = [
        Passage(tuple(one.text for one in sentences), " ".join((block.title, *block.section)), block.score)
        for block, sentences in found
    ]
    cosines = similarities(question, passages, embed)
    return [one for _, sentences in found for one in sentences], features(question, passages, cosines)


def similarities(question: str, passages: Sequence[Passage], embed: Embed) -> list[list[float]]:
    """Cosine of the question and each sentence; NaN for those too far down to be worth embedding."""
    lexical = lexical_scores(question, passages)
    best = max((passage.score for passage in passages), default=0.0)
    worth = [
        (-(words + 0.15 * (passage.score - best)), place, number)
        for place, passage in enumerate(passages)
        for number, words in enumerate(lexical[place])
    ]
    kept = [(place, number) for _, place, number in sorted(worth)[:EMBEDDED_SENTENCES]]
    cosines = [[math.nan] * len(passage.sentences) for passage in passages]
    if kept:
        vectors = embed([question, *(passages[place].sentences[number] for place, number in kept)])
        for (place, number), cosine in zip(kept, vectors[1:] @ vectors[0], strict=True):
            cosines[place][number] = float(cosine)
    return cosines


def sentences_of(block: ContextBlock) -> list[Candidate]:
    """The sentences of a block, in order. Its headings answer nothing: they name what follows."""
    headings = {plain(part) for part in (block.title, *block.section)}
    return [
        Candidate(block, block.start + start, block.start + end, block.text[start:end])
        for start, end in sentence_spans(block.text)
        if plain(block.text[start:end]) not in headings
    ]


def without_running_lines(
    found: Sequence[tuple[ContextBlock, list[Candidate]]],
) -> list[tuple[ContextBlock, list[Candidate]]]:
    """The sentences without a document's page headers and footers: lines that come again, page numbers aside.

    What ends like a sentence stays: a report may well say the same in its summary and its conclusion.
    """
    lines = [(block.document_id, unnumbered(one.text)) for block, sentences in found for one in sentences]
    seen = Counter(lines)
    return [
        (
            block,
            [
                one
                for one in sentences
                if seen[block.document_id, unnumbered(one.text)] == 1 or one.text.endswith(SENTENCE_ENDS)
            ],
        )
        for block, sentences in found
    ]


def unnumbered(text: str) -> str:
    """The text on one line without numbers at its ends; as it is where no words would be left."""
    line = plain(text)
    bare = line.strip("0123456789 .|/-")
    return bare if len(bare) >= RUNNING_LINE else line


def plain(text: str) -> str:
    """The text on one line, case folded."""
    return " ".join(text.split()).casefold()


@cache
def load_model() -> Model:
    """The fitted models, read once."""
    text = (resources.files("ragqa") / "assets" / "selection.json").read_text(encoding="utf-8")
    record = json.loads(text)
    return Model(
        linear(record["ranking"], FEATURES),
        linear(record["confidence"], CONFIDENCE_FEATURES),
        float(record["margin"]),
        float(record["threshold"]),
    )


def linear(record: Mapping[str, Mapping[str, Sequence[float]]], names: Sequence[str]) -> Linear:
    """The model of a JSON record: mean, deviation and weight by feature, and a bias."""
    columns = np.asarray([record["features"][name] for name in names], dtype=np.float64)
    return Linear(columns[:, 0], columns[:, 1], columns[:, 2], float(record["bias"]))  # type: ignore[arg-type]
