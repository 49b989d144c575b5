"""An index written by the catalogue alone: a chunk a paragraph, random unit vectors, no file read."""

import hashlib
from contextlib import closing
from pathlib import Path

import numpy as np

from ingest.catalogue.documents import FileRecord, IndexableDocument
from ingest.catalogue.schema import connect_writer
from ingest.catalogue.writer import SourceRecord, add_root, store_file, transaction, write_settings
from ingest.types import Chunk, Document, Line

DIMENSIONS = 8


def document_of(text: str, title: str = "", metadata: tuple[tuple[str, str], ...] = ()) -> Document:
    digest = hashlib.sha256(text.encode()).hexdigest()
    lines = (Line(0, len(text), 1, 0.0, 0.0, 9.0, 1.0),)
    return Document(digest, text, digest, title, (), lines, metadata, None)


def ready(document: Document, seed: int = 0) -> IndexableDocument:
    """One chunk a paragraph, with random unit vectors."""
    chunks, start = [], 0
    for ordinal, part in enumerate(document.text.split("\n\n")):
        chunks.append(Chunk(ordinal, start, start + len(part), 1, 1, ("Part", f"No. {ordinal}"), ""))
        start += len(part) + 2
    vectors = np.random.default_rng(seed).normal(size=(len(chunks), DIMENSIONS)).astype(np.float32)
    return IndexableDocument(
        document, tuple(chunks), vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    )


def write_index(folder: Path, documents: dict[str, Document]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with closing(connect_writer(folder)) as connection:
        with transaction(connection):
            write_settings(
                connection,
                {
                    "schema_version": "1",
                    "identity": "test",
                    "revision": "0",
                    "embedder": "test",
                    "dimensions": str(DIMENSIONS),
                    "chunker_version": "1",
                    "generation": "",
                },
            )
            root = add_root(connection, "docs", "docs")
        for seed, (path, document) in enumerate(documents.items()):
            with transaction(connection):
                record = FileRecord(root, path, 1, 1, document.id, "ok", "", "", "1")
                store_file(connection, record, [SourceRecord("", document.id)], [ready(document, seed)])


LEAVE = document_of(
    "Employees get 25 days of leave.\n\nSick leave needs a note.", "Leave policy", (("author", "Ann"),)
)
TRAVEL = document_of(
    "Trips are paid.\n\nFlights over six hours: business class. Ünïcödé 𝔘.", "Travel", (("Date", "2024"),)
)
