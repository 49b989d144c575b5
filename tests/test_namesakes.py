"""Sentences about another thing of the kind that a question names."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from ragqa.candidates import Candidate
from ragqa.namesakes import missing, of_what_is_asked
from tests.blocks import make_block


def candidate(text: str, title: str = "", around: str = "") -> Candidate:
    block = make_block("a.md", f"{text} {around}", title=title)
    return Candidate(block, 0, len(text), text, text)


def lacks(question: str, text: str, title: str = "", around: str = "") -> frozenset[str]:
    return missing(question, candidate(text, title, around))


CONDEMNED = "The harness for crane 5 was condemned on 8 August 2022."


@pytest.mark.parametrize(
    ("question", "text", "wanted"),
    [
        ("When was the harness for crane 6 condemned?", CONDEMNED, {"6"}),
        ("How much is invoice 882?", "Invoice 881 is for £4,200.", {"882"}),
        ("When does the gate at site A open?", "The gate at site B opens at a quarter past 8.", {"a"}),
        ("What is the price of the FM-90?", "Model: FM-50; Price: 1,890", {"fm90"}),
        ("What is the greatest depth of the TG-400Z?", "Depth; TG-400S: 30 m; TG-400D: 100 m", {"tg400z"}),
        ("How many vans does the York depot have?", "The Leeds depot has 14 vans.", {"york"}),
        ("How much does Corvid Ltd owe?", "Acme Ltd owes £4,200.", {"corvid"}),
        ("What ended the Warm War?", "The Cold War ended in 1991.", {"warm"}),
        ("What is the minimum temperature?", "The maximum temperature is 40 °C.", {"minimum"}),
        ("What are the opening hours?", "The closing hours are on the door.", {"open"}),
        ("When is the third payment due?", "The second payment is due on 1 June.", {"third"}),
        ("What is the default of server.read_timeout?", "server.idle_timeout: 60 s", {"server.read_timeout"}),
        ("What does max_retries do?", "The client tries again min_retries times.", {"max_retry"}),
        ("What is new in firmware 3.4.2?", "3.4.1 (18 June 2024) mends the clock.", {"3.4.2"}),
        ("What was the capacity at 5C?", "Capacity at 2C was 187 mAh/g.", {"5"}),
        ("How long do cells last when stored at 0 °C?", "Stored at 45 °C they last a year.", {"0"}),
    ],
)
def test_what_stands_in_the_place_of_the_asked_is_another(question: str, text: str, wanted: set[str]) -> None:
    assert lacks(question, text) == wanted


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("When was the harness for crane 5 condemned?", CONDEMNED),
        ("When were cranes 5 and 6 inspected?", "Crane 5 was inspected on 3 May."),
        ("Which is larger, the P-10 or the P-20?", "The P-10 delivers 40 l/min."),
        ("What is the price of the FM50?", "Model: FM-50; Price: 1,890"),
        ("Can I return it within 30 days?", "You can return it within 14 days."),
        ("When did the population reach 8 billion people?", "It will reach 10 billion people in 2080."),
        ("How many players scored 10000 runs?", "Eleven players have scored more than 10,000 runs."),
        ("What happened on 10 June?", "On 12 June the gate was shut."),
        ("Who ran Forest Gump?", "Forrest Gump was run by Paramount."),
        ("Where was René Goulaine born?", "Rene Goulaine was born in Poitou."),
        ("What are the principles of EU law?", "The principles of European Union law are three."),
        ("How long is Corvid's information kept secret?", "Confidential Information is secret for a year."),
        ("Does the Leeds or the York depot have more vans?", "The Leeds depot has 14 vans."),
        ("When does the depot open and close?", "The depot closes at 17:00."),
        ("Besides Britain and North America, where did they settle?", "Some settled in South Africa."),
        ("When are the first and third payments due?", "The first payment is due on 1 May."),
        # What answers by its opposite, or is about another word's opposite
        ("Is the library open on Mondays?", "The library is closed on Mondays."),
        ("When does the depot open?", "The depot closes at 17:00."),
        ("How much deposit can the landlord ask for?", "The tenant pays a deposit of two months' rent."),
        ("What is the most common cause of fires?", "Candles cause at least half of all fires."),
        # Titles, several names, capitals at the beginning of a sentence
        ("Where does Doctor Smith work?", "Dr Smith works in building four."),
        ("What did President Obama sign?", "Barack Obama signed the act."),
        ("Where is Mount Etna?", "Mt Etna is in Sicily."),
        # Ranges
        ("How far do I run in week 2?", "Weeks 1–4: run 3 km every day."),
        ("What do I get if I score 85?", "Students who score 80 or more get an A."),
        ("What is in Schedule C?", "Schedules A to D list the prices."),
        ("Can it print on A4?", "All sizes up to A3 can be printed."),
        ("At 30 °C, may it be stored?", "It may be stored at up to 45 °C."),
        ("How fast is it at 30 °C?", "At temperatures from 20 to 45 °C it takes an hour."),
        ("How fast is it at 30 °C?", "At 20 °C it takes an hour, at 30 °C half of that."),
        ("What changed between 3.4.1 and 3.4.2?", "3.4.1 mends the clock."),
        # Names of files, addresses, names joined otherwise
        ("Which Node.js version is needed?", "It runs on Node 18."),
        ("What does example.com offer?", "The site offers maps."),
        ("What is max_retries?", "The client tries again: max retries is 5."),
        ("What is max_retries?", "The maximum is 5 (--max-retries)."),
        ("What is in notes.txt, i.e. the log?", "The log has three parts."),
        # The same, written otherwise
        ("How fast is USB 3.0?", "USB 3 runs at 5 Gbit/s."),
        ("What does error E05 mean?", "E5: the door is open."),
        ("Who was the third president?", "Jefferson was the 3rd president, after the second."),
        ("When was the first edition published?", "It came out in 1851; a second edition followed."),
        ("In 2018, what was paid?", "In 2019 nothing was paid."),  # years are of versions
    ],
)
def test_what_only_looks_different_is_none(question: str, text: str) -> None:
    assert lacks(question, text) == frozenset()


def test_what_stands_above_says_of_what_a_sentence_is() -> None:
    asked = "When does the gate at site A open?"
    assert lacks(asked, "The gate opens at 8:30.", title="Site B") == {"a"}
    assert lacks(asked, "The gate opens at 7:00.", title="Site A") == frozenset()
    chaired = "Who chaired the September 2024 board meeting?"
    assert lacks(chaired, "Ann Lee took the chair.", title="Board minutes March 2024") == {"september"}
    assert lacks(chaired, "Ann Lee took the chair.", title="Board minutes September 2024") == frozenset()


def test_a_capital_at_the_beginning_of_a_sentence_is_no_other_name_where_the_block_has_the_asked() -> None:
    asked, text = "What is the Berlin rent?", "Monthly rent is 900 euros."
    assert lacks(asked, text, around="Our Berlin office is in Mitte.") == frozenset()
    assert lacks(asked, "The Paris rent is 900 euros.", around="Our Berlin office is in Mitte.") == {"berlin"}


def test_people_have_several_names_so_the_whole_block_is_asked() -> None:
    asked, text = "Whom did Jesse James marry?", "Robert James married Zerelda."
    assert lacks(asked, text) == {"jess"}
    assert lacks(asked, text, around="His brother was Jesse.") == frozenset()


def places(question: str, texts: Sequence[str]) -> list[int]:
    return of_what_is_asked(question, [candidate(text) for text in texts])


def test_where_the_best_is_of_another_only_those_that_name_the_asked_are_left() -> None:
    asked = "When was the harness for crane 6 condemned?"
    assert places(asked, [CONDEMNED, "Cranes are inspected in May."]) == []
    assert places(asked, [CONDEMNED, "Lifts are not cranes.", "Crane 6 was condemned in May."]) == [2]
    assert places(asked, ["Crane 6 was condemned in May.", CONDEMNED, "Lifts are not cranes."]) == [0, 2]
    assert places(asked, []) == []
    far = [candidate(CONDEMNED), replace(candidate("Crane 6 is red."), score=-5.0)]
    assert of_what_is_asked(asked, far) == []


LABELS = ["Department", "Sales", "IT", "Sales Europe", "3"]


def rows_left(question: str, labels: Sequence[str]) -> list[str]:
    block = make_block("a.md", "\n".join(f"{label}\t100" for label in labels))
    rows = [
        Candidate(block, 0, 1, f"{label}\t100", f"Name: {label}; Sum: 100", place=place, is_row=True)
        for place, label in enumerate(labels)
    ]
    return [labels[place] for place in of_what_is_asked(question, rows)]


@pytest.mark.parametrize(
    ("question", "left"),
    [
        ("How much has IT spent?", ["IT"]),
        ("How much has it spent?", LABELS),
        ("What did Sales Europe spend?", ["Sales Europe"]),
        ("What did sales spend?", ["Sales"]),
        ("What did Legal spend?", LABELS),
        ("What did the 3 departments spend?", LABELS),
        ("Which department is Anna in?", LABELS),  # the first row may be the header
        ("Who spent more than IT?", LABELS),
        ("What did others besides Sales spend?", LABELS),
    ],
)
def test_a_row_that_is_named_leaves_out_those_beside_it(question: str, left: list[str]) -> None:
    assert rows_left(question, LABELS) == left


def numbered_rows_left(question: str, column: str, numbers: Sequence[str]) -> list[str]:
    block = make_block("a.md", f"{column}\tPrice\n" + "\n".join(f"{one}\t9" for one in numbers))
    rows = [
        Candidate(
            block,
            0,
            1,
            f"{one}\t9 EUR\tMay",
            f"{column}: {one}; Price: 9 EUR; Due: May",
            place=n,
            is_row=True,
        )
        for n, one in enumerate(numbers, 1)
    ]
    return [numbers[place] for place in of_what_is_asked(question, rows)]


BATCHES = ["100", "500", "2,000"]


@pytest.mark.parametrize(
    ("question", "column", "numbers", "left"),
    [
        ("What does the A-41 cost at 500 pieces?", "Quantity", BATCHES, ["500"]),
        ("A-41 at 2000 pieces", "Quantity", BATCHES, ["2,000"]),
        ("When are 1000 pieces due?", "Quantity", BATCHES, []),
        ("What is the price if we buy 500?", "Quantity", BATCHES, ["500"]),
        ("Who is on call in week 43?", "Week", ["42", "43", "44"], ["43"]),
        ("Who is on call in week 51?", "Week", ["42", "43", "44"], []),
        ("What costs 500 cycles?", "Cycles", ["100", "500"], ["500"]),
        ("What is the price at 60 °C?", "Temperature (°C)", ["20", "60.0"], ["60.0"]),
        ("What is the price at -20 °C?", "Temperature (°C)", ["-20", "20"], ["-20"]),
        ("What is the price at 80 °C?", "Temperature (°C)", ["20", "60"], []),
        ("What is the capacity at 2C?", "Rate", ["0.1C", "1C"], []),
        ("What is the price of 5 mm?", "Plate", ["3 mm", "5 mm"], ["5 mm"]),
    ],
)
def test_a_row_whose_number_is_named_leaves_out_those_beside_it(
    question: str, column: str, numbers: list[str], left: list[str]
) -> None:
    assert numbered_rows_left(question, column, numbers) == left


@pytest.mark.parametrize(
    ("question", "column", "numbers"),
    [
        ("What are the 3 cheapest?", "Rank", ["1", "2", "3"]),
        ("What is due in 2 weeks?", "Week", ["1", "2", "3"]),
        ("What was the price in 2019?", "Number", ["2018", "2019"]),
        ("What does it cost from 200 pieces?", "Quantity", BATCHES),
        ("What do more than 500 pieces cost?", "Quantity", BATCHES),
        ("What is the price in weeks 40 to 43?", "Week", ["41", "42"]),
        ("What is the price in 500 days?", "Quantity", BATCHES),
        ("What is the price of the A-500?", "Quantity", BATCHES),
        ("What is the price at 1000 pieces?", "Quantity", ["1 to 99", "100 to 4999"]),
        ("What is the price at 60 bar?", "Temperature (°C)", ["20", "40"]),
    ],
)
def test_a_number_that_may_count_something_else_leaves_all_rows(
    question: str, column: str, numbers: list[str]
) -> None:
    assert numbered_rows_left(question, column, numbers) == numbers


def test_where_no_row_has_the_number_a_sentence_without_it_is_no_answer_either() -> None:
    block = make_block("a.md", "Quantity\tPrice\n100\t9\n\nWe offer it as follows.")
    row = Candidate(block, 0, 1, "100\t9\tMay", "Quantity: 100; Price: 9; Due: May", place=1, is_row=True)
    offer, other = candidate("We offer it as follows."), candidate("For 1,000 pieces ask for a price.")
    assert of_what_is_asked("What do 1000 pieces cost?", [row, offer, other]) == [2]
    assert of_what_is_asked("What do 100 pieces cost?", [row, offer, other]) == [0, 1, 2]
