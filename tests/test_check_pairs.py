"""Sentences to judge are made of answers that say something; and sentences beside the one quote they have."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ragqa.citations import check, parse_reply
from ragqa.evaluation.question_set import Question, QuestionSet, SetDocument
from ragqa.types import Prompt, Sentence
from tests.cited_blocks import block

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


COLD = "Frozen food is kept at -18 °C in the store."
ONLY_STAFF = "Staff may enter the store at night, but visitors may not."
FIXED, REFUNDABLE = "The deposit for the hall is non-refundable.", "The deposit for the hall is refundable."
RUNTIME = "The tool needs Version 3.10 of the runtime."
UNPAID = "Interns get unpaid leave of 10 days a year."


def verdict(quote: str, sentence: str, question: str = "What is known?") -> Sentence:
    packed = block("notes", quote, 0, "Notes", (("source", "notes.md"),))
    prompt = Prompt(question, "", (), (packed,), (), 16_384)
    ((found,), _) = check(parse_reply(sentence, prompt), prompt)
    return found


@pytest.mark.parametrize(
    ("quote", "sentence", "missing"),
    [
        (COLD, "Frozen food is kept at 18 °C in the store.", "18"),
        (COLD.replace("-", "−"), "Frozen food is kept at 18 °C in the store.", "18"),
        (COLD.replace("-", "minus "), "Frozen food in the store is kept at 18 °C.", "18"),
        (COLD.replace("-", ""), "Frozen food in the store is kept at -18 °C.", "-18"),
        ("In 2020 the result was -4.2 million.", "The result was 4.2 million in 2020.", "4.2 million"),
        ("In 2020 the result was -$4.2 million.", "The result was $4.2 million in 2020.", "4.2 million"),
        ("The balance was -$18.50 in May.", "In May the balance was $18.50.", "18.50"),
        ("The balance was $18.50 in May.", "In May the balance was -$18.50.", "18.50"),
        ("入場料は５００円です。", "入場料は３００円です。", "３００"),
        ("رسوم الدخول ٥٠٠ ريال للكبار.", "رسوم الدخول ٣٠٠ ريال للكبار.", "٣٠٠"),
        ("The notice period is 2½ months for staff.", "The notice period for staff is 2 months.", "2"),
        (RUNTIME, "The runtime that the tool needs is Version 3.1.", "3.1"),
        (RUNTIME.replace("3.10", "3.1"), "The runtime that the tool needs is Version 3.10.", "3.10"),
        (ONLY_STAFF, "Visitors may enter the store.", "not"),
        (ONLY_STAFF.replace("may not", "cannot"), "At night visitors may enter the store.", "not"),
        (FIXED, REFUNDABLE, "not"),
        (REFUNDABLE, FIXED, "not"),
        (FIXED, FIXED.replace("is", "is not"), "not"),
        (FIXED.replace("-", ""), REFUNDABLE, None),
        (REFUNDABLE, FIXED.replace("-", ""), None),
        (UNPAID, UNPAID.replace("unpaid", "paid"), "not"),
        (UNPAID.replace("unpaid", "paid"), UNPAID, "not"),
        ("Non-EU citizens need a visa for the stay.", "EU citizens need a visa for the stay.", "not"),
    ],
)
def test_a_sign_a_digit_or_a_prefix_may_not_change(quote: str, sentence: str, missing: str | None) -> None:
    found = verdict(quote, sentence)
    assert found.verdict != "supported"
    assert missing is None or missing in found.missing


@pytest.mark.parametrize(
    ("quote", "sentence"),
    [
        (COLD, "Frozen food in the store is kept at −18 °C."),
        (COLD, "Frozen food in the store is kept at minus eighteen °C."),
        ("Children aged 10-12 swim in the pool.", "In the pool swim children aged 10 to 12."),
        ("Children aged 10 -12 swim in the pool.", "In the pool swim children aged 10 to 12."),
        ("The season 2019-20 had 12 games.", "12 games were in the season 2019-20."),
        ("The fee is ５００ yen for adults.", "The fee for adults is 500 yen."),
        ("The notice period is 2½ months for staff.", "The notice period for staff is 2.5 months."),
        ("The notice period is 2½ months.", "Two and a half months is the notice period."),
        (RUNTIME, "The tool needs the runtime 3.10."),
        (RUNTIME.replace("3.10", "3.0"), "The runtime that the tool needs is version 3."),
        ("A box costs $2.50 in the shop.", "A box in the shop costs $2.5."),
        (ONLY_STAFF, "Staff may enter the store at night."),
        (ONLY_STAFF, "Visitors may not enter the store."),
        (ONLY_STAFF, "At night staff may enter the store but visitors may not."),
        (FIXED, "The hall's deposit is not refundable."),
        (REFUNDABLE.replace("is", "is not"), FIXED),
        ("Paid and unpaid leave count as service.", "Paid leave counts as service."),
        ("Paid and unpaid leave count as service.", "Unpaid leave counts as service."),
        ("Refundable and non-refundable tickets are sold here.", "Refundable tickets are sold here."),
    ],
)
def test_the_same_value_or_denial_written_otherwise_is_supported(quote: str, sentence: str) -> None:
    assert verdict(quote, sentence).verdict == "supported"


def test_no_stands_where_an_ellipsis_denies_what_was_asked() -> None:
    assert verdict(ONLY_STAFF, "No.", "May visitors enter the store?").verdict == "supported"
    assert verdict(ONLY_STAFF, "Yes.", "May visitors enter the store?").verdict == "unsupported"
