"""Two versions of a document: a question is about the newest, unless it says otherwise."""

from dataclasses import replace

import pytest

from ragqa.types import ContextBlock
from ragqa.versions import family_of, outdated
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
