"""Question in, hits and blocks out. Knows no prompt and no model; asks one index, fuses, grows.

Small chunks are searched; what is packed are sections: each hit grows into the section around it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ingest.chunk import count_tokens
from ingest.embed import Embedder
from ingest.index import Index, IndexedChunk, IndexedDocument, Where
from ingest.sentences import sentence_spans
from ragqa.copies import Wording, are_copies
from ragqa.fusion import FEEDBACK_SHARE, Fused, Ranking, fuse, is_long, link_titles, nearer, reward_coverage
from ragqa.prompt import metadata_lines
from ragqa.reranker import Passage, Reranker
from ragqa.settings import RetrievalSettings
from ragqa.tables import row_start
from ragqa.types import ContextBlock, Dropped, Hit

# A long question is asked again with what its best chunks are about: near three, and with ten words of five.
FEEDBACK_VECTOR_CHUNKS = 3
FEEDBACK_WORD_CHUNKS = 5
FEEDBACK_WORDS = 10
WITHOUT_A_WORD = {"lexical": 0.0, "feedback": 0.0}
"""BM25 of a chunk that holds none of the words asked for."""
LONG_SENTENCE = 3
"""Chunks that a block takes in beyond its budget, at either end, so as not to end inside a sentence."""


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What is packed: blocks, best first; `focus` is the span of the hit each grew from."""

    blocks: tuple[ContextBlock, ...]
    focus: tuple[tuple[int, int], ...]
    dropped: tuple[Dropped, ...]


class Retriever:
    """Finds what an index holds about a question."""

    def __init__(
        self,
        index: Index,
        embedder: Embedder,
        settings: RetrievalSettings,
        reranker: Reranker | None = None,
    ) -> None:
        self.index = index
        self.embedder = embedder
        self.settings = settings
        self.reranker = reranker

    def search(self, question: str, limit: int, where: Where = ()) -> tuple[Hit, ...]:
        """The best chunks, best first: scores fused, then raised for words covered and titles named.

        A reranker puts the first few in its own order, where it is asked (`Reranker.within`).
        """
        if not question.strip():
            return ()
        width = max(self.settings.candidates, limit)
        fused = self._fused(question, width, where)
        ids = [chunk_id for chunk_id, _, _ in fused]
        chunks = self.index.chunks(ids)
        hits = [hit_of(chunk, score, ranks) for chunk, (_, score, ranks) in zip(chunks, fused, strict=True)]
        hits = reward_coverage(hits, self.index.coverage(question, ids))
        hits = link_titles(question, hits)
        if self.reranker is not None:
            hits = reranked(question, hits, self.reranker)
        return tuple(hits[:limit])

    def by_vector(self, vector: NDArray[np.float32], width: int, where: Where) -> Ranking:
        """The nearest chunks. What hides documents from a measurement hides them here and in `by_words`."""
        return self.index.dense(vector, width, where)

    def by_words(self, words: str, width: int, where: Where) -> Ranking:
        """The chunks that hold these words."""
        return self.index.lexical(words, width, where)

    def _fused(self, question: str, width: int, where: Where) -> list[Fused]:
        vector = self.embedder.embed([question])[0]
        dense = self.settings.dense_weight
        rankings = {
            "dense": self.by_vector(vector, width, where),
            "lexical": self.by_words(question, width, where),
        }
        weights = {"dense": dense, "lexical": 1 - dense}
        fused = fuse(rankings, weights, WITHOUT_A_WORD)
        if not fused or not is_long(question):
            return fused
        best = [chunk_id for chunk_id, _, _ in fused]
        moved = nearer(vector, self.index.vectors(best[:FEEDBACK_VECTOR_CHUNKS]))
        words = self.index.telling_words(best[:FEEDBACK_WORD_CHUNKS], question, FEEDBACK_WORDS)
        rankings["dense"] = self.by_vector(moved, width, where)
        if words:
            rankings["feedback"] = self.by_words(" ".join(words), width, where)
            weights["feedback"] = weights["lexical"] * FEEDBACK_SHARE
            weights["lexical"] -= weights["feedback"]
        return fuse(rankings, weights, WITHOUT_A_WORD)

    def retrieve(self, question: str, where: Where = ()) -> Retrieval:
        """The blocks for a prompt, and the hits left out as near-duplicates or beyond the last block."""
        hits, repeated = drop_near_duplicates(self.search(question, self.settings.top_k, where))
        blocks: list[ContextBlock] = []
        focus: list[tuple[int, int]] = []
        dropped = [Dropped(hit.source, hit.start, hit.end, "duplicate") for hit in repeated]
        for hit in hits:
            if any(covers(block, hit) for block in blocks):
                continue
            if len(blocks) == self.settings.block_limit:
                dropped.append(Dropped(hit.source, hit.start, hit.end, "budget"))
                continue
            taken = [block for block in blocks if block.document_id == hit.document_id]
            blocks.append(self._grow(hit, taken))
            focus.append((hit.start, hit.end))
        return Retrieval(tuple(blocks), tuple(focus), tuple(dropped))

    def _grow(self, hit: Hit, taken: Sequence[ContextBlock]) -> ContextBlock:
        chunks = self.index.document_chunks(hit.document_id)
        place = next(number for number, chunk in enumerate(chunks) if chunk.id == hit.chunk_id)
        document = self.index.document(hit.document_id)
        first, last = grow(chunks, place, self.settings.block_tokens, taken)
        first, last = to_whole_sentences(document.text, chunks, (first, last), taken)
        return block_of(document, chunks[first : last + 1], hit)


def grow(
    chunks: Sequence[IndexedChunk], place: int, budget: int, taken: Sequence[ContextBlock]
) -> tuple[int, int]:
    """First and last chunk of the block around chunk `place`: its section, nearest first, in budget.

    A chunk that another block holds is a wall: no text stands twice in a prompt.
    """
    first = last = place
    budget -= count_tokens(chunks[place].text)
    ahead = behind = True
    while ahead or behind:
        # Forward first: what follows a hit explains it more often than what precedes it.
        ahead = ahead and last + 1 < len(chunks) and joins(chunks[place], chunks[last + 1], taken)
        if ahead and (cost := count_tokens(chunks[last + 1].text)) <= budget:
            last, budget = last + 1, budget - cost
        else:
            ahead = False
        behind = behind and first > 0 and joins(chunks[place], chunks[first - 1], taken)
        if behind and (cost := count_tokens(chunks[first - 1].text)) <= budget:
            first, budget = first - 1, budget - cost
        else:
            behind = False
    return first, last


def to_whole_sentences(
    text: str, chunks: Sequence[IndexedChunk], block: tuple[int, int], taken: Sequence[ContextBlock]
) -> tuple[int, int]:
    """First and last chunk so that neither edge cuts a sentence: one longer than a chunk lies in several.

    Of a sentence that goes on for more than LONG_SENTENCE chunks beyond an edge, the rest stays away.
    """
    first, last = block
    section, longest = chunks[first], range(LONG_SENTENCE)
    for _ in longest:
        ahead = chunks[max(first - 1, 0) : first + 1]
        if len(ahead) == 2 and joins(section, ahead[0], taken) and is_cut(text, *ahead):
            first -= 1
    for _ in longest:
        behind = chunks[last : last + 2]
        if len(behind) == 2 and joins(section, behind[1], taken) and is_cut(text, *behind):
            last += 1
    return first, last


def is_cut(text: str, one: IndexedChunk, following: IndexedChunk) -> bool:
    """Whether a sentence lies across the border of two chunks."""
    if "\n" in text[one.end : following.start] or text.endswith((".", "!", "?"), 0, one.end):
        return False
    border = following.start - one.start
    return any(start < border < end for start, end in sentence_spans(text[one.start : following.end]))


def joins(hit: IndexedChunk, neighbour: IndexedChunk, taken: Sequence[ContextBlock]) -> bool:
    """Whether a neighbour belongs to the hit's section and to no other block."""
    free = all(neighbour.end <= block.start or neighbour.start >= block.end for block in taken)
    return free and neighbour.section == hit.section


def block_of(document: IndexedDocument, chunks: Sequence[IndexedChunk], hit: Hit) -> ContextBlock:
    start, end = row_start(document.text, chunks[0].start), chunks[-1].end
    pages = [page for chunk in chunks for page in (chunk.page, chunk.page_end) if page is not None]
    page, page_end = min(pages, default=None), max(pages, default=None)
    return ContextBlock(
        key=f"{hit.source}#{start}",
        source=hit.source,
        document_id=document.document_id,
        text_sha256=document.text_sha256,
        title=document.title,
        section=hit.section,
        page=page,
        page_end=page_end,
        start=start,
        end=end,
        text=document.text[start:end],
        metadata=metadata_lines(
            source=hit.source,
            title=document.title,
            section=hit.section,
            page=page,
            page_end=page_end,
            table_header=chunks[0].table_header,
            metadata=document.metadata,
        ),
        score=hit.score,
    )


def hit_of(chunk: IndexedChunk, score: float, ranks: tuple[tuple[str, int], ...]) -> Hit:
    return Hit(
        chunk_id=chunk.id,
        source=chunk.source,
        document_id=chunk.document_id,
        title=chunk.title,
        section=chunk.section,
        page=chunk.page,
        page_end=chunk.page_end,
        start=chunk.start,
        end=chunk.end,
        text=chunk.text,
        score=score,
        ranks=ranks,
    )


def reranked(question: str, hits: Sequence[Hit], reranker: Reranker) -> list[Hit]:
    """The hits, the first of them ordered by the reranker's scores, or by the mean of both kinds in
    deviations, weighed by its share; as they are where the first is further ahead than it reads for.

    Scores stay with the places: what selects sentences was fitted to the scale of fused ones.
    """
    if len(hits) < 2 or hits[0].score - hits[1].score >= reranker.within:
        return list(hits)
    read, rest = hits[: reranker.depth], hits[reranker.depth :]
    passages = [Passage(" > ".join((hit.title, *hit.section)), hit.text) for hit in read]
    found = standardised(np.asarray([hit.score for hit in read], np.float32))
    told = standardised(reranker.scores(question, passages))
    order = np.argsort(-(reranker.share * told + (1 - reranker.share) * found), kind="stable")
    moved = [replace(read[old], score=hit.score) for hit, old in zip(read, order, strict=True)]
    return [*moved, *rest]


def standardised(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores in deviations from their mean; equal ones are 0."""
    deviation = float(scores.std())
    shifted: NDArray[np.float32] = (scores - scores.mean()) / (deviation or 1.0)
    return shifted


def covers(block: ContextBlock, hit: Hit) -> bool:
    return block.document_id == hit.document_id and block.start <= hit.start and hit.end <= block.end


def drop_near_duplicates(hits: Sequence[Hit]) -> tuple[tuple[Hit, ...], tuple[Hit, ...]]:
    """The hits that say something new, and those that repeat a better one."""
    kept: list[tuple[Hit, Wording]] = []
    repeated: list[Hit] = []
    for hit in hits:
        wording = Wording.of(hit.text)
        if any(are_copies(wording, other) for _, other in kept):
            repeated.append(hit)
        else:
            kept.append((hit, wording))
    return tuple(hit for hit, _ in kept), tuple(repeated)
