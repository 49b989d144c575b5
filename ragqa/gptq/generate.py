"""From a prompt's ids to text: sampling, streaming, stop strings.

Knows no checkpoint and no prompt grammar.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ragqa.gptq.constrained import Constraint, restrict
from ragqa.gptq.decoder import Decoder, KvCache

Stopped = Literal["end", "stop", "length"]
REPLACEMENT = "\ufffd"
"""What a tokenizer shows for bytes that are no whole character yet."""

OnPrompt = Callable[[Tensor, KvCache], None]
LONGEST_CHARACTER = 8
"""Tokens after which bytes are shown as they are: a character of UTF-8 takes at most four."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. Temperature 0 takes the likeliest, whatever the other settings."""

    max_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Continuation:
    """What a model wrote: text without the stop string, the ids behind it, and why it ended."""

    text: str
    ids: tuple[int, ...]
    stopped: Stopped


class TextStream:
    """Ids to text as they come: whole characters only, and nothing that may turn out to be a stop string.

    Decoding token by token would tear characters that span tokens and lose the spaces between words, so each
    step decodes the tokens since the last character that was whole.
    """

    def __init__(self, tokenizer: Any, stops: Sequence[str], on_text: Callable[[str], None]) -> None:
        self.tokenizer, self.on_text = tokenizer, on_text
        self.stops = tuple(stop for stop in stops if stop)
        self.ids: list[int] = []
        self.text = ""
        self._context = self._read = self._shown = 0

    def push(self, token: int) -> bool:
        """Take a token; True when the text now holds a stop string, which is cut off with all behind it."""
        self.ids.append(token)
        piece = self._piece()
        if piece.endswith(REPLACEMENT) and len(self.ids) - self._read < LONGEST_CHARACTER:
            return False
        self._context, self._read = self._read, len(self.ids)
        return self._extend(piece)

    def finish(self) -> str:
        """Show what was held back, and give the whole text."""
        if self._read < len(self.ids):
            self._extend(self._piece())
            self._read = len(self.ids)
        self._show(len(self.text))
        return self.text

    def _piece(self) -> str:
        known = self._decode(self.ids[self._context : self._read])
        return self._decode(self.ids[self._context :])[len(known) :]

    def _extend(self, piece: str) -> bool:
        searched = max(0, len(self.text) - max((len(stop) for stop in self.stops), default=0))
        self.text += piece
        found = [place for stop in self.stops if (place := self.text.find(stop, searched)) >= 0]
        if found:
            self.text = self.text[: min(found)]
            self._show(len(self.text))
            return True
        self._show(len(self.text) - self._held())
        return False

    def _held(self) -> int:
        """Length of the longest end of the text that begins a stop string."""
        longest = 0
        for stop in self.stops:
            for length in range(min(len(stop) - 1, len(self.text)), longest, -1):
                if self.text.endswith(stop[:length]):
                    longest = length
                    break
        return longest

    def _show(self, end: int) -> None:
        if end > self._shown:
            self.on_text(self.text[self._shown : end])
            self._shown = end

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text


def ignore_prompt(_logits: Tensor, _cache: KvCache) -> None:
    """Look at nothing."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a continuation keeps to.

    It ends at a token of `ends` or a string of `stops`. Only tokens that the `constraint` allows are written;
    where it allows a single one, nothing is computed for it. `on_prompt` sees the first logits and the cache
    behind them before anything is written; it leaves the cache as long as it was.
    """

    sampling: Sampling
    ends: frozenset[int] = frozenset()
    stops: tuple[str, ...] = ()
    constraint: Constraint | None = None
    on_prompt: OnPrompt = ignore_prompt


def continue_text(
    decoder: Decoder, tokenizer: Any, ids: Sequence[int], rules: Rules, on_text: Callable[[str], None]
) -> Continuation:
    """Continue a prompt.

    Ends as the rules say, or at `max_tokens` or the window's end ("length"). At Ctrl-C `on_text` gets what
    was held back before it is raised again: half an answer is none. Raises RagqaError where the prompt itself
    does not fit the window.
    """
    sampling, constraint = rules.sampling, rules.constraint
    room = min(sampling.max_tokens, decoder.model.window - len(ids))
    stream = TextStream(tokenizer, rules.stops, on_text)
    stopped: Stopped = "length"
    try:
        cache = decoder.new_cache(len(ids) + max(room, 0))
        chooser = torch.Generator().manual_seed(sampling.seed)
        unread = list(ids)
        for place in range(room):
            allowed = constraint.allowed(stream.ids) if constraint and place else None
            if allowed is not None and len(allowed) == 1:
                (token,) = allowed
            else:
                logits = decoder.logits(torch.tensor(unread), cache)
                unread = []
                if place == 0:
                    rules.on_prompt(logits, cache)
                    allowed = constraint.allowed(()) if constraint else None
                token = choose(restrict(logits, allowed), sampling, chooser)
            if token in rules.ends:
                stopped = "end"
                break
            if stream.push(token):
                stopped = "stop"
                break
            unread.append(token)
    except KeyboardInterrupt:
        stream.finish()
        raise
    return Continuation(stream.finish(), tuple(stream.ids), stopped)


def choose(logits: Tensor, sampling: Sampling, chooser: torch.Generator) -> int:
    """The next token: the likeliest, or drawn from the smallest set that holds `top_p` of the probability.

    Nucleus sampling as in Holtzman et al. 2019, arXiv:1904.09751; the likeliest token is always in the set.
    """
    if sampling.temperature <= 0:
        return int(logits.argmax())
    probabilities = torch.softmax(logits.cpu() / sampling.temperature, dim=-1)
    if sampling.top_p < 1:
        ranked, order = probabilities.sort(descending=True, stable=True)
        before = ranked.cumsum(0) - ranked
        ranked[before >= sampling.top_p] = 0
        ranked[0] = max(float(ranked[0]), torch.finfo(ranked.dtype).tiny)
        return int(order[torch.multinomial(ranked, 1, generator=chooser)])
    return int(torch.multinomial(probabilities, 1, generator=chooser))
