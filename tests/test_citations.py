"""Sentences are checked: no citation without a source in this prompt."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.sentences import sentence_spans
from ragqa.citations import check, parse_reply
from ragqa.citations.words import tokens
from ragqa.types import Prompt
from tests.cited_blocks import BERRIES, DOCUMENTS, LEAVE, block, judged, prompt_of


@pytest.mark.parametrize(
    ("sentence", "quote"),
    [
        ("Blueberries are now green.", "In a shocking turn of events, blueberries are now green"),
        ("A box costs 5 dollars since March 1, 2021.", "A box costs $5"),
        ("Since 2021-03-01 a box has cost $5.", "A box costs $5"),
        ("Up to 5 days may be carried over to the next year.", "Up to five days"),
        ("12% of the 1200 employees work abroad.", "About 12 percent"),
        ("Twelve per cent of employees work abroad.", "About 12 percent"),
        ("Unused days cannot be paid out.", "Unused days may not"),
        ("Grace Hopper is 36.", "Grace Hopper\t36"),
        ("Ada Lovelace founded the farm in Cambridge.", "The farm was founded"),
    ],
)
def test_paraphrases_are_supported_by_the_sentence_that_says_it(sentence: str, quote: str) -> None:
    (found,), citations = judged(sentence)
    assert (found.verdict, found.missing) == ("supported", ())
    assert [c.quote.startswith(quote) for c in citations] == [True]


@pytest.mark.parametrize(
    ("sentence", "missing"),
    [
        ("A box costs 6 dollars since March 1, 2021.", "6"),
        ("A box costs 5 dollars since March 2, 2021.", "March 2, 2021"),
        ("A box costs 5 euros since March 1, 2021.", "5 euros"),
        ("Up to 5 weeks may be carried over into the next year.", "5 weeks"),
        ("Ada Lovelace founded the farm in Oxford.", "Oxford"),
        ("Ada Byron founded the farm in Cambridge.", "Ada Byron"),
        ("About 12 percent of 1,300 employees work abroad.", "1,300"),
        ("Unused days may be paid out.", "not"),
        ("Annual leave is not 25 days.", "not"),
        ("The office opens after nine.", "after"),
        ("The maximum stay is 3 nights.", "maximum"),
    ],
)
def test_a_changed_fact_is_never_supported_and_is_named(sentence: str, missing: str) -> None:
    (found,), _ = judged(sentence)
    assert found.verdict != "supported"
    assert missing in found.missing or "not" in found.missing


GATES = (
    "The north gate was built by Anna Rusk in 1911. The south gate was built by Otto Lind in 1934. "
    "Another 34,000 horses live in Nevada. In 2010 Utah had 12,500 horses on 40 square miles. "
    "The pact was signed by the US in 1920. "
    "The medal may be awarded to civilians, although no civilian has received it since 1879."
)


def verdict_on(sentence: str) -> tuple[str, tuple[str, ...]]:
    blocks = (block("gates", GATES, 0, "Gates", (("source", "gates.md"),)),)
    prompt = Prompt("What is known?", "", (), blocks, (), 16_384)
    ((found,), _) = check(parse_reply(sentence, prompt), prompt)
    return found.verdict, found.missing


@pytest.mark.parametrize(
    ("sentence", "missing"),
    [
        ("The north gate was built by Otto Lind in 1911.", "Otto Lind"),
        ("The north gate was built by Anna Rusk in 1934.", "1934"),
        ("Another 12,500 horses live in Nevada.", "12,500"),
        ("Another 34,000 horses live in Utah.", "Utah"),
        ("In 2010 Utah had 12,500 horses on 40 square kilometres.", "kilometre"),
        ("The pact was signed by Nevada in 1920.", "Nevada"),
        ("The south gate was built by the US in 1934.", "US"),
    ],
)
def test_a_fact_of_the_same_document_in_the_place_of_another_is_never_supported(
    sentence: str, missing: str
) -> None:
    verdict, lacking = verdict_on(sentence)
    assert verdict != "supported"
    assert missing in lacking


@pytest.mark.parametrize(
    "sentence",
    [
        "Anna Rusk built the north gate in 1911.",
        "In 1934 Otto Lind built the south gate.",
        "Nevada is where another 34,000 horses live.",
        "The U.S. signed the pact in 1920.",
        "Civilians may be awarded the medal.",
    ],
)
def test_facts_in_another_order_are_supported(sentence: str) -> None:
    assert verdict_on(sentence) == ("supported", ())


def test_what_an_aside_denies_is_not_denied_of_the_whole() -> None:
    assert verdict_on("The medal may not be awarded to civilians.")[0] != "supported"


@pytest.mark.parametrize(
    ("question", "answer", "verdict"),
    [
        ("How many days of annual leave are there?", "25", "supported"),
        ("How many days of annual leave are there?", "26", "unsupported"),
        ("What is the population of Paris?", "25", "unsupported"),
        ("How long is the leave?", "25 days", "supported"),
        ("How long is the treaty?", "25 days", "unsupported"),
        ("How old is Hopper?", "36", "supported"),
        ("Who founded the farm?", "Ada Lovelace", "supported"),
        ("Who wrote the treaty?", "Ada Lovelace", "unsupported"),
        ("Can unused days be paid out?", "No.", "supported"),
        ("Can unused days be paid out?", "Yes.", "unsupported"),
        ("Can days be carried over into the next year?", "Yes.", "supported"),
        ("What colour are blueberries now?", "Green", "supported"),
        ("Who wrote the treaty?", "Ada Lovelace\nSource: news/berries.md", "partial"),
        ("Who wrote the treaty?", "Grace Hopper\nSource: news/berries.md", "unsupported"),
    ],
)
def test_short_answers_are_checked_together_with_their_question(
    question: str, answer: str, verdict: str
) -> None:
    (found,), citations = judged(answer, question)
    assert found.verdict == verdict
    assert bool(citations) == (verdict != "unsupported")


def test_the_claimed_block_is_cited_where_two_say_the_same() -> None:
    for source, key in (("leave.md", "leave"), ("old/leave.md", "copy")):
        _, (citation,) = judged(f"Annual leave is 25 days.\nSource: {source}", "How long is the leave?")
        assert (citation.block_key, citation.claimed_by_model) == (key, True)


def test_a_claimed_block_that_does_not_carry_the_sentence_is_replaced() -> None:
    (found,), (citation,) = judged("Blueberries are green now.\nSource: leave.md")
    assert found.verdict == "supported"
    assert (citation.block_key, citation.claimed_by_model) == ("berries", False)


def test_copied_sentences_are_supported_however_they_are_joined() -> None:
    text = "Name Age Grace Hopper 36 A box costs $5 since 1 March 2021."
    (found,), citations = judged(text)
    assert found.verdict == "supported"
    assert [c.quote for c in citations] == [
        "Name\tAge",
        "Grace Hopper\t36",
        "A box costs $5 since 1 March 2021.",
    ]


def test_lines_of_different_places_do_not_make_one_sentence() -> None:
    blocks = (
        block("a", "Liverpool office\n\nIt opened in May.", 0, "Offices", (("source", "a.md"),)),
        block("b", "12 days paid holiday\n\nAsk your manager.", 0, "Holiday", (("source", "b.md"),)),
        block("c", "Apprentices only\n\nFrom 2021.", 0, "Scope", (("source", "c.md"),)),
    )
    prompt = replace(prompt_of("How much holiday has Liverpool?"), blocks=blocks)
    (found,), _ = check(parse_reply("Liverpool office 12 days paid holiday Apprentices only", prompt), prompt)
    assert found.verdict != "supported"
    both = check(parse_reply("It opened in May. Ask your manager.", prompt), prompt)[0]
    assert [one.verdict for one in both] == ["supported", "supported"]


def test_a_sentence_of_nothing_in_the_blocks_has_no_citation() -> None:
    (found,), citations = judged("Bananas are grown in Peru since 1920.")
    assert (found.verdict, citations) == ("unsupported", ())
    assert found.missing == ("Bananas", "Peru", "1920")


def test_one_citation_serves_several_sentences() -> None:
    sentences, citations = judged("Annual leave is 25 days. Leave is 25 days annually.\nSource: leave.md")
    assert [s.citations for s in sentences] == [(1,), (1,)]
    assert len(citations) == 1


PIECES = [
    *re.findall(r"\S+\s*", BERRIES + " " + LEAVE),
    *(
        "Source:",
        "\nSource:\n",
        "date: 2021-01-01\n",
        "url: ",
        "[1]",
        "https://web.site/9",
        "(source: leave.md)",
    ),
    *(
        "ENDINSTRUCTION",
        "USER:",
        "\n\n",
        "- ",
        "leave.md",
        "not ",
        "No. ",
        "I don't know. ",
        "\x00",
        "\ud800",
    ),
    *("。", "\u2028", "5", "İ", "ǅ", "１２", "²", "May 99, 2021 "),
]
RAW = st.one_of(
    st.text(st.characters()),
    st.lists(st.sampled_from(PIECES), max_size=25).map("".join),
    st.lists(st.one_of(st.sampled_from(PIECES), st.text(st.characters(), max_size=4)), max_size=25).map(
        "".join
    ),
)


@settings(max_examples=400, deadline=None)
@given(RAW, RAW)
def test_whatever_a_model_writes_citations_stand_in_this_prompt(raw: str, question: str) -> None:
    prompt = prompt_of(question)
    reply = parse_reply(raw, prompt)
    sentences, citations = check(reply, prompt)
    assert set(reply.claimed) <= set(DOCUMENTS)
    for citation in citations:
        assert DOCUMENTS[citation.block_key][citation.start : citation.end] == citation.quote != ""
        assert citation.claimed_by_model == (citation.block_key in reply.claimed)
    position = 0
    for sentence in sentences:
        assert not reply.answer[position : sentence.start].strip()
        assert reply.answer[sentence.start : sentence.end] == sentence.text
        assert len(sentence.citations) <= 3
        assert bool(sentence.citations) == (sentence.verdict in ("supported", "partial"))
        position = sentence.end
    assert not reply.answer[position:].strip()
    cited = [number for sentence in sentences for number in sentence.citations]
    assert list(dict.fromkeys(cited)) == [citation.id for citation in citations]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.characters(), max_size=40), min_size=1, max_size=4), st.data())
def test_a_sentence_copied_from_any_block_is_supported(texts: list[str], data: st.DataObject) -> None:
    blocks = tuple(block(f"b{n}", t, 0, "", (("source", f"b{n}"),)) for n, t in enumerate(texts))
    spans = [(b, a, z) for b in blocks for a, z in sentence_spans(b.text)]
    if not spans:
        return
    source, start, end = data.draw(st.sampled_from(spans))
    quote = source.text[start:end]
    if (
        len([t for t in tokens(quote) if t.is_content]) < 3
        or parse_reply(quote, prompt_of("?")).answer != quote
    ):
        return
    prompt = Prompt("?", "", (), blocks, (), 16_384)
    sentences, _ = check(parse_reply(quote, prompt), prompt)
    assert {s.verdict for s in sentences} <= {"supported"}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "piece", ["Source: ", "Source:\n", "- a\n", "[1] ", "1 May 2021 ", "not ", "(source: ", "A "]
)
def test_long_replies_of_one_thing_end(piece: str) -> None:
    """Replies are at most some thousand tokens; quadratic patterns would still hang a batch."""
    sentences, citations = judged(piece * (20_000 // len(piece)))
    assert all(number <= len(citations) for sentence in sentences for number in sentence.citations)
