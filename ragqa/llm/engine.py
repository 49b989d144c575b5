"""The plug every engine fits. Knows no index, no retrieval and no check of citations."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ragqa.types import Generation, Prompt

OnText = Callable[[str], None]
"""Called with each new piece of text while an engine streams."""


def ignore_text(_piece: str) -> None:
    """Stream to nobody."""


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """How to generate. Temperature 0 is greedy. `strict` asks the engine to be surer before it answers."""

    max_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    strict: bool = False


class Engine(Protocol):
    """Something that answers a packed prompt.

    `window` counts prompt and answer together, in this engine's tokens. `estimated` says that the counts
    are not from the model's own tokenizer.
    """

    @property
    def name(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def window(self) -> int: ...
    @property
    def estimated(self) -> bool: ...

    def encode(self, message: str) -> tuple[int, ...]:
        """The final ids of a closed-context message, the model's wrapper included."""
        ...

    def generate(
        self, prompt: Prompt, options: GenerationOptions, on_text: OnText = ignore_text
    ) -> Generation:
        """Answer the prompt; `on_text` gets the text as it is written."""
        ...
