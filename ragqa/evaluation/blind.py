"""A retriever that can be kept from seeing documents, and an embedder that makes asking twice cheap."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ingest.embed import Embedder, Vectors
from ingest.index import Where
from ragqa.evaluation.question_set import Question
from ragqa.fusion import Ranking
from ragqa.retriever import Retriever, hit_of
from ragqa.types import Hit

DEPTH = 60
"""Hits asked for, so that ten documents or pages come out of them."""


class RememberingEmbedder:
    """An embedder that embeds a text once a question: asking blind and ranking cost little more."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[str, np.ndarray] = {}
        self.name = embedder.name
        self.dimensions = embedder.dimensions

    def embed(self, texts: Sequence[str]) -> Vectors:
        """As the embedder's own."""
        new = list(dict.fromkeys(text for text in texts if text not in self._known))
        if new:
            self._known |= zip(new, self._embedder.embed(new), strict=True)
        return np.stack([self._known[text] for text in texts])

    def forget(self) -> None:
        """Embed everything anew from here on: time is measured."""
        self._known.clear()


class BlindRetriever(Retriever):
    """A retriever that does not see the documents of `hidden` (set ids): what refusals are measured with.

    `alone` names the one retriever, `dense` or `lexical`, whose ranking is taken as it is.
    """

    asked: Question
    hidden: frozenset[str] = frozenset()
    places: Mapping[str, str]
    alone: str | None = None

    def turn_to(self, question: Question, hidden: frozenset[str] = frozenset()) -> None:
        """What is asked next, and the documents that are out of sight for it."""
        self.asked, self.hidden = question, hidden

    def search(self, question: str, limit: int, where: Where = ()) -> tuple[Hit, ...]:
        """As Retriever.search, the hidden documents passed over."""
        find = self._alone if self.alone else super().search
        wanted = limit + DEPTH if self.hidden else limit
        while True:
            hits = find(question, wanted, where)
            seen = [hit for hit in hits if self._name(hit.source) not in self.hidden]
            # A long document may fill the list: then all there is to see lies further down.
            if len(seen) >= limit or len(hits) < wanted:
                return tuple(seen[:limit])
            wanted *= 4

    def by_vector(self, vector: NDArray[np.float32], width: int, where: Where) -> Ranking:
        """As Retriever.by_vector, the hidden documents passed over: feedback must not show what they say."""
        hidden = self._hidden_chunks()
        found = super().by_vector(vector, width + len(hidden), where)
        return [pair for pair in found if pair[0] not in hidden][:width]

    def by_words(self, words: str, width: int, where: Where) -> Ranking:
        """As Retriever.by_words, the hidden documents passed over."""
        hidden = self._hidden_chunks()
        found = super().by_words(words, width + len(hidden), where)
        return [pair for pair in found if pair[0] not in hidden][:width]

    def _hidden_chunks(self) -> frozenset[int]:
        if not self.hidden:
            return frozenset()
        hidden = {row.document_id for row in self.index.sources() if self._name(row.source) in self.hidden}
        return frozenset(chunk.id for one in hidden if one for chunk in self.index.document_chunks(one))

    def _name(self, source: str) -> str:
        return self.places.get(source, source)

    def _alone(self, question: str, limit: int, where: Where) -> tuple[Hit, ...]:
        width = max(self.settings.candidates, limit)
        if self.alone == "dense":
            found = self.index.dense(self.embedder.embed([question])[0], width, where)
        else:
            found = self.index.lexical(question, width, where)
        chunks = self.index.chunks([chunk_id for chunk_id, _ in found])
        return tuple(
            hit_of(chunk, score, ()) for chunk, (_, score) in zip(chunks, found[:limit], strict=False)
        )
