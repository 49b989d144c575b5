"""One question asked: what was found, what was cited, what was refused, and the values that follow. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ragqa.evaluation.citing import (
    Place,
    Span,
    citation_precision,
    citation_recall,
    evidence_hit,
    is_right,
)
from ragqa.evaluation.question_set import Question
from ragqa.evaluation.ranking import all_support, ndcg, recall, success
from ragqa.evaluation.wording import exact_match, token_f1

Values = Mapping[str, float]

# Metrics in the order of the table. `ranked_evidence` is of all sentences in the prompt, nothing refused, for
# engines that rank them; `refusal_recall@0.15` is at the confidence where at most 0.15 of the answerable
# questions are refused. The last two say what an answer costs, not how good it is.
METRICS = (
    "ndcg@10",
    "recall@5",
    "recall@10",
    "success@5",
    "success@10",
    "all_support@10",
    "evidence_chunk@10",
    "em",
    "f1",
    "evidence@1",
    "evidence@3",
    "ranked_evidence@1",
    "ranked_evidence@3",
    "citation_precision",
    "citation_recall",
    "refusal_recall",
    "refusal_precision",
    "over_refusal",
    "refusal_auroc",
    "refusal_recall@0.15",
    "refusal_recall_gold_removed",
    "refusal_auroc_gold_removed",
    "refusal_recall_gold_removed@0.15",
    "tokens_per_question",
    "seconds_per_question",
)
COSTS = frozenset({"tokens_per_question", "seconds_per_question"})
OF_THE_REFUSED = frozenset({"refusal_precision"})
"""Of the questions that a run refused: what one gives is the same in every run, which they are is not."""
LOWER_IS_BETTER = frozenset({"over_refusal"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What an answerer said. `places` are the citations in order, `sentences` those of each claim.

    `ranked` are the best sentences of the prompt whether or not it answered; None for an engine that ranks
    none.
    """

    text: str
    refused: bool
    confidence: float
    places: tuple[Place, ...]
    sentences: tuple[tuple[Place, ...], ...]
    blocks: tuple[str, ...]
    tokens: int
    seconds: float
    ranked: tuple[Place, ...] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A question with what came of it. `asked` is None where only retrieval is measured.

    `ranked` are gold-style ids, best first, each once; `found` the places of the hits; `evidence` the spans
    of the gold evidence by document, empty where the set names none. `blind` is the question asked again with
    its gold documents taken out.
    """

    question: Question
    ranked: tuple[str, ...]
    found: tuple[Place, ...]
    evidence: Mapping[str, Sequence[Span]]
    asked: Asked | None = None
    blind: Asked | None = None


def values_of(outcome: Outcome) -> Values:
    """Each metric that this question counts for."""
    values: dict[str, float] = {}
    gold = outcome.question.gold
    if gold:
        values["ndcg@10"] = ndcg(outcome.ranked, gold, 10)
        values["recall@5"] = recall(outcome.ranked, gold, 5)
        values["recall@10"] = recall(outcome.ranked, gold, 10)
        values["success@5"] = success(outcome.ranked, gold, 5)
        values["success@10"] = success(outcome.ranked, gold, 10)
        values["all_support@10"] = all_support(outcome.ranked, gold, 10)
    if outcome.evidence:
        values["evidence_chunk@10"] = evidence_hit(outcome.found, outcome.evidence, 10)
    if outcome.asked is not None:
        values |= _answer_values(outcome, outcome.asked)
    if outcome.blind is not None:
        values["refusal_recall_gold_removed"] = float(outcome.blind.refused)
    return values


def _answer_values(outcome: Outcome, asked: Asked) -> dict[str, float]:
    values = {"tokens_per_question": float(asked.tokens), "seconds_per_question": asked.seconds}
    question = outcome.question
    if asked.refused:
        values["refusal_precision"] = float(not question.answerable)
    if not question.answerable:
        return values | {"refusal_recall": float(asked.refused)}
    values["over_refusal"] = float(asked.refused)
    if question.answers:
        values["em"] = 0.0 if asked.refused else exact_match(asked.text, question.answers)
        values["f1"] = 0.0 if asked.refused else token_f1(asked.text, question.answers)
    if outcome.evidence:
        values["evidence@1"] = evidence_hit(asked.places, outcome.evidence, 1)
        values["evidence@3"] = evidence_hit(asked.places, outcome.evidence, 3)
        if asked.ranked is not None:
            values["ranked_evidence@1"] = evidence_hit(asked.ranked, outcome.evidence, 1)
            values["ranked_evidence@3"] = evidence_hit(asked.ranked, outcome.evidence, 3)
        if not asked.refused:
            values["citation_precision"] = citation_precision(asked.sentences, outcome.evidence)
            values["citation_recall"] = citation_recall(asked.sentences, outcome.evidence)
    return values


def position_of_gold(outcome: Outcome) -> tuple[int, float] | None:
    """The place (from 1) of the first gold block in the prompt, and whether the evidence was cited."""
    if outcome.asked is None or not outcome.evidence:
        return None
    blocks = outcome.asked.blocks
    place = next((n for n, block in enumerate(blocks, start=1) if block in outcome.question.gold), None)
    if place is None:
        return None
    return place, float(any(is_right(cited, outcome.evidence) for cited in outcome.asked.places))
