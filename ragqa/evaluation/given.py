"""Reading measured apart from finding: the prompt gets the question's own document among others near it."""

import random

from ingest.index import Where
from ragqa.evaluation.blind import BlindRetriever
from ragqa.retriever import Retrieval, covers, hit_of
from ragqa.types import ContextBlock, Hit

WIDTH = 400
"""Chunks that are looked through for the question's own and for others."""


class GivenRetriever(BlindRetriever):
    """Hands over `count` blocks: of the question's gold documents (of the nearest one where it has none), and
    the best found of others that do not hold an answer's words. Their order follows from the question's id.
    """

    count: int = 1

    def retrieve(self, question: str, where: Where = ()) -> Retrieval:
        """The blocks given for the question that was turned to; nothing is dropped."""
        asked = self.asked
        hits = self.search(question, WIDTH, where)
        own = [one for one in (asked.gold or (asked.asked_of,)) if one and one not in self.hidden]
        chosen = [hit for one in own[: self.count] for hit in self._of(one, hits)]
        others = (hit for hit in hits if self._name(hit.source) not in own and not holds(hit, asked.answers))
        blocks: list[ContextBlock] = []
        focus: list[tuple[int, int]] = []
        for hit in (*chosen, *others):
            if len(blocks) == self.count:
                break
            if not any(covers(block, hit) for block in blocks):
                taken = [block for block in blocks if block.document_id == hit.document_id]
                blocks.append(self._grow(hit, taken))
                focus.append((hit.start, hit.end))
        order = random.Random(asked.id).sample(range(len(blocks)), len(blocks))  # noqa: S311 (an order)
        return Retrieval(tuple(blocks[n] for n in order), tuple(focus[n] for n in order), ())

    def _of(self, name: str, hits: tuple[Hit, ...]) -> list[Hit]:
        """The document's best chunk; its first where the question finds none; nothing if it is not there."""
        found = [hit for hit in hits if self._name(hit.source) == name]
        if found:
            return found[:1]
        ids = [row.document_id for row in self.index.sources() if self._name(row.source) == name]
        chunks = self.index.document_chunks(ids[0]) if ids and ids[0] else ()
        return [hit_of(chunk, 0.0, ()) for chunk in chunks[:1]]


def holds(hit: Hit, answers: tuple[str, ...]) -> bool:
    """Whether the text has an answer's words in it: such a block might answer, too."""
    text = hit.text.casefold()
    return any(answer.casefold() in text for answer in answers)
