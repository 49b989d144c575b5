"""The retriever as LangChain takes it: a `BaseRetriever` whose every `Document` can be cited.

with open_langchain_retriever(Path(".ragqa")) as retriever:
    inputs = {"documents": retriever, "question": RunnablePassthrough()}
    chain = inputs | RunnableLambda(closed_context) | model
    chain.invoke("How many days of leave do I have?")
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from ragqa.prompt import instruction_for, write
from ragqa.retriever import Retriever
from ragqa.types import ContextBlock


class RagqaRetriever(BaseRetriever):
    """Blocks of the index, best first. `where` narrows by metadata, `k` caps how many come back."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    retriever: Retriever
    k: int = 12
    where: tuple[tuple[str, str], ...] = ()

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002  LangChain's signature
    ) -> list[Document]:
        found = self.retriever.retrieve(query, self.where)
        return [document_of(block) for block in found.blocks[: self.k]]


def document_of(block: ContextBlock) -> Document:
    """A block with all it takes to cite it: source, document id, offsets into the canonical text, pages."""
    metadata: dict[str, Any] = {
        **dict(block.metadata),
        "source": block.source,
        "document_id": block.document_id,
        "text_sha256": block.text_sha256,
        "title": block.title,
        "section": " > ".join(block.section),
        "page": block.page,
        "page_end": block.page_end,
        "start": block.start,
        "end": block.end,
        "score": block.score,
    }
    return Document(id=block.key, page_content=block.text, metadata=metadata)


def closed_context(inputs: Mapping[str, Any]) -> str:
    """The prompt for a chain's `documents` and `question`: closed-context blocks, then the instruction.

    The documents' text is defused, so that none of it acts as a marker, a role or a special token.
    """
    blocks = [(citable(document), document.page_content) for document in inputs["documents"]]
    return write(blocks, instruction_for(inputs["question"]))


def citable(document: Document) -> tuple[tuple[str, str], ...]:
    """The metadata lines a model may cite by."""
    shown = ("source", "title", "section", "page", "date", "author", "url")
    return tuple((key, str(document.metadata[key])) for key in shown if document.metadata.get(key))


@contextmanager
def open_langchain_retriever(index: Path, k: int = 12) -> Iterator[RagqaRetriever]:
    """A retriever over one snapshot of the index at that path."""
    from ingest.embed import load_embedder
    from ingest.index import open_index
    from ragqa.settings import RetrievalSettings

    with open_index(index) as opened:
        embedder = load_embedder(opened.settings.embedder)
        yield RagqaRetriever(retriever=Retriever(opened, embedder, RetrievalSettings()), k=k)
