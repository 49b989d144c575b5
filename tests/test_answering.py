"""The answer's confidence: from the check, or what the engine states, less what nothing supports."""

from dataclasses import replace
from pathlib import Path

import pytest

from ragqa.answering import Answerer
from ragqa.llm.replay import ReplayEngine
from ragqa.settings import AnswerSettings
from ragqa.types import Answer
from ragqa.wiring import open_retriever

QUESTION = "How many days of paid leave does an employee have?"
SOURCE = "\nSource:\nsource: leave.md"
HELD = "Every employee has 28 days of paid leave a year."
PARTLY = "Every employee in Norway, Denmark and Iceland has paid leave each year by tradition."
NOWHERE = "Glaciers in Patagonia retreat faster every decade."


class StatingEngine(ReplayEngine):
    """Says how sure it is."""

    def generate(self, *arguments, **named):
        return replace(super().generate(*arguments, **named), confidence=0.8)


def ask(index_path: Path, reply: str, engine: type[ReplayEngine]) -> Answer:
    with open_retriever(index_path) as retriever:
        return Answerer(retriever, engine({QUESTION: reply + SOURCE}), AnswerSettings()).ask(QUESTION)


@pytest.mark.parametrize(
    ("reply", "verdicts", "checked", "stated"),
    [
        (HELD, ["supported"], 1.0, 0.8),
        (f"{HELD} {PARTLY}", ["supported", "partial"], 0.75, 0.8),
        (f"{HELD} {NOWHERE}", ["supported", "unsupported"], 0.5, 0.4),
    ],
)
def test_partial_support_takes_nothing_from_what_an_engine_states(
    index_path: Path, reply: str, verdicts: list[str], checked: float, stated: float
) -> None:
    answer = ask(index_path, reply, ReplayEngine)
    assert [one.verdict for one in answer.sentences] == verdicts
    assert answer.confidence == pytest.approx(checked)
    assert ask(index_path, reply, StatingEngine).confidence == pytest.approx(stated)
