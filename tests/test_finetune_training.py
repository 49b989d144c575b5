"""Tuning: shared contexts change no loss, a run resumes exactly, and what it writes is what it trained."""

import json
import math
from dataclasses import replace

import pytest

from ragqa.errors import CheckpointError
from ragqa.gptq.finetune.options import FinetuneOptions, Stage, Step
from ragqa.gptq.finetune.rows import ChatEncoder, question_row, read_groups, text_rows
from ragqa.prompt import write
from ragqa.types import REFUSAL
from tests.finetune_support import CORPUS, GROUP, make_base, make_tokenizer

torch = pytest.importorskip("torch")

from ragqa.gptq.finetune.base import load_base, write_merged  # noqa: E402
from ragqa.gptq.finetune.lora import adapter_tensors, apply_adapter  # noqa: E402
from ragqa.gptq.finetune.loss import forward, log_probabilities  # noqa: E402
from ragqa.gptq.finetune.run import finetune, learning_rate  # noqa: E402
from ragqa.gptq.finetune.validation import auroc, rule_from  # noqa: E402
from ragqa.gptq.refusing import log_odds_of  # noqa: E402

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def encoder():
    return ChatEncoder(make_tokenizer())


@pytest.fixture
def options(base, tmp_path):
    groups = [
        {
            "blocks": [
                {"metadata": [["source", f"docs/{n}.md"]], "text": f"Key {n} opens door {n}. " * (n % 3 + 1)}
            ],
            "questions": [
                {"instruction": f"What opens door {n}?", "target": f"Key {n}.", "answerable": True},
                {"instruction": f"What opens door {n + 50}?", "target": REFUSAL, "answerable": False},
            ],
        }
        for n in range(12)
    ]
    examples = tmp_path / "examples.jsonl"
    examples.write_text("\n".join(map(json.dumps, groups)))
    text = tmp_path / "long.txt"
    text.write_text(" ".join(CORPUS) * 8)
    return FinetuneOptions(
        base=base,
        out=tmp_path / "run",
        texts=(text,),
        window=64,
        long=Stage(steps=3, rows=2, rate=5e-3, warmup=1),
        examples=examples,
        validation=examples,
        answers=Stage(steps=8, rows=3, rate=5e-3, warmup=2),
        validate_every=4,
        rank=4,
        alpha=8.0,
        save_seconds=0.0,
    )


def trained(options):
    from safetensors.torch import load_file

    finetune(options)
    return load_file(options.out / "checkpoint.safetensors")


def test_a_shared_context_gives_each_question_the_loss_it_has_alone(base, encoder):
    model, _ = load_base(base, factor=2.0)
    alone = [
        forward(model, question_row(replace(GROUP, questions=(asked,)), encoder), CPU)
        for asked in GROUP.questions
    ]
    together = question_row(GROUP, encoder)
    assert forward(model, together, CPU) == pytest.approx(sum(alone), rel=1e-5)
    assert len(together.ids) < 0.7 * sum(
        len(question_row(replace(GROUP, questions=(asked,)), encoder).ids) for asked in GROUP.questions
    )
    assert log_probabilities(model, together, CPU) == pytest.approx([-loss for loss in alone], rel=1e-4)


def test_text_behind_a_jump_still_sees_the_text_before_it(base, encoder):
    """The attention of a token behind the jump is that of its true distances, not of a text of its own."""
    model, _ = load_base(base, factor=1.0)
    row = text_rows(CORPUS * 30, encoder, 32, reach=200)[1]
    jump = next(place for place in range(1, 32) if row.positions[place] != row.positions[place - 1] + 1)
    other = replace(row, ids=(*((one + 7) % 300 + 3 for one in row.ids[:jump]), *row.ids[jump:]))
    counted = replace(row, weights=(*[0.0] * (jump + 1), *[1.0] * (31 - jump)))
    changed = replace(other, weights=counted.weights)
    assert forward(model, counted, CPU) != forward(model, changed, CPU)


def test_the_lowest_blocks_keep_what_the_first_stage_taught_them(options):
    finetune(replace(options, examples=None))
    from safetensors.torch import load_file

    before = load_file(options.out / "checkpoint.safetensors")
    after = trained(replace(options, frozen_blocks=1))
    names = [name for name in before if "/" not in name]
    same = {name: torch.equal(before[name], after[name]) for name in names}
    assert {".layers.0." in name for name, kept in same.items() if kept} == {True}
    assert any(".layers.1." in name and not kept for name, kept in same.items())


def test_the_rule_parts_what_can_be_answered_from_what_cannot():
    rule = rule_from([-4.0, -3.0, -2.0, -1.0, 1.0], [False, False, True, False, True])
    assert -3 < rule.threshold < -2
    assert rule.strict <= rule.threshold
    assert rule_from([1.0, 2.0], [True, True]) is None
    assert log_odds_of(math.log(0.25)) == pytest.approx(math.log(1 / 3))


def test_the_rate_rises_stays_and_falls():
    stage = Stage(steps=100, rows=1, rate=1.0, warmup=10, decay=20)
    assert [learning_rate(stage, step) for step in (0, 9, 50, 80, 90, 99)] == pytest.approx(
        [0.1, 1, 1, 1, 0.5, 0.05]
    )


def test_training_lowers_the_loss_and_the_adapter_written_is_the_model_trained(options):
    events = []
    report = finetune(options, events.append)
    losses = [event.loss for event in events if isinstance(event, Step) and event.stage == "answers"]
    assert losses[-1] < losses[0] - 0.1
    assert (report.long_steps, report.answer_steps) == (3, 8)
    assert [validation.step for validation in report.validations] == [4, 8]
    assert report.validations[-1].loss < report.validations[0].loss
    facts = json.loads((report.adapter / "adapter_config.json").read_text())["ragqa"]
    assert facts["refusal"]["threshold"] == report.validations[-1].refusal.threshold
    model, _ = load_base(options.base, options.factor)
    row = question_row(read_groups(options.examples)[0], ChatEncoder(make_tokenizer()))
    before = forward(model, row, CPU)
    apply_adapter(model, report.adapter)
    assert not adapter_tensors(model)
    assert forward(model, row, CPU) < before - 1
    assert (options.out / "progress.jsonl").read_text().count("\n") == 3 + 8 + 2


def test_a_run_may_begin_from_an_adapter(options, tmp_path):
    first = finetune(options)
    events = []
    further = replace(
        options, out=tmp_path / "further", start=first.adapter, long=Stage(steps=0, rows=2, rate=0)
    )
    finetune(further, events.append)
    losses = [event.loss for event in events if isinstance(event, Step)]
    assert losses[0] < first.last_loss + 0.5  # a new adapter begins where the base does
    assert losses[-1] < losses[0]
    with pytest.raises(CheckpointError, match="rank 4, not 8"):
        finetune(replace(further, out=tmp_path / "other", rank=8))


def test_a_base_frozen_in_four_bits_trains_and_its_adapter_fits_the_whole_one(options):
    losses = []
    report = finetune(
        replace(options, frozen_bits=4, frozen_group=32, texts=(), validation=None),
        lambda event: losses.append(event.loss),
    )
    assert losses[-1] < losses[0] - 0.1
    model, _ = load_base(options.base, options.factor)
    apply_adapter(model, report.adapter)
    with pytest.raises(CheckpointError, match="groups of 64"):
        finetune(replace(options, out=options.out / "64", frozen_bits=4))


def test_bfloat16_trains_too(options):
    losses = []
    finetune(
        replace(options, precision="bfloat16", texts=(), validation=None),
        lambda event: losses.append(event.loss),
    )
    assert losses[-1] < losses[0] - 0.1


def test_a_run_that_is_broken_off_goes_on_exactly(options):
    whole = trained(replace(options, out=options.out / "whole"))
    broken = replace(options, out=options.out / "broken")
    for count in (2, 3, 4):  # in the first stage, between the stages, in the second

        def stop_after(event, left=[count]):  # noqa: B006
            left[0] -= isinstance(event, Step)
            if left[0] < 0:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            finetune(broken, stop_after)
    resumed = trained(broken)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_checkpoint_of_other_settings_is_refused(options):
    finetune(replace(options, examples=None))
    with pytest.raises(CheckpointError, match="rank 4, not 8"):
        finetune(replace(options, rank=8))


@pytest.mark.slow
def test_two_processes_train_what_one_trains(options):
    one = trained(replace(options, out=options.out / "one"))
    two = trained(replace(options, out=options.out / "two", processes=2))
    weights = [name for name in one if "/" not in name]
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in weights)


def test_the_merged_folder_is_the_tuned_model_in_the_form_it_was_tuned_in(options):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    report = finetune(options)
    folder = write_merged(options.base, report.adapter, options.out / "merged")
    tuned, _ = load_base(options.base, options.factor)
    apply_adapter(tuned, report.adapter)
    read = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        torch.testing.assert_close(read(ids).logits, tuned(ids).logits, rtol=2e-2, atol=2e-2)
    assert read.config.rope_parameters["factor"] == options.factor
    message = write(GROUP.blocks, "Who?")
    expected = ChatEncoder(make_tokenizer()).prompt(message)
    assert ChatEncoder(AutoTokenizer.from_pretrained(folder)).prompt(message) == expected


def test_an_adapter_becomes_a_checked_folder_that_answers_by_its_rule(options, tmp_path):
    from ragqa.gptq.finetune.assembling import AssembleOptions, assemble
    from ragqa.gptq.refusing import RefusalRule
    from ragqa.llm.gptq import open_gptq_engine

    report = finetune(options)
    facts = json.loads((report.adapter / "adapter_config.json").read_text())["ragqa"]["refusal"]
    settings = AssembleOptions(method="rtn", group_size=32)
    stages = set()
    made = assemble(
        options.base, report.adapter, tmp_path / "m", settings, lambda stage, *_rest: stages.add(stage)
    )
    assert made.check.passed
    assert stages == {"merging", "quantizing", "checking"}
    assert {path.name for path in tmp_path.iterdir()} >= {"m"}
    assert not list(tmp_path.glob("m.*"))
    engine = open_gptq_engine(str(made.folder))
    assert engine.rule == RefusalRule(**facts)
    assert engine.decoder.model.rope_factor == options.factor
    with pytest.raises(CheckpointError, match="already holds a model"):
        assemble(options.base, report.adapter, tmp_path / "m", settings)


def test_auroc_is_the_chance_that_a_positive_scores_higher():
    assert auroc([3, 2, 1, 2], [True, True, False, False]) == pytest.approx(3.5 / 4)
    assert math.isnan(auroc([1.0], [True]))


def test_a_folder_of_text_stands_for_its_files_by_name(tmp_path):
    from ragqa.cli.tuning import text_files

    for name in ("b.txt", "a.txt", "c.md"):
        (tmp_path / name).write_text("x")
    assert text_files([tmp_path, tmp_path / "c.md"]) == tuple(
        tmp_path / n for n in ("a.txt", "b.txt", "c.md")
    )
