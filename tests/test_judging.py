"""One judgement for all who ask: remembered, and of all the blocks that the prompt's were chosen among."""

from collections.abc import Sequence

import numpy as np
import pytest

from ingest.embed import load_embedder
from ragqa.judging import Judging
from ragqa.reader import Reader
from ragqa.types import ContextBlock, Prompt
from tests.blocks import make_block

QUESTION = "Who built the lighthouse?"


def block(key: str, text: str) -> ContextBlock:
    return make_block(f"{key}.md", text, 0.5, key=key, document_id=key)


BUILT = block("a", "The lighthouse was built in 1874 by the engineer Mary Holt. It has a red door.")
LATER = block("b", "The lighthouse was painted by Tom Reed in 1990. Bread is sold on Fridays.")


def prompt_of(*blocks: ContextBlock, question: str = QUESTION) -> Prompt:
    return Prompt(question, "", (), blocks, (), 100)


class Counting:
    """Embeds, and counts how often it was asked to."""

    def __init__(self) -> None:
        self.embed_texts, self.calls = load_embedder().embed, 0

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.calls += 1
        return self.embed_texts(texts)


@pytest.fixture
def embed() -> Counting:
    return Counting()


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.load()


def test_the_same_blocks_are_judged_once(embed: Counting, reader: Reader) -> None:
    judging = Judging(embed, lambda: reader)
    first = judging.judge(QUESTION, [BUILT, LATER])
    assert judging.judge(QUESTION, (BUILT, LATER)) is first
    assert embed.calls == 1
    assert judging.judge(QUESTION, [LATER]) is not first
    assert judging.judge("When was it painted?", [LATER]).candidates[0].block is LATER
    assert embed.calls == 3


def test_an_opinion_is_of_all_blocks_the_proposals_of_the_prompts_alone(
    embed: Counting, reader: Reader
) -> None:
    judging = Judging(embed, lambda: reader)
    whole = judging.judge(QUESTION, [BUILT, LATER])
    opinion = judging.opinion(prompt_of(LATER))
    assert embed.calls == 1
    assert opinion.odds == whole.surplus
    texts = {one.text for one in opinion.proposals.best()}
    assert any("Tom" in text for text in texts)
    assert not any("Mary" in text for text in texts)


def test_a_prompt_of_other_blocks_or_another_question_is_judged_by_itself(
    embed: Counting, reader: Reader
) -> None:
    judging = Judging(embed, lambda: reader)
    alone = judging.opinion(prompt_of(LATER)).odds
    judging.judge(QUESTION, [BUILT])
    assert judging.opinion(prompt_of(LATER)).odds == alone
    judging.judge("What is red?", [BUILT, LATER])
    assert judging.opinion(prompt_of(LATER)).odds == alone


def test_a_yes_or_no_question_gets_no_proposals(embed: Counting, reader: Reader) -> None:
    judging = Judging(embed, lambda: reader)
    assert judging.opinion(prompt_of(BUILT)).proposals.best()
    assert not judging.opinion(prompt_of(BUILT, question="Is the lighthouse red?")).proposals.best()
