"""What an index promises to those who read it, on real SQLite files."""

import hashlib
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.catalogue.documents import FileRecord, IndexableDocument
from ingest.catalogue.lexical import choose_terms, most_telling, rarity, shares
from ingest.catalogue.schema import connect_writer
from ingest.catalogue.writer import (
    SourceRecord,
    add_root,
    remove_file,
    store_file,
    transaction,
    write_settings,
)
from ingest.errors import IndexMismatchError, NoIndexError, SourceNotFoundError
from ingest.index import find_index, open_index
from ingest.types import Chunk, Document, Line, Problem

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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_index(tmp_path / ".ragqa", {"hr/leave.md": LEAVE, "travel.md": TRAVEL, "copy of travel.md": TRAVEL})
    return tmp_path / ".ragqa"


def test_an_index_is_found_from_below_like_gits(folder: Path, tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_index(below, None) == folder
    assert find_index(below, folder) == find_index(below, tmp_path) == folder
    with pytest.raises(NoIndexError, match="ragqa ingest FOLDER"):
        find_index(below, tmp_path / "nowhere")


def test_another_schema_is_refused_and_the_way_out_named(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "catalogue.sqlite")) as connection, connection:
        connection.execute("UPDATE settings SET value = '0' WHERE key = 'schema_version'")
    with pytest.raises(IndexMismatchError, match="ragqa ingest"):
        open_index(folder)


def test_words_find_the_chunk_that_holds_them(folder: Path) -> None:
    with open_index(folder) as index:
        for query, expected in (
            ("sick notes", "Sick leave needs a note."),
            ("FLIGHT hours", "Flights over"),
            ("unicode", "Flights over"),
            ("(leave* AND NOT", "leave"),
        ):
            best = index.chunks([index.lexical(query, 3)[0][0]])[0]
            assert expected in best.text, query


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_no_text_is_a_syntax_error(query: str) -> None:
    with open_index(SHARED) as index:
        assert len(index.lexical(query, 5)) <= 5


@pytest.mark.parametrize(
    "query",
    [
        "",
        '"',
        "\0",
        "\ud800 leave",
        "NEAR(x y)",
        "title:leave",
        "^",
        "a" * 100_000,
        " ".join(f"w{i}" for i in range(20_000)) + " leave",
    ],
)
def test_no_operator_is_read_from_a_question(folder: Path, query: str) -> None:
    with open_index(folder) as index:
        found = index.lexical(query, 5)
        assert bool(found) == ("leave" in query)


def test_terms_of_most_chunks_are_left_out_unless_all_are() -> None:
    assert choose_terms([("common", 4_000), ("rare", 1), ("absent", 0)], 30_000) == ["rare"]
    assert choose_terms([("common", 4_000), ("absent", 0)], 30_000) == ["common"]
    assert choose_terms([("common", 300), ("rare", 1)], 300) == ["rare", "common"]


def test_coverage_is_the_share_of_the_question_a_chunks_own_text_holds(folder: Path) -> None:
    with open_index(folder) as index:
        chunks = index.document_chunks(LEAVE.id) + index.document_chunks(TRAVEL.id)
        ids = [chunk.id for chunk in chunks]
        (word,) = [word for word in ("leave",) if any(word in chunk.text.lower() for chunk in chunks)]
        held = index.coverage(word, ids)
        assert held == {chunk.id: float(word in chunk.text.lower()) for chunk in chunks}
        assert 0.0 in held.values()
        half = index.coverage(f"{word} unheardof", ids)
        assert half == held, "a word that no chunk holds is not missed"
        assert index.coverage("unheardof", ids) == dict.fromkeys(ids, 0.0)
        assert index.coverage('"', ids) == dict.fromkeys(ids, 0.0)
        assert index.coverage(word, []) == {}


def test_telling_words_are_new_rare_and_frequent_in_the_chunks(tmp_path: Path) -> None:
    filler = {f"f{n}.md": document_of(f"Plain filler number {n}.") for n in range(40)}
    boiler = document_of("The boiler of the filler: boilers hold valves.")
    write_index(tmp_path / "ix", {**filler, "boiler.md": boiler})
    with open_index(tmp_path / "ix") as index:
        ids = [chunk.id for chunk in index.document_chunks(boiler.id)]
        found = index.telling_words(ids, "What holds the valve?", 10)
        assert found[0] in ("boiler", "boilers")
        assert not {"valves", "hold", "filler", "the"} & set(found)
        assert index.telling_words(ids, "What holds the valve?", 1) == found[:1]
        assert index.telling_words([], "anything", 10) == []


def test_rarity_falls_with_the_number_of_chunks_and_is_never_nothing() -> None:
    assert rarity(1, 100) > rarity(10, 100) > rarity(50, 100) > 0
    assert rarity(100, 100) > 0


def test_shares_are_means_over_texts_and_telling_weighs_them_by_rarity() -> None:
    weights = shares([Counter(a=1, b=1), Counter(a=2)])
    assert weights == {"a": 0.75, "b": 0.25}
    assert most_telling(weights, {"a": 9, "b": 1}, 100, 5) == ["a", "b"]
    assert most_telling(weights, {"a": 11, "b": 1}, 100, 5) == ["b"]
    assert most_telling(weights, {"a": 0, "b": 1}, 100, 5) == ["b"]


def test_nearest_chunks_come_first_with_their_cosine(folder: Path) -> None:
    with open_index(folder) as index:
        ids = [chunk.id for chunk in index.document_chunks(LEAVE.id) + index.document_chunks(TRAVEL.id)]
        vectors = index.vectors(ids)
        found = index.dense(vectors[2], 10)
        assert found[0] == (ids[2], pytest.approx(1.0, abs=1e-6))
        expected = sorted(zip(ids, (vectors @ vectors[2]).tolist(), strict=True), key=lambda pair: -pair[1])
        assert [i for i, _ in found] == [i for i, _ in expected]
        assert index.dense(vectors[2], 2) == found[:2]


@pytest.mark.parametrize(
    ("where", "titles"),
    [
        ((("author", "ANN"),), {"Leave policy"}),
        ((("source", "hr/"),), {"Leave policy"}),
        ((("source", "copy*.md"),), {"Travel"}),
        ((("title", "travel"), ("date", "2024")), {"Travel"}),
        ((("title", "travel"), ("date", "202")), {"Travel"}),
        ((("title", "tra"),), set()),
        ((("title", "tra*"),), {"Travel"}),
        ((("title", "travel"), ("author", "ann")), set()),
    ],
)
def test_a_filter_holds_for_both_searches(folder: Path, where, titles) -> None:
    with open_index(folder) as index:
        dense = index.dense(np.ones(DIMENSIONS, np.float32), 10, where)
        lexical = index.lexical("leave flights", 10, where)
        for found in (dense, lexical):
            assert {chunk.title for chunk in index.chunks([i for i, _ in found])} == titles


def test_a_chunks_text_is_its_span_and_its_fields_come_back(folder: Path) -> None:
    with open_index(folder) as index:
        for chunk in index.document_chunks(TRAVEL.id):
            assert chunk.text == TRAVEL.text[chunk.start : chunk.end]
            assert chunk.section == ("Part", f"No. {chunk.ordinal}")
            assert chunk.source == "copy of travel.md"
        first, second = (chunk.id for chunk in index.document_chunks(LEAVE.id))
        assert [chunk.id for chunk in index.chunks([second, first, second])] == [second, first, second]


def test_a_document_is_stored_once_whatever_its_sources(folder: Path) -> None:
    with open_index(folder) as index:
        document = index.document(TRAVEL.id)
        assert document.sources == ("copy of travel.md", "travel.md")
        assert (document.text, document.metadata) == (TRAVEL.text, TRAVEL.metadata)
        assert index.stats().documents == 2
        assert [row.source for row in index.sources()] == ["copy of travel.md", "hr/leave.md", "travel.md"]


def test_a_document_goes_with_its_last_source_and_its_chunk_ids_stay_unused(folder: Path) -> None:
    with open_index(folder) as index:
        old = {chunk.id for chunk in index.document_chunks(TRAVEL.id)}
    with closing(connect_writer(folder)) as connection:
        for expected, path in ((2, "travel.md"), (1, "copy of travel.md")):
            file_id = connection.execute("SELECT id FROM files WHERE path = ?", (path,)).fetchone()[0]
            with transaction(connection):
                remove_file(connection, file_id)
            with open_index(folder) as index:
                assert index.stats().documents == expected
        with open_index(folder) as index:
            assert index.lexical("flights", 5) == []
        with transaction(connection):
            record = FileRecord(1, "again.md", 1, 1, TRAVEL.id, "ok", "", "", "1")
            store_file(connection, record, [SourceRecord("", TRAVEL.id)], [ready(TRAVEL)])
    with open_index(folder) as index:
        assert old.isdisjoint({chunk.id for chunk in index.document_chunks(TRAVEL.id)})


def test_a_source_or_the_beginning_of_an_id_names_a_document(folder: Path) -> None:
    with open_index(folder) as index:
        assert index.resolve("travel.md") == index.resolve(TRAVEL.id[:6]) == TRAVEL.id
        with pytest.raises(SourceNotFoundError, match=r"hr/leave\.md"):
            index.resolve("leave")
        with pytest.raises(SourceNotFoundError, match=r"travel\.md"):
            index.resolve("travle.md")
        with pytest.raises(SourceNotFoundError):
            index.document("0" * 64)


def test_a_source_without_document_says_why(folder: Path) -> None:
    with closing(connect_writer(folder)) as connection, transaction(connection):
        record = FileRecord(1, "scan.pdf", 1, 1, "00", "skipped", "needs_ocr", "no text on its pages", "1")
        store_file(
            connection,
            record,
            [SourceRecord("", Problem("skipped", "needs_ocr", "no text on its pages"))],
            [],
        )
    with open_index(folder) as index:
        with pytest.raises(SourceNotFoundError, match="needs_ocr"):
            index.resolve("scan.pdf")
        assert dict(index.stats().statuses) == {"ok": 3, "needs_ocr": 1}


def test_boxes_are_those_of_the_lines_that_a_span_touches(folder: Path) -> None:
    with open_index(folder) as index:
        assert index.boxes(LEAVE.id, 3, 4) == LEAVE.lines
        assert index.boxes(LEAVE.id, len(LEAVE.text), len(LEAVE.text) + 1) == ()


def test_a_second_root_puts_the_roots_names_in_front(folder: Path) -> None:
    with closing(connect_writer(folder)) as connection, transaction(connection):
        add_root(connection, "other/docs", "docs")
    with open_index(folder) as index:
        assert [row.source for row in index.sources()] == [
            "docs/copy of travel.md",
            "docs/hr/leave.md",
            "docs/travel.md",
        ]


def test_a_reader_sees_one_state_while_others_write(folder: Path) -> None:
    with open_index(folder) as before:
        with closing(connect_writer(folder)) as connection, transaction(connection):
            remove_file(connection, connection.execute("SELECT min(id) FROM files").fetchone()[0])
        assert len(list(before.sources())) == 3
        with open_index(folder) as after:
            assert len(list(after.sources())) == 2
            assert after.state != before.state
        assert before.lexical("sick", 1) != []


def test_threads_share_an_index(folder: Path) -> None:
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            for _ in range(50):
                assert index.lexical("leave", 5)
                assert index.dense(np.ones(DIMENSIONS, np.float32), 5)
        except BaseException as error:
            failures.append(error)

    with open_index(folder) as index:
        threads = [Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []


@pytest.fixture(scope="module", autouse=True)
def shared_index(tmp_path_factory):
    global SHARED
    SHARED = tmp_path_factory.mktemp("shared")
    write_index(SHARED, {"hr/leave.md": LEAVE, "travel.md": TRAVEL})
