"""Stand-ins for the slow parts of an ingest, files long settled, and an index as one comparable value."""

import hashlib
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from ingest.chunk import chunk_document
from ingest.index import open_index
from ingest.parse import ParsePool
from ingest.pipeline import IngestOptions, Report, Tools, ingest_paths
from ingest.progress import Progress, silent
from ingest.types import Chunk

DIMENSIONS = 16
LONG_AGO = 1_600_000_000


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


class HashEmbedder:
    """Unit vectors that depend on the text alone; it records the texts it was given."""

    name = "hash"
    dimensions = DIMENSIONS

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> Any:
        self.texts += texts
        digests = [hashlib.shake_256(text.encode()).digest(DIMENSIONS) for text in texts]
        rows = [np.frombuffer(digest, np.uint8) for digest in digests]
        vectors = np.array(rows, np.float32).reshape(len(texts), DIMENSIONS) - 127.5
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def embedding_text(title: str, chunk: Chunk, text: str) -> str:
    return "\n".join((title, *chunk.section, text))


def light_tools(
    embedder: HashEmbedder | None = None, parser_version: str = "1", chunker_version: str = "1"
) -> Tools:
    used = embedder or HashEmbedder()
    return Tools(
        ParsePool, parser_version, chunk_document, chunker_version, lambda _: used, "hash", embedding_text
    )


def ingest(
    *paths: Path, index: Path, tools: Tools | None = None, progress: Progress = silent, **options: Any
) -> Report:
    return ingest_paths(paths, index, IngestOptions(workers=0, **options), progress, tools or light_tools())


def counts(report: Any) -> tuple[int, int, int, int, int]:
    return report.added, report.changed, report.unchanged, report.removed, report.renamed


def sources(index: Path) -> list[str]:
    with open_index(index) as opened:
        return [row.source for row in opened.sources()]


QUERIES = ("alpha", "beta gamma", "number 7", "delta OR", "only")


def dump(index: Path) -> dict[str, Any]:
    """All that an index says, without the numbers that it gives to rows."""
    content: dict[str, Any] = {}
    with closing(sqlite3.connect(f"{(index / 'catalogue.sqlite').as_uri()}?mode=ro", uri=True)) as database:
        content["files"] = database.execute(
            "SELECT roots.path, files.path, size, sha256, status, code, message, versions "
            "FROM files JOIN roots ON roots.id = files.root_id ORDER BY 1, 2"
        ).fetchall()
        content["lines"] = database.execute(
            'SELECT documents.id, ordinal, start, "end", page, x0, y0, x1, y1 FROM lines '
            "JOIN documents ON documents.key = lines.document ORDER BY 1, 2"
        ).fetchall()
        content["terms"] = database.execute("SELECT term, doc, cnt FROM terms").fetchall()
    with open_index(index) as opened:
        content["sources"] = list(opened.sources())
        ids = sorted({row.document_id for row in content["sources"] if row.document_id})
        content["documents"] = [opened.document(document_id) for document_id in ids]
        name: dict[int, tuple[str, int]] = {}
        for document_id in ids:
            for chunk in opened.document_chunks(document_id):
                name[chunk.id] = (document_id, chunk.ordinal)
                fields = (chunk.start, chunk.end, chunk.page, chunk.section, chunk.table_header, chunk.text)
                content[f"chunk {document_id} {chunk.ordinal}"] = (
                    fields, opened.vectors([chunk.id]).tobytes(),
                )  # fmt: skip
        for query in QUERIES:
            content[f"words {query}"] = sorted((name[i], score) for i, score in opened.lexical(query, 10_000))
            vector = HashEmbedder().embed([query])[0]
            near = opened.dense(vector, 10_000)
            # The order of a sum, and so its last digits, depend on a row's place in memory.
            content[f"near {query}"] = sorted((name[i], round(score, 5)) for i, score in near)
    return content
