"""Figures of the learning curve, on examples kept apart. Knows no training."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch

from ragqa.gptq.finetune.loss import forward, log_probabilities
from ragqa.gptq.finetune.options import Validation
from ragqa.gptq.finetune.processes import Team
from ragqa.gptq.finetune.rows import DECISION_TOKENS, ChatEncoder, Group, probe_row, question_row
from ragqa.gptq.refusing import RefusalRule, log_odds_of

STRICT_RECALL = 0.8


def validate(
    model: Any, groups: Sequence[Group], encoder: ChatEncoder, team: Team, device: torch.device, step: int
) -> Validation:
    """Loss of the targets, and how well the first tokens of the refusal tell what cannot be answered."""
    model.eval()
    weight = sum(question_row(group, encoder).weight for group in groups)
    asked = [(number, place) for number, group in enumerate(groups) for place in range(len(group.questions))]
    scores = torch.zeros(len(asked), dtype=torch.float64)
    loss = torch.zeros((), dtype=torch.float64)
    for number in team.mine(range(len(groups))):
        loss += forward(model, question_row(groups[number], encoder), device)
        first = asked.index((number, 0))
        found = log_probabilities(model, probe_row(groups[number], encoder), device)
        scores[first : first + len(found)] = torch.tensor(found, dtype=torch.float64)
    team.add(loss)
    team.add(scores)
    model.train()
    refusable = [not groups[number].questions[question].answerable for number, question in asked]
    odds = [log_odds_of(score) for score in scores.tolist()]
    separation = auroc(odds, refusable)
    return Validation(
        "answers", step, float(loss) / weight, separation, len(asked), rule_from(odds, refusable)
    )


def rule_from(odds: Sequence[float], refusable: Sequence[bool]) -> RefusalRule | None:
    """The threshold where refusal recall less over-refusal is largest; None where one kind is missing.

    The strict one is the highest that refuses STRICT_RECALL of what cannot be answered, or the same if that
    does so already. Between two scores a threshold lies in the middle. The weights of what the reader says
    are not fitted: both are 1.
    """
    high = sorted(one for one, refuse in zip(odds, refusable, strict=True) if refuse)
    low = [one for one, refuse in zip(odds, refusable, strict=True) if not refuse]
    if not high or not low:
        return None
    scores = sorted({*high, *low})
    between = [(one + other) / 2 for one, other in pairwise(scores)]

    def gain(threshold: float) -> float:
        recall = sum(one >= threshold for one in high) / len(high)
        return recall - sum(one >= threshold for one in low) / len(low)

    threshold = max((scores[0] - 1, *between, scores[-1] + 1), key=gain)
    strict = high[int((1 - STRICT_RECALL) * len(high))]
    return RefusalRule(DECISION_TOKENS, threshold, min(threshold, strict), judge=1.0, chooses=1.0)


def auroc(scores: Sequence[float], positive: Sequence[bool]) -> float:
    """The chance that a positive scores above a negative, ties half; NaN where one kind is missing."""
    high = [score for score, is_positive in zip(scores, positive, strict=True) if is_positive]
    low = [score for score, is_positive in zip(scores, positive, strict=True) if not is_positive]
    if not high or not low:
        return float("nan")
    wins = sum((one > other) + 0.5 * (one == other) for one in high for other in low)
    return wins / (len(high) * len(low))
