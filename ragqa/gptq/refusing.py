"""Whether to refuse, by the model's log-odds of refusing against a threshold. Knows no prompt grammar.

A model tuned to refuse with one fixed sentence says by its first tokens how sure it is. Greedy decoding
refuses where that beginning is likelier than any one other, which is often below even odds. The threshold,
chosen on validation data, is kept beside the weights.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ragqa.errors import CheckpointError
from ragqa.gptq.constrained import Constraint
from ragqa.gptq.decoder import Decoder, KvCache

NAME = "ragqa_refusal.json"
STEM = 6
"""Letters in common that make two tokens forms of one word."""


@dataclass(frozen=True, slots=True)
class RefusalRule:
    """Refuse where the log-odds of the refusal's first `tokens` tokens are at least `threshold`; `strict`
    stands in its place under `--strict`. `judge` is the weight at which what another judge says for the
    answer being there, in log-odds from its own threshold, is taken off first: 1 is what two judges whose
    errors are their own come to. `chooses` is the weight of that judge's log-odds when the model chooses
    among the answers it proposes; 0: the model writes by itself."""

    tokens: int
    threshold: float
    strict: float
    judge: float = 0.0
    chooses: float = 0.0

    def limit(self, *, strict: bool) -> float:
        """The threshold that counts."""
        return self.strict if strict else self.threshold


def read_rule(folder: Path) -> RefusalRule | None:
    """The rule beside a model; None where it has none. Raises CheckpointError for one that is broken."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        threshold, strict = float(held["threshold"]), float(held["strict"])
        weights = {name: float(held.get(name, 0.0)) for name in ("judge", "chooses")}
        return RefusalRule(int(held["tokens"]), threshold, strict, **weights)
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is no refusal rule: {error!r}") from error


def write_rule(folder: Path, rule: RefusalRule) -> None:
    """Put the rule beside a model."""
    (folder / NAME).write_text(json.dumps(asdict(rule), indent=1) + "\n", encoding="utf-8")


def log_odds(decoder: Decoder, cache: KvCache, logits: Tensor, first: Sequence[int]) -> float:
    """ln(p / (1 - p)) of the reply beginning with the ids `first`; the cache is left as long as it was.

    `logits` are those after the prompt.
    """
    total, length = 0.0, cache.length
    for place, token in enumerate(first):
        total += float(torch.log_softmax(logits, -1)[token])
        if place + 1 < len(first):
            logits = decoder.logits(torch.tensor([token]), cache)
    cache.length = length
    return log_odds_of(total)


def log_odds_of(log_probability: float) -> float:
    """ln(p / (1 - p)) from ln p."""
    capped = min(log_probability, -1e-9)
    return capped - math.log(-math.expm1(capped))


@lru_cache(maxsize=4)
def unlike(tokenizer: Any, token: int) -> frozenset[int]:
    """All ids but those of the token's word and its other forms: "document" and " Documents", too.

    Kept from one spelling of its refusal, a model writes it in the next.
    """
    word = _letters(tokenizer, token)[:STEM]
    return frozenset(one for one in range(len(tokenizer)) if not _letters(tokenizer, one).startswith(word))


def _letters(tokenizer: Any, token: int) -> str:
    text: str = tokenizer.decode([token], clean_up_tokenization_spaces=False)
    return text.strip().casefold() or str(token)


class RefusalConstraint:
    """The refusal, whole, or a reply that does not begin as it does: what `log_odds` and threshold say.

    `decide` is told the log-odds first; a reply that is to answer is left to `behind`. `others` are the ids
    that may follow all but the last of the deciding ids where `behind` allows any.
    """

    def __init__(
        self,
        refusal: Sequence[int],
        rule: RefusalRule,
        ends: frozenset[int],
        others: frozenset[int],
        behind: Constraint,
    ) -> None:
        self._refusal, self._rule, self._ends = tuple(refusal), rule, ends
        self._others, self._behind = others, behind
        self.refuses = False
        self.confidence = 0.0

    @property
    def first(self) -> tuple[int, ...]:
        """The ids whose log-odds decide."""
        return self._refusal[: self._rule.tokens]

    def decide(self, odds: float, *, strict: bool) -> None:
        """Refuse or not; `confidence` is 0.5 at the threshold, 1 where answering is sure."""
        distance = self._rule.limit(strict=strict) - odds
        self.refuses = distance <= 0
        self.confidence = 1 / (1 + math.exp(-max(-700.0, min(700.0, distance))))

    def allowed(self, ids: Sequence[int]) -> frozenset[int] | None:
        """The ids that may follow the reply's `ids` so far; None where any may."""
        if self.refuses:
            return frozenset({self._refusal[len(ids)]}) if len(ids) < len(self._refusal) else self._ends
        wanted, last = self._behind.allowed(ids), len(self.first) - 1
        if wanted is None and len(ids) == last and tuple(ids) == self.first[:last]:
            return self._others
        return wanted
