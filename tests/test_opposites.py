"""Sentences that say the opposite of what a question asks."""

import pytest

from ragqa.candidates import Candidate, pieces_of
from ragqa.namesakes import of_what_is_asked
from ragqa.opposites import turned
from tests.blocks import make_block


def candidate(text: str, title: str = "") -> Candidate:
    return Candidate(make_block("a.md", text, title=title), 0, len(text), text, text)


def says_opposite(question: str, text: str, title: str = "") -> set[str]:
    return set(turned(question, candidate(text, title)))


@pytest.mark.parametrize(
    ("question", "text", "wanted"),
    [
        # The question denies
        ("Which problems cannot be solved in linear time?", "Sorting can be solved in linear time.", "not"),
        ("Who was not on the committee?", "Ann Lee was on the committee.", "not"),
        ("What does the Basic plan not include?", "The Basic plan includes support by mail.", "not"),
        ("Which staff don't get overtime pay?", "Night staff get overtime pay of 50 %.", "not"),
        ("Damage is not caused by what?", "Damage is caused by frost and by rain.", "not"),
        ("Where does the discount not apply?", "The discount applies in all shops in Leeds.", "not"),
        # The sentence denies
        ("Which devices support Bluetooth?", "The X-200 devices do not support Bluetooth.", "support"),
        ("Who may approve invoices?", "Trainees may not approve invoices.", "approv"),
        # The same word with another beginning
        ("Which costs are direct costs?", "Rent and power are indirect costs.", "direct"),
        ("What is an unauthorised change?", "An authorised change is one that has a ticket.", "unauthoris"),
        ("What is a non-refundable ticket?", "A refundable ticket costs 12 euros more.", "non-refundabl"),
        ("Which entries are invalid?", "Entries with a stamp are valid entries.", "invalid"),
        # A word and its opposite
        ("Which battery lasts longest?", "The B-4 battery lasts the shortest time.", "longest"),
        ("What is the lowest salary in the band?", "The highest salary in the band is 48,000.", "lowest"),
        ("Which trainings are optional?", "Trainings on fire and data are mandatory.", "optional"),
        ("What led to an increase in claims?", "A mild winter led to a decrease in claims.", "increas"),
    ],
)
def test_a_sentence_says_the_opposite(question: str, text: str, wanted: str) -> None:
    assert says_opposite(question, text) == {wanted}


@pytest.mark.parametrize(
    ("question", "text"),
    [
        # Denied by both, in one way or another
        ("Which problems cannot be solved?", "The halting problem cannot be solved."),
        ("What does the warranty not cover?", "The warranty covers all but wear and tear."),
        ("Who does not need approval?", "Purchases under 50 euros need no approval."),
        ("Who may not enter the hall?", "Only members may enter the hall."),
        ("Which parts are not covered?", "Covered are all parts except the battery."),
        ("Which printer does not work?", "The printer on floor 2 works only with a card."),
        # Questions for yes or no, for a time, a way, a reason
        ("Is the pool not open on Sundays?", "The pool is open on Sundays."),
        ("Can guests use the gym?", "Guests cannot use the gym."),
        ("When is the office not open?", "The office is open Monday to Friday."),
        ("Why does the lamp not light?", "The lamp lights when the cable is plugged in."),
        ("How do I not get charged?", "You get charged when the trial ends."),
        ("How much notice must the tenant give?", "The tenant need not give any notice."),
        ("How complete is the index?", "The index is incomplete."),
        # What is denied is a clause
        (
            "What happens if the tenant does not pay the rent?",
            "Rent that the tenant pays late bears interest.",
        ),
        (
            "What is the penalty for staff who do not wear a badge?",
            "Staff wear a badge; the penalty is 5 euros.",
        ),
        ("What should I do when the light does not come on?", "The light comes on; press the button."),
        ("Who pays if the buyer cancels?", "The buyer who does not cancel in time pays."),
        ("What is the fee for a late payment?", "If payment is not late, there is no fee."),
        # "not" without a verb
        ("Which plans are not only for teams?", "Plans for teams cost 20 euros."),
        ("Which orders are not more than 50 euros?", "Orders of more than 50 euros are free of postage."),
        # The sentence says until when, for whom, on what condition
        ("Who identified gravity as a force?", "Gravity was not identified as a force until Newton."),
        ("Which bags may be carried on board?", "Bags may not be carried on board unless they fit."),
        # Words of degree, and what only looks alike
        ("What is the most common cause of fires?", "Candles cause at least half of all fires."),
        ("What is the minimum order?", "The minimum order is 20, the maximum order 500."),
        ("Who must inform the insurer?", "The form goes to the insurer."),
        ("Which less common formats are there?", "Formats are listed unless they are old."),
        # Little of the question is in the sentence
        ("What is the largest city in the north of the country?", "It is smaller than the smallest village."),
    ],
)
def test_a_sentence_that_does_not_is_left(question: str, text: str) -> None:
    assert says_opposite(question, text) == set()


def test_what_stands_above_may_deny() -> None:
    asked = "Which damages are not covered by the policy?"
    assert says_opposite(asked, "Damages by frost are covered by the policy.") == {"not"}
    assert says_opposite(asked, "Damages by frost are covered by the policy.", "Exclusions") == set()
    text = "The policy does not pay for the following:\n- damages covered by another policy\n- wear"
    listed = [one for made in pieces_of([make_block("a.md", text)]) for one in made.candidates]
    assert not any(list(turned(asked, one)) for one in listed)


def test_another_sentence_must_say_what_the_best_turned_round() -> None:
    asked = "What does the warranty not cover?"
    texts = ["The warranty covers all parts.", "It is given for two years.", "Wear and tear are excluded."]
    assert of_what_is_asked(asked, [candidate(text) for text in texts]) == [2]
    assert of_what_is_asked(asked, [candidate(text) for text in texts[:2]]) == []
    asked = "Which devices support Bluetooth?"
    texts = ["The X-200 devices do not support Bluetooth.", "Devices are charged by cable."]
    assert of_what_is_asked(asked, [candidate(text) for text in texts]) == []
    assert of_what_is_asked(asked, [candidate(t) for t in (*texts, "The X-300 supports it.")]) == [2]
