"""How far back a model reads: sentences hidden in a long text, asked for at its end. Knows no file.

Five sentences, "The code of the amber lighthouse is 48213.", are put at five depths of one text; then each
is begun again and the code's digits are read off the model's probabilities. A model that was never tuned to
answer can still continue a sentence it has read, so this measures positions and attention, not manners.

A needle passes when its digits are, on average, at least e times likelier after their own sentence's
beginning than after that of a lighthouse the text never named. All five codes stand in the text both times,
so guessing some number from it gains nothing; a model whose positions are wrong loses the difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ragqa.gptq.calibration import calibration_text
from ragqa.gptq.decoder import Decoder, KvCache

DEPTHS = (0.05, 0.25, 0.5, 0.75, 0.95)
NAMES = (
    "amber lighthouse",
    "northern observatory",
    "silver windmill",
    "old paper factory",
    "eastern botanical garden",
)
ABSENT = "second railway museum"
CODES = ("48213", "90657", "31784", "76509", "25936")
MARGIN = 1.0
"""Nats a token by which a needle's digits must be likelier than without it."""
RESERVED = 48
"""Tokens left at the end of the length for the sentence that asks."""


@dataclass(frozen=True, slots=True)
class Needle:
    """One needle. `loss` and `control` are nats a token of the code, asked for by its own and by an absent
    name.

    `exact` says that greedy decoding would write the whole code.
    """

    length: int
    depth: float
    loss: float
    control: float
    exact: bool

    @property
    def passed(self) -> bool:
        """Whether the model used what it read there."""
        return self.control - self.loss >= MARGIN


def find_needles(decoder: Decoder, tokenizer: Any, length: int) -> tuple[Needle, ...]:
    """Hide five needles in a text of `length` tokens, questions included, and ask for each."""
    cache = decoder.new_cache(length)
    decoder.hidden(torch.tensor(haystack(tokenizer, length - RESERVED)), cache)
    kept = cache.length
    needles = []
    for depth, name, code in zip(DEPTHS, NAMES, CODES, strict=True):
        loss, exact = _ask(decoder, tokenizer, cache, kept, name, code)
        control, _ = _ask(decoder, tokenizer, cache, kept, ABSENT, code)
        needles.append(Needle(length, depth, loss, control, exact))
    return tuple(needles)


def haystack(tokenizer: Any, tokens: int) -> list[int]:
    """Ids of the project's own prose with the five sentences in it, exactly `tokens` of them."""
    start: list[int] = tokenizer("", add_special_tokens=True)["input_ids"][:1]
    sentences = [_ids(tokenizer, f" The code of the {n} is {c}.") for n, c in zip(NAMES, CODES, strict=True)]
    room = tokens - len(start) - sum(len(sentence) for sentence in sentences)
    prose = _ids(tokenizer, calibration_text(None))
    prose = (prose * (room // len(prose) + 1))[:room]
    ids, last = start, 0
    for depth, sentence in zip(DEPTHS, sentences, strict=True):
        place = int(depth * room)
        ids = [*ids, *prose[last:place], *sentence]
        last = place
    return [*ids, *prose[last:]]


@torch.inference_mode()
def _ask(
    decoder: Decoder, tokenizer: Any, cache: KvCache, kept: int, name: str, code: str
) -> tuple[float, bool]:
    """Mean loss of the code's tokens after the beginning of a sentence about `name`, and whether each is
    likeliest."""
    question = _ids(tokenizer, f" The code of the {name} is")
    whole = _ids(tokenizer, f" The code of the {name} is {code}")
    asked = _shared(question, whole)
    cache.length = kept
    states = decoder.hidden(torch.tensor(whole), cache)
    logits = decoder.model.module.lm_head(states[asked - 1 : len(whole) - 1]).float()
    targets = torch.tensor(whole[asked:], device=logits.device)
    loss = torch.nn.functional.cross_entropy(logits, targets)
    return float(loss), bool((logits.argmax(-1) == targets).all())


def _shared(first: Sequence[int], second: Sequence[int]) -> int:
    same = [a == b for a, b in zip(first, second, strict=False)]
    return same.index(False) if False in same else len(same)


def _ids(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return ids
