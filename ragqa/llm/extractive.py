"""The engine without a model: quotes the sentences that answer, word for word.

It reads the blocks of the prompt, not its string, and writes a reply in the same form a model would: the
sentences, then `Source:` and the metadata lines of the blocks they stand in.
"""

from collections.abc import Sequence

from ingest.chunk import count_tokens
from ragqa.candidates import Candidate
from ragqa.judging import Judging
from ragqa.lists import is_item
from ragqa.llm.engine import GenerationOptions, OnText, ignore_text
from ragqa.selection import Judgement
from ragqa.types import REFUSAL, ContextBlock, Generation, Prompt

WINDOW = 16_384
DIFFER = "The documents differ:"
"""Stands above sentences of documents that answer differently. It claims nothing of its own."""


class ExtractiveEngine:
    """Picks at most three sentences, or a list that is asked for; refuses where the confidence is below the
    threshold, a higher one under `--strict`.
    """

    name = "extractive"
    window = WINDOW
    estimated = True

    def __init__(self, judging: Judging, model: str) -> None:
        self._judging = judging
        self.model = model

    def encode(self, message: str) -> tuple[int, ...]:
        """As many ids as the text has tokens by estimate: this engine has no model that would read them."""
        return tuple(range(count_tokens(message)))

    def generate(
        self, prompt: Prompt, options: GenerationOptions, on_text: OnText = ignore_text
    ) -> Generation:
        """The sentences that answer, or the refusal; `confidence` is that the documents hold the answer."""
        selection = self._judged(prompt).selection(strict=options.strict)
        text = REFUSAL
        if not selection.refuses:
            text = reply(selection.sentences, prompt.blocks, differs=selection.differs)
        on_text(text)
        return Generation(text, tokens=count_tokens(text), confidence=selection.confidence)

    def ranking(self, prompt: Prompt) -> tuple[Candidate, ...]:
        """Every sentence of the prompt's blocks, best first, nothing refused: for measures of the ranking."""
        return self._judged(prompt).candidates

    def _judged(self, prompt: Prompt) -> Judgement:
        return self._judging.judge(prompt.question, prompt.blocks)


def reply(sentences: Sequence[Candidate], blocks: Sequence[ContextBlock], *, differs: bool = False) -> str:
    """The sentences, the one that answers best first, then the metadata lines of their blocks, best first.

    Rows of tables stand in paragraphs of their own, each cell behind the name of its column. So do sentences
    of documents that differ, under a line that says so. Items of lists begin a line.
    """
    keys = {sentence.block.key for sentence in sentences}
    sources = [lines(block) for block in blocks if block.key in keys]
    text = ""
    for before, one in zip((None, *sentences), sentences, strict=False):
        apart = before is not None and (differs or one.is_row or before.is_row)
        text += ("\n\n" if apart else _gap(before, one)) + one.said
    lead = f"{DIFFER}\n\n" if differs else ""
    return lead + text.strip() + "\nSource:\n" + "\n\n".join(sources)


def _gap(before: Candidate | None, one: Candidate) -> str:
    """What parts two sentences. An item behind the line that introduces it has a line of its own."""
    alone = one.opening or (before is not None and before.opening)
    return "\n" if alone or is_item(one.shown) else " "


def lines(block: ContextBlock) -> str:
    return "\n".join(f"{key}: {value}" for key, value in block.metadata)
