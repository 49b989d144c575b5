"""What a question's blocks are worth before anything is written, judged once for all who ask."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ragqa.proposals import Opinion
from ragqa.selection import Embed, Judgement, Reader, judge
from ragqa.types import ContextBlock, Prompt


@dataclass(slots=True)
class Judging:
    """Judges blocks by the quoting engine's models; the last judgement is remembered.

    `reader` is called for what reads them, if anything does, when there is something to read.
    """

    embed: Embed
    reader: Callable[[], Reader | None]
    _last: tuple[str, tuple[ContextBlock, ...], Judgement] | None = field(default=None, init=False)

    def judge(self, question: str, blocks: Sequence[ContextBlock]) -> Judgement:
        """Which sentences of the blocks answer, and how surely."""
        if self._last is None or self._last[:2] != (question, tuple(blocks)):
            found = judge(question, blocks, self.embed, self.reader())
            self._last = question, tuple(blocks), found
        return self._last[2]

    def opinion(self, prompt: Prompt) -> Opinion:
        """For a model that reads the prompt: whether there is an answer is judged by all the blocks that were
        judged last, if the prompt's were chosen among them; proposed are spans of the prompt's blocks alone.
        """
        known = self._last is not None and self._last[0] == prompt.question
        among = self._last[1] if known and self._last else ()
        whole = all(block in among for block in prompt.blocks)
        found = self.judge(prompt.question, among if whole else prompt.blocks)
        return Opinion(found.surplus, found.proposals.within({block.key for block in prompt.blocks}))
