"""The Chroma generation: as good as comparing every vector, never half-written, not trusted if damaged."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from ingest.errors import StorageError
from ingest.index import check_index, open_index, repair_index
from ingest.vectors import Neighbours, VectorsError, find_generation, remove_generations, write_generation
from ragqa.cli.searching import warn_of_index
from ragqa.retriever import Retriever
from ragqa.settings import RetrievalSettings
from tests.index_support import HashEmbedder, ingest, light_tools


def unit(count: int, dimensions: int = 64, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def batches(matrix: np.ndarray, first: int = 1, size: int = 1_500):
    for start in range(0, len(matrix), size):
        part = matrix[start : start + size]
        yield np.arange(first + start, first + start + len(part), dtype=np.int64), part


def test_a_generation_finds_what_exact_search_finds(tmp_path: Path) -> None:
    matrix = unit(3_000, 128)
    told: list[int] = []
    generation = write_generation(tmp_path, None, batches(matrix), told.append)
    assert (generation.through, generation.count, told) == (3_000, 3_000, [1_500, 3_000])
    neighbours = Neighbours(generation)
    hits = 0
    for vector in unit(50, 128, seed=1):
        exact = set((np.argsort(-(matrix @ vector))[:10] + 1).tolist())
        hits += len(exact & set(neighbours.search(vector, 40)))
    neighbours.close()
    assert hits >= 495


def test_the_next_generation_leaves_the_one_before_as_it_is(tmp_path: Path) -> None:
    matrix = unit(400)
    first = write_generation(tmp_path, None, batches(matrix[:300]))
    reader = Neighbours(first)
    second = write_generation(tmp_path, first, batches(matrix[300:], first=301))
    assert (second.through, second.count) == (400, 400)
    assert first.is_unchanged()
    assert second.is_unchanged()
    assert reader.search(matrix[5], 1) == [6]
    reader.close()
    neighbours = Neighbours(second)
    assert [neighbours.search(matrix[row], 1) for row in (0, 299, 300, 399)] == [[1], [300], [301], [400]]
    neighbours.close()
    remove_generations(tmp_path, keep=second.name)
    assert [place.name for place in tmp_path.iterdir()] == [second.name]


def test_only_complete_generations_are_found(tmp_path: Path) -> None:
    generation = write_generation(tmp_path, None, batches(unit(50)))
    assert find_generation(tmp_path, generation.name) == generation
    assert find_generation(tmp_path, "") is None
    assert find_generation(tmp_path, "99") is None
    (generation.folder / "complete.json").unlink()
    assert find_generation(tmp_path, generation.name) is None


@pytest.mark.parametrize("damage", ["shorten", "lengthen", "remove", "marker"])
def test_a_damaged_generation_is_not_opened(tmp_path: Path, damage: str) -> None:
    """Chroma crashes the process on a shortened file."""
    generation = write_generation(tmp_path, None, batches(unit(50)))
    file = next(generation.folder.rglob("data_level0.bin"))
    if damage == "shorten":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "lengthen":
        file.write_bytes(file.read_bytes() + b"0")
    elif damage == "remove":
        file.unlink()
    else:
        (generation.folder / "complete.json").write_text('{"through": 3')
    assert find_generation(tmp_path, generation.name) is None


def test_a_reader_notices_that_its_generation_has_gone(tmp_path: Path) -> None:
    """Chroma gives wrong answers then, without an error."""
    matrix = unit(50)
    generation = write_generation(tmp_path, None, batches(matrix))
    neighbours = Neighbours(generation)
    shutil.rmtree(generation.folder)
    with pytest.raises(VectorsError, match="not as it was closed"):
        neighbours.search(matrix[0], 3)


def test_a_vector_that_many_equal_ones_hide_is_no_loss(tmp_path: Path) -> None:
    """As in a text that says one thing over and over, and another at its end."""
    matrix = np.concatenate([np.repeat(unit(1), 300, axis=0), unit(2)[1:]])
    assert write_generation(tmp_path, None, batches(matrix)).count == 301


def test_many_equal_vectors_are_no_loss(tmp_path: Path) -> None:
    matrix = np.repeat(unit(2), 40, axis=0)
    generation = write_generation(tmp_path, None, batches(matrix))
    neighbours = Neighbours(generation)
    assert neighbours.lost([(1, matrix[0]), (80, matrix[79])]) == []
    assert neighbours.lost([(81, unit(1, seed=9)[0])]) == [81]
    neighbours.close()


def test_a_generation_that_cannot_be_written_is_said_and_leaves_no_marker(tmp_path: Path) -> None:
    def broken():
        yield from batches(unit(10))
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match=r"No space left.*ragqa index repair"):
        write_generation(tmp_path, None, broken())
    assert not list(tmp_path.rglob("complete.json"))
    remove_generations(tmp_path, keep="")
    assert list(tmp_path.iterdir()) == []


# From here on: an index whose generation is asked, however few chunks it has.


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[Path, Path]:
    docs = tmp_path / "docs"
    docs.mkdir()
    for number in range(60):
        (docs / f"{number:02}.md").write_text(f"# Note {number}\n\nThe word of note {number} is w{number}.\n")
    ingest(docs, index=tmp_path / ".ragqa")
    return docs, tmp_path / ".ragqa"


def answers(index: Path, exact_below: int, count: int = 25) -> list[list[tuple[int, float]]]:
    with open_index(index, exact_below=exact_below) as opened:
        found = [opened.dense(vector, 10) for vector in unit(count, 16, seed=3)]
        if exact_below == 0:
            assert opened.vectors_state == "complete"
    return [[(chunk, round(score, 5)) for chunk, score in hits] for hits in found]


def test_an_index_gives_the_same_answers_with_and_without_chroma(corpus: tuple[Path, Path]) -> None:
    assert answers(corpus[1], 0) == answers(corpus[1], 1_000_000)


def test_removed_chunks_are_dropped_and_new_ones_found_without_a_new_generation(
    corpus: tuple[Path, Path],
) -> None:
    docs, index = corpus
    for number in range(8):
        (docs / f"{number:02}.md").unlink()
    (docs / "new.md").write_text("# New\n\nSomething new.\n")
    ingest(docs, index=index)
    with open_index(index) as opened:
        assert opened.stats().generation == "1"
    assert answers(index, 0) == answers(index, 1_000_000)
    assert check_index(index) == ()


def test_with_enough_change_a_new_generation_takes_over(corpus: tuple[Path, Path]) -> None:
    docs, index = corpus
    for number in range(20):
        (docs / f"{number:02}.md").unlink()
    ingest(docs, index=index)
    with open_index(index) as opened:
        assert opened.stats().generation == "2"
    assert [place.name for place in (index / "chroma").iterdir()] == ["2"]
    for number in range(30):
        (docs / f"more{number}.md").write_text(f"# More {number}\n\nStill more.\n")
    ingest(docs, index=index)
    assert answers(index, 0) == answers(index, 1_000_000)
    assert check_index(index) == ()


def test_a_damaged_generation_means_exact_search_until_it_is_repaired(
    corpus: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    index = corpus[1]
    expected = answers(index, 1_000_000)
    file = next(index.rglob("data_level0.bin"))
    file.write_bytes(file.read_bytes()[:-100])
    with open_index(index, exact_below=0) as opened:
        assert opened.vectors_state == "damaged"
        warn_of_index(Retriever(opened, HashEmbedder(), RetrievalSettings()), ())
        assert "ragqa index repair" in capsys.readouterr().err
        assert [(c, round(s, 5)) for c, s in opened.dense(unit(1, 16, seed=3)[0], 10)] == expected[0]
    assert any("index repair" in problem for problem in check_index(index))
    repair_index(index, 0)
    assert check_index(index) == ()
    assert answers(index, 0) == expected


def test_a_reader_whose_generation_is_replaced_goes_on_with_its_snapshot(corpus: tuple[Path, Path]) -> None:
    docs, index = corpus
    expected = answers(index, 1_000_000)
    with open_index(index, exact_below=0) as opened:
        first = opened.dense(unit(1, 16, seed=3)[0], 10)
        for number in range(30):
            (docs / f"{number:02}.md").unlink()
        ingest(docs, index=index)
        assert opened.dense(unit(1, 16, seed=3)[0], 10) == first
        assert [(c, round(s, 5)) for c, s in first] == expected[0]


def test_a_generation_with_other_bytes_of_the_same_size_is_a_problem(corpus: tuple[Path, Path]) -> None:
    file = next(corpus[1].rglob("data_level0.bin"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 255
    file.write_bytes(bytes(data))
    assert any("not as it was closed" in problem for problem in check_index(corpus[1]))


def test_the_next_ingest_mends_a_damaged_generation(corpus: tuple[Path, Path]) -> None:
    docs, index = corpus
    shutil.rmtree(index / "chroma")
    ingest(docs, index=index, tools=light_tools())
    assert check_index(index) == ()
    assert answers(index, 0) == answers(index, 1_000_000)
