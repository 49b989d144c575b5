"""Fewer blocks for a model that was tuned on few: those that a reader of them all finds best. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ragqa.candidates import Candidate
from ragqa.retriever import Retrieval
from ragqa.types import ContextBlock, Dropped
from ragqa.versions import of_another_time, outdated

Rank = Callable[[str, Sequence[ContextBlock]], Sequence[Candidate]]
"""The sentences of blocks that answer a question, best first."""


@dataclass(frozen=True, slots=True)
class Narrowing:
    """At most `most` blocks, by `rank`."""

    most: int
    rank: Rank

    def __call__(self, question: str, found: Retrieval) -> Retrieval:
        """The blocks of the best sentences, best first, and none of a version or year not asked about."""
        past = outdated(question, found.blocks) | of_another_time(question, found.blocks)
        numbers = [n for n, block in enumerate(found.blocks) if block.document_id not in past]
        if len(numbers) > self.most:
            ranked = self.rank(question, [found.blocks[n] for n in numbers])
            places = {found.blocks[n].key: n for n in numbers}
            best = dict.fromkeys(places[one.block.key] for one in ranked)
            numbers = [*best, *(n for n in numbers if n not in best)][: self.most]
        left = [block for n, block in enumerate(found.blocks) if n not in numbers]
        dropped = tuple(Dropped(block.source, block.start, block.end, "budget") for block in left)
        return replace(
            found,
            blocks=tuple(found.blocks[n] for n in numbers),
            focus=tuple(found.focus[n] for n in numbers),
            dropped=(*found.dropped, *dropped),
        )
