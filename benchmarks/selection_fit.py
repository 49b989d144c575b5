"""Fit and measure the models of sentence selection (`ragqa/assets/selection.json`).

    python benchmarks/selection_fit.py plain --work DIR     without a reader: on `fit` and `apart`
    python benchmarks/selection_fit.py read --work DIR      with one: on `apart`
    python benchmarks/selection_fit.py report --work DIR    figures on `report`

`benchmarks/selection.py` makes what is fitted on and says what the roles are. The models with a reader have
few weights on purpose: what it never saw is little, and on what it learned from it is surer than elsewhere.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from selection import Case, load

from ragqa.candidates import pieces_of
from ragqa.evaluation.refusing import auroc, recall_at_over_refusal
from ragqa.features import CONFIDENCE_FEATURES, FEATURES, confidence_features
from ragqa.fitted import Linear, linear
from ragqa.kinds import answer_lacks, lacks_asked
from ragqa.selection import Ranked, rank
from ragqa.windows import (
    MAX_WINDOWS,
    READ_CONFIDENCE,
    READ_FEATURES,
    Passage,
    expected_answer,
    read_answers,
    read_confidence,
    read_features,
)

ASSET = Path(__file__).parent.parent / "ragqa" / "assets" / "selection.json"
LICENCES = {
    "qed": "CC BY-SA 3.0",
    "clapnq": "Apache-2.0; text CC BY-SA",
    "squad2": "CC BY-SA 4.0",
    "covidqa": "Apache-2.0; text by article",
    "sample": "this project, Apache-2.0",
    "near_misses": "this project, CC BY-SA 4.0, as texts it asks of are",
}
WEIGHTS = {"qed": 2.0, "clapnq": 2.0, "squad2": 1.0, "covidqa": 1.0, "sample": 2.0, "near_misses": 2.0}
"""What a set counts for, whatever its size."""
DEPTH = 3
OVER_REFUSAL = 0.15
"""Share of answerable questions that may be refused: what the marks of docs/quality.md allow."""
STRICT_RECALL = 0.8
"""Share of the others that `--strict` refuses, as with a tuned model (finetune_measure.py)."""
OTHER_SIDE = 0.73
"""Share of the right first sentences that score as high as what may contradict one: chosen with
benchmarks/hostile.py and the even halves, docs/decisions.md."""


class Scored:
    """A case's candidates, best first: rows (n, features), scores (n,), gold (n,)."""

    def __init__(self, case: Case, rows: np.ndarray, scores: np.ndarray, gold: np.ndarray) -> None:
        self.case, self.rows, self.scores, self.gold = case, rows, scores, gold


def ranked(case: Case, ranking: Linear) -> tuple[Ranked, np.ndarray]:
    """What selection ranks, and the gold marks in that order."""
    pieces = pieces_of(case.blocks)
    numbered = [one for made in pieces for one in made.candidates]
    found = rank(case.question, case.blocks, pieces, case.rows, ranking)
    place = {(one.block.key, one.place): number for number, one in enumerate(numbered)}
    return found, case.gold[[place[one.block.key, one.place] for one in found.candidates]]


def plainly(cases: Sequence[Case], ranking: Linear) -> list[Scored]:
    """The cases as ranked without a reader, whatever the age of a document's versions."""
    out = []
    for case in cases:
        scores = ranking(case.rows)
        order = np.argsort(-scores, kind="stable")
        out.append(Scored(case, case.rows[order], scores[order], case.gold[order]))
    return out


class Read:
    """A case after reading: rows of READ_FEATURES with their gold marks, and what confidence needs."""

    def __init__(self, case: Case, ranking: Linear, confidence: Linear) -> None:
        found, gold = ranked(case, ranking)
        self.case = case
        self.odds = float(
            confidence(confidence_features(case.question, found.rows, found.scores)[None, :])[0]
        )
        said = (case.readings or ())[:MAX_WINDOWS]
        self.readings = [SimpleNamespace(answerable=a, sentences=s, answers=w) for _, _, a, s, w in said]
        passages = [Passage("", (), key, tuple(numbers)) for key, numbers, *_ in said]
        places, self.rows = read_features(found.candidates, passages, self.readings)
        self.there = expected_answer(found.candidates, passages, self.readings)
        self.answers = read_answers(passages, self.readings)
        self.candidates = [found.candidates[place] for place in places]
        self.gold = gold[places]
        self.falls = np.array(
            [2.0 * (found.candidates[n].block.document_id in found.outdated) for n in places]
        )

    def scored(self, ranking: Linear) -> Scored:
        scores = ranking(self.rows) - self.falls
        order = np.argsort(-scores, kind="stable")
        best = self.candidates[order[0]]
        asked, words = self.case.question, self.answers.get((best.block.key, best.place), "")
        self.seen = read_confidence(
            self.odds,
            self.there,
            self.rows[order[0]],
            answer_lacks=answer_lacks(asked, words),
            lacks_asked=lacks_asked(asked, best.shown, is_row=best.is_row),
        )
        return Scored(self.case, self.rows[order], scores[order], self.gold[order])


def balance(keys: list[tuple[str, bool]]) -> np.ndarray:
    """Weights by which a set counts what WEIGHTS says, and answers as much as none."""
    count = {key: keys.count(key) for key in set(keys)}
    return np.array([WEIGHTS[key[0]] / count[key] for key in keys])


Balance = Callable[[list[tuple[str, bool]]], np.ndarray]
"""Weights of cases by their set and whether they have an answer."""


def fit_ranking(found, penalty: float, balance: Balance = balance) -> Linear:
    """A linear model that gives gold sentences the largest share of a softmax over a question's sentences."""
    found = [(case, rows, gold) for case, rows, gold in found if case.answerable and gold.any()]
    rows = np.concatenate([rows for _, rows, _ in found])
    mean, deviation = rows.mean(0), np.maximum(rows.std(0), 0.01)
    inputs = torch.tensor((rows - mean) / deviation)
    group = torch.tensor(np.repeat(np.arange(len(found)), [len(gold) for _, _, gold in found]))
    gold = torch.tensor(np.concatenate([gold for _, _, gold in found])).double()
    weight = torch.tensor(balance([(case.set_name, True) for case, _, _ in found]))
    vector = torch.zeros(rows.shape[1], dtype=torch.float64, requires_grad=True)

    def loss():
        scores = inputs @ vector
        shares = torch.exp(scores - scores.detach().max())
        empty = torch.zeros(len(found), dtype=torch.float64)
        right, whole = empty.index_add(0, group, shares * gold), empty.index_add(0, group, shares)
        return -(weight * torch.log(right / whole + 1e-12)).sum() / weight.sum() + penalty * (vector**2).sum()

    minimise(loss, [vector])
    return Linear(mean, deviation, vector.detach().numpy(), 0.0)


def fit_confidence(
    rows: np.ndarray, cases: Sequence[Case], penalty: float, balance: Balance = balance
) -> Linear:
    """A logistic regression of whether an answer is there; sets and both answers count alike."""
    mean, deviation = rows.mean(0), np.maximum(rows.std(0), 0.01)
    inputs = torch.tensor((rows - mean) / deviation)
    target = torch.tensor([float(case.answerable) for case in cases], dtype=torch.float64)
    weight = balance([(case.set_name, case.answerable) for case in cases])
    weights = torch.tensor(weight / weight.sum())
    vector = torch.zeros(rows.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(1, dtype=torch.float64, requires_grad=True)

    def loss():
        logits = inputs @ vector + bias
        each = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return (each * weights).sum() + penalty * (vector**2).sum()

    minimise(loss, [vector, bias])
    return Linear(mean, deviation, vector.detach().numpy(), float(bias.detach()))


def minimise(loss: Callable[[], torch.Tensor], parameters: list[torch.Tensor]) -> None:
    optimiser = torch.optim.LBFGS(parameters, max_iter=150, line_search_fn="strong_wolfe")

    def step():
        optimiser.zero_grad()
        value = loss()
        value.backward()
        return value

    optimiser.step(step)


def best_thresholds(
    cases: Sequence[Case], sure: np.ndarray, balance: Balance = balance
) -> tuple[float, float]:
    """The highest confidence that refuses at most OVER_REFUSAL of the answerable questions, and the least,
    not below it, that refuses STRICT_RECALL of the others.
    """
    there = np.array([case.answerable for case in cases])
    every = balance([(case.set_name, case.answerable) for case in cases])

    def below(side: np.ndarray, share: float) -> float:
        order = np.argsort(sure[side])
        weight = every[side]
        reached = np.searchsorted(np.cumsum(weight[order]) / weight.sum(), share)
        return float(sure[side][order][reached])

    threshold = np.floor(100 * below(there, OVER_REFUSAL)) / 100
    return float(threshold), float(max(threshold, np.ceil(100 * below(~there, STRICT_RECALL)) / 100))


def best_margin(found: Sequence[Scored], balance: Balance = balance) -> float:
    """How far below the best a sentence may score to be quoted too: where precision and recall balance.

    Of margins all but equal to the best, the one in the middle: with the smallest people miss half of what
    they asked for, with the largest they complain of one quote too many.
    """
    scored = [one for one in found if one.case.answerable and one.gold.any()]
    weight = balance([(one.case.set_name, True) for one in scored])
    means: dict[float, float] = {}
    for margin in np.round(np.arange(0.0, 2.01, 0.1), 1):
        values = []
        for one in scored:
            taken = one.gold[:DEPTH][one.scores[:DEPTH] >= one.scores[0] - margin]
            precision, recall = taken.mean(), taken.sum() / min(DEPTH, one.gold.sum())
            values.append(0.0 if not taken.any() else 2 * precision * recall / (precision + recall))
        means[float(margin)] = float(np.average(values, weights=weight))
    alike = [margin for margin, mean in means.items() if mean >= max(means.values()) - 0.005]
    return alike[len(alike) // 2]


def other_side(found: Sequence[Scored], balance: Balance = balance) -> float:
    """The score that OTHER_SIDE of the first sentences reach where these are right.

    Near misses are left out: they are asked so that few words agree.
    """
    right = [one for one in found if one.case.set_name != "near_misses" and one.gold.any() and one.gold[0]]
    weight = balance([(one.case.set_name, True) for one in right])
    scores = np.array([one.scores[0] for one in right])
    order = np.argsort(-scores)
    reached = np.cumsum(weight[order]) / weight.sum()
    return round(float(scores[order][np.searchsorted(reached, OTHER_SIDE)]), 1)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logits, -30, 30)))


def record(model: Linear, names: Sequence[str]) -> dict:
    columns = zip(names, model.mean, model.deviation, model.weights, strict=True)
    rounded = {name: [round(float(x), 5) for x in xs] for name, *xs in columns}
    return {"bias": round(model.bias, 5), "features": rounded}


def entry(
    ranking: Linear,
    confidence: Linear,
    names,
    found: Sequence[Scored],
    thresholds: tuple[float, float],
    data: list[str],
    balance: Balance = balance,
) -> dict:
    return {
        "fitted_on": data,
        "margin": best_margin(found, balance),
        "other_side": other_side(found, balance),
        "threshold": thresholds[0],
        "strict": thresholds[1],
        "ranking": record(ranking, names[0]),
        "confidence": record(confidence, names[1]),
    }


def models(part: dict, names) -> tuple[Linear, Linear]:
    return linear(part["ranking"], names[0]), linear(part["confidence"], names[1])


PLAIN, READ = (FEATURES, CONFIDENCE_FEATURES), (READ_FEATURES, READ_CONFIDENCE)


def fit_plain(cases: Sequence[Case]) -> dict:
    cases = [case for case in cases if case.role in ("fit", "apart") and len(case.gold)]
    ranking = fit_ranking([(case, case.rows, case.gold) for case in cases], 3e-3)
    found = plainly(cases, ranking)
    rows = np.stack([confidence_features(one.case.question, one.rows, one.scores) for one in found])
    confidence = fit_confidence(rows, cases, 1e-2)
    thresholds = best_thresholds(cases, sigmoid(confidence(rows)))
    data = [f"{name}, {PARTS.get(name, 'even half')} ({LICENCES[name]})" for name in LICENCES]
    return entry(ranking, confidence, PLAIN, found, thresholds, data)


PARTS = {"sample": "tune split"}


def fit_read(cases: Sequence[Case], plain: dict, shipped: dict) -> dict:
    """Each question counts alike: of some sets very few are apart.

    Without cases of the role `fit`, what a lacking answer weighs is as in what was `shipped`.
    """
    chosen = [case for case in cases if case.readings and case.role == "apart"]
    found = [Read(case, *models(plain, PLAIN)) for case in chosen]
    ranking = fit_ranking([(one.case, one.rows, one.gold) for one in found], 1e-3, alike)
    scored = [one.scored(ranking) for one in found]
    rows = np.stack([one.seen for one in found])
    share = lacking(cases, plain) if any(case.role == "fit" for case in cases) else share_of(shipped)
    joined = np.column_stack([rows[:, 0] + share * rows[:, -1], rows[:, 1:-1]])
    confidence = with_lacking(fit_confidence(joined, chosen, 1e-3, alike), rows[:, -1], share)
    thresholds = best_thresholds(chosen, sigmoid(confidence(rows)), alike)
    names = dict.fromkeys(case.set_name for case in chosen)
    data = [f"{name}, even titles the reader never saw ({LICENCES[name]})" for name in names]
    data.append("lacks_asked: what plain is fitted on")
    return entry(ranking, confidence, READ, scored, thresholds, data, alike)


def lacking(cases: Sequence[Case], plain: dict) -> float:
    """What it takes from the log-odds without a reader where the best sentence lacks what is asked for.

    Fitted on all of `fit` and `apart`, as what the reader never saw is mostly of one article.
    """
    cases = [case for case in cases if case.role in ("fit", "apart") and len(case.gold)]
    ranking, confidence = models(plain, PLAIN)
    rows = []
    for case in cases:
        found, _ = ranked(case, ranking)
        odds = confidence(confidence_features(case.question, found.rows, found.scores)[None, :])[0]
        best = found.candidates[0]
        rows.append([odds, lacks_asked(case.question, best.shown, is_row=best.is_row)])
    weights = fit_confidence(np.array(rows, dtype=float), cases, 1e-3)
    per_unit = weights.weights / weights.deviation
    return float(per_unit[1] / per_unit[0])


def share_of(shipped: dict) -> float:
    """What `lacking` came to when these were fitted."""
    features = shipped["confidence"]["features"]
    (_, deviation, weight), (_, lacks_deviation, lacks_weight) = features["base"], features["lacks_asked"]
    return float((lacks_weight / lacks_deviation) / (weight / deviation))


def with_lacking(model: Linear, lacks: np.ndarray, share: float) -> Linear:
    """The model of base + share * lacks and the rest, as one of base, the rest and lacks."""
    deviation = max(float(lacks.std()), 0.01)
    weight = model.weights[0] / model.deviation[0] * share
    return Linear(
        np.append(model.mean, 0.0),
        np.append(model.deviation, deviation),
        np.append(model.weights, weight * deviation),
        model.bias,
    )


def alike(keys: list[tuple[str, bool]]) -> np.ndarray:
    """Weights by which a question counts alike, and answers as much as none."""
    count = {there: [one for _, one in keys].count(there) for _, there in keys}
    return np.array([1 / count[there] for _, there in keys])


def judged(cases: Sequence[Case], asset: dict, with_reader: bool) -> list[tuple[Scored, float]]:
    """Each case's candidates, best first, and the confidence that they answer."""
    plain = models(asset["plain"], PLAIN)
    if not with_reader:
        found = plainly(cases, plain[0])
        rows = [confidence_features(one.case.question, one.rows, one.scores) for one in found]
        return [
            (one, float(sigmoid(plain[1](row[None, :]))[0])) for one, row in zip(found, rows, strict=True)
        ]
    ranking, confidence = models(asset["read"], READ)
    out = []
    for case in cases:
        one = Read(case, *plain)
        scored = one.scored(ranking)
        out.append((scored, float(sigmoid(confidence(one.seen[None, :]))[0])))
    return out


def report(cases: Sequence[Case], asset: dict, with_reader: bool, role: str = "report") -> None:
    """Hits of the first and first three sentences, refusals and calibration, by set and condition."""
    cases = [c for c in cases if c.role == role and len(c.gold) and (c.readings or not with_reader)]
    threshold = asset["read" if with_reader else "plain"]["threshold"]
    found = judged(cases, asset, with_reader)
    for name in dict.fromkeys(case.set_name for case in cases):
        mine = [(one, sure) for one, sure in found if one.case.set_name == name]
        for condition in ("whole", "small"):
            there = [(o, s) for o, s in mine if o.case.answerable and o.case.condition == condition]
            if not there:
                continue
            first, third = (np.mean([o.gold[:k].any() for o, _ in there]) for k in (1, 3))
            print(f"{name} {condition}: evidence@1 {first:.3f} @3 {third:.3f} n={len(there)}")
            good = [sure for _, sure in there]
            for label, kind in (("unanswerable", condition), ("gold removed", f"{condition} removed")):
                bad = [s for o, s in mine if not o.case.answerable and o.case.condition == kind]
                if bad:
                    point = recall_at_over_refusal(good, bad)
                    caught, lost = (float(np.mean(np.array(side) < threshold)) for side in (bad, good))
                    print(
                        f"  {label}: AUROC {auroc(good, bad):.3f}, "
                        f"recall {point.refusal_recall:.3f} at 0.15; "
                        f"at the threshold {caught:.3f} for {lost:.3f} n={len(bad)}"
                    )
    sure = np.array([s for _, s in found])
    there = np.array([one.case.answerable for one, _ in found])
    weight = balance([(one.case.set_name, one.case.answerable) for one, _ in found])
    error = calibration_error(sure, there, weight)
    print(f"calibration error, sets and both answers weighed alike: {error:.3f}")


def calibration_error(sure: np.ndarray, there: np.ndarray, weight: np.ndarray) -> float:
    """Expected calibration error over ten bins of equal width (Guo et al., "On Calibration of Modern Neural
    Networks", ICML 2017, section 2).
    """
    total = 0.0
    for low in np.arange(10) / 10:
        inside = (sure >= low) & (sure < low + 0.1 + (low == 0.9))
        if inside.any():
            share = weight[inside] / weight[inside].sum()
            total += weight[inside].sum() * abs((share * sure[inside]).sum() - (share * there[inside]).sum())
    return float(total / weight.sum())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=("plain", "read", "report"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--role", default="report")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cases = [case for name in LICENCES for case in load(arguments.work, name)]
    asset = json.loads(ASSET.read_text(encoding="utf-8"))
    if arguments.step == "plain":
        asset = {
            "fitted_by": "benchmarks/selection_fit.py",
            "plain": fit_plain(cases),
            "read": asset.get("read"),
        }
    if arguments.step == "read":
        asset["read"] = fit_read(cases, asset["plain"], asset["read"])
    if arguments.step != "report":
        ASSET.write_text(json.dumps(asset, indent=1) + "\n", encoding="utf-8")
    for with_reader in (False, True):
        if asset["read"] or not with_reader:
            print(f"\n{'with' if with_reader else 'without'} a reader")
            report(cases, asset, with_reader, arguments.role)


if __name__ == "__main__":
    main()
