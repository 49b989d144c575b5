"""What an index promises to those who read it, on real SQLite files."""

import sqlite3
from contextlib import closing
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from ingest.catalogue.documents import FileRecord
from ingest.catalogue.schema import connect_writer
from ingest.catalogue.writer import SourceRecord, add_root, remove_file, store_file, transaction
from ingest.errors import IndexMismatchError, NoIndexError, SourceNotFoundError
from ingest.index import find_index, open_index
from ingest.types import Problem
from tests.small_catalogue import DIMENSIONS, LEAVE, TRAVEL, ready, write_index


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


def test_a_file_that_fails_again_leaves_the_index_as_it_was(folder: Path) -> None:
    """A run of questions goes on only on the index it began with."""

    def revision(code: str) -> str:
        with closing(connect_writer(folder)) as connection:
            with transaction(connection):
                record = FileRecord(1, "scan.pdf", 1, 1, "00", "failed", code, "", "1")
                store_file(connection, record, [SourceRecord("", Problem("failed", code, ""))], [])
            held = connection.execute("SELECT value FROM settings WHERE key = 'revision'").fetchone()
            return str(held[0])

    first = revision("parser_error")
    assert revision("parser_error") == first
    assert revision("timeout") != first


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
