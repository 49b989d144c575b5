"""Which of several proposed answers the model finds best. Knows no reader and no prompt grammar.

An answer's score is the model's log-probability of writing it, and of ending there, plus the weighted
log-odds of whoever proposed it: two judges whose errors are their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ragqa.gptq.constrained import Constraint, restrict
from ragqa.gptq.decoder import Decoder, KvCache

LOOKED_AT = 16
"""Answers that the model reads: those best by their first token and their odds."""
OWN_TOKENS = 40
"""Longest answer of the model's own that is worth comparing."""


@dataclass(frozen=True, slots=True)
class Choice:
    """An answer's ids, and its log-odds as proposed."""

    ids: tuple[int, ...]
    odds: float


@dataclass(slots=True)
class Chooser:
    """Scores answers behind a prompt that ends in `cache`, whose next logits are `logits`.

    `ends` are the ids that may follow an answer: a new line, or the end of the reply. The cache is left as
    long as it was.
    """

    decoder: Decoder
    cache: KvCache
    logits: Tensor
    ends: frozenset[int]
    _start: int = field(init=False)
    _best: tuple[float, Choice | None] = field(init=False)

    def __post_init__(self) -> None:
        self._start = self.cache.length

    def choose(self, choices: Sequence[Choice], weight: float = 1.0) -> Choice | None:
        """The choice with the highest score; None of none that fit."""
        logs = torch.log_softmax(self.logits, -1)
        room = self.cache.capacity - self._start
        fitting = [one for one in dict.fromkeys(choices) if 0 < len(one.ids) < room]
        fitting.sort(key=lambda one: -(float(logs[one.ids[0]]) + weight * one.odds))
        self._best = (-torch.inf, None)
        self._compare(fitting[:LOOKED_AT], weight, 0, 0.0, logs)
        self.cache.length = self._start
        return self._best[1]

    def draft(self, constraint: Constraint) -> tuple[int, ...]:
        """What the model writes by itself up to one of `ends`; nothing where that is too long."""
        ids: list[int] = []
        logits, room = self.logits, min(OWN_TOKENS, self.cache.capacity - self._start)
        for depth in range(room):
            token = int(restrict(logits, constraint.allowed(ids)).argmax())
            if token in self.ends:
                self.cache.length = self._start
                return tuple(ids)
            ids.append(token)
            logits = self._logits_after(token, depth)
        self.cache.length = self._start
        return ()

    def _compare(
        self, choices: Sequence[Choice], weight: float, depth: int, total: float, logs: Tensor
    ) -> None:
        """Look at choices that share their first `depth` ids, whose log-probability is `total`.

        What can no longer come first is not looked at: further ids only take away.
        """
        ended = total + float(torch.logsumexp(logs[list(self.ends)], -1))
        for one in choices:
            if len(one.ids) == depth and ended + weight * one.odds > self._best[0]:
                self._best = ended + weight * one.odds, one
        onward = [one for one in choices if len(one.ids) > depth]
        for token in dict.fromkeys(one.ids[depth] for one in onward):
            sharing = [one for one in onward if one.ids[depth] == token]
            reached = total + float(logs[token])
            if reached + weight * max(one.odds for one in sharing) > self._best[0]:
                after = torch.log_softmax(self._logits_after(token, depth), -1)
                self._compare(sharing, weight, depth + 1, reached, after)

    def _logits_after(self, token: int, depth: int) -> Tensor:
        """The logits behind the prompt, `depth` ids that were read before, and this one."""
        self.cache.length = self._start + depth
        return self.decoder.logits(torch.tensor([token]), self.cache)


class AnswerConstraint:
    """The reply begins with the ids `answer`, one of `ends` follows; then it is left to `behind`.

    While `answer` is empty, all is left to `behind`.
    """

    def __init__(self, ends: frozenset[int], behind: Constraint) -> None:
        self.answer: tuple[int, ...] = ()
        self._ends, self._behind = ends, behind

    def allowed(self, ids: Sequence[int]) -> frozenset[int] | None:
        """The ids that may follow the reply's `ids` so far; None where any may."""
        if len(ids) < len(self.answer):
            return frozenset({self.answer[len(ids)]})
        if self.answer and len(ids) == len(self.answer):
            return self._ends
        return self._behind.allowed(ids)
