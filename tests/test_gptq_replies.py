"""Replies of the engine gptq under its constraints: sources of the prompt alone, refusals by log-odds."""

import math
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="the gptq extra is not installed")

from ragqa.citations import parse_reply  # noqa: E402
from ragqa.errors import CheckpointError  # noqa: E402
from ragqa.gptq.constrained import SourceConstraint  # noqa: E402
from ragqa.gptq.generate import Rules, Sampling, continue_text  # noqa: E402
from ragqa.gptq.refusing import NAME, RefusalRule, write_rule  # noqa: E402
from ragqa.llm.engine import GenerationOptions  # noqa: E402
from ragqa.llm.gptq import open_gptq_engine  # noqa: E402
from ragqa.prompt import instruction_for, write  # noqa: E402
from ragqa.proposals import Opinion  # noqa: E402
from ragqa.types import REFUSAL, Prompt  # noqa: E402
from tests.blocks import make_block  # noqa: E402

pytest_plugins = ("tests.small_engine",)

QUESTION = "What opens the attic?"


def block(source, text):
    metadata = (("source", source), ("page", "3"))
    return make_block(source, text, page=3, page_end=3, metadata=metadata)


BLOCKS = (block("a.md", "The red key opens the attic."), block("b/naïve – 日本.md", "The blue key is lost."))


@pytest.fixture(scope="module")
def prompt(engine):
    message = write([(one.metadata, one.text) for one in BLOCKS], instruction_for(QUESTION))
    return Prompt(QUESTION, message, engine.encode(message), BLOCKS, (), engine.window)


class Begun:
    """The reply begins with these ids, whatever the model says; what is behind them decides the rest."""

    def __init__(self, ids, behind):
        self.ids, self.behind = ids, behind

    def allowed(self, ids):
        return frozenset({self.ids[len(ids)]}) if len(ids) < len(self.ids) else self.behind.allowed(ids)


@pytest.mark.parametrize("seed", range(6))
def test_a_random_model_cannot_cite_a_source_that_is_not_in_its_prompt(engine, prompt, seed):
    tokenizer, pieces = engine.encoder.tokenizer, []
    begun = tokenizer.encode("The red key.\nSource:", add_special_tokens=False)
    sources = SourceConstraint([one.metadata for one in BLOCKS], tokenizer, engine.ends)
    hot = Sampling(200, temperature=2.0, seed=seed)
    rules = Rules(hot, engine.ends, constraint=Begun(begun, sources))
    written = continue_text(engine.decoder, tokenizer, prompt.token_ids, rules, pieces.append)
    reply = parse_reply(written.text, prompt)
    assert written.stopped == "end"
    assert "".join(pieces) == written.text
    assert len(pieces) > 1
    assert reply.claimed
    assert not reply.invented
    assert {line for line in written.text.splitlines()[2:] if line} <= {
        f"{key}: {value}" for one in BLOCKS for key, value in one.metadata
    }


def test_forced_tokens_are_read_as_if_they_stood_in_the_prompt(engine, prompt):
    """Nothing is computed for them one by one; what follows is the same."""

    class Free:
        def allowed(self, _ids):
            return None

    def reply(ids, constraint):
        decoder, tokenizer = engine.decoder, engine.encoder.tokenizer
        rules = Rules(Sampling(30), constraint=constraint)
        return continue_text(decoder, tokenizer, ids, rules, [].append)

    begun = tuple(engine.encoder.tokenizer.encode("Yes. It is", add_special_tokens=False))
    forced = reply(prompt.token_ids, Begun(begun, Free()))
    assert forced.ids[: len(begun)] == begun
    plain = reply((*prompt.token_ids, *begun), None)
    assert forced.ids[len(begun) :] == plain.ids[: 30 - len(begun)]


def with_rule(folder, threshold, strict=None):
    engine = open_gptq_engine(str(folder))
    return replace(engine, rule=RefusalRule(2, threshold, threshold if strict is None else strict))


def test_below_the_threshold_the_reply_is_that_of_the_model(engine, folder, prompt):
    options = GenerationOptions(max_tokens=30)
    bold = with_rule(folder, math.inf).generate(prompt, options)
    plain = engine.generate(prompt, options)
    assert (bold.text, bold.stopped) == (plain.text, plain.stopped)
    assert plain.confidence is None
    assert bold.confidence > 0.99


def test_above_the_threshold_the_reply_is_the_fixed_refusal(folder, prompt):
    pieces = []
    shy = with_rule(folder, -math.inf).generate(prompt, GenerationOptions(max_tokens=200), pieces.append)
    assert (shy.text, shy.stopped) == (REFUSAL, "end")
    assert "".join(pieces) == REFUSAL
    assert shy.confidence < 0.01


def test_strict_takes_the_other_threshold(folder, prompt):
    engine = with_rule(folder, math.inf, strict=-math.inf)
    assert engine.generate(prompt, GenerationOptions(max_tokens=9)).text != REFUSAL
    assert engine.generate(prompt, GenerationOptions(max_tokens=200, strict=True)).text == REFUSAL


def test_confidence_is_half_at_the_threshold(engine, folder, prompt):
    from ragqa.gptq.refusing import log_odds

    cache = engine.decoder.new_cache(len(prompt.token_ids) + 8)
    logits = engine.decoder.logits(torch.tensor(prompt.token_ids), cache)
    first = engine.encoder.tokenizer.encode(REFUSAL, add_special_tokens=False)[:2]
    odds = log_odds(engine.decoder, cache, logits, first)
    assert cache.length == len(prompt.token_ids)
    told = with_rule(folder, odds + 1e-3).generate(prompt, GenerationOptions(max_tokens=2))
    assert told.confidence == pytest.approx(0.5, abs=0.01)
    assert told.text != REFUSAL[: len(told.text)]
    assert with_rule(folder, math.inf).generate(prompt, GenerationOptions(max_tokens=2)).refusal_odds == odds


def test_another_judge_is_weighed_against_the_model(folder, prompt):
    """Sure that the answer is there, it has the model answer; sure that it is not, refuse."""
    engine = with_rule(folder, 0.0)
    options = GenerationOptions(max_tokens=9)
    for surely, refuses in ((1e6, False), (-1e6, True)):
        judged = replace(
            engine, rule=replace(engine.rule, judge=0.5), judge=lambda _prompt, odds=surely: Opinion(odds)
        )
        assert (judged.generate(prompt, options).confidence < 0.5) == refuses
        unweighed = replace(judged, rule=engine.rule)
        assert unweighed.generate(prompt, options) == engine.generate(prompt, options)


def test_the_rule_beside_a_model_is_read(folder, tmp_path):
    import shutil

    copy = shutil.copytree(folder, tmp_path / "model")
    for rule in (RefusalRule(2, -1.5, -3.0), RefusalRule(2, -1.5, -3.0, 0.25)):
        write_rule(copy, rule)
        assert open_gptq_engine(str(copy)).rule == rule
    (copy / NAME).write_text("{}")
    with pytest.raises(CheckpointError, match="refusal rule"):
        open_gptq_engine(str(copy))
