"""A message to ids: only BOS and the template's own control tokens are special, whatever the message holds.

The text between two control tokens is encoded at once with special tokens switched off, template words and
message
together: encoding them apart would give other ids at the seams.
"""

import re
from dataclasses import dataclass
from typing import Any

from ragqa.errors import CheckpointError

PLACE = "\ue000message\ue001"
"""Stands for the message while the chat template is rendered.

Private-use characters that no template holds.
"""


@dataclass(frozen=True, slots=True)
class Encoder:
    """A tokenizer and the pieces around a message: control tokens as ids, text between them as it is."""

    tokenizer: Any
    pieces: tuple[int | str, ...]

    def encode(self, message: str) -> tuple[int, ...]:
        """The final ids of a message."""
        ids: list[int] = []
        for piece in self.pieces:
            ids += [piece] if isinstance(piece, int) else self._plain(piece.replace(PLACE, message))
        return tuple(ids)

    def _plain(self, text: str) -> list[int]:
        encoded = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return [int(one) for one in encoded["input_ids"]]


def wrapper_encoder(tokenizer: Any, wrapper: str) -> Encoder:
    """For a wrapper with `{prompt}` in it: BOS where the tokenizer begins texts with it, then one plain
    text.
    """
    begins = list(tokenizer("", add_special_tokens=True)["input_ids"])
    start = [int(begins[0])] if begins and begins[0] == tokenizer.bos_token_id else []
    return Encoder(tokenizer, (*start, wrapper.replace("{prompt}", PLACE)))


def template_encoder(tokenizer: Any) -> Encoder:
    """For the tokenizer's own chat template, with the message as the user's turn.

    Raises CheckpointError where there is no template, or it does not show the message exactly once.
    """
    if not tokenizer.chat_template:
        raise CheckpointError("The model's tokenizer has no chat template; name a wrapper instead.")
    turns = [{"role": "user", "content": PLACE}]
    rendered = str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    if rendered.count(PLACE) != 1:
        raise CheckpointError("The chat template does not show the user's message exactly once.")
    special = {
        str(token): int(place) for place, token in tokenizer.added_tokens_decoder.items() if token.special
    }
    marks = "|".join(re.escape(token) for token in sorted(special, key=len, reverse=True))
    found = [part for part in re.split(f"({marks})", rendered) if part] if marks else [rendered]
    return Encoder(tokenizer, tuple(special.get(part, part) for part in found))
