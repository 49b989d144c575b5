"""Questions that a passage almost answers, for the reader: `near_misses/` and the train sets.

    python benchmarks/reader_near_misses.py --work DIR    near.jsonl, near_choose, near_report, rows_report,
                                                          papers_report
    python benchmarks/reader_near_misses.py --work DIR --others train.jsonl --most N --seed S
                                    mixed.jsonl, too: near.jsonl with N pairs of these, cut anew by --again
    python benchmarks/reader_near_misses.py --set DIR [--part near_choose]
                                                          the same as a set for `ragqa eval`, for selection;
                                                          `--part near`: for tuning the small model

A line of `questions.jsonl` is {"doc", "question", "answer", "kind"}: `doc` is the id of a document of a
`train_*` set or of `passages.jsonl` (papers of offices and workshops that do not exist), `answer` the words
of it that answer, or null. Of each document three have an answer and four have none: one word is another
("swapped"), the opposite, another condition, attribute, verb or role is asked for, a reason or what came
next. A large language model wrote them, passage by passage: squad2's even half has such of four articles.
One document in twelve is kept apart for choosing, the passages `report…#…` for figures.

Where a line says "whole", the question was asked of a whole paper (its sections are `papers#1/0` and on) or
of all paragraphs of an article that have such questions, and one of them alone answers it: it is read beside
that of the others, too, that shares most words with it. Folders are full of such passages.

The pairs are those of `reader_data.py`: each question beside a window of its passage. A line of a passage
is a sentence: rows stand there as the reader gets them, with the names of their columns.
"""

import argparse
import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from zlib import crc32

from reader_data import DATA, TRAINING, Maker, Source, again, crop, find, size, words, write

from ingest.sentences import sentence_spans
from ragqa.evaluation.question_set import SetDocument, read_set

NEAR_MISSES = Path(__file__).parent / "near_misses"
APART = 12
CELL = re.compile(r"[^:;]{1,40}: ")
CELLS = re.compile(r"; (?=[^:;]{1,40}: )")


def part_of(document: str) -> str:
    if document.startswith("report"):
        kind = document.partition("#")[0].partition("-")[2]
        return f"{kind or 'near'}_report"
    return "near" if crc32(document.partition("/")[0].encode()) % APART else "near_choose"


def paper_of(document: str, maker: Maker) -> str:
    """The paper that it is a section of, or the article that it is a paragraph of."""
    paper, section, _ = document.partition("/")
    return paper if section else maker.sources[document].title


def is_rows(document: str) -> bool:
    """Tables and lists, a row or an item a line."""
    return "rows#" in document


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").strip().split("\n")]


def documents(wanted: set[str]) -> list[SetDocument]:
    """The documents that questions are asked of."""
    sets = (read_set(DATA / f"train_{name}") for name in TRAINING)
    written = [SetDocument(**row) for row in lines(NEAR_MISSES / "passages.jsonl")]
    return [one for one in (*written, *(one for read in sets for one in read.documents)) if one.id in wanted]


def source_by_lines(title: str, text: str) -> Source:
    """The passage cut into sentences, none longer than its line."""
    found, begin = [], 0
    for line in text.split("\n"):
        found += [(begin + start, begin + end) for start, end in sentence_spans(line)]
        begin += len(line) + 1
    sentences = tuple(" ".join(text[start:end].split()) for start, end in found)
    return Source(title, sentences, tuple(start for start, _ in found), tuple(map(size, sentences)))


def pairs_of(row: dict, maker: Maker) -> Iterator[dict]:
    """The question beside a window around its answer, or around the sentence with most of its words."""
    source = maker.sources[row["doc"]]
    marks = find(source.sentences, row["answer"]) if row["answer"] else []
    if row["answer"] and not marks:
        return
    if is_rows(row["doc"]) and len({mark.sentence for mark in marks}) > 1:
        return  # the cell stands in several rows, and which of them answers is not known
    asked = words(row["question"])
    shares = [len(asked & words(sentence)) for sentence in source.sentences]
    nearest = shares.index(max(shares))
    # Where the answer stands several times, the sentence with most of the question's words has it.
    best = max(marks, key=lambda mark: shares[mark.sentence]).sentence if marks else nearest
    kind = "answered" if marks else "unanswerable"
    window = crop(source, best, maker.draw, wide=maker.draw.random() < (0.8 if is_rows(row["doc"]) else 0.5))
    yield maker.pair(kind, row["question"], source, window, marks) | {"asks": row["kind"]}


def beside(row: dict, sections: dict[str, list[str]], maker: Maker) -> Iterator[dict]:
    """A question that one section answers, beside the other with most of its words, which does not."""
    if not (row.get("whole") and row["answer"]):
        return
    asked, found = words(row["question"]), []
    for name in sections[paper_of(row["doc"], maker)]:
        source, apart = maker.sources[name], part_of(name) != part_of(row["doc"])
        if name == row["doc"] or apart or find(source.sentences, row["answer"]):
            continue
        shares = [len(asked & words(sentence)) for sentence in source.sentences]
        found.append((max(shares), name, shares.index(max(shares))))
    if found:
        _, name, nearest = max(found)
        window = crop(maker.sources[name], nearest, maker.draw, wide=maker.draw.random() < 0.5)
        yield maker.pair("near", row["question"], maker.sources[name], window) | {"asks": "elsewhere"}


def write_set(folder: Path, rows: list[dict], found: list[SetDocument]) -> None:
    """The questions as a set: `asked_of` is known of those without an answer, too.

    Tables stand there as Markdown; a question whose answer is in no cell of one, or in several, is left out.
    """
    texts = {one.id: with_tables(one.text) if is_rows(one.id) else one.text for one in found}
    questions = []
    for number, row in enumerate(rows):
        answer, text = row["answer"], texts[row["doc"]]
        if answer and is_rows(row["doc"]):
            answer = answer.rpartition(": ")[2]
            if "; " in row["answer"] or text.count(answer) != 1:
                continue
        questions.append(
            {
                "id": f"near-{number}",
                "question": row["question"],
                "answers": [answer] if answer else [],
                "gold_doc_ids": [row["doc"]] if answer else [],
                "evidence": [evidence(row["doc"], answer, text)] if answer else [],
                "answerable": answer is not None,
                "meta": {"nearest_doc": row["doc"], "kind": row["kind"]},
            }
        )
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "questions.jsonl", questions)
    write(folder / "documents.jsonl", [{"id": d.id, "title": d.title, "text": texts[d.id]} for d in found])


def with_tables(text: str) -> str:
    """Lines that say the same column first, one after the other, as one Markdown table."""

    def first(line: str) -> str:
        return line.partition(": ")[0] if line.count("; ") and CELL.match(line) else ""

    out = []
    for name, grouped in groupby(text.split("\n"), key=first):
        mine = list(grouped)
        if not name or len(mine) < 2:
            out += mine
            continue
        rows = [dict(cell.partition(": ")[::2] for cell in CELLS.split(line)) for line in mine]
        columns = list(dict.fromkeys(column for row in rows for column in row))
        out += ["", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
        out += [f"| {' | '.join(row.get(column, '') for column in columns)} |" for row in rows] + [""]
    return "\n".join(out)


def evidence(document: str, answer: str, text: str) -> dict:
    start = text.index(answer)
    return {"doc_id": document, "quotes": [answer], "start": start, "end": start + len(answer)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path)
    parser.add_argument("--others", type=Path, help="what `reader_data.py` wrote")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--most", type=int, default=8_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", type=Path, dest="folder")
    parser.add_argument("--part", help="of these only one: near, near_choose or one for figures")
    given = parser.parse_args()
    rows = lines(NEAR_MISSES / "questions.jsonl")
    found = documents({row["doc"] for row in rows})
    if given.folder:
        chosen = [row for row in rows if given.part in (None, part_of(row["doc"]))]
        asked_of = {row["doc"] for row in chosen}
        write_set(given.folder, chosen, [one for one in found if one.id in asked_of])
    if not given.work:
        return
    maker = Maker("near_misses", found, {})
    maker.draw = random.Random(f"near misses {given.seed}")
    for row in lines(NEAR_MISSES / "passages.jsonl"):
        maker.sources[row["id"]] = source_by_lines(row["title"], row["text"])
    sections: dict[str, list[str]] = defaultdict(list)
    for name in dict.fromkeys(row["doc"] for row in rows if row.get("whole")):
        sections[paper_of(name, maker)].append(name)
    kept: dict[str, list[dict]] = defaultdict(list)
    for row in rows:
        kept[part_of(row["doc"])] += (*pairs_of(row, maker), *beside(row, sections, maker))
    draw = random.Random(given.seed)
    draw.shuffle(kept["near"])
    if given.others:
        others = lines(given.others)
        draw.shuffle(others)
        others = again(others) if given.again else others
        kept["mixed"] = [*kept["near"], *others[: given.most]]
        draw.shuffle(kept["mixed"])
    given.work.mkdir(parents=True, exist_ok=True)
    for name, pairs in kept.items():
        write(given.work / f"{name}.jsonl", pairs)
        print(name, len(pairs), "pairs,", sum(bool(one["gold"]) for one in pairs), "with an answer")


if __name__ == "__main__":
    main()
