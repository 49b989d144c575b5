"""Replies are taken apart: the answer, the blocks its source lines claim, refusals, courtesies."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragqa.citations import check, parse_reply
from ragqa.prompt import defuse_metadata, normalise, pack_prompt
from ragqa.types import REFUSAL
from tests.cited_blocks import block, judged, prompt_of

ANSWER = "Blueberries are now green."


@pytest.mark.parametrize(
    ("tail", "claimed"),
    [
        ("\nSource:\ndate: 2021-01-01\nurl: https://web.site/123", ("berries",)),
        ("\n\nSource: date: 2021-01-01 url: https://web.site/123", ("berries",)),
        ("\nSources:\n- leave.md\n\n- news/berries.md", ("leave", "berries")),
        ("\nReference(s): https://web.site/9", ("leave",)),
        (" Reference: https://web.site/9/", ("leave",)),
        ("\n**Source:** `leave.md`, page 3", ("leave",)),
        ("\nREFERENCES:\n1. old/leave.md\n2. [the news](https://web.site/123)", ("copy", "berries")),
        ("\nSource:\nurl: https://web.site/9\n\nurl: https://web.site/123", ("leave", "berries")),
        ("\nSource: source: old/leave.md\ndate: 2020-05-05", ("copy",)),
        ("\nSource:\nauthor: ann lee", ("leave",)),
        ("\nurl: https://web.site/9\ndate: 2020-05-05", ("leave",)),
        ("\nSource:\n", ()),
        ("\nSource: none", ()),
        ("\nSource:\nsource: invented.md\ndate: 2020-05-05", ()),
        ("\nSource: https://web.site/1234", ()),
        ("\nSource:\nurl: https://web.site/9\nENDINSTRUCTION", ("leave",)),
        ("\nSource: leave.md\nUSER: And bananas? ASSISTANT: Source: news/berries.md", ("leave",)),
        ("</s>", ()),
    ],
)
def test_every_label_form_is_cut_off_and_mapped_to_blocks(tail: str, claimed: tuple[str, ...]) -> None:
    reply = parse_reply(ANSWER + tail, prompt_of("?"))
    assert (reply.answer, reply.claimed) == (ANSWER, claimed)


@pytest.mark.parametrize(
    ("raw", "answer", "claimed"),
    [
        ("Green (source: news/berries.md). And 25 days [2].", "Green. And 25 days.", ("berries", "leave")),
        ("A [1], b [2].\nSources:\n[1] leave.md\n[2] news/berries.md", "A, b.", ("leave", "berries")),
        ("ASSISTANT: Green.\nSource: leave.md", "Green.", ("leave",)),
        ("BEGININSTRUCTION\nx\nENDINSTRUCTION\nGreen.\nSource: leave.md", "Green.", ("leave",)),
        ("The main Source: of income is coal.", "The main Source: of income is coal.", ()),
        ("Source: the river rises in the hills near the old town.", None, ()),
        ("Green.\nSource: leave.md\n\nIt is also round, as the farm says.", None, ("leave",)),
        ("Energy source: coal\nGreen.", "Energy source: coal\nGreen.", ()),
    ],
)  # fmt: skip
def test_in_text_forms_and_prose_about_sources(
    raw: str, answer: str | None, claimed: tuple[str, ...]
) -> None:
    reply = parse_reply(raw, prompt_of("?"))
    if answer is not None:
        assert reply.answer == answer
    assert reply.claimed == claimed


def test_prose_that_begins_with_the_label_or_follows_the_sources_stays() -> None:
    river = "Source: the river rises in the hills near the old town."
    assert parse_reply(river, prompt_of("?")).answer == river
    after = parse_reply("Green.\nSource: leave.md\n\nIt is also round, as the farm says.", prompt_of("?"))
    assert after.answer == "Green.\n\nIt is also round, as the farm says."


def test_invented_sources_are_kept_apart() -> None:
    reply = parse_reply(ANSWER + "\nSources:\n- leave.md\n- made/up.md", prompt_of("?"))
    assert reply.claimed == ("leave",)
    assert [line.strip("- ") for line in reply.invented] == ["made/up.md"]


@pytest.mark.parametrize(
    "raw",
    [
        "I don't know.",
        "I'm sorry, but I don't know the answer to that. Please provide more context.",
        "The context does not mention the color of bananas.\nSource: none",
        "Based on the provided context, there is no information about bananas.",
        "The answer is not provided in the given context.",
        "Unfortunately, the provided information doesn’t specify this.",
        "N/A",
        REFUSAL,
    ],
)
def test_refusals(raw: str) -> None:
    assert parse_reply(raw, prompt_of("?")).refuses


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "Hello!",
        "None.",
        "The answer is known.",
        "Unused days may not be paid out.",
        "The context does not mention bananas, I think. Blueberries are green.",
        "Blueberries are green. I don't know about bananas.",
        "The survey found no evidence of fraud.",
        "No information is shared with third parties.",
        "The data do not include names.",
    ],
)
def test_answers_that_are_no_refusals(raw: str) -> None:
    assert not parse_reply(raw, prompt_of("?")).refuses


@pytest.mark.parametrize(
    "text",
    [
        *("Hello!", "Hi there.", "Here is the answer:", "Here are the 3 steps:", "## Summary"),
        *("What do you mean?", "Sure.", "In summary:", "Thank you for asking.", "Feel free to ask."),
        *("If you have any questions, let me know.", "If you need more information, please contact us."),
        *("I hope this helps!", "Please let me know if there is anything else.", "Please note:"),
    ],
)
def test_greetings_headings_and_questions_claim_nothing(text: str) -> None:
    (found,), citations = judged(text)
    assert (found.verdict, citations) == ("no_claim", ())


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Great Britain pays 900 dollars a day to each.", "unsupported"),
        ("In conclusion, all staff must pay 900 dollars.", "unsupported"),
        ("Please note that contractors have 99 days.", "unsupported"),
        ("# Contractors have 99 days and may never be dismissed", "unsupported"),
        ("OK, did you know that everyone pays 900 dollars?", "unsupported"),
        ("Great Western Railway.", "unsupported"),
        ("If you need a key, ask Tom Holm.", "unsupported"),
        ("If you need help, ask Tom Holm.", "unsupported"),
        ("If you have questions about pay, write to hr@x.org.", "unsupported"),
        ("If you have questions, contact the porter.", "unsupported"),
        ("If you need help, let me know at hr@x.org.", "unsupported"),
        ("Please let the office know by letter.", "unsupported"),
        ("Please note the gate is locked at night.", "unsupported"),
        ("Feel free to park in the yard.", "unsupported"),
        ("Thanks to the pump the water is free.", "unsupported"),
        ("Sure, annual leave is 25 days.", "supported"),
        ("Please note that annual leave is 25 days.", "supported"),
        ("In conclusion: annual leave is 26 days.", "partial"),
    ],
)
def test_a_claim_is_checked_however_politely_it_begins(text: str, verdict: str) -> None:
    (found,), _ = judged(text, "How long is the leave?")
    assert found.verdict == verdict


LETTER = (
    "Dear Ms Vale,\nReference: LT-2031-B\nReferences: ISO 9001 and ISO 14001\nReference: ticket 8812. "
    "Please quote your application number (ref: 20-4711). Half of them moved (source: Eurostat). "
    "The pipe has two joints\n[3].\nSource: other.md\nOrder (source: other.md)."
)
LETTERS = (
    block("letter", LETTER, 0, "Letter", (("source", "letter.md"),)),
    block("other", "Order 66 is here.", 0, "Order", (("source", "other.md"),)),
    block("third", "Third.", 0, "Third", (("source", "third.md"),)),
)


@pytest.mark.parametrize(
    "said",
    [
        "Reference: LT-2031-B",
        "**Reference:** LT-2031-B",
        "References: ISO 9001 and ISO 14001",
        "Reference: ticket 8812.",
        "Reference: ticket 8812. Half of them moved (source: Eurostat).",
        "Dear Ms Vale, Reference: LT-2031-B",
        "Half of them moved. Reference: LT-2031-B",
        "Please quote your application number (ref: 20-4711).",
        "The pipe has two joints [3].",
    ],
)
def test_what_a_document_says_behind_such_a_label_is_no_source(said: str) -> None:
    prompt = replace(prompt_of("What is the reference?"), blocks=LETTERS)
    reply = parse_reply(f"{said}\nSource:\nsource: letter.md", prompt)
    assert (reply.answer, reply.claimed, reply.invented) == (said, ("letter",), ())
    assert {sentence.verdict for sentence in check(reply, prompt)[0]} == {"supported"}


@pytest.mark.parametrize(
    ("tail", "claimed", "invented"),
    [
        ("\nSource: other.md", ("other",), ()),
        (" Source: other.md", ("other",), ()),
        (" (source: other.md)", ("other",), ()),
        (" (source: Euro)", (), ("Euro",)),
        ("\nReference: LT-2031", (), ("LT-2031",)),
        ("\nSource: Eurostat", (), ("Eurostat",)),
    ],
)
def test_what_a_document_says_hides_no_source_line(
    tail: str, claimed: tuple[str, ...], invented: tuple[str, ...]
) -> None:
    reply = parse_reply(f"Order 66 is here.{tail}", replace(prompt_of("?"), blocks=LETTERS))
    assert (reply.answer, reply.claimed, reply.invented) == ("Order 66 is here.", claimed, invented)


def test_a_document_may_be_named_as_a_marker() -> None:
    made = (block("marker", "Text.", 0, "", (("source", "BEGININPUT"),)), LETTERS[0])
    ((_, written),) = defuse_metadata(made[0].metadata)
    reply = parse_reply(f"It is so.\nSource:\nsource: {written}", replace(prompt_of("?"), blocks=made))
    assert (reply.answer, reply.claimed, reply.invented) == ("It is so.", ("marker",), ())


ONE_LINE = st.text(st.characters(), min_size=1, max_size=12)
LINES = st.lists(st.tuples(st.sampled_from(["title", "date", "url", "my key"]), ONE_LINE), max_size=4)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(ONE_LINE, LINES), min_size=1, max_size=4), st.data())
def test_the_lines_of_a_packed_block_claim_this_block_alone(
    sources: list[tuple[str, list[tuple[str, str]]]], data: st.DataObject
) -> None:
    given_blocks = [
        block(f"g{n}", f"Text {n}.", n * 10, "", (("source", source), *dict(lines).items()))
        for n, (source, lines) in enumerate(sources)
    ]
    packed = pack_prompt("?", given_blocks, lambda text: tuple(text.encode()), 100_000, 0)
    wanted = data.draw(st.sampled_from(packed.blocks))
    written = [line for line in defuse_metadata(wanted.metadata) if normalise(line[1])]
    if not written or written[0][0] != "source":
        return
    lines = "\n".join(f"{key}: {value}" for key, value in written)
    reply = parse_reply(f"It is so.\nSource:\n{lines}", packed)
    assert (reply.answer, reply.claimed, reply.invented) == ("It is so.", (wanted.key,), ())
