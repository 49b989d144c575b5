"""Every kind of damage that `index check` promises to see, made by hand; and which of them a repair mends."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ingest.errors import NoIndexError, StorageError
from ingest.index import check_index, open_index, repair_index
from tests.index_support import dump, ingest

DAMAGE = {
    "a text that was changed": (
        "UPDATE documents SET text = replace(text, 'alpha', 'x')",
        "text of document",
    ),
    "a document without source": ("DELETE FROM sources WHERE id = 1", "without a source"),
    "a chunk beyond the text": ('UPDATE chunks SET "end" = 100000 WHERE id = 1', "outside of its document"),
    "a line beyond the text": (
        "INSERT INTO lines VALUES (1, 0, 5, 99999, 1, 0, 0, 1, 1)",
        "is a line outside",
    ),
    "a chunk without embedding": ("DELETE FROM embeddings WHERE chunk_id = 1", "without an embedding"),
    "an embedding without chunk": ("INSERT INTO embeddings VALUES (999, x'00')", "points at a row"),
    "a shortened embedding": (
        "UPDATE embeddings SET vector = x'00' WHERE chunk_id = 1",
        "1 bytes instead of 64",
    ),
    "an embedding that is none": (
        "UPDATE embeddings SET vector = zeroblob(64) WHERE chunk_id = 1",
        "length 0.0000",
    ),
    "a missing chunk": ("DELETE FROM chunks WHERE ordinal = 0 AND document = 1", "lacks a chunk"),
    "words that were forgotten": (
        "INSERT INTO fulltext (fulltext) VALUES ('delete-all')",
        "full text does not match",
    ),
    "words that no chunk holds": (
        "INSERT INTO fulltext (rowid, body) VALUES (1, 'omega')",
        "full text does not match",
    ),
    "a generation that is not named": (
        "UPDATE settings SET value = '' WHERE key = 'generation'",
        "no vector",
    ),
    "a generation that is not there": (
        "UPDATE settings SET value = '9' WHERE key = 'generation'",
        "as it was closed",
    ),
}
DERIVED = [name for name in DAMAGE if name.startswith(("words", "a generation"))]


@pytest.fixture
def index(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    docs.mkdir()
    for number in range(3):
        paragraph = f"alpha number {number} " * 60
        (docs / f"{number}.md").write_text(f"# Note {number}\n\n{paragraph}.\n\n# More\n\n{paragraph}.\n")
    ingest(docs, index=tmp_path / ".ragqa")
    return tmp_path / ".ragqa"


def change(index: Path, statement: str) -> None:
    with closing(sqlite3.connect(index / "catalogue.sqlite")) as connection, connection:
        connection.execute(statement)


def test_a_sound_index_has_no_problem(index: Path) -> None:
    told: list[str] = []
    assert check_index(index, lambda stage, _done, _total: told.append(stage)) == ()
    assert "texts" in told


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_seen(index: Path, name: str) -> None:
    statement, expected = DAMAGE[name]
    change(index, statement)
    assert any(expected in problem for problem in check_index(index)), check_index(index)


@pytest.mark.parametrize("name", DERIVED)
def test_what_is_derived_is_mended_without_parsing_or_embedding(index: Path, name: str) -> None:
    before = dump(index)
    change(index, DAMAGE[name][0])
    repair_index(index, 0)
    assert check_index(index) == ()
    assert dump(index) == before


def test_a_damaged_database_is_said(index: Path) -> None:
    file = index / "catalogue.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(file.read_bytes())
    for page in range(4096 * 3, len(data), 4096):
        data[page : page + 64] = b"\xff" * 64
    file.write_bytes(data)
    try:
        problems = check_index(index)
    except StorageError as error:
        problems = (str(error),)
    assert problems


def test_no_database_is_said(tmp_path: Path) -> None:
    with pytest.raises(NoIndexError):
        check_index(tmp_path)
    (tmp_path / "catalogue.sqlite").write_bytes(b"not a database, but long enough to look into" * 10)
    with pytest.raises(StorageError, match="not a database"):
        open_index(tmp_path)
    (tmp_path / "catalogue.sqlite").write_bytes(b"")
    with pytest.raises(NoIndexError, match="never finished"):
        open_index(tmp_path)


@pytest.mark.parametrize("data", [None, b"not a database, and longer than a header of a hundred bytes" * 3])
def test_damage_is_not_taken_for_a_full_disk(index: Path, data: bytes | None) -> None:
    path = index / "catalogue.sqlite"
    path.write_bytes(path.read_bytes()[:20_000] if data is None else data)
    for work in (lambda path: open_index(path).sources(), repair_index):
        with pytest.raises(StorageError, match=r"is damaged.*ingest the documents again"):
            work(index)


def test_an_index_without_tables_was_never_finished(tmp_path: Path) -> None:
    for work in (open_index, check_index, repair_index):
        (tmp_path / "catalogue.sqlite").write_bytes(b"")
        with pytest.raises(NoIndexError, match="never finished"):
            work(tmp_path)


def test_a_sound_read_only_index_has_no_problem(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions do not bind root, so what the system says of them is what is changed."""
    before = {path: path.stat().st_mtime_ns for path in (index / "chroma").rglob("*")}
    monkeypatch.setattr("os.access", lambda *_arguments, **_options: False)
    assert check_index(index) == ()
    assert {path: path.stat().st_mtime_ns for path in (index / "chroma").rglob("*")} == before
