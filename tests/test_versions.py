"""Two versions of a document: a question is about the newest, unless it says otherwise."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ragqa.narrowing import Narrowing
from ragqa.retriever import Retrieval
from ragqa.selection import judge
from ragqa.types import ContextBlock
from ragqa.versions import family_of, of_another_time, outdated
from tests.blocks import make_block


def block(source: str, title: str, date: str = "") -> ContextBlock:
    metadata = (("source", source), *([("date", date)] if date else []))
    return make_block(source, "Text", title=title, metadata=metadata)


OLD = block("policies/leave-2023.md", "Leave policy, version 3", "2023-03-01")
NEW = block("policies/leave-2025.md", "Leave policy, version 4", "2025-01-01")


@pytest.mark.parametrize(
    ("question", "passed_over"),
    [
        ("How many days of leave do I get?", {OLD.source}),
        ("How many days of leave did one get in 2023?", {NEW.source}),
        ("What did version 3 say about leave?", {NEW.source}),
        ("How many days of leave did one get before 2025?", {NEW.source}),
        ("How much leave was there under the previous policy?", {NEW.source}),
        ("How did leave change between the two versions?", set()),
        ("How much leave was there in 1999?", set()),
    ],
)
def test_the_version_that_is_meant(question: str, passed_over: set[str]) -> None:
    assert outdated(question, [OLD, NEW]) == passed_over
    assert outdated(question, [NEW, OLD]) == passed_over


def test_a_year_in_the_name_tells_versions_without_a_date() -> None:
    prices = [block("sales/prices-2024.csv", "prices-2024"), block("sales/prices-2025.csv", "prices-2025")]
    assert outdated("What does a buoy cost?", prices) == {"sales/prices-2024.csv"}


@pytest.mark.parametrize(
    "other",
    [
        block("policies/travel-2023.md", "Travel policy, version 3", "2023-03-01"),
        block("board/leave-2023.md", "Leave policy, version 3", "2023-03-01"),
        block("policies/leave.md", "Leave policy"),
    ],
)
def test_other_documents_are_no_versions(other: ContextBlock) -> None:
    assert outdated("How many days of leave do I get?", [other, NEW]) == set()


def test_minutes_of_different_days_and_numbered_products_are_no_versions() -> None:
    days = [block(f"board/minutes-2024-{day}.md", f"Minutes, 2024-{day}") for day in ("06-12", "11-20")]
    assert len({family_of(one) for one in days}) == 2
    statements = [block(f"bank/statement 2024-{n:02}.md", "Account statement") for n in (1, 2)]
    assert len({family_of(one) for one in statements}) == 2
    models = [block(f"manuals/s{n}.md", f"Selkie S{n} manual") for n in (1, 3)]
    assert {family_of(one) for one in models} == {""}


def test_the_version_may_stand_in_the_first_heading() -> None:
    texts = {"2023": "Leave policy, version 3", "2025": "Leave policy, version 4"}
    policies = [
        replace(block(f"leave-{year}.md", "Leave policy", f"{year}-01-01"), section=(heading, "Annual leave"))
        for year, heading in texts.items()
    ]
    assert outdated("What did version 3 of the policy say?", policies) == {"leave-2025.md"}
    assert outdated("What does the policy say?", policies) == {"leave-2023.md"}


PRICES = block("sales/price-list-2025.csv", "Price list 2025")


@pytest.mark.parametrize(
    ("question", "passed_over"),
    [
        ("What did a buoy cost in 2024?", {PRICES.source}),
        ("What did a buoy cost in 2025?", set()),
        ("What does a buoy cost?", set()),
        ("Which buoy costs 2000 euros?", set()),
        ("What does a buoy cost, 2025 v 2024?", set()),
        ("Which buoy weighs 2000 kg and costs under $2010?", set()),
        ("What did a buoy cost before 2024?", set()),
        ("How did prices change since 2024?", set()),
        ("How much leave was there under version 3 of the leave policy?", {NEW.source}),
        ("How much leave is there under version 4 of the leave policy?", set()),
        ("Which boards take the version 3 firmware?", set()),
    ],
)
def test_a_version_that_stands_alone_is_not_taken_for_another(question: str, passed_over: set[str]) -> None:
    assert of_another_time(question, [PRICES, replace(NEW, source="policies/leave.md")]) == {
        one if one == PRICES.source else NEW.document_id for one in passed_over
    }


@pytest.mark.parametrize(
    "text",
    ["Sales were 3 million in 2017.", "Sales of FY17 fell.", "The 2016–17 season.", "2018 | 2017\n3 | 4"],
)
def test_a_report_that_has_the_year_anywhere_stays(text: str) -> None:
    first = block("3M_2018_10K.pdf", "3M_2018_10K")
    assert of_another_time("What were sales in 2017?", [first]) == {first.document_id}
    assert of_another_time("What were sales in 2017?", [first, replace(first, text=text)]) == set()


def test_a_year_within_those_of_the_name_is_meant() -> None:
    plan = block("board/strategy-2026-2028.md", "Strategy 2026 to 2028")
    assert of_another_time("What is planned for 2027?", [plan]) == set()


def test_with_nothing_of_the_time_asked_about_there_is_no_answer() -> None:
    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        return np.ones((len(texts), 4), np.float32) / 2

    priced = replace(PRICES, text="A buoy costs 4,200 euros.")
    for question, refuses in (
        ("What did a buoy cost in 2024?", True),
        ("What does a buoy cost in 2025?", False),
    ):
        assert (not judge(question, [priced], embed).candidates) == refuses
        narrowed = Narrowing(4, lambda *_: ())(question, Retrieval((priced,), ((0, 9),), ()))
        assert (not narrowed.blocks) == refuses
    assert judge("What did a buoy cost in 2024?", [priced], embed).selection().refuses
