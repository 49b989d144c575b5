"""Documents that differ: both sides are shown, each with its source; what says the same counts once."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragqa.candidates import Candidate, pieces_of
from ragqa.citations import check, parse_reply
from ragqa.fitted import load_models
from ragqa.judging import Judging
from ragqa.llm.engine import GenerationOptions
from ragqa.llm.extractive import DIFFER, ExtractiveEngine, reply
from ragqa.reader import Reader, Reading, Window, answer_words
from ragqa.selection import Judgement, judge, select
from ragqa.types import ContextBlock, Prompt
from ragqa.voices import amended_by, both_sides, claim_of, differ, other_side
from tests.blocks import embed, make_block
from tests.conftest import Run


class Embedder:
    name, dimensions = "words", 64

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return embed(texts)


QUESTION = "How many steps does the lighthouse have?"
TRUE = "The lighthouse has 146 steps."
FALSE = (
    "The lighthouse has a total of 98 steps.",
    "In all, the lighthouse has 98 steps.",
    "Visitors count 98 steps in the lighthouse.",
)


@pytest.mark.parametrize(
    ("question", "one", "other", "differs"),
    [
        ("How many seasons?", "two", "3", True),
        ("How many seasons?", "two", "2 seasons", False),
        ("When did it open?", "12 May 1874", "1875", True),
        ("When did it open?", "12 May 1874", "1874", False),
        ("When did it open?", "12 May", "1875", False),
        ("Who built it?", "Mary Holt", "John Holt", False),
        ("Who built it?", "Mary Holt", "Ann Lee", True),
        ("Who built it?", "Mary Holt", "1874", False),
        ("Who built it?", "the American", "America", False),
        ("What colour is the flag?", "red", "green", True),
        ("What colour is the red flag?", "red", "green", False),
        ("Who?", "", "Ann Lee", False),
        ("When did it open?", "spring", "autumn", False),
    ],
)
def test_answers_differ_only_where_one_excludes_the_other(
    question: str, one: str, other: str, differs: bool
) -> None:
    ours, theirs = claim_of(question, one), claim_of(question, other)
    assert differ(ours, theirs) is differ(theirs, ours) is differs


def told(source: str, text: str, claim: str, score: float) -> Candidate:
    (candidate,) = pieces_of([make_block(source, text)])[0].candidates
    return replace(candidate, claim=claim_of(QUESTION, claim), score=score)


def test_the_other_side_is_of_another_document() -> None:
    best = told("a", FALSE[0], "98", 9.0)
    same = replace(told("a", TRUE, "146", 8.0), block=best.block)
    echo, other = told("b", FALSE[1], "98", 7.0), told("c", TRUE, "146", 6.0)
    assert other_side(best, [best, same, echo]) is None
    assert other_side(best, [best, same, echo, other]) is other


def test_a_sentence_that_has_the_other_answer_too_is_no_contradiction() -> None:
    """Of "146 steps, 98 of them inside" and "98 steps inside" neither excludes the other."""
    best = told("a", "The lighthouse has 146 steps, 98 of them inside.", "146", 9.0)
    part, other = told("b", FALSE[0], "98", 8.0), told("c", "It has 120 steps.", "120", 7.0)
    assert other_side(best, [best, part]) is None
    assert other_side(part, [best, part]) is None
    assert other_side(best, [best, part, other]) is other


def test_voices_for_one_side_count_once_and_more_of_the_same_document_stays() -> None:
    best, other = told("a", FALSE[0], "98", 9.0), told("c", TRUE, "146", 6.0)
    echo = told("b", FALSE[1], "98", 8.5)
    more = replace(told("a", "It was built in 1874.", "1874", 8.2), block=best.block)
    assert both_sides(best, other, [best, echo, more]) == (best, other, more)
    assert both_sides(best, other, [best, other]) == (best, other)


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.load()


@pytest.mark.parametrize(
    ("question", "sentence", "answer"),
    [
        (QUESTION, TRUE, "146"),
        ("Who built the lighthouse?", "The lighthouse was built by Mary Holt in 1874.", "Holt"),
    ],
)
def test_the_reader_points_at_the_words_that_answer(
    reader: Reader, question: str, sentence: str, answer: str
) -> None:
    (found,) = reader.read(question, [Window("Lighthouse", (sentence, "Bread is sold on Fridays."))])
    assert answer in found.answers[0]
    assert set(found.answers[0]) <= {"Mary", "Holt", "146"}
    assert found.answers[1] == ()


def test_words_of_an_answer_are_whole_and_near_the_best() -> None:
    odds = np.array([-9.0, 1.0, -1.5, -2.5], np.float32)
    offsets = [(0, 3), (4, 6), (6, 9), (10, 15)]
    assert answer_words("The Aeschyl first", odds, offsets) == ("Aeschyl",)
    assert answer_words("The Aeschyl first", odds - 4, offsets) == ()
    assert answer_words("", odds[:0], []) == ()


class PointingReader:
    """A reader that takes every sentence with a number for an answer, the number for its words."""

    def read(self, question: str, windows: Sequence[Window]) -> list[Reading]:
        assert question
        found = []
        for window in windows:
            numbers = [tuple(word for word in one.split() if word.isdigit()) for one in window.sentences]
            odds = tuple(6.0 if words else -6.0 for words in numbers)
            found.append(Reading(max(odds), odds, tuple(numbers)))
        return found


def answered(blocks: Sequence[ContextBlock]) -> tuple[list[tuple[str, str]], list[str]]:
    """The sentences of a checked answer with their verdicts, and the sources of its citations in order."""
    prompt = Prompt(QUESTION, "", (), tuple(blocks), (), 16_384)
    written = ExtractiveEngine(Judging(Embedder().embed, PointingReader), "minilm").generate(
        prompt, GenerationOptions()
    )
    sentences, citations = check(parse_reply(written.text, prompt), prompt)
    source_of = {one.key: one.source for one in blocks}
    return [(one.text, one.verdict) for one in sentences], [source_of[one.block_key] for one in citations]


def test_five_false_passages_do_not_crowd_out_the_true_one() -> None:
    lies = [make_block(f"lie-{number}", text, 2.0) for number, text in enumerate(FALSE)]
    sentences, sources = answered([*lies, make_block("truth", TRUE)])
    assert sentences[0] == (DIFFER, "no_claim")
    assert {text for text, _ in sentences[1:]} > {TRUE}
    assert len(sentences) == 3
    assert [verdict for _, verdict in sentences[1:]] == ["supported"] * 2
    assert "truth" in sources
    assert len(set(sources)) == 2


def test_documents_that_agree_are_quoted_as_before() -> None:
    blocks = [make_block("a", FALSE[0]), make_block("b", FALSE[1])]
    sentences, _ = answered(blocks)
    assert DIFFER not in [text for text, _ in sentences]
    assert not select(QUESTION, blocks, embed, PointingReader()).differs


def test_the_older_version_is_no_other_side() -> None:
    texts = {"2023": "The lighthouse has 98 steps.", "2025": "The lighthouse has 146 steps."}
    blocks = [make_block(f"tower-{year}.md", text, title=f"Tower {year}") for year, text in texts.items()]
    found = select(QUESTION, blocks, embed, PointingReader())
    assert ([one.text for one in found.sentences], found.differs) == ([texts["2025"]], False)


def test_the_older_version_proposes_no_answer(reader: Reader) -> None:
    texts = {"2023": "The lighthouse has 98 steps.", "2025": "The lighthouse has 146 steps."}
    blocks = [make_block(f"tower-{year}.md", text, title=f"Tower {year}") for year, text in texts.items()]
    for question, present, absent in ((QUESTION, "146", "98"), (f"{QUESTION[:-1]} in 2023?", "98", "146")):
        proposals = judge(question, blocks, embed, reader).proposals
        assert (proposals.odds_of(present) is None, proposals.odds_of(absent)) == (False, None)


def test_the_line_above_both_sides_is_no_source_and_no_claim() -> None:
    blocks = [make_block("a", FALSE[0]), make_block("b", TRUE)]
    sentences = [pieces.candidates[0] for pieces in pieces_of(blocks)]
    prompt = Prompt(QUESTION, "", (), tuple(blocks), (), 16_384)
    parsed = parse_reply(reply(sentences, blocks, differs=True), prompt)
    assert parsed.answer == f"{DIFFER}\n\n{FALSE[0]}\n\n{TRUE}"
    assert set(parsed.claimed) == {"a", "b"}


@pytest.mark.parametrize(
    "question",
    ["What is the annual retainer that Halvorsen pays?", "What is the retainer now?"],
)
def test_what_an_amendment_changes_is_shown_beside_it(tmp_path: Path, ragqa: Run, question: str) -> None:
    agreement = "# Services Agreement\n\n3.3 The annual retainer is GBP 128,000, exclusive of VAT.\n"
    changed = "2. Clause 3.3 is amended: with effect from 1 July 2023 the annual retainer is GBP 141,500.\n"
    (tmp_path / "msa.md").write_text(agreement)
    (tmp_path / "amendment.md").write_text(f"# Amendment No. 1\n\n{changed}")
    ragqa("ingest", "msa.md", "amendment.md", cwd=tmp_path)
    shown = ragqa("ask", question, cwd=tmp_path).stdout
    assert shown.startswith("The documents differ:")
    assert "128,000" in shown
    assert "141,500" in shown


def voice(said: str, document: str = "a.md", opening: str = "") -> Candidate:
    return Candidate(make_block(document, said), 0, len(said), said, said, opening=opening)


POLICY = "Cover: Pollution (sudden); Limit any one claim: £2,000,000; Excess: £25,000"
RAISED = "(a) the Limit any one claim for Pollution (sudden) {} £3,500,000, the Excess unchanged;"


def test_an_amendment_of_numbers_needs_no_words_of_the_reader() -> None:
    best = voice(POLICY)
    changes = voice(RAISED.format("is increased to"), "b.md")
    assert amended_by(best, [best, changes]) is changes
    assert amended_by(changes, [changes, best]) is best
    opened = voice(RAISED.format("shall be"), "b.md", "It is agreed that with effect from 1 May:")
    assert amended_by(best, [opened]) is opened


def test_what_says_the_same_or_amends_nothing_is_no_amendment() -> None:
    best = voice(POLICY)
    assert amended_by(best, [voice(RAISED.format("is increased to"))]) is None
    assert amended_by(best, [voice(RAISED.format("is"), "b.md")]) is None
    same = "With effect from May the limit any one claim is £2,000,000, the Excess £25,000."
    assert amended_by(best, [voice(same, "b.md")]) is None


@pytest.mark.parametrize(
    ("best", "other"),
    [
        ("The pump delivers 40 m³ in an hour.", "The pressure is reduced to 3 bar by valve V2."),
        ("Notice is 3 months.", "With effect from 1 May 2024 the canteen opens at 8."),
        (
            "The entrance fee for adults is £20.",
            "With effect from 1 May 2024 the entrance fee for adults is due.",
        ),
    ],
)
def test_numbers_of_other_things_and_days_are_no_amendment(best: str, other: str) -> None:
    assert amended_by(voice(best), [voice(other, "b.md")]) is None


def test_what_says_both_answers_on_either_side_is_no_amendment() -> None:
    best = replace(voice("Adults pay £20, children £10."), claim=frozenset({"#10"}))
    other = voice("With effect from May adults pay £20 and children £10.", "b.md")
    assert amended_by(best, [replace(other, claim=frozenset({"#20"}))]) is None
    changed = voice("With effect from May children pay £12.", "b.md")
    assert amended_by(best, [replace(changed, claim=frozenset({"#12"}))]) is not None


def test_a_contradiction_that_scores_higher_is_shown_before_an_amendment() -> None:
    said = ("The fee is £20 per adult.", "The fee is £25 per adult.", "In winter the fee is reduced to £12.")
    claims = ("#20", "#25", "#12")
    voices = [
        replace(voice(text, f"{number}.md"), claim=frozenset({claim}), score=11.0 - number)
        for number, (text, claim) in enumerate(zip(said, claims, strict=True))
    ]
    _, reading = load_models()
    chosen = Judgement(tuple(voices), 5.0, reading, frozenset()).selection()
    assert chosen.sentences[:2] == tuple(voices[:2])


def test_a_mail_is_heard_before_what_it_quotes(tmp_path: Path, ragqa: Run) -> None:
    (tmp_path / "re.eml").write_text(
        "From: Greta Moss <greta@northquay.example>\nDate: Thu, 16 May 2024 09:12:00 +0100\n"
        "Subject: Re: Delivery of gauges\n\nWe cannot accept delivery on 3 June, the crane is out of order. "
        "Please deliver the gauges on 10 June instead, gate C.\n\nOn 15 May 2024, Tom Askew wrote:\n"
        "> the 12 gauges for Northquay will be delivered on 3 June at gate A.\n"
    )
    ragqa("ingest", "re.eml", cwd=tmp_path)
    shown = ragqa("ask", "When should the Northquay gauges be delivered?", cwd=tmp_path).stdout
    assert shown.startswith("Please deliver the gauges on 10 June instead, gate C. [1]")
    assert "gate A" not in shown
