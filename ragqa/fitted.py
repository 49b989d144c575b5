"""The fitted models that rank sentences and say whether they answer, and the file that their weights are in.

Linear models over `ragqa.features` and `ragqa.windows`; `benchmarks/selection_fit.py` fits them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from ragqa.features import CONFIDENCE_FEATURES, FEATURES, Numbers
from ragqa.windows import READ_CONFIDENCE, READ_FEATURES


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear model of standardised features: `weights · (x - mean) / deviation + bias`."""

    mean: Numbers
    deviation: Numbers
    weights: Numbers
    bias: float

    def __call__(self, rows: Numbers) -> Numbers:
        """A score for each row, shape (n, features) -> (n,)."""
        scores: Numbers = ((rows - self.mean) / self.deviation) @ self.weights + self.bias
        return scores


@dataclass(frozen=True, slots=True)
class Model:
    """How sentences are ranked and refused: `margin`, `other_side` in scores, `threshold` in confidence, with
    `strict` in its place where one wants to be surer.

    `other_side` is the least score of a sentence that is shown because another document answers differently:
    of lower ones most say something else.
    """

    ranking: Linear
    confidence: Linear
    margin: float
    other_side: float
    threshold: float
    strict: float


@cache
def load_models() -> tuple[Model, Model]:
    """The fitted models without a reader, and with one, read once."""
    text = (resources.files("ragqa") / "assets" / "selection.json").read_text(encoding="utf-8")
    record = json.loads(text)
    return (
        model_of(record["plain"], FEATURES, CONFIDENCE_FEATURES),
        model_of(record["read"], READ_FEATURES, READ_CONFIDENCE),
    )


def model_of(record: Mapping[str, Any], ranking: Sequence[str], confidence: Sequence[str]) -> Model:
    return Model(
        linear(record["ranking"], ranking),
        linear(record["confidence"], confidence),
        float(record["margin"]),
        float(record["other_side"]),
        float(record["threshold"]),
        float(record["strict"]),
    )


def linear(record: Mapping[str, Any], names: Sequence[str]) -> Linear:
    """The model of a JSON record: mean, deviation and weight by feature, and a bias."""
    columns = np.asarray([record["features"][name] for name in names], dtype=np.float64)
    return Linear(columns[:, 0], columns[:, 1], columns[:, 2], float(record["bias"]))
