"""Full-text search: any Unicode question in, bm25 scores out, never a syntax error."""

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from math import log

from ingest.catalogue.schema import TOKENIZER

COMMON_SHARE = 10
"""A term in more than one chunk of this many is left out of a query."""
CHEAP_FREQUENCY = 3_000
"""A term in no more chunks than this is never too common: scoring it costs nothing, small indexes need it."""
MOST_TERMS = 64
"""A pasted page asks with its rarest words only."""


class QueryTerms:
    """Splits a question into terms just as the full-text table splits text, by asking the same tokenizer."""

    def __init__(self) -> None:
        self._database = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        for name, tokenizer in (("words", TOKENIZER.removeprefix("porter ")), ("stems", TOKENIZER)):
            self._database.execute(f"CREATE VIRTUAL TABLE {name} USING fts5 (body, tokenize = '{tokenizer}')")
            self._database.execute(f"CREATE VIRTUAL TABLE {name}_terms USING fts5vocab ({name}, instance)")

    def split(self, question: str) -> dict[str, str]:
        """Word by stem, in the question's order; the word is what a query quotes, the stem what is stored."""
        return dict(reversed(self.sequence(question)))

    def sequence(self, text: str) -> list[tuple[str, str]]:
        """(stem, word) of each term of the text in order."""
        text = text.encode("utf-8", "replace").decode("utf-8")
        for name in ("words", "stems"):
            self._database.execute(f"INSERT INTO {name} (rowid, body) VALUES (1, ?)", (text,))  # noqa: S608
        try:
            words, stems = (
                [term for (term,) in self._database.execute(f"SELECT term FROM {name}_terms ORDER BY offset")]  # noqa: S608
                for name in ("words", "stems")
            )
        finally:
            for name in ("words", "stems"):
                self._database.execute(f"DELETE FROM {name}")  # noqa: S608
        return list(zip(stems, words, strict=True))

    def close(self) -> None:
        """Let go of the tokenizer."""
        self._database.close()


def choose_terms(frequencies: Sequence[tuple[str, int]], chunks: int) -> list[str]:
    """The words to ask with, rarest first, of (word, number of chunks that hold it)."""
    known = sorted((count, word) for word, count in frequencies if count)
    limit = max(chunks // COMMON_SHARE, CHEAP_FREQUENCY)
    rare = [word for count, word in known if count <= limit]
    return (rare or [word for _, word in known])[:MOST_TERMS]


def rarity(count: int, chunks: int) -> float:
    """The inverse document frequency that FTS5's bm25 gives a term of `count` of all chunks; never 0."""
    return max(log((chunks - count + 0.5) / (count + 0.5)), 1e-6)


def shares(counts: Sequence[Counter[str]]) -> dict[str, float]:
    """Each stem's mean share of the texts' terms, of stem counts a text."""
    mean: dict[str, float] = {}
    for count in counts:
        total = count.total()
        for stem, number in count.items():
            mean[stem] = mean.get(stem, 0.0) + number / total / len(counts)
    return mean


def most_telling(
    weights: Mapping[str, float], frequencies: Mapping[str, int], chunks: int, limit: int
) -> list[str]:
    """The stems of greatest weight times rarity, best first, those of a tenth of the chunks left out."""
    scores = {
        stem: weight * rarity(frequencies[stem], chunks)
        for stem, weight in weights.items()
        if 0 < frequencies[stem] <= chunks / COMMON_SHARE
    }
    return sorted(scores, key=lambda stem: (-scores[stem], stem))[:limit]


def match_expression(words: Sequence[str]) -> str:
    """An FTS5 expression that holds where any of the words does."""
    return " OR ".join('"' + word.replace('"', '""') + '"' for word in words)


def search(
    connection: sqlite3.Connection, expression: str, weights: tuple[float, float, float], limit: int
) -> list[tuple[int, float]]:
    """The best chunks by bm25 (k1 1.2, b 0.75: FTS5's own), higher is better, equal scores by id."""
    title, section, body = (float(weight) for weight in weights)
    rows = connection.execute(
        "SELECT rowid, -rank FROM fulltext WHERE fulltext MATCH ? AND rank MATCH ? "
        "ORDER BY rank, rowid LIMIT ?",
        (expression, f"bm25({title}, {section}, {body})", limit),
    )
    return [(int(chunk), float(score)) for chunk, score in rows]


def search_within(
    connection: sqlite3.Connection,
    expression: str,
    weights: tuple[float, float, float],
    limit: int,
    chunk_ids: Sequence[int],
) -> list[tuple[int, float]]:
    """As `search`, among these chunks only; the words' weights are still those of the whole index."""
    allowed = set(chunk_ids)
    everything = search(connection, expression, weights, -1)
    return [row for row in everything if row[0] in allowed][:limit]


def holding(connection: sqlite3.Connection, word: str, chunk_ids: Sequence[int]) -> list[int]:
    """Which of these chunks hold the word, or another of its stem, in their own text."""
    rows = connection.execute(
        "SELECT rowid FROM fulltext WHERE fulltext MATCH ? "
        "AND +rowid IN (SELECT value FROM json_each(?))",  # + keeps it one walk along the word's chunks
        (f"body : {match_expression([word])}", json.dumps([int(one) for one in chunk_ids])),
    )
    return [int(chunk) for (chunk,) in rows]
