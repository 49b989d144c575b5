"""Figures of the shipped reader on the odd halves of the question sets, which it was not trained on.

    python benchmarks/reader_report.py answers SET...           sentences and refusals beside the gold passage
    python benchmarks/reader_report.py rank --work DIR SET...   the retriever's first fifty, ranked again

Sentences: the share of answerable questions of whose gold passage the first (one of the first three)
sentences is gold evidence. Refusals: the best window of the gold passage against that of the passage
annotated as nearest; where a set has no such questions, against the nearest passage by BM25 that does not
answer.
"""

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from reader_data import Maker, Source, documents_of, nearest_of, packed

from ingest.embed import load_embedder
from ingest.index import open_index
from ingest.sentences import sentence_spans
from ragqa.evaluation.bootstrap import mean_with_interval, two_sample_with_interval
from ragqa.evaluation.citing import is_right
from ragqa.evaluation.corpus import write_corpus
from ragqa.evaluation.question_set import Question, QuestionSet, read_set
from ragqa.evaluation.ranking import ndcg
from ragqa.evaluation.refusing import auroc, recall_at_over_refusal
from ragqa.evaluation.run import Asking, BlindRetriever
from ragqa.evaluation.suite import build_index, drawn, half_of
from ragqa.reader import Reader, Window
from ragqa.settings import RetrievalSettings
from ragqa.types import Hit

DATA = Path(os.environ.get("RAGQA_EVAL_DATA", "../shared")) / "eval"
WINDOW = 190
"""Tokens of a window, roughly."""
LONG = 3000
"""Of documents beyond as many tokens only the window that answers is read."""
SHARES = (0.0, 0.2, 0.3, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Judged:
    """Scores of a passage's sentences, which of them are gold, and the passage's own score, of one judge."""

    sentences: np.ndarray
    gold: np.ndarray
    passage: float


def reader_of(weights: Path | None) -> Reader:
    return Reader.load(weights, sha256(weights.read_bytes()).hexdigest()) if weights else Reader.load()


class ByReader:
    name = "reader"

    def __init__(self, weights: Path | None) -> None:
        self.reader = reader_of(weights)

    def judge(self, question: str, source: Source, windows: Sequence[range], gold: set[int]) -> Judged:
        made = [Window(source.title, tuple(source.sentences[n] for n in window)) for window in windows]
        readings = self.reader.read(question, made)
        scores = np.array([score for one in readings for score in one.sentences])
        return Judged(scores, marked(windows, gold), max(one.answerable for one in readings))


class ByCosine:
    name = "cosine"

    def __init__(self) -> None:
        self.embedder = load_embedder()

    def judge(self, question: str, source: Source, windows: Sequence[range], gold: set[int]) -> Judged:
        texts = [source.sentences[number] for window in windows for number in window]
        vectors = self.embedder.embed([question, *texts])
        scores = vectors[1:] @ vectors[0]
        return Judged(scores, marked(windows, gold), float(scores.max()))


def marked(windows: Sequence[range], gold: set[int]) -> np.ndarray:
    return np.array([number in gold for window in windows for number in window], dtype=bool)


def answers(name: str, judges: Sequence, limit: int) -> None:
    question_set, nearest = read_set(DATA / name), nearest_of(DATA / name)
    maker = Maker(name, documents_of(name, question_set.documents, "odd"), nearest)
    questions = tuple(one for one in question_set.questions if half_of(one) == "odd" and one.id in nearest)
    annotated = any(not one.answerable for one in questions)
    good: dict[str, list[Judged]] = {judge.name: [] for judge in judges}
    bad: dict[str, list[float]] = {judge.name: [] for judge in judges}
    for question in drawn(questions, limit):
        for case, absent in cases(maker, question, annotated):
            for judge in judges:
                found = judge.judge(question.text, *case)
                if absent:
                    bad[judge.name].append(found.passage)
                else:
                    good[judge.name].append(found)
    for judge in judges:
        print(line(name, judge.name, good[judge.name], bad[judge.name]), flush=True)
    if len(judges) > 1:
        first, second = (judge.name for judge in judges[:2])
        mixed = mix((good[first], bad[first]), (good[second], bad[second]))
        print(line(name, "both", *mixed), flush=True)


def mix(one: tuple[list[Judged], list[float]], other: tuple[list[Judged], list[float]]):
    """Two judges as one: the sums of their scores, each to mean 0 and deviation 1 beforehand."""
    passages = sum(standard([*(j.passage for j in good), *bad]) for good, bad in (one, other))
    good = [
        Judged(standard(a.sentences) + standard(b.sentences), a.gold, float(passage))
        for a, b, passage in zip(one[0], other[0], passages, strict=False)
    ]
    return good, passages[len(good) :].tolist()


def cases(maker: Maker, question: Question, annotated: bool):
    """What a question is judged beside: (source, windows, gold sentences), and whether no answer is there."""
    if not question.answerable:
        source = maker.sources.get(maker.nearest.get(question.id, ""))
        if source is not None:
            yield (source, list(packed(source, WINDOW)), set()), True
        return
    known = [name for name in question.gold if name in maker.sources]
    gold = {mark.sentence for mark in maker.marks(question, known[0])} if known else set()
    if not gold or not question.evidence:
        return
    source = maker.sources[known[0]]
    windows = list(packed(source, WINDOW))
    if sum(source.sizes) > LONG:
        windows = [window for window in windows if gold & set(window)]
    yield (source, windows, gold), False
    for name, window in [] if annotated else maker.near_miss(question)[:1]:
        yield (maker.sources[name], [window], set()), True


def line(name: str, judge: str, good: list[Judged], bad: list[float]) -> str:
    many = [one for one in good if len(one.sentences) > 1]
    order = [one.gold[np.argsort(-one.sentences, kind="stable")] for one in many]
    hits = [mean_with_interval([float(gold[:depth].any()) for gold in order]) for depth in (1, 3)]
    parts = [f"hit@{d} {e.value:.3f} [{e.low:.3f}, {e.high:.3f}]" for d, e in zip((1, 3), hits, strict=True)]
    there = [one.passage for one in good]
    if bad:
        area = two_sample_with_interval(auroc, there, bad)
        refused = two_sample_with_interval(
            lambda a, b: recall_at_over_refusal(a, b).refusal_recall, there, bad, resamples=200
        )
        parts += [
            f"{label} {e.value:.3f} [{e.low:.3f}, {e.high:.3f}]"
            for label, e in (("AUROC", area), ("refusal recall at 0.15", refused))
        ]
    return f"{name:9s} {judge:7s} n={len(many)}+{len(bad)}  " + "  ".join(parts)


def rank(name: str, weights: Path | None, work: Path, limit: int) -> None:
    """Fifty passages by the retriever, ranked again by a mix of both scores, standardised."""
    reader = reader_of(weights)
    question_set = read_set(DATA / name)
    index_path, places = made_index(question_set, work / name)
    questions = tuple(one for one in question_set.questions if half_of(one) == "odd" and one.gold)
    found: dict[float, list[float]] = {share: [] for share in SHARES}
    spent, count = 0.0, 0
    with open_index(index_path) as index:
        retriever = BlindRetriever(index, load_embedder(), RetrievalSettings())
        asking = Asking(retriever, None, places)
        for question in drawn(questions, limit):
            hits = retriever.search(question.text, 50)
            began = time.process_time()
            read = standard(
                [one.answerable for one in reader.read(question.text, list(map(window_of, hits)))]
            )
            spent, count = spent + time.process_time() - began, count + len(hits)
            first = standard([hit.score for hit in hits])
            for share in SHARES:
                order = np.argsort(-((1 - share) * first + share * read), kind="stable")
                found[share].append(success([hits[number] for number in order], question, asking))
    print(f"{name}: {spent / max(1, count) * 1000:.0f} ms of CPU to read a passage")
    for share, values in found.items():
        mean = mean_with_interval(values)
        print(f"  reader's share {share:.1f}: {mean.value:.3f} [{mean.low:.3f}, {mean.high:.3f}] n={mean.n}")


def made_index(question_set: QuestionSet, folder: Path) -> tuple[Path, Mapping[str, str]]:
    """The set's index under `folder`, made where it is not there."""
    if not (folder / ".ragqa").is_dir():
        return build_index(question_set, folder)
    return folder / ".ragqa", write_corpus(question_set, folder / "documents")


def success(hits: Sequence[Hit], question: Question, asking: Asking) -> float:
    """Whether the answer stands in one of ten passages, where places are known; else nDCG@10 of documents."""
    evidence = asking.evidence(question.evidence)
    if evidence:
        places = [asking.place_of(hit.source, hit.start, hit.end) for hit in hits[:10]]
        return float(any(is_right(place, evidence) for place in places))
    ranked = dict.fromkeys(asking.places.get(hit.source, hit.source) for hit in hits)
    return ndcg(list(ranked), question.gold)


def window_of(hit: Hit) -> Window:
    title = " / ".join(dict.fromkeys(part for part in (hit.title, *hit.section) if part))
    return Window(title, tuple(hit.text[a:b] for a, b in sentence_spans(hit.text)))


def standard(values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    return (array - array.mean()) / max(1e-9, float(array.std()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=("answers", "rank"))
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--limit", type=int, default=10**6)
    parser.add_argument("--judge", choices=("reader", "cosine"), action="append")
    given = parser.parse_args()
    for name in given.sets:
        if given.step == "rank":
            rank(name, given.weights, given.work, given.limit)
        else:
            asked = given.judge or ["reader", "cosine"]
            judges = [ByReader(given.weights) if one == "reader" else ByCosine() for one in asked]
            answers(name, judges, given.limit)


if __name__ == "__main__":
    main()
