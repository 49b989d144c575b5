"""The chunks that share words with a question, and how much; the words that set chunks apart."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence

from ingest.catalogue import lexical


class WordSearch:
    """The full text of one snapshot of `chunk_count` chunks."""

    def __init__(self, connection: sqlite3.Connection, chunk_count: int) -> None:
        self._connection = connection
        self._chunk_count = chunk_count
        self._terms = lexical.QueryTerms()
        self._frequencies: dict[str, int] = {}

    def close(self) -> None:
        """Let go of the tokenizer."""
        self._terms.close()

    def search(
        self, query: str, limit: int, weights: tuple[float, float, float], allowed: Sequence[int] | None
    ) -> list[tuple[int, float]]:
        """The best chunks by bm25, of those `allowed` (None: of all), higher is better."""
        chosen = self._choose(query)
        if not chosen or limit < 1:
            return []
        expression = lexical.match_expression(chosen)
        if allowed is None:
            return lexical.search(self._connection, expression, weights, limit)
        return lexical.search_within(self._connection, expression, weights, limit, allowed)

    def coverage(self, query: str, chunk_ids: Sequence[int]) -> dict[int, float]:
        """For each of the chunks, how much of the query its own text holds: 0 to 1, words by their rarity."""
        stems = {word: stem for stem, word in self._terms.split(query).items()}
        held = dict.fromkeys(chunk_ids, 0.0)
        total = 0.0
        for word in self._choose(query):
            weight = lexical.rarity(self._frequency(stems[word]), self._chunk_count)
            total += weight
            for chunk_id in lexical.holding(self._connection, word, chunk_ids):
                held[chunk_id] += weight
        return {chunk_id: weight / total for chunk_id, weight in held.items()} if total else held

    def telling_words(self, texts: Iterable[str], query: str, limit: int) -> list[str]:
        """The words that tell these texts from all others and are not of the query, best first."""
        sequences = [self._terms.sequence(text) for text in texts]
        asked = self._terms.split(query)
        weights = lexical.shares([Counter(stem for stem, _ in terms) for terms in sequences if terms])
        new = {stem: weight for stem, weight in weights.items() if stem not in asked}
        frequencies = {stem: self._frequency(stem) for stem in new}
        words = dict(pair for terms in sequences for pair in terms)
        return [words[stem] for stem in lexical.most_telling(new, frequencies, self._chunk_count, limit)]

    def _choose(self, query: str) -> list[str]:
        frequencies = [(word, self._frequency(stem)) for stem, word in self._terms.split(query).items()]
        return lexical.choose_terms(frequencies, self._chunk_count)

    def _frequency(self, stem: str) -> int:
        if stem not in self._frequencies:
            row = self._connection.execute("SELECT doc FROM terms WHERE term = ?", (stem,)).fetchone()
            self._frequencies[stem] = int(row[0]) if row else 0
        return self._frequencies[stem]
