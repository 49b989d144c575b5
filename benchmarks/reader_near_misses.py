"""Questions that a passage almost answers, for the reader: `near_misses/` and the train sets.

    python benchmarks/reader_near_misses.py --work DIR    near.jsonl, near_choose.jsonl, near_report.jsonl
    python benchmarks/reader_near_misses.py --set DIR     the same as a set for `ragqa eval`, for selection

A line of `questions.jsonl` is {"doc", "question", "answer", "kind"}: `doc` is the id of a document of a
`train_*` set or of `passages.jsonl` (papers of offices and workshops that do not exist), `answer` the words
of it that answer, or null. Of each document three have an answer and four have none: one word is another
("swapped"), the opposite, another condition, attribute, verb or role is asked for, a reason or what came
next. A large language model wrote them, passage by passage: squad2's even half has such of four articles.
One document in twelve is kept apart for choosing, the passages `report#…` for figures.

The pairs are those of `reader_data.py`: each question beside a window of its passage.
"""

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

from reader_data import DATA, TRAINING, Maker, crop, find, words, write

from ragqa.evaluation.question_set import SetDocument, read_set

NEAR_MISSES = Path(__file__).parent / "near_misses"
APART = 12


def part_of(document: str) -> str:
    if document.startswith("report#"):
        return "near_report"
    return "near" if crc32(document.encode()) % APART else "near_choose"


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").strip().split("\n")]


def documents(wanted: set[str]) -> list[SetDocument]:
    """The documents that questions are asked of."""
    sets = (read_set(DATA / f"train_{name}") for name in TRAINING)
    written = [SetDocument(**row) for row in lines(NEAR_MISSES / "passages.jsonl")]
    return [one for one in (*written, *(one for read in sets for one in read.documents)) if one.id in wanted]


def pairs_of(row: dict, maker: Maker) -> Iterator[dict]:
    """The question beside a window around its answer, or around the sentence with most of its words."""
    source = maker.sources[row["doc"]]
    marks = find(source.sentences, row["answer"]) if row["answer"] else []
    if row["answer"] and not marks:
        return
    asked = words(row["question"])
    shares = [len(asked & words(sentence)) for sentence in source.sentences]
    nearest = shares.index(max(shares))
    # Where the answer stands several times, the sentence with most of the question's words has it.
    best = max(marks, key=lambda mark: shares[mark.sentence]).sentence if marks else nearest
    kind = "answered" if marks else "unanswerable"
    window = crop(source, best, maker.draw, wide=maker.draw.random() < 0.5)
    yield maker.pair(kind, row["question"], source, window, marks) | {"asks": row["kind"]}


def write_set(folder: Path, rows: list[dict], found: list[SetDocument]) -> None:
    """The questions as a set: `asked_of` is known of those without an answer, too."""
    texts = {one.id: one.text for one in found}
    questions = [
        {
            "id": f"near-{number}",
            "question": row["question"],
            "answers": [row["answer"]] if row["answer"] else [],
            "gold_doc_ids": [row["doc"]] if row["answer"] else [],
            "evidence": [evidence(row, texts[row["doc"]])] if row["answer"] else [],
            "answerable": row["answer"] is not None,
            "meta": {"nearest_doc": row["doc"], "kind": row["kind"]},
        }
        for number, row in enumerate(rows)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "questions.jsonl", questions)
    write(folder / "documents.jsonl", [{"id": d.id, "title": d.title, "text": d.text} for d in found])


def evidence(row: dict, text: str) -> dict:
    start = text.index(row["answer"])
    return {
        "doc_id": row["doc"],
        "quotes": [row["answer"]],
        "start": start,
        "end": start + len(row["answer"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path)
    parser.add_argument("--set", type=Path, dest="folder")
    given = parser.parse_args()
    rows = lines(NEAR_MISSES / "questions.jsonl")
    found = documents({row["doc"] for row in rows})
    if given.folder:
        write_set(given.folder, rows, found)
    if not given.work:
        return
    maker = Maker("near_misses", found, {})
    kept: dict[str, list[dict]] = {"near": [], "near_choose": [], "near_report": []}
    for row in rows:
        kept[part_of(row["doc"])] += pairs_of(row, maker)
    random.Random(0).shuffle(kept["near"])
    given.work.mkdir(parents=True, exist_ok=True)
    for name, pairs in kept.items():
        write(given.work / f"{name}.jsonl", pairs)
        print(name, len(pairs), "pairs,", sum(bool(one["gold"]) for one in pairs), "with an answer")


if __name__ == "__main__":
    main()
