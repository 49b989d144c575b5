"""Copies of a passage count once; a passage that differs in a fact is no copy."""

import pytest

from ragqa.copies import Wording, are_copies

TEXT = (
    "The lighthouse at Corran has 146 steps, and visitors may climb them on Saturdays or Sundays in summer."
)


@pytest.mark.parametrize(
    "other",
    [
        TEXT.upper(),
        TEXT.replace(" ", "  \n").replace(",", " ;"),
        TEXT.replace("Saturdays or", "Saturdays\u00a0or"),
        f"Indeed, {TEXT} Truly!",
        TEXT.replace(" in summer", ""),
    ],
)
def test_spaces_punctuation_and_a_few_added_words_make_no_new_passage(other: str) -> None:
    assert are_copies(Wording.of(TEXT), Wording.of(other))
    assert are_copies(Wording.of(other), Wording.of(TEXT))


def test_words_cut_in_other_places_are_the_same_words() -> None:
    one = f"{TEXT} Dogs don't climb them."
    other = f"{TEXT} Dogs do n't climb them."
    assert are_copies(Wording.of(one), Wording.of(other))


@pytest.mark.parametrize(
    "other",
    [
        TEXT.replace("146", "98"),
        TEXT.replace("Corran", "Skerry"),
        TEXT.replace("summer", "winter"),
        TEXT.replace("may", "may not"),
        f"{TEXT} It was built in 1874.",
        f"{TEXT} The keeper sells lemonade.",
        TEXT.replace("may", "can").replace("climb", "never climb"),
        TEXT.replace("visitors may", "visitors mayn't"),
        TEXT.replace("Saturdays or Sundays in summer", "summer Sundays or in Saturdays"),
        "",
    ],
)
def test_another_number_name_or_word_and_a_negation_make_another_passage(other: str) -> None:
    assert not are_copies(Wording.of(TEXT), Wording.of(other))
    assert not are_copies(Wording.of(other), Wording.of(TEXT))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Members can bring guests to the pool.", "Members can't bring guests to the pool."),
        (
            "Full-time staff get 28 days, part-time staff 14.",
            "Full-time staff get 14 days, part-time staff 28.",
        ),
        (
            "A ticket is refundable until noon of the day.",
            "A ticket is non-refundable until noon of the day.",
        ),
        (
            "Group A meets on Monday in the hall by the river.",
            "Group B meets on Monday in the hall by the river.",
        ),
        ("Tom Holm of the Leeds office reports to Anna.", "Anna of the Leeds office reports to Tom Holm."),
    ],
)
def test_who_and_what_in_another_place_or_denied_is_another_passage(one: str, other: str) -> None:
    wordings = (
        Wording.of(f"{one} Ask at the desk beside the door."),
        Wording.of(f"{other} Ask at the desk beside the door."),
    )
    assert not are_copies(*wordings)
    assert not are_copies(*wordings[::-1])


def test_nothing_is_no_copy_of_nothing() -> None:
    assert not are_copies(Wording.of(""), Wording.of(" . "))


def test_a_word_more_is_a_difference_in_a_very_short_text() -> None:
    assert not are_copies(Wording.of("Leave is paid"), Wording.of("Leave is half paid"))
