"""The retriever in a LangChain chain: citable documents in, a closed-context prompt out."""

from pathlib import Path

from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda, RunnablePassthrough

from ragqa.langchain import closed_context, open_langchain_retriever
from ragqa.prompt import parse
from ragqa.wiring import open_retriever

QUESTION = "How many days of paid leave does an employee have?"


def test_every_document_can_be_cited_to_the_character(index_path: Path) -> None:
    with open_langchain_retriever(index_path) as retriever, open_retriever(index_path) as opened:
        documents = retriever.invoke(QUESTION)
        assert documents[0].metadata["source"] == "leave.md"
        for document in documents:
            stored = opened.index.document(document.metadata["document_id"])
            start, end = document.metadata["start"], document.metadata["end"]
            assert stored.text[start:end] == document.page_content
            assert stored.text_sha256 == document.metadata["text_sha256"]


def test_a_chain_asks_its_model_a_closed_context_prompt(index_path: Path) -> None:
    seen: list[str] = []
    with open_langchain_retriever(index_path, k=2) as retriever:
        inputs = {"documents": retriever, "question": RunnablePassthrough()}
        model = FakeListChatModel(responses=["28 days."])
        look = RunnableLambda(lambda text: seen.append(text) or text)
        chain = inputs | RunnableLambda(closed_context) | look | model
        assert chain.invoke(QUESTION).content == "28 days."
    blocks, instruction = parse(seen[0])
    assert len(blocks) == 2
    assert dict(blocks[0][0])["source"] == "leave.md"
    assert instruction.startswith(QUESTION)
