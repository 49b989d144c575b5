"""A parsed file to what is stored of it: its sources, and its documents with chunks and vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ingest.catalogue.documents import IndexableDocument
from ingest.catalogue.writer import SourceRecord
from ingest.embed import Embedder
from ingest.pipeline.files import is_gone
from ingest.pipeline.plan import Work
from ingest.pipeline.timing import Stopwatch
from ingest.pipeline.values import Tools
from ingest.types import Document, Member, Problem

EMBED_AT_ONCE = 256
"""Chunks of one document that are embedded in one call. Never chunks of several: a document's vectors must
not depend on which others came with it."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is stored of a file."""

    sources: Sequence[SourceRecord]
    documents: Sequence[IndexableDocument] = ()


class Preparer:
    """Chunks and embeds. The embedder of that name is loaded when it is first needed."""

    def __init__(self, tools: Tools, embedder: str, watch: Stopwatch) -> None:
        self._tools = tools
        self.embedder_name = embedder
        self._watch = watch

    @cached_property
    def embedder(self) -> Embedder:
        """Raises EmbedderError where it cannot be loaded."""
        return self._tools.load_embedder(self.embedder_name)

    def prepare(self, work: Work, members: Sequence[Member]) -> Prepared | None:
        """A file's sources and its documents with chunks and vectors; None if it changed meanwhile."""
        if is_gone(work.file) or any(
            not member.name and isinstance(member.outcome, Document) and member.outcome.id != work.sha256
            for member in members
        ):
            return None
        sources: list[SourceRecord] = []
        documents: dict[str, IndexableDocument] = {}
        for member in members:
            if isinstance(member.outcome, Problem):
                sources.append(SourceRecord(member.name, member.outcome))
                continue
            sources.append(SourceRecord(member.name, member.outcome.id))
            if member.outcome.id not in documents:
                documents[member.outcome.id] = self._embed(member.outcome)
        return Prepared(sources, list(documents.values()))

    def _embed(self, document: Document) -> IndexableDocument:
        chunks = self._tools.chunk(document)
        with self._watch.timed("embed"):
            texts = [
                self._tools.embedding_text(document.title, chunk, document.text[chunk.start : chunk.end])
                for chunk in chunks
            ]
            vectors = [np.empty((0, self.embedder.dimensions), np.float32)]
            vectors += [
                self.embedder.embed(texts[start : start + EMBED_AT_ONCE])
                for start in range(0, len(texts), EMBED_AT_ONCE)
            ]
        return IndexableDocument(document, chunks, np.concatenate(vectors))
