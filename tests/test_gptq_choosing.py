"""Choosing among proposed answers: the same as scoring each by itself, and the reply is the one chosen."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="the gptq extra is not installed")

from ragqa.citations import parse_reply  # noqa: E402
from ragqa.gptq.choosing import AnswerConstraint, Choice, Chooser  # noqa: E402
from ragqa.gptq.refusing import RefusalRule  # noqa: E402
from ragqa.llm.engine import GenerationOptions  # noqa: E402
from ragqa.prompt import instruction_for, write  # noqa: E402
from ragqa.proposals import Opinion, Proposals, ReadSentence, as_answer  # noqa: E402
from ragqa.reader import Word  # noqa: E402
from ragqa.types import Prompt  # noqa: E402
from tests.blocks import make_block  # noqa: E402

pytest_plugins = ("tests.small_engine",)

TEXT = "The red key opens the attic."
WORDS = tuple(Word(start, end, odds) for start, end, odds in ((4, 7, 1.0), (8, 11, 3.0), (22, 28, 2.0)))
PROPOSALS = Proposals((ReadSentence("a", TEXT, WORDS),))
NEVER = RefusalRule(2, float("inf"), float("inf"), 0.0, 1.0)


class Anything:
    def allowed(self, _ids):
        return None


@pytest.fixture(scope="module")
def prompt(engine):
    block = make_block("a.md", TEXT, key="a")
    question = "What opens the attic?"
    message = write([(block.metadata, TEXT)], instruction_for(question))
    return Prompt(question, message, engine.encode(message), (block,), (), engine.window)


@pytest.fixture
def chooser(engine, prompt):
    cache = engine.decoder.new_cache(len(prompt.token_ids) + 60)
    logits = engine.decoder.logits(torch.tensor(prompt.token_ids), cache)
    newline = frozenset(engine.encoder.tokenizer.encode("\n", add_special_tokens=False))
    return Chooser(engine.decoder, cache, logits, engine.ends | newline)


def log_probability(engine, prompt, chooser, ids):
    """Of the ids and an end behind them, each step computed from the beginning."""
    total = 0.0
    for place in range(len(ids) + 1):
        cache = engine.decoder.new_cache(len(prompt.token_ids) + place)
        logits = engine.decoder.logits(torch.tensor([*prompt.token_ids, *ids[:place]]), cache)
        logs = torch.log_softmax(logits, -1)
        last = place == len(ids)
        total += float(torch.logsumexp(logs[list(chooser.ends)], -1) if last else logs[ids[place]])
    return total


@pytest.mark.parametrize("weight", [0.0, 0.5, 3.0])
def test_the_choice_is_the_one_that_scores_highest_by_itself(engine, prompt, chooser, weight):
    texts = ("Red key.", "Red.", "Key.", "The red key.", "The red", "Attic.", "The attic opens.")
    encode = engine.encoder.tokenizer.encode
    choices = [
        Choice(tuple(encode(text, add_special_tokens=False)), odds)
        for text, odds in zip(texts, (0.5, -1.0, 2.0, 9.0, 0.0, -3.0, 4.0), strict=True)
    ]
    scores = [log_probability(engine, prompt, chooser, one.ids) + weight * one.odds for one in choices]
    assert chooser.choose(choices, weight) == choices[scores.index(max(scores))]
    assert chooser.cache.length == len(prompt.token_ids)


def test_nothing_is_chosen_of_nothing_and_what_does_not_fit_is_left_out(chooser):
    assert chooser.choose([]) is None
    assert chooser.choose([Choice((5,) * 60, 99.0)]) is None


def test_the_draft_is_what_the_model_writes_up_to_an_end(engine, prompt, chooser):
    """A model of random weights never ends by itself; with every other id an end, it does."""
    assert chooser.draft(Anything()) == ()
    first = int(chooser.logits.argmax())
    some = frozenset(range(260)) - {first}
    ended = replace_ends(chooser, some).draft(Anything())
    assert ended
    assert set(ended) == {first}
    assert chooser.cache.length == len(prompt.token_ids)


def replace_ends(chooser, ends):
    return Chooser(chooser.decoder, chooser.cache, chooser.logits, ends)


def test_the_answer_comes_first_and_an_end_behind_it():
    constraint = AnswerConstraint(frozenset({9}), Anything())
    assert constraint.allowed([]) is None
    constraint.answer = (3, 4)
    assert constraint.allowed([]) == {3}
    assert constraint.allowed([3]) == {4}
    assert constraint.allowed([3, 4]) == {9}
    assert constraint.allowed([3, 4, 9]) is None


def test_a_reply_by_the_rule_begins_with_a_span_of_the_text(engine, prompt):
    ruled = replace(engine, rule=NEVER, judge=lambda _prompt: Opinion(0.0, PROPOSALS))
    reply = parse_reply(ruled.generate(prompt, GenerationOptions(max_tokens=60)).text, prompt)
    assert reply.answer.splitlines()[0] in {as_answer(one.text) for one in PROPOSALS.best()}


@pytest.mark.parametrize(("tokens", "begins"), [(5, "The red"), (6, "The red"), (3, "")])
def test_an_answer_may_begin_as_the_refusal_does_and_is_written_whole(engine, prompt, tokens, begins):
    """The refusal begins "The d": what is chosen has no other letter put where the two part.

    An answer that has all of the refusal's deciding tokens (here bytes: "The") is none.
    """
    said = tuple(Word(start, end, odds) for start, end, odds in ((0, 3, 20.0), (4, 7, 21.0), (8, 11, 1.0)))
    opinion = Opinion(0.0, Proposals((ReadSentence("a", TEXT, said),)))
    rule = replace(NEVER, tokens=tokens, chooses=500.0)
    reply = replace(engine, rule=rule, judge=lambda _prompt: opinion).generate(
        prompt, GenerationOptions(max_tokens=60)
    )
    answer = parse_reply(reply.text, prompt).answer.splitlines()[0]
    assert answer in {as_answer(one.text) for one in opinion.proposals.best()}
    assert answer.startswith(begins)
    assert answer.startswith("The") == bool(begins)


def test_without_proposals_or_with_a_temperature_the_model_writes_by_itself(engine, prompt):
    options = GenerationOptions(max_tokens=20)
    plain = engine.generate(prompt, options).text
    silent = replace(engine, rule=NEVER, judge=lambda _prompt: Opinion(0.0))
    assert silent.generate(prompt, options).text == plain
    proposing = replace(engine, rule=NEVER, judge=lambda _prompt: Opinion(0.0, PROPOSALS))
    drawn = replace(options, temperature=0.8)
    assert proposing.generate(prompt, drawn).text == engine.generate(prompt, drawn).text
