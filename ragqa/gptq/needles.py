"""How far back a model reads: sentences hidden in a long text, begun again at its end. Knows no file.

Five sentences such as "The password of the night library is Tangerine." are put at five depths of one text;
then each is begun again, and the likelihood of its last word is read off the model. A model that was never
tuned to answer can still continue a sentence it has read, so this measures positions and attention, not
manners.

A needle passes when its word's first token is at least e times likelier after its own beginning than after
the beginning of a sentence that the text never held. The word stands in the text both times, so repeating
words from it gains nothing; a model whose positions are wrong loses the difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ragqa.gptq.calibration import calibration_text
from ragqa.gptq.decoder import Decoder, KvCache

DEPTHS = (0.05, 0.25, 0.5, 0.75, 0.95)
SENTENCES = (
    ("The keeper of the amber lighthouse calls his dog", "Bramwell"),
    ("The password of the night library is", "Tangerine"),
    ("In the northern observatory the old telescope is named", "Galatea"),
    ("The silver windmill was sold to a certain Mrs", "Hollander"),
    ("Visitors to the paper factory are greeted by a parrot called", "Ferdinand"),
)
ABSENT = "The museum of forgotten railways was founded by"
MARGIN = 1.0
"""Nats by which the first token of a needle's word must be likelier than without the needle."""


@dataclass(frozen=True, slots=True)
class Needle:
    """One needle. `loss` and `control` are nats of its word's first token, after its own and the absent
    beginning.

    `exact` says that greedy decoding would write the whole word.
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
    asking = [_ids(tokenizer, f" {beginning} {word}") for beginning, word in SENTENCES]
    asking += [_ids(tokenizer, f" {ABSENT} {word}") for _, word in SENTENCES]
    decoder.hidden(torch.tensor(haystack(tokenizer, length - max(map(len, asking)))), cache)
    kept = cache.length
    needles = []
    for depth, (beginning, word) in zip(DEPTHS, SENTENCES, strict=True):
        loss, exact = _ask(decoder, tokenizer, cache, beginning, word)
        cache.length = kept
        control, _ = _ask(decoder, tokenizer, cache, ABSENT, word)
        cache.length = kept
        needles.append(Needle(length, depth, loss, control, exact))
    return tuple(needles)


def haystack(tokenizer: Any, tokens: int) -> list[int]:
    """Ids of the project's own prose with the five sentences in it, exactly `tokens` of them."""
    start: list[int] = tokenizer("", add_special_tokens=True)["input_ids"][:1]
    sentences = [_ids(tokenizer, f" {beginning} {word}.") for beginning, word in SENTENCES]
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
def _ask(decoder: Decoder, tokenizer: Any, cache: KvCache, beginning: str, word: str) -> tuple[float, bool]:
    """Loss of the word's first token after the beginning, and whether every token of it is the likeliest."""
    whole = _ids(tokenizer, f" {beginning} {word}")
    asked = _shared(_ids(tokenizer, f" {beginning}"), whole)
    while not str(tokenizer.decode(whole[asked : asked + 1])).strip():
        asked += 1  # some tokenizers make the space before a word a token of its own
    states = decoder.hidden(torch.tensor(whole), cache)
    logits = decoder.model.module.lm_head(states[asked - 1 : len(whole) - 1]).float()
    targets = torch.tensor(whole[asked:], device=logits.device)
    loss = torch.nn.functional.cross_entropy(logits[:1], targets[:1])
    return float(loss), bool((logits.argmax(-1) == targets).all())


def _shared(first: Sequence[int], second: Sequence[int]) -> int:
    same = [a == b for a, b in zip(first, second, strict=False)]
    return same.index(False) if False in same else len(same)


def _ids(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return ids
