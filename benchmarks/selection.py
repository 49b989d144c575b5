"""What sentence selection is fitted and measured on: questions with their blocks and what a reader says.

    python benchmarks/selection.py collect --work DIR SET...   blocks and features of each question
    python benchmarks/selection.py read --work DIR SET...      what the reader says of the best candidates
    (then benchmarks/selection_fit.py)

Roles keep data apart. `fit`: the even halves by subject, the tune split of `data/`. `apart`: the even titles
that the reader never saw (`benchmarks/reader_data.py`): what it says there is what it says of documents it
does not know. `report`: the odd halves and the report split, on which nothing is chosen.

Questions are asked of the whole index or of a few documents of it (people's folders are small), with their
gold documents or with them taken out (then no answer is there). Sets whose licence forbids commercial use are
left out of the fit.
"""

import argparse
import json
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from reader_data import is_apart
from reader_near_misses import part_of

from ingest.embed import load_embedder
from ingest.index import open_index
from ingest.pipeline import IngestOptions, ingest_paths
from ragqa.candidates import pieces_of
from ragqa.evaluation.citing import is_right
from ragqa.evaluation.question_set import Question, read_questions, read_set
from ragqa.evaluation.run import Asking, BlindRetriever
from ragqa.evaluation.suite import build_index, half_of
from ragqa.fitted import load_models
from ragqa.selection import candidate_features, rank
from ragqa.settings import RetrievalSettings
from ragqa.types import ContextBlock
from ragqa.windows import passages_of

DATA = Path(os.environ.get("RAGQA_EVAL_DATA", "../shared")) / "eval"
SAMPLE = Path(__file__).parent.parent / "data"
SMALL = (4, 40)
"""Documents in a small folder, drawn evenly between these."""
ROLES = ("fit", "apart", "report")
NEAR_MISSES = "near_misses"
"""The set that `reader_near_misses.py --set` writes, beside the others."""


@dataclass(slots=True)
class Case:
    """One question under one condition: its blocks, a row of features and a gold mark for each candidate.

    `readings` are what the reader said of each passage: [block, places in it, answerable, of each place,
    words that answer in each].
    """

    set_name: str
    question: str
    question_id: str
    condition: str
    role: str
    answerable: bool
    blocks: list[ContextBlock]
    rows: np.ndarray
    gold: np.ndarray
    readings: list | None = field(default=None)


class NarrowRetriever(BlindRetriever):
    """A retriever that sees only some documents, by the set's ids; None is all."""

    only: frozenset[str] | None = None

    def by_vector(self, vector, width, where=()):
        return self._seen(super().by_vector, vector, width, where)

    def by_words(self, words, width, where=()):
        return self._seen(super().by_words, words, width, where)

    def _seen(self, find, asked, width, where):
        if self.only is None:
            return find(asked, width, where)
        names = self._names()
        return [pair for pair in find(asked, 100_000, where) if names[pair[0]] in self.only][:width]

    def _names(self):
        """The set's document of each chunk."""
        if not hasattr(self, "chunk_documents"):
            origin = np.zeros(self.index.settings.dimensions, np.float32)
            ids = [one for one, _ in self.index.dense(origin, 10**6)]
            self.chunk_documents = {
                chunk.id: self.places.get(chunk.source, chunk.source) for chunk in self.index.chunks(ids)
            }
        return self.chunk_documents


class Remembering:
    """An embedder that embeds no text twice: the same sentences come under several conditions."""

    def __init__(self, embedder) -> None:
        self.embedder, self.name, self.known = embedder, embedder.name, {}

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        if new:
            self.known.update(zip(new, self.embedder.embed(new), strict=True))
        return np.stack([self.known[text] for text in texts])


def role_of(name: str, question: Question, splits: dict[str, str]) -> str:
    if name == "sample":
        return "fit" if splits[question.id] == "tune" else "report"
    if name == NEAR_MISSES:
        return {"near": "fit", "near_choose": "apart"}.get(part_of(question.asked_of), "report")
    if name.startswith("train_"):
        return "fit"
    if half_of(question) == "odd":
        return "report"
    return "apart" if is_apart(name, question.subject) else "fit"


def chosen(questions: Sequence[Question], name: str, limits: dict[str, int]) -> list[tuple[Question, str]]:
    """At most so many questions of each role, drawn by a fixed seed."""
    splits = sample_splits() if name == "sample" else {}
    usable = [one for one in questions if not one.answerable or any(e.quotes for e in one.evidence)]
    random.Random(5).shuffle(usable)
    out = []
    for role in ROLES:
        mine = [(one, role) for one in usable if role_of(name, one, splits) == role]
        out += mine[: limits[role]]
    return out


def sample_splits() -> dict[str, str]:
    lines = (SAMPLE / "questions.jsonl").read_text(encoding="utf-8").strip().split("\n")
    return {row["id"]: row["meta"]["split"] for row in map(json.loads, lines)}


def conditions(question: Question, number: int, role: str, name: str) -> list[str]:
    """Which conditions a question is asked under: all of them in turn, so that none costs too much."""
    if name == "sample":
        return ["whole", "whole removed"] if question.answerable else ["whole"]
    if not question.answerable:
        return ["whole"] if number % 2 or role == "report" else ["small"]
    if role == "report":
        return ["whole", ("whole removed", "small", "small removed")[number % 3]]
    return (["whole", "small removed"], ["small", "whole removed"])[number % 2]


def collect(name: str, work: Path, limits: dict[str, int], embedder) -> Iterator[Case]:
    """The cases of a set."""
    if name == "sample":
        index_path, places, names = work / "sample" / ".ragqa", {}, []
        ingest_paths([SAMPLE / "documents"], index_path, IngestOptions())
        questions = read_questions(SAMPLE / "questions.jsonl")
    else:
        question_set = read_set(DATA / name)
        index_path, places = build_index(question_set, work / name)
        names = [document.id for document in question_set.documents]
        questions = question_set.questions
    draw = random.Random(5)
    with open_index(index_path) as index:
        retriever = NarrowRetriever(index, embedder, RetrievalSettings())
        asking = Asking(retriever, None, places)
        for number, (question, role) in enumerate(chosen(questions, name, limits)):
            for condition in conditions(question, number, role, name):
                prepare(retriever, question, condition, names, draw)
                yield case_of(name, question, condition, role, asking, embedder)


def prepare(retriever, question: Question, condition: str, names: list[str], draw: random.Random) -> None:
    retriever.only = None
    if condition.startswith("small"):
        others = draw.sample(names, min(len(names), draw.randint(*SMALL)))
        retriever.only = frozenset([*others, *question.gold])
    retriever.hidden = frozenset(question.gold if condition.endswith("removed") else ())


def case_of(name, question, condition, role, asking, embedder) -> Case:
    blocks = list(asking.retriever.retrieve(question.text).blocks)
    pieces, rows = candidate_features(question.text, blocks, embedder.embed)
    evidence = asking.evidence(question.evidence)
    candidates = [one for made in pieces for one in made.candidates]
    places = [asking.place_of(one.block.source, one.start, one.end) for one in candidates]
    gold = np.array([is_right(place, evidence) for place in places], dtype=bool)
    answerable = question.answerable and not condition.endswith("removed")
    return Case(name, question.text, question.id, condition, role, answerable, blocks, rows, gold)


def read_cases(cases: Sequence[Case], limits: dict[str, int], reader) -> None:
    """Let the reader read the passages around the best candidates of so many questions of each role."""
    from ragqa.reader import Window

    plain, _ = load_models()
    asked = {role: dict.fromkeys(one.question_id for one in cases if one.role == role) for role in ROLES}
    drawn = {(role, one) for role, names in asked.items() for one in list(names)[: limits[role]]}
    for case in cases:
        if (case.role, case.question_id) in drawn and len(case.gold):
            ranked = rank(case.question, case.blocks, pieces_of(case.blocks), case.rows, plain.ranking)
            passages = passages_of(ranked.candidates, ranked.pieces)
            found = reader.read(case.question, [Window(one.title, one.sentences) for one in passages])
            case.readings = [
                [passage.key, passage.places, one.answerable, one.sentences, one.answers]
                for passage, one in zip(passages, found, strict=True)
            ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=("collect", "read"))
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--work", type=Path, required=True)
    for role, limit in zip(ROLES, (200, 120, 150), strict=True):
        parser.add_argument(f"--{role}", type=int, default=limit, help="at most so many questions")
    arguments = parser.parse_args()
    limits = {role: getattr(arguments, role) for role in ROLES}
    if arguments.step == "collect":
        embedder = load_embedder()
        for name in arguments.sets:
            save(arguments.work, name, list(collect(name, arguments.work, limits, Remembering(embedder))))
        return
    from ragqa.reader import Reader

    reader = Reader.load()
    for name in arguments.sets:
        cases = load(arguments.work, name)
        read_cases(cases, limits, reader)
        save(arguments.work, name, cases)


def save(work: Path, name: str, cases: Sequence[Case]) -> None:
    np.savez_compressed(
        work / f"{name}.cases.npz",
        sizes=np.array([len(case.gold) for case in cases]),
        rows=np.concatenate([case.rows for case in cases]),
        gold=np.concatenate([case.gold for case in cases]),
    )
    plain = ("set_name", "question", "question_id", "condition", "role", "answerable", "readings")
    with (work / f"{name}.cases.jsonl").open("w", encoding="utf-8") as file:
        for case in cases:
            record = {key: getattr(case, key) for key in plain}
            record["blocks"] = [asdict(block) for block in case.blocks]
            file.write(json.dumps(record) + "\n")


def load(work: Path, name: str) -> list[Case]:
    path = work / f"{name}.cases.npz"
    if not path.is_file():
        return []
    with np.load(path, allow_pickle=False) as file:
        sizes, rows, gold = (file[key] for key in ("sizes", "rows", "gold"))
    cases = []
    end = 0
    lines = (work / f"{name}.cases.jsonl").read_text(encoding="utf-8").strip().split("\n")
    for line, size in zip(lines, sizes, strict=True):
        record = json.loads(line)
        blocks = [block_of(one) for one in record.pop("blocks")]
        part = slice(end, end := end + size)
        cases.append(Case(**record, blocks=blocks, rows=rows[part], gold=gold[part]))
    return cases


def block_of(record: dict) -> ContextBlock:
    lists = {"section": tuple(record["section"]), "metadata": tuple(map(tuple, record["metadata"]))}
    return ContextBlock(**{**record, **lists})


if __name__ == "__main__":
    main()
