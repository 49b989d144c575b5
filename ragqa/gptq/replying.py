"""How a tuned model replies by its rule: refuse, or answer with the words it finds best, or write by itself.

Joins what decides (log-odds, proposals) to what is then allowed. Knows no prompt grammar and no reader.
"""

from typing import Any

from torch import Tensor

from ragqa.gptq.choosing import AnswerConstraint, Choice, Chooser
from ragqa.gptq.constrained import Constraint
from ragqa.gptq.decoder import Decoder, KvCache
from ragqa.gptq.refusing import RefusalConstraint, RefusalRule, log_odds, unlike
from ragqa.llm.engine import GenerationOptions
from ragqa.proposals import Opinion, as_answer
from ragqa.types import REFUSAL


class RuledReply:
    """One reply. `weigh` is told the first logits; then `constraint` says what may be written.

    `opinion` is of the prompt at hand, `sources` what may follow an answer. An answer that is to be drawn at
    random is the model's own. `odds` are the model's log-odds of refusing, before anyone else is heard.
    """

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: Any,
        rule: RefusalRule,
        opinion: Opinion,
        ends: frozenset[int],
        sources: Constraint,
        options: GenerationOptions,
    ) -> None:
        self._decoder, self._tokenizer, self._rule, self._opinion = decoder, tokenizer, rule, opinion
        self._strict, self._weight = options.strict, rule.chooses if options.temperature <= 0 else 0.0
        self._after = ends | frozenset(self._ids("\n"))
        self._answer = AnswerConstraint(self._after, sources)
        refusal = self._ids(REFUSAL)
        others = unlike(tokenizer, refusal[rule.tokens - 1])
        self.constraint = RefusalConstraint(refusal, rule, ends, others, self._answer)
        self.odds = 0.0

    @property
    def confidence(self) -> float:
        """How far from the refusal's threshold the decision was, 0.5 at it."""
        return self.constraint.confidence

    def weigh(self, logits: Tensor, cache: KvCache) -> None:
        """Decide, by the logits behind the prompt; the cache is left as long as it was."""
        self.odds = log_odds(self._decoder, cache, logits, self.constraint.first)
        self.constraint.decide(self.odds - self._rule.judge * self._opinion.odds, strict=self._strict)
        if self._weight and not self.constraint.refuses:
            self._answer.answer = self._chosen(Chooser(self._decoder, cache, logits, self._after))

    def _chosen(self, chooser: Chooser) -> tuple[int, ...]:
        """The best of the proposed answers and the model's own, if that stands in the text, too.

        None that begins as the refusal does. Nothing where nothing is proposed: then the model writes by
        itself.
        """
        proposals = self._opinion.proposals
        choices = [Choice(self._ids(as_answer(one.text)), one.odds) for one in proposals.best()]
        if not choices:
            return ()
        own = chooser.draft(self.constraint)
        odds = proposals.odds_of(self._tokenizer.decode(own)) if own else None
        if odds is not None:
            choices.append(Choice(own, odds))
        refusal = self.constraint.first
        answers = [one for one in choices if one.ids[: len(refusal)] != refusal]
        chosen = chooser.choose(answers, self._weight)
        return chosen.ids if chosen else ()

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))
