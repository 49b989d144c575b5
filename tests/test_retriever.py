"""What the retriever promises, on a real index with stand-in vectors."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.index import Index, IndexedChunk, IndexedDocument, open_index
from ragqa.evaluation.blind import BlindRetriever
from ragqa.retriever import Retriever, block_of, hit_of
from ragqa.settings import TOP_K, RetrievalSettings
from tests.index_support import HashEmbedder, ingest

LONG = "How are the valves of an old steam boiler opened and closed when the fire below burns low?"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("retriever")
    documents = folder / "documents"
    documents.mkdir()
    for number in range(60):
        text = f"Paper {number} is about subject {number}; it says nothing else."
        (documents / f"paper{number:02}.txt").write_text(text, encoding="utf-8")
    boiler = "The valves of the boiler are opened by a governor. A governor is a pair of turning weights."
    (documents / "boiler.txt").write_text(boiler, encoding="utf-8")
    governor = "Turning weights make every governor; one governor got its patent in 1788."
    (documents / "governor.txt").write_text(governor, encoding="utf-8")
    ingest(documents, index=folder / ".ragqa")
    with open_index(folder / ".ragqa") as opened:
        yield opened


def test_a_long_question_finds_what_its_best_passage_is_about(index: Index) -> None:
    settings = RetrievalSettings(dense_weight=0.0, candidates=5)
    found = [hit.source for hit in Retriever(index, HashEmbedder(), settings).search(LONG, 5)]
    assert found[0] == "boiler.txt"
    assert "governor.txt" in found, "it shares no word with the question"


def test_a_short_question_is_not_widened(index: Index) -> None:
    settings = RetrievalSettings(dense_weight=0.0, candidates=5)
    found = [hit.source for hit in Retriever(index, HashEmbedder(), settings).search("boiler valves?", 5)]
    assert found[0] == "boiler.txt"
    assert "governor.txt" not in found


def test_a_word_that_one_chunk_alone_holds_finds_it_first(index: Index) -> None:
    retriever = Retriever(index, HashEmbedder(), RetrievalSettings())
    for word, number in (("patent", None), ("17", 17), ("43", 43)):
        wanted = "governor.txt" if number is None else f"paper{number:02}.txt"
        assert retriever.search(word, 3)[0].source == wanted


def test_a_hidden_document_leaves_no_trace_in_what_is_found_without_it(index: Index) -> None:
    settings = RetrievalSettings(dense_weight=0.0, candidates=5)
    blind = BlindRetriever(index, HashEmbedder(), settings)
    blind.places = {}
    assert "governor.txt" in [hit.source for hit in blind.search(LONG, 5)]
    blind.hidden = frozenset({"boiler.txt"})
    assert not {"boiler.txt", "governor.txt"} & {hit.source for hit in blind.search(LONG, 5)}


def test_more_chunks_asked_for_than_usual_are_as_many_blocks(index: Index) -> None:
    usual = Retriever(index, HashEmbedder(), RetrievalSettings())
    assert len(usual.retrieve(LONG).blocks) == usual.settings.max_blocks
    filled = Retriever(index, HashEmbedder(), replace(usual.settings, top_k=TOP_K + 16))
    assert len(filled.retrieve(LONG).blocks) == TOP_K + 16


def test_nothing_asked_is_nothing_found(index: Index) -> None:
    assert Retriever(index, HashEmbedder(), RetrievalSettings()).search(" \n", 5) == ()


@pytest.mark.parametrize(("budget", "word"), [(200, "sixth"), (200, "four hundredth"), (700, "sixth")])
def test_a_block_cuts_no_sentence_however_long(tmp_path: Path, budget: int, word: str) -> None:
    """What a sentence denies may stand at its end."""
    items = ", ".join(f"{'sixth ' * (n == 6)}{'four hundredth ' * (n == 170)}item {n}" for n in range(180))
    long = f"Staff may take home {items} only if the store keeper agrees."
    (tmp_path / "list.txt").write_text(f"Rules of the store.\n\n{long}\n\nIt opens at nine.\n")
    ingest(tmp_path / "list.txt", index=tmp_path / ".ragqa")
    with open_index(tmp_path / ".ragqa") as opened:
        settings = RetrievalSettings(dense_weight=0.0, block_tokens=budget)
        block = Retriever(opened, HashEmbedder(), settings).retrieve(word).blocks[0]
    assert long in block.text


def test_a_block_that_begins_with_a_table_keeps_the_empty_cell_of_its_header() -> None:
    text = "Plans.\n\n\tBasic\tPro\nStorage\t5 GB\t50 GB"
    document = IndexedDocument("d", "a.md", ("a.md",), "Plans", text, "", (), None)
    chunk = IndexedChunk(1, "d", "a.md", "Plans", 0, text.index("Basic"), len(text), None, None, (), "", "")
    assert block_of(document, [chunk], hit_of(chunk, 1.0, ())).text == "\tBasic\tPro\nStorage\t5 GB\t50 GB"
