"""Measure ideas for retrieval on question sets: chosen on the even half of the questions, seen on the odd.

    python benchmarks/retrieval.py --work DIR SET...

Each set is ingested once under DIR. The first row is the retriever as it ships; every other is one change
from its fused and linked lists, before feedback and coverage. The table gives the set's own measure (all
supports for multihop, recall@5 for sets with one gold passage, else nDCG@10).
"""

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from ingest.catalogue import lexical
from ingest.embed import load_embedder
from ingest.index import open_index
from ragqa.evaluation.question_set import Question, read_set
from ragqa.evaluation.ranking import all_support, ndcg, recall
from ragqa.evaluation.suite import build_index, half_of
from ragqa.fusion import fuse, link_titles
from ragqa.retriever import WITHOUT_A_WORD, Retriever, hit_of
from ragqa.settings import RetrievalSettings

DATA = Path(os.environ.get("RAGQA_EVAL_DATA", "../shared")) / "eval"
SHIPPED = RetrievalSettings()
RECALL_SETS = frozenset({"qed", "clapnq", "squad2", "nq_gold"})


@dataclass(frozen=True)
class Idea:
    """One way to rank. `fusion` is `z`, `minmax` or `rank`; words in up to `common` chunks stay in."""

    name: str
    dense: float = SHIPPED.dense_weight
    candidates: int = SHIPPED.candidates
    fusion: str = "z"
    links: bool = True
    fields: tuple[float, float, float] = (2.0, 1.0, 1.0)
    common: int = lexical.CHEAP_FREQUENCY


BASE = Idea("fused and linked")
IDEAS = (
    BASE,
    replace(BASE, name="dense alone", dense=1.0, links=False),
    replace(BASE, name="lexical alone", dense=0.0, links=False),
    *(replace(BASE, name=f"dense weight {weight}", dense=weight) for weight in (0.4, 0.5, 0.7, 0.8)),
    *(replace(BASE, name=f"{count} candidates", candidates=count) for count in (30, 50, 200, 300)),
    replace(BASE, name="min-max instead of z", fusion="minmax"),
    replace(BASE, name="reciprocal rank fusion", fusion="rank"),
    replace(BASE, name="no links between titles", links=False),
    *(
        replace(BASE, name=f"title counts {weight:g}", fields=(weight, 1.0, 1.0))
        for weight in (0.0, 1.0, 4.0)
    ),
    *(
        replace(BASE, name=f"words in up to {count} chunks kept", common=count)
        for count in (100, 2000, 10**9)
    ),
)


class Bench:
    """One index with its questions; rankings by retriever are kept, since ideas share them."""

    def __init__(self, index, embedder, places, questions: Sequence[Question]) -> None:
        self.index = index
        self.retriever = Retriever(index, embedder, SHIPPED)
        self.places = places
        self.questions = [one for one in questions if one.gold]
        self.vectors = embedder.embed([one.text for one in self.questions])
        self.lexical_lists: dict = {}
        self.dense_lists = [index.dense(vector, 1000) for vector in self.vectors]

    def lexical(self, number: int, idea: Idea):
        key = (number, idea.fields, idea.common)
        if key not in self.lexical_lists:
            lexical.CHEAP_FREQUENCY = idea.common
            text = self.questions[number].text
            self.lexical_lists[key] = self.index.lexical(text, 1000, weights=idea.fields)
        return self.lexical_lists[key]

    def ranked(self, number: int, idea: Idea) -> list[str]:
        """The ids of the set's documents (or pages), best first."""
        found = {
            "dense": self.dense_lists[number][: idea.candidates] if idea.dense > 0 else [],
            "lexical": self.lexical(number, idea)[: idea.candidates] if idea.dense < 1 else [],
        }
        fused = FUSIONS[idea.fusion](found, {"dense": idea.dense, "lexical": 1 - idea.dense})
        chunks = self.index.chunks([chunk_id for chunk_id, _, _ in fused])
        hits = [hit_of(chunk, score, ranks) for chunk, (_, score, ranks) in zip(chunks, fused, strict=True)]
        if idea.links:
            hits = link_titles(self.questions[number].text, hits)
        return self.named(number, hits)

    def shipped(self, number: int) -> list[str]:
        """As `ranked`, by the retriever itself."""
        return self.named(number, self.retriever.search(self.questions[number].text, SHIPPED.candidates))

    def named(self, number: int, hits) -> list[str]:
        by_page = any("#page=" in gold for gold in self.questions[number].gold)
        return list(dict.fromkeys(name for hit in hits for name in self.names(hit, by_page=by_page)))

    def names(self, hit, *, by_page: bool) -> list[str]:
        document = self.places.get(hit.source, hit.source)
        if not by_page or hit.page is None:
            return [document]
        return [f"{document}#page={page}" for page in range(hit.page, (hit.page_end or hit.page) + 1)]

    def values(self, idea: Idea, measure: Callable[[Sequence[str], Sequence[str]], float]) -> list[float]:
        return [measure(self.ranked(number, idea), one.gold) for number, one in enumerate(self.questions)]


def fuse_min_max(found, weights):
    """As `fuse`, each list's scores between 0 and 1."""
    scores: dict[int, float] = {}
    for name, ranking in found.items():
        values = [score for _, score in ranking]
        spread = (max(values) - min(values) or 1.0) if values else 1.0
        for chunk_id, score in ranking:
            share = weights[name] * (score - min(values)) / spread
            scores[chunk_id] = scores.get(chunk_id, 0.0) + share
    return [(one, scores[one], ()) for one in sorted(scores, key=lambda one: (-scores[one], one))]


def fuse_ranks(found, weights):
    """Reciprocal rank fusion with k = 60 (Cormack, Clarke and Büttcher, SIGIR 2009)."""
    scores: dict[int, float] = {}
    for name, ranking in found.items():
        for rank, (chunk_id, _) in enumerate(ranking, start=1):
            scores[chunk_id] = scores.get(chunk_id, 0.0) + weights[name] / (60 + rank)
    return [(one, scores[one], ()) for one in sorted(scores, key=lambda one: (-scores[one], one))]


FUSIONS = {"z": partial(fuse, unfound=WITHOUT_A_WORD), "minmax": fuse_min_max, "rank": fuse_ranks}


def measure_of(name: str) -> tuple[str, Callable[[Sequence[str], Sequence[str]], float]]:
    if name == "multihop":
        return "all_support@10", lambda ranked, gold: all_support(ranked, gold, 10)
    if set(name.split("+")) <= RECALL_SETS:
        return "recall@5", lambda ranked, gold: recall(ranked, gold, 5)
    if name == "financebench":
        return "any page@10", lambda ranked, gold: float(bool(set(ranked[:10]) & set(gold)))
    if name == "sec10q":
        return "any file@5", lambda ranked, gold: float(bool(set(ranked[:5]) & set(gold)))
    return "ndcg@10", lambda ranked, gold: ndcg(ranked, gold, 10)


def run(name: str, bench: Bench) -> None:
    label, measure = measure_of(name)
    halves = np.array([half_of(one) == "even" for one in bench.questions])
    print(f"\n| {name}: {label} | even | odd | all, n = {len(halves)} |\n|---|---|---|---|")
    whole = [measure(bench.shipped(number), one.gold) for number, one in enumerate(bench.questions)]
    rows = ((idea.name, bench.values(idea, measure)) for idea in IDEAS)
    for name_of, found in chain([("shipped", whole)], rows):
        values = np.array(found)
        even, odd = values[halves].mean(), values[~halves].mean()
        print(f"| {name_of} | {even:.3f} | {odd:.3f} | {values.mean():.3f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    embedder = load_embedder()
    for name in arguments.sets:
        question_set = read_set(DATA / name)
        path, places = build_index(question_set, arguments.work / name)
        with open_index(path) as index:
            run(name, Bench(index, embedder, places, question_set.questions))


if __name__ == "__main__":
    main()
