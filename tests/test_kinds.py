"""What a question asks for, and whether a sentence holds such a thing."""

import pytest

from ragqa.kinds import answer_lacks, lacks_asked


@pytest.mark.parametrize(
    ("question", "text", "lacks"),
    [
        ("In what year was Andrew Lortie born?", "The theologian Andrew Lortie left for London.", True),
        ("In what year was Andrew Lortie born?", "Andrew Lortie was born in 1641.", False),
        ("In which year did the war of 1854 end?", "The war of 1854 was long.", True),
        ("When does the bakery open?", "The bakery opens at seven in the morning.", False),
        ("When does the bakery open?", "The bakery sells rye bread.", True),
        ("What do I do when a lamp is broken?", "Call the harbour office.", False),
        ("How many lamps burn in the tower?", "In the tower burn twelve brass lamps.", False),
        ("How many lamps burn in the tower?", "The lamps were lit by three keepers.", True),
        ("How many islanders can it serve?", "It serves about 38 people.", False),
        ("How long is the quay?", "The quay is made of granite.", True),
        ("How long is the quay?", "The quay is 80 metres long.", False),
        ("Who built the lighthouse?", "It was built by the engineer Mary Holt.", False),
        ("Who built the Corran lighthouse?", "The lighthouse at Corran is white.", True),
        ("Who condemned the harness?", "The harness was condemned on Monday, 8 August 2022.", True),
        ("How long is the harness?", "The harness was condemned on 8 August 2022.", True),
        ("How long did the works take?", "The works took from 8 August to 3 September 2022.", False),
        ("What did the survey cost?", "The survey found two faults in nine towers.", True),
        ("What did the survey cost?", "The survey came to £4,200.", False),
        ("What is the price of the lamp X-3?", "The X-3 uses about 210 W.", True),
        ("How much does a visit cost?", "Visits are free.", False),
        ("What is the fee for?", "The fee pays for the keeper.", False),
        ("What is the rent based on?", "The rent follows the index of prices.", False),
        ("Why is the lighthouse white?", "No reason is known.", False),
        ("Is the lighthouse white?", "The bakery sells bread.", False),
    ],
)
def test_a_sentence_without_what_was_asked_for_is_told(question: str, text: str, lacks: bool) -> None:
    assert lacks_asked(question, text) is lacks


def test_a_row_of_a_table_may_name_what_it_counts_before_the_number() -> None:
    row = "Lamps: 12; Keepers: 3"
    assert lacks_asked("How many lamps are there?", row)
    assert not lacks_asked("How many lamps are there?", row, is_row=True)
    assert not lacks_asked("What is the price of the lamp?", "Lamp: X-3; Price: 40", is_row=True)


@pytest.mark.parametrize(
    ("question", "answer", "lacks"),
    [
        ("In what year was Andrew Lortie born?", "London", True),
        ("In what year was Andrew Lortie born?", "1641", False),
        ("In what year did the war of 1854 end?", "1854", True),
        ("When does the bakery open?", "seven in the morning", False),
        ("What do I do when a lamp is broken?", "harbour office", False),
        ("How many lamps burn in the tower?", "twelve", False),
        ("How many lamps burn in the tower?", "brass", True),
        ("Who built the lighthouse?", "Holt", False),
        ("Who built the Corran lighthouse?", "Corran", True),
        ("Who built the lighthouse?", "", True),
        ("Why is the lighthouse white?", "", False),
        ("Who called?", "April", False),
        ("Who called?", "Monday", True),
    ],
)
def test_words_that_are_no_answer_of_the_kind_asked_for_are_told(
    question: str, answer: str, lacks: bool
) -> None:
    assert answer_lacks(question, answer) is lacks
