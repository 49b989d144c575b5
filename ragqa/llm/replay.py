"""The fake engine, shipped: replays replies, so that what reads them is tested on what models write.

A function of its input: the reply is found by the question. Keeps the prompts it was given.
"""

from collections.abc import Mapping

from ragqa.llm.engine import GenerationOptions, OnText, ignore_text
from ragqa.types import Generation, Prompt


class ReplayEngine:
    """Answers each question with the reply recorded for it; a question without one is a KeyError."""

    name = "replay"
    model = "replay"
    estimated = False

    def __init__(self, replies: Mapping[str, str], window: int = 16_384) -> None:
        self.replies = replies
        self.window = window
        self.prompts: list[Prompt] = []

    def encode(self, message: str) -> tuple[int, ...]:
        """One id a word; the id is the word's length."""
        return tuple(len(word) for word in message.split())

    def generate(
        self, prompt: Prompt, options: GenerationOptions, on_text: OnText = ignore_text
    ) -> Generation:
        """The recorded reply, streamed word by word and cut at `max_tokens` words."""
        self.prompts.append(prompt)
        reply = self.replies[prompt.question]
        words = reply.split(" ")
        for word in words[: options.max_tokens]:
            on_text(word + " ")
        cut = len(words) > options.max_tokens
        text = " ".join(words[: options.max_tokens])
        return Generation(text, tokens=len(words[: options.max_tokens]), stopped="length" if cut else "end")
