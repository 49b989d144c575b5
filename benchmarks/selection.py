"""Fit and measure the models of sentence selection (`ragqa/assets/selection.json`).

    python benchmarks/selection.py collect --work DIR SET...   features of every candidate sentence
    python benchmarks/selection.py fit --work DIR              fit on the training sets and the even halves
    python benchmarks/selection.py report --work DIR           figures on the odd halves

Each question is asked under up to four conditions: of the whole index or of a few documents of it (people's
folders are small), with its gold documents or with them taken out (then no answer is there). Sets whose
licence forbids commercial use are not fitted on.
"""

import argparse
import json
import os
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ingest.embed import load_embedder
from ingest.index import open_index
from ingest.pipeline import IngestOptions, ingest_paths
from ragqa.evaluation.citing import is_right
from ragqa.evaluation.question_set import Question, read_questions, read_set
from ragqa.evaluation.refusing import auroc, recall_at_over_refusal
from ragqa.evaluation.run import Asking, BlindRetriever
from ragqa.evaluation.suite import build_index, half_of
from ragqa.features import CONFIDENCE_FEATURES, FEATURES, confidence_features
from ragqa.selection import candidate_features
from ragqa.settings import RetrievalSettings

ASSET = Path(__file__).parent.parent / "ragqa" / "assets" / "selection.json"
DATA = Path(os.environ.get("RAGQA_EVAL_DATA", "../shared")) / "eval"
LICENCES = {
    "train_selqa": "Apache-2.0; text CC BY-SA",
    "train_tsqa": "BSD-3-Clause; text CC BY-SA",
    "train_fairytale": "Apache-2.0; text public domain",
    "qed": "CC BY-SA 3.0",
    "clapnq": "Apache-2.0; text CC BY-SA",
    "squad2": "CC BY-SA 4.0",
    "sample": "this project, Apache-2.0",
}
DEVELOPMENT = ("qed", "clapnq", "squad2", "sample")
SAMPLE = Path(__file__).parent.parent / "data"
SMALL = (4, 40)
"""Documents in a small folder, drawn evenly between these."""


@dataclass(slots=True)
class Case:
    """One question under one condition: rows (n, features), which are gold, whether an answer is there."""

    set_name: str
    question: Question
    condition: str
    rows: np.ndarray
    gold: np.ndarray
    answerable: bool


PART = {"qed": ", even half", "clapnq": ", even half", "squad2": ", even half", "sample": ", tune split"}
SPLITS = {
    row["id"]: row["meta"]["split"]
    for line in (SAMPLE / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    for row in (json.loads(line),)
}


class NarrowRetriever(BlindRetriever):
    """A retriever that sees only some documents, by the set's ids; None is all."""

    only: frozenset[str] | None = None

    def by_vector(self, vector, width, where):
        if self.only is None:
            return super().by_vector(vector, width, where)
        visible = self._visible()
        return [pair for pair in self.index.dense(vector, 1_000_000) if pair[0] in visible][:width]

    def by_words(self, words, width, where):
        if self.only is None:
            return super().by_words(words, width, where)
        visible = self._visible()
        return [pair for pair in self.index.lexical(words, 100_000) if pair[0] in visible][:width]

    def _visible(self):
        if not hasattr(self, "chunk_documents"):
            ids = [
                one
                for one, _ in self.index.dense(np.zeros(self.index.settings.dimensions, np.float32), 10**6)
            ]
            self.chunk_documents = {
                chunk.id: self.places.get(chunk.source, chunk.source) for chunk in self.index.chunks(ids)
            }
        return {
            chunk_id
            for chunk_id, name in self.chunk_documents.items()
            if name not in self.hidden and (self.only is None or name in self.only)
        }


def collect(name: str, folder: Path, work: Path, limit: int, embedder) -> list[Case]:
    """The cases of a set, at most `limit` questions of it, chosen by a fixed seed."""
    question_set = read_set(folder)
    index_path, places = build_index(question_set, work / name)
    draw = random.Random(5)
    questions = [
        one for one in question_set.questions if not one.answerable or any(e.quotes for e in one.evidence)
    ]
    draw.shuffle(questions)
    cases = []
    with open_index(index_path) as index:
        retriever = NarrowRetriever(index, embedder, RetrievalSettings())
        asking = Asking(retriever, None, places)
        names = [document.id for document in question_set.documents]
        for number, question in enumerate(questions[:limit]):
            for condition in conditions(question, number):
                prepare(retriever, question, condition, names, draw)
                cases.append(case_of(name, question, condition, retriever, asking, embedder))
    return cases


def collect_sample(work: Path, embedder) -> list[Case]:
    """The cases of the project's own documents: a folder of forty papers, asked as people ask."""
    index_path = work / "sample" / ".ragqa"
    ingest_paths([SAMPLE / "documents"], index_path, IngestOptions())
    questions = read_questions(SAMPLE / "questions.jsonl")
    draw = random.Random(5)
    cases = []
    with open_index(index_path) as index:
        retriever = NarrowRetriever(index, embedder, RetrievalSettings())
        asking = Asking(retriever, None, {})
        for question in questions:
            for condition in ("whole", "whole removed") if question.answerable else ("whole",):
                prepare(retriever, question, condition, [], draw)
                cases.append(case_of("sample", question, condition, retriever, asking, embedder))
    return cases


def sample_split(question_id: str) -> str:
    """`tune` or `report`, as the sample's own questions say."""
    return SPLITS[question_id]


def conditions(question: Question, number: int) -> list[str]:
    """Which conditions a question is asked under: all of them in turn, so that none costs too much."""
    if not question.answerable:
        return ["whole"] if number % 2 else ["whole", "small"]
    return ["whole", "whole removed"] if number % 2 else ["whole", "small", "small removed"]


def prepare(retriever, question: Question, condition: str, names: list[str], draw: random.Random) -> None:
    retriever.only = None
    if condition.startswith("small"):
        others = draw.sample(names, min(len(names), draw.randint(*SMALL)))
        retriever.only = frozenset([*others, *question.gold])
    retriever.hidden = frozenset(question.gold if condition.endswith("removed") else ())


def case_of(name, question, condition, retriever, asking, embedder) -> Case:
    blocks = retriever.retrieve(question.text).blocks
    candidates, rows = candidate_features(question.text, blocks, embedder.embed)
    evidence = asking.evidence(question.evidence)
    places = [asking.place_of(one.block.source, one.start, one.end) for one in candidates]
    gold = np.array([is_right(place, evidence) for place in places], dtype=bool)
    answerable = question.answerable and not condition.endswith("removed")
    return Case(name, question, condition, rows, gold, answerable)


def fit_ranking(cases: list[Case], weights: dict[str, float], penalty: float = 3e-3):
    """A linear model that gives gold sentences the largest share of a softmax over a question's sentences."""
    import torch

    rows = np.concatenate([case.rows for case in cases])
    mean, deviation = rows.mean(0), np.maximum(rows.std(0), 0.01)
    inputs = torch.tensor((rows - mean) / deviation)
    group = torch.tensor(np.repeat(np.arange(len(cases)), [len(case.gold) for case in cases]))
    gold = torch.tensor(np.concatenate([case.gold for case in cases])).double()
    weight = torch.tensor([weights[case.set_name] for case in cases], dtype=torch.float64)
    vector = torch.zeros(rows.shape[1], dtype=torch.float64, requires_grad=True)

    def loss():
        scores = inputs @ vector
        shares = torch.exp(scores - scores.detach().max())
        empty = torch.zeros(len(cases), dtype=torch.float64)
        right, whole = empty.index_add(0, group, shares * gold), empty.index_add(0, group, shares)
        return -(weight * torch.log(right / whole + 1e-12)).sum() / weight.sum() + penalty * (vector**2).sum()

    minimise(loss, [vector])
    return mean, deviation, vector.detach().numpy(), 0.0


def fit_confidence(rows: np.ndarray, answerable: np.ndarray, weight: np.ndarray, penalty: float = 1e-2):
    """A logistic regression of whether an answer is there."""
    import torch

    mean, deviation = rows.mean(0), np.maximum(rows.std(0), 0.01)
    inputs, target = torch.tensor((rows - mean) / deviation), torch.tensor(answerable.astype(float))
    weights = torch.tensor(weight / weight.sum())
    vector = torch.zeros(rows.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(1, dtype=torch.float64, requires_grad=True)

    def loss():
        logits = inputs @ vector + bias
        each = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return (each * weights).sum() + penalty * (vector**2).sum()

    minimise(loss, [vector, bias])
    return mean, deviation, vector.detach().numpy(), float(bias.detach())


def minimise(loss, parameters) -> None:
    import torch

    optimiser = torch.optim.LBFGS(parameters, max_iter=150, line_search_fn="strong_wolfe")

    def step():
        optimiser.zero_grad()
        value = loss()
        value.backward()
        return value

    optimiser.step(step)


def apply(model, rows: np.ndarray) -> np.ndarray:
    mean, deviation, vector, bias = model
    return ((rows - mean) / deviation) @ vector + bias


def ranked(case: Case, ranking) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, scores and gold of a case, best first."""
    scores = apply(ranking, case.rows)
    order = np.argsort(-scores, kind="stable")
    return case.rows[order], scores[order], case.gold[order]


def confidence_rows(cases: list[Case], ranking) -> np.ndarray:
    out = []
    for case in cases:
        rows, scores, _ = ranked(case, ranking)
        out.append(confidence_features(case.question.text, rows, scores))
    return np.stack(out)


def is_fitted_on(case: Case) -> bool:
    if case.set_name == "sample":
        return sample_split(case.question.id) == "tune"
    return case.set_name not in DEVELOPMENT or half_of(case.question) == "even"


def fit(cases: list[Case]) -> dict:
    """Both models, the threshold and the margin, from the cases that may be fitted on."""
    chosen = [case for case in cases if is_fitted_on(case) and len(case.gold)]
    weights = {"qed": 4.0, "clapnq": 4.0, "squad2": 2.0, "sample": 4.0} | {
        name: 1.0 for name in LICENCES if name.startswith("train")
    }
    ranking = fit_ranking([case for case in chosen if case.answerable and case.gold.any()], weights)
    rows = confidence_rows(chosen, ranking)
    answerable = np.array([case.answerable for case in chosen])
    confidence = fit_confidence(rows, answerable, balance(chosen))
    logits = apply(confidence, rows)
    return {
        "fitted_by": "benchmarks/selection.py",
        "fitted_on": [f"{name}{PART.get(name, '')} ({licence})" for name, licence in LICENCES.items()],
        "margin": best_margin([case for case in chosen if case.answerable and case.gold.any()], ranking),
        "threshold": best_threshold(chosen, 1 / (1 + np.exp(-logits))),
        "ranking": record(ranking, FEATURES),
        "confidence": record(confidence, CONFIDENCE_FEATURES),
    }


def balance(cases: list[Case]) -> np.ndarray:
    """Weights by which each set counts the same, the development sets twice, and answers as much as none."""
    keys = [(case.set_name, case.answerable) for case in cases]
    count = {key: keys.count(key) for key in set(keys)}
    return np.array([(2.0 if name in DEVELOPMENT else 1.0) / count[(name, there)] for name, there in keys])


def best_threshold(cases: list[Case], sure: np.ndarray) -> float:
    """Where, on the mean of the development sets' fitted parts, refusal recall exceeds over-refusal most."""
    gains = {}
    for threshold in np.arange(0.1, 0.61, 0.01):
        parts = []
        for name in DEVELOPMENT:
            there, absent = (
                [
                    s
                    for s, c in zip(sure, cases, strict=True)
                    if c.set_name == name and c.answerable is answerable
                ]
                for answerable in (True, False)
            )
            parts.append(np.mean(np.array(absent) < threshold) - np.mean(np.array(there) < threshold))
        gains[round(float(threshold), 2)] = float(np.mean(parts))
    return max(gains, key=lambda threshold: (gains[threshold], -threshold))


def best_margin(cases: list[Case], ranking) -> float:
    """How far below the best a sentence may score to be quoted too: where precision and recall balance.

    Of margins all but equal to the best, the largest: a missing quote costs more than one too many.
    """
    scored = [ranked(case, ranking)[1:] for case in cases if case.set_name in DEVELOPMENT]
    means: dict[float, float] = {}
    for margin in np.arange(0.0, 2.01, 0.1):
        values = []
        for scores, gold in scored:
            taken = gold[:3][scores[:3] >= scores[0] - margin]
            precision, recall = taken.mean(), taken.sum() / min(3, gold.sum())
            values.append(0.0 if not taken.any() else 2 * precision * recall / (precision + recall))
        means[round(float(margin), 2)] = float(np.mean(values))
    return max(margin for margin, mean in means.items() if mean >= max(means.values()) - 0.005)


def record(model, names) -> dict:
    mean, deviation, vector, bias = model
    columns = zip(names, mean, deviation, vector, strict=True)
    return {"bias": round(bias, 5), "features": {n: [round(float(x), 5) for x in xs] for n, *xs in columns}}


def model_of(entry: dict, names):
    columns = np.array([entry["features"][name] for name in names])
    return columns[:, 0], columns[:, 1], columns[:, 2], entry["bias"]


def report(cases: list[Case], asset: dict) -> None:
    """Hits of the first and first three sentences, and refusals, on the odd halves, by set and condition."""
    ranking = model_of(asset["ranking"], FEATURES)
    confidence = model_of(asset["confidence"], CONFIDENCE_FEATURES)
    cases = [case for case in cases if case.set_name in DEVELOPMENT and not is_fitted_on(case)]
    for name in DEVELOPMENT:
        for condition in ("whole",) if name == "sample" else ("whole", "small"):
            mine = [case for case in cases if case.set_name == name and case.condition == condition]
            hits = [ranked(case, ranking)[2] for case in mine if case.answerable]
            first, third = (np.mean([gold[:k].any() for gold in hits]) for k in (1, 3))
            print(f"{name} {condition}: evidence@1 {first:.3f} evidence@3 {third:.3f} n={len(hits)}")
            good = sureness([case for case in mine if case.answerable], ranking, confidence)
            for label, others in (
                ("unanswerable", [case for case in mine if not case.answerable]),
                (
                    "gold removed",
                    [c for c in cases if c.set_name == name and c.condition == f"{condition} removed"],
                ),
            ):
                if others:
                    bad = sureness(others, ranking, confidence)
                    point = recall_at_over_refusal(good, bad)
                    at = (1 / (1 + np.exp(-np.array(side))) < asset["threshold"] for side in (bad, good))
                    caught, lost = (side.mean() for side in at)
                    print(
                        f"  {label}: AUROC {auroc(good, bad):.3f}, "
                        f"recall {point.refusal_recall:.3f} at 0.15; "
                        f"at the threshold {caught:.3f} for {lost:.3f} n={len(bad)}"
                    )


def sureness(cases: list[Case], ranking, confidence) -> list[float]:
    return [
        float(value)
        for case in cases
        for value in (apply(confidence, confidence_rows([case], ranking))[0] if len(case.gold) else -30.0,)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=("collect", "fit", "report"))
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=700)
    arguments = parser.parse_args()
    if arguments.step == "collect":
        embedder = load_embedder()
        for name in arguments.sets:
            if name == "sample":
                save(arguments.work, name, collect_sample(arguments.work, embedder))
            else:
                save(
                    arguments.work,
                    name,
                    collect(name, DATA / name, arguments.work, arguments.limit, embedder),
                )
        return
    cases = [case for name in LICENCES for case in load(arguments.work, name)]
    if arguments.step == "fit":
        ASSET.write_text(json.dumps(fit(cases), indent=1) + "\n", encoding="utf-8")
    report(cases, json.loads(ASSET.read_text(encoding="utf-8")))


def save(work: Path, name: str, cases: list[Case]) -> None:
    sizes = np.array([len(case.gold) for case in cases])
    np.savez_compressed(
        work / f"{name}.cases.npz",
        sizes=sizes,
        rows=np.concatenate([case.rows for case in cases]),
        gold=np.concatenate([case.gold for case in cases]),
        conditions=np.array([case.condition for case in cases]),
        answerable=np.array([case.answerable for case in cases]),
        ids=np.array([case.question.id for case in cases]),
        texts=np.array([case.question.text for case in cases]),
    )


def load(work: Path, name: str) -> list[Case]:
    path = work / f"{name}.cases.npz"
    if not path.is_file():
        return []
    with np.load(path, allow_pickle=False) as file:
        kept = {name: file[name] for name in file.files}
    ends = np.cumsum(kept["sizes"])
    cases = []
    for place, (size, end) in enumerate(zip(kept["sizes"], ends, strict=True)):
        question = Question(str(kept["ids"][place]), str(kept["texts"][place]), (), (), (), True)
        part = slice(end - size, end)
        there = bool(kept["answerable"][place])
        condition = str(kept["conditions"][place])
        cases.append(Case(name, question, condition, kept["rows"][part], kept["gold"][part], there))
    return cases


if __name__ == "__main__":
    main()
