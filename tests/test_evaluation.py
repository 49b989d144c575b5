"""A question set from its two files to its figures, through the real ingest and the real engine."""

import json
from pathlib import Path

import pytest

from ingest.embed import load_embedder
from ingest.index import open_index
from ragqa.evaluation.blind import BlindRetriever, RememberingEmbedder
from ragqa.evaluation.bootstrap import Estimate
from ragqa.evaluation.corpus import copy_files
from ragqa.evaluation.given import GivenRetriever
from ragqa.evaluation.question_set import read_questions, read_set
from ragqa.evaluation.suite import EvalOptions, build_index, measure, questions_of
from ragqa.settings import RetrievalSettings
from ragqa.wiring import EngineChoice
from tests.conftest import Run
from tests.index_support import HashEmbedder, ingest, light_tools

DOCUMENTS = [
    (
        "leave",
        "Leave & holidays",
        "Employees may take 25 days of leave a year.\nLeave is approved by the manager.",
    ),
    ("park", "Car park", "The car park opens at 7 in the morning.\nVisitors sign the book at the gate."),
    (
        "<odd>/../id",
        "Kitchen",
        "The kitchen is cleaned by Ada Marsh on Fridays.\nMilk < 4 litres is ordered.",
    ),
]
QUESTIONS = [
    ("q1", "How many days of leave may employees take?", ["25"], ["leave"], "Employees may take 25 days"),
    ("q2", "When does the car park open?", ["7"], ["park"], "The car park opens at 7 in the morning."),
    ("q3", "Who cleans the kitchen?", ["Ada Marsh"], ["<odd>/../id"], "Ada Marsh"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    documents = [{"id": i, "title": title, "text": text} for i, title, text in DOCUMENTS]
    questions = [
        {
            "id": i,
            "question": q,
            "answers": a,
            "gold_doc_ids": g,
            "evidence": [{"doc_id": g[0], "quotes": [quote]}],
        }
        for i, q, a, g, quote in QUESTIONS
    ]
    questions.append({"id": "q4", "question": "What is the capital of France?", "answerable": False})
    made = tmp_path / "handbook"
    made.mkdir()
    for name, rows in (("documents", documents), ("questions", questions)):
        (made / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return made


def test_a_set_gives_figures_for_retrieval_answers_citations_and_refusals(
    folder: Path, tmp_path: Path
) -> None:
    question_set = read_set(folder)
    index, places = build_index(question_set, tmp_path / "work")
    options = EvalOptions(engine=EngineChoice("extractive"), gold_removed=True)
    report = measure(question_set.name, question_set.questions, index, places, options)
    metrics = report.metrics
    assert metrics["ndcg@10"].value == metrics["recall@5"].value == metrics["evidence_chunk@10"].value == 1.0
    assert metrics["evidence@1"].n == 3
    assert metrics["evidence@1"].value >= 2 / 3
    assert metrics["refusal_recall"] == Estimate(1.0, 1.0, 1.0, 1)
    assert metrics["refusal_recall_gold_removed"].n == 3
    assert metrics["refusal_auroc"].value == metrics["refusal_recall@0.15"].value == 1.0
    assert metrics["ranked_evidence@3"].n == 3
    assert (
        metrics["ranked_evidence@3"].value
        >= metrics["ranked_evidence@1"].value
        >= metrics["evidence@1"].value
    )
    again, _ = build_index(question_set, tmp_path / "work")
    assert again == index


def test_without_an_engine_only_retrieval_is_measured(folder: Path, tmp_path: Path) -> None:
    question_set = read_set(folder)
    index, places = build_index(question_set, tmp_path / "work")
    report = measure(question_set.name, question_set.questions, index, places)
    of_documents = {"ndcg@10", "recall@5", "recall@10", "success@5", "success@10", "all_support@10"}
    assert set(report.metrics) == {*of_documents, "evidence_chunk@10"}
    assert report.engine == ""


@pytest.mark.parametrize("alone", ["dense", "lexical"])
def test_one_retriever_alone_finds_what_it_ranks_and_no_link_moves_it(
    folder: Path, tmp_path: Path, alone: str
) -> None:
    question_set = read_set(folder)
    index, places = build_index(question_set, tmp_path / "work")
    with open_index(index) as opened:
        embedder = load_embedder()
        retriever = BlindRetriever(opened, embedder, RetrievalSettings())
        retriever.places, retriever.alone = places, alone
        text = "Who cleans the kitchen and when does the car park open?"
        hits = retriever.search(text, 10)
        found = opened.dense(embedder.embed([text])[0], 10) if alone == "dense" else opened.lexical(text, 10)
        assert [(hit.chunk_id, hit.score) for hit in hits] == found
        retriever.hidden = frozenset([places[hits[0].source]])
        assert [hit.chunk_id for hit in retriever.search(text, 10)] == [one for one, _ in found[1:]]


def test_a_question_is_answered_blind_even_where_its_document_fills_the_list(tmp_path: Path) -> None:
    """A long document's chunks may be the first hundreds: what else there is to see lies below them."""
    long = "\n".join(
        f"The harbour light was repaired in the year {1800 + n} by the keeper." for n in range(900)
    )
    short = "The harbour light is green."
    folder = tmp_path / "harbour"
    folder.mkdir()
    documents = [
        {"id": "long", "title": "Log", "text": long},
        {"id": "short", "title": "Note", "text": short},
    ]
    questions = [{"id": "q", "question": "Who repaired the harbour light?", "gold_doc_ids": ["long"]}]
    for name, rows in (("documents", documents), ("questions", questions)):
        (folder / f"{name}.jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8"
        )
    embedder = HashEmbedder()
    index, places = build_index(read_set(folder), tmp_path / "work", tools=light_tools(embedder))
    with open_index(index) as opened:
        retriever = BlindRetriever(opened, embedder, RetrievalSettings())
        retriever.places, retriever.alone = places, "lexical"
        asked = "Which keeper repaired the harbour light?"
        assert {places[hit.source] for hit in retriever.search(asked, 65)} == {"long"}
        retriever.hidden = frozenset(["long"])
        assert {places[hit.source] for hit in retriever.search(asked, 5)} == {"short"}


def test_a_text_is_embedded_once_a_question_and_again_when_forgotten() -> None:
    counted = HashEmbedder()
    remembering = RememberingEmbedder(counted)
    first = remembering.embed(["a", "b", "a"])
    assert (first == counted.embed(["a", "b", "a"])).all()
    remembering.embed(["b"])
    assert counted.texts == ["a", "b", "a", "b", "a"]
    remembering.forget()
    remembering.embed(["b"])
    assert counted.texts[-1:] == ["b"]
    assert len(counted.texts) == 6


def test_the_halves_of_a_set_are_fixed_and_apart(folder: Path) -> None:
    questions = read_set(folder).questions
    even, odd = questions_of(questions, "even"), questions_of(questions, "odd")
    assert sorted(one.id for one in (*even, *odd)) == ["q1", "q2", "q3", "q4"]
    assert even == questions_of(questions, "even")


def write_questions(path: Path, *gold: str) -> Path:
    rows = [
        {"id": str(n), "question": "How much leave is there?", "gold_doc_ids": [one]}
        for n, one in enumerate(gold)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_own_questions_are_asked_of_an_index_and_again_without_their_documents(
    index_path: Path, ragqa: Run, tmp_path: Path
) -> None:
    """What a person does to measure refusals on their own corpus, from the file to the page."""
    questions = tmp_path / "own.jsonl"
    rows = [
        {
            "id": "leave",
            "question": "How many days of paid leave does every employee have?",
            "answers": ["28 days"],
            "gold_doc_ids": ["leave.md"],
            "evidence": [
                {"doc_id": "leave.md", "quotes": ["Every employee has 28 days of paid leave a year."]}
            ],
        },
        {"id": "moon", "question": "How far is the moon from the earth?", "answerable": False},
    ]
    questions.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    page = tmp_path / "page.html"
    options = ("--engine", "extractive", "--gold-removed", "--html", page, "--json")
    done = ragqa("eval", questions, "--index", index_path, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    metrics = record["metrics"]
    assert metrics["evidence@1"] == metrics["recall@5"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 1}
    assert metrics["refusal_recall"]["n"] == metrics["refusal_recall_gold_removed"]["n"] == 1
    assert metrics["refusal_auroc_gold_removed"]["value"] == 1.0
    assert record["gold_not_in_index"] == []
    assert "gold documents removed" in page.read_text(encoding="utf-8")


def test_gold_documents_that_the_index_does_not_hold_are_named(
    index_path: Path, ragqa: Run, tmp_path: Path
) -> None:
    """A misspelt name would otherwise be a figure of 0 without a word."""
    none = write_questions(tmp_path / "none.jsonl", "papers/leave.md", "nowhere.md")
    done = ragqa("eval", none, "--index", index_path, cwd=tmp_path)
    assert done.returncode == 1
    assert "'papers/leave.md' for one. Name them as `ragqa sources list` does" in done.stderr
    some = write_questions(tmp_path / "some.jsonl", "leave.md", "nowhere.md")
    done = ragqa("eval", some, "--index", index_path, cwd=tmp_path)
    assert done.returncode == 0
    assert "1 gold documents are not in the index, nowhere.md for one" in done.stderr
    assert "| recall@5 | 0.500 |" in done.stdout


def test_gold_named_by_the_second_of_two_equal_files_is_found(ragqa: Run, tmp_path: Path) -> None:
    for name in ("first.md", "second.md"):
        (tmp_path / "docs" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "docs" / name).write_text("# Leave\n\nEvery employee has 28 days of paid leave.\n")
    ingest(tmp_path / "docs", index=tmp_path / ".ragqa")
    questions = read_questions(write_questions(tmp_path / "own.jsonl", "first.md", "second.md"))
    report = measure("own", questions, tmp_path / ".ragqa", {}, embedder=HashEmbedder())
    assert report.metrics["recall@5"].value == 1.0


def test_a_set_of_files_is_measured_as_it_is_now(tmp_path: Path) -> None:
    given, kept = tmp_path / "given", tmp_path / "kept"
    given.mkdir()
    kept.mkdir()
    (given / "a.txt").write_text("one")
    (given / "b.txt").write_text("two")
    copy_files(sorted(given.iterdir()), kept)
    (given / "a.txt").write_text("another")
    (given / "b.txt").unlink()
    assert copy_files(sorted(given.iterdir()), kept) == {"a.txt": "a.txt"}
    assert {file.name: file.read_text() for file in kept.iterdir()} == {"a.txt": "another"}


def test_asking_for_what_cannot_be_measured_says_what_to_do(
    index_path: Path, ragqa: Run, tmp_path: Path
) -> None:
    questions = write_questions(tmp_path / "one.jsonl", "leave.md")
    done = ragqa("eval", questions, "--index", index_path, "--gold-removed", cwd=tmp_path)
    assert done.returncode == 2
    assert "name one too" in done.stderr
    empty = tmp_path / "empty.jsonl"
    empty.write_text("", encoding="utf-8")
    done = ragqa("eval", empty, "--index", index_path, cwd=tmp_path)
    assert done.returncode == 1
    assert "no question is left to ask" in done.stderr


@pytest.mark.parametrize("count", [1, 2])
def test_given_blocks_are_the_questions_own_and_others_that_hold_no_answer(
    folder: Path, tmp_path: Path, count: int
) -> None:
    embedder = HashEmbedder()
    question_set = read_set(folder)
    index, places = build_index(question_set, tmp_path / "work", tools=light_tools(embedder))
    with open_index(index) as opened:
        retriever = GivenRetriever(opened, embedder, RetrievalSettings())
        retriever.places, retriever.count = places, count
        for question in question_set.questions[:3]:
            retriever.turn_to(question)
            blocks = retriever.retrieve(question.text).blocks
            assert [places[block.source] for block in blocks].count(question.gold[0]) == 1
            assert len(blocks) == count
            assert retriever.retrieve(question.text).blocks == blocks
            retriever.turn_to(question, frozenset(question.gold))
            blind = retriever.retrieve(question.text).blocks
            assert blind
            assert question.gold[0] not in {places[block.source] for block in blind}
            assert not any(answer in block.text for answer in question.answers for block in blind)
