"""Sentences to judge are made of answers that say something."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ragqa.evaluation.question_set import Question, QuestionSet, SetDocument

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "check_pairs.py"


@pytest.fixture(scope="module")
def pairs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_pairs", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["check_pairs"] = module
    spec.loader.exec_module(module)
    return module


def test_an_annotators_empty_mark_is_no_true_answer(pairs: ModuleType, tmp_path: Path) -> None:
    others = [SetDocument(f"a{n}", "Other", "How long is a river?") for n in range(20)]
    gold = [SetDocument(f"d{n}", f"Title {n}", f"River {n} is long.") for n in range(3)]
    answers = (("River 0 is long.", "."), ("NA",), ("River 2 is long.",))
    questions = tuple(
        Question(f"q{n}", f"How long is river {n}?", given, (f"d{n}",), (), answerable=True)
        for n, given in enumerate(answers)
    )
    whole = QuestionSet("clapnq", questions, (*others, *gold), None)
    made = list(pairs.answer_pairs(tmp_path, questions, whole))
    assert [one.answer for one in made if one.kind == "true"] == ["River 0 is long.", "River 2 is long."]
    assert {one.answer for one in made} & {".", "NA"} == set()
