"""Figures of the learning curve, on examples kept apart. Knows no training."""

from collections.abc import Sequence
from typing import Any

import torch

from ragqa.gptq.finetune.loss import forward, log_probabilities
from ragqa.gptq.finetune.options import Validation
from ragqa.gptq.finetune.processes import Team
from ragqa.gptq.finetune.rows import ChatEncoder, Group, probe_row, question_row


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
    return Validation("answers", step, float(loss) / weight, auroc(scores.tolist(), refusable), len(asked))


def auroc(scores: Sequence[float], positive: Sequence[bool]) -> float:
    """The chance that a positive scores above a negative, ties half; NaN where one kind is missing."""
    high = [score for score, is_positive in zip(scores, positive, strict=True) if is_positive]
    low = [score for score, is_positive in zip(scores, positive, strict=True) if not is_positive]
    if not high or not low:
        return float("nan")
    wins = sum((one > other) + 0.5 * (one == other) for one in high for other in low)
    return wins / (len(high) * len(low))
