"""Scales and norms tuned towards the full model: the divergence falls, and nothing else changes."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from ragqa.errors import CheckFailedError, CheckpointError
from ragqa.gptq.check import check
from ragqa.gptq.checkpoint import Checkpoint, open_checkpoint
from ragqa.gptq.dense import load_dense
from ragqa.gptq.distilling import DistilOptions, distil, final_states
from ragqa.gptq.model import LoadOptions, load_model
from ragqa.gptq.packing import dequantize
from ragqa.gptq.quantize import QuantizeOptions, quantize
from ragqa.gptq.record import recorded_settings
from ragqa.gptq.source import open_source
from ragqa.gptq.student import Pair, ScaledLinear, Student, divergence, ignore_step
from tests.conftest import Run
from tests.gptq_models import TEXT, make_dense, make_tokenizer

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "calibration.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module", params=[{}, {"model_type": "qwen2", "tie_word_embeddings": True}])
def dense(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dense(tmp_path_factory.mktemp("dense"), **request.param)


@pytest.fixture(scope="module")
def rounded(dense: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rounded") / "model"
    quantize(dense, out, QuantizeOptions(group_size=32, method="rtn"))
    return out


@pytest.fixture
def options(text: Path) -> DistilOptions:
    return DistilOptions(calibration=text, windows=30, window_tokens=64)


def kl_to_full(checkpoint: Checkpoint, dense: Path) -> float:
    """On text of another kind, through transformers' own models."""
    ids = torch.tensor(
        [make_tokenizer()("No dog travels past the harbour without a bicycle. " * 4)["input_ids"]]
    )
    with torch.inference_mode():
        full = torch.log_softmax(load_dense(dense).module(ids).logits, -1)
        near = load_model(checkpoint, LoadOptions(dtype="float32", kernels="reference")).module(ids).logits
        found = functional.kl_div(torch.log_softmax(near, -1), full, log_target=True, reduction="sum")
    return float(found) / ids.shape[1]


def test_the_divergence_falls_while_codes_zeros_and_groups_stay(
    dense: Path, rounded: Path, tmp_path: Path, options: DistilOptions
) -> None:
    seen: list[tuple[int, int]] = []
    report = distil(rounded, dense, tmp_path / "out", options, lambda done, of: seen.append((done, of)))
    assert report.after < 0.97 * report.before
    assert seen[-1] == (report.windows, report.windows) == (30, 30)
    before, after = open_checkpoint(rounded), open_checkpoint(tmp_path / "out")
    assert kl_to_full(after, dense) < kl_to_full(before, dense)
    changed = {name for name in before.tensors if not torch.equal(before.tensor(name), after.tensor(name))}
    assert set(after.tensors) == set(before.tensors)
    assert changed == {name for name in before.tensors if name.endswith((".scales", "norm.weight"))}
    assert all(after.tensors[name].dtype == before.tensors[name].dtype for name in changed)
    for name in ("config.json", "quantize_config.json", "tokenizer.json"):
        assert (tmp_path / "out" / name).read_bytes() == (rounded / name).read_bytes()


def test_the_folder_passes_its_check_and_says_how_it_was_made(
    dense: Path, rounded: Path, tmp_path: Path, options: DistilOptions
) -> None:
    report = distil(rounded, dense, tmp_path / "out", replace(options, windows=5))
    findings = {finding.name: finding for finding in check(tmp_path / "out", quick=True).findings}
    assert findings["record"].passed
    assert findings["record"].detail == "14 layers are those that were written"
    assert findings["layers"].passed
    settings = recorded_settings(tmp_path / "out")
    assert settings["options"] == recorded_settings(rounded)["options"]
    assert settings["distilled"]["after"] == report.after


def test_the_full_models_final_states_are_those_of_its_own_forward_pass(dense: Path) -> None:
    ids = torch.tensor([make_tokenizer()(TEXT[:90])["input_ids"]])
    source = open_source(dense)
    with torch.inference_mode():
        wanted = load_dense(dense).module.model(ids).last_hidden_state[0]
    assert torch.allclose(final_states(source, source.config, [ids])[0], wanted, atol=1e-4)


def test_gradients_are_those_of_dequantize_and_multiply(rounded: Path) -> None:
    packed = open_checkpoint(rounded).packed("model.layers.0.mlp.down_proj")
    inputs = torch.randn(1, 7, 128, generator=torch.Generator().manual_seed(3), requires_grad=True)
    weigh = torch.randn(1, 7, 64, generator=torch.Generator().manual_seed(4))
    layer = ScaledLinear(packed, None)
    found = torch.autograd.grad((layer(inputs) * weigh).sum(), (inputs, layer.change))
    weight = dequantize(packed).requires_grad_()
    of_inputs, of_weight = torch.autograd.grad((inputs @ weight.T * weigh).sum(), (inputs, weight))
    # The weight is its own derivative by 1 + change, summed over the columns of a group.
    by_group = torch.zeros(4, 64).index_add_(0, packed.g_idx.long(), (of_weight * weight).detach().T)
    assert torch.allclose(found[0], of_inputs, atol=1e-4)
    assert torch.allclose(found[1], by_group, atol=1e-3)


def test_the_divergence_and_its_gradient_are_torchs_own() -> None:
    draw = torch.Generator().manual_seed(5)
    states, wanted, head = (torch.randn(size, 16, generator=draw) for size in (200, 200, 50))
    states.requires_grad_()
    loss = functional.kl_div(
        torch.log_softmax(states @ head.T, -1),
        torch.log_softmax(wanted @ head.T, -1),
        log_target=True,
        reduction="batchmean",
    )
    value, gradient = divergence(states.detach(), wanted, head)
    assert value == pytest.approx(float(loss.detach()), rel=1e-4)
    assert torch.allclose(gradient, torch.autograd.grad(loss, states)[0], atol=1e-5)


def test_the_best_state_on_the_way_is_the_one_that_is_written(dense: Path, rounded: Path) -> None:
    """At a rate this high the later steps undo the first ones, or none of them helps."""
    checkpoint, source = open_checkpoint(rounded), open_source(dense)
    ids = make_tokenizer()(TEXT)["input_ids"]
    windows = [torch.tensor([ids[place : place + 64]]) for place in range(0, 64 * 24, 64)]
    pairs = list(zip(windows, final_states(source, checkpoint.config, windows), strict=True))
    losses: list[float] = []

    class Noting(Student):
        def loss(self, pairs: Sequence[Pair]) -> float:
            losses.append(super().loss(pairs))
            return losses[-1]

    student = Noting(checkpoint)
    tuned = student.tune(pairs[:21], pairs[21:], 0.5, ignore_step)
    assert len(losses) == 4  # before, after 10, 20 and 21 steps
    assert tuned.before == losses[0]
    assert tuned.after == min(losses)
    assert tuned.steps == (0, 10, 20, 21)[losses.index(tuned.after)]
    assert student.loss(pairs[21:]) == tuned.after


def test_nothing_is_written_where_no_step_helps(
    dense: Path, rounded: Path, tmp_path: Path, options: DistilOptions
) -> None:
    with pytest.raises(CheckFailedError, match="no step brought it down"):
        distil(rounded, dense, tmp_path / "out", replace(options, windows=3, rate=1e3))
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_cut_short_leaves_no_folder(
    dense: Path, rounded: Path, tmp_path: Path, options: DistilOptions
) -> None:
    def kill(_done: int, _of: int) -> None:
        raise KeyboardInterrupt

    (tmp_path / "out.part").mkdir()
    (tmp_path / "out.part" / "model-00001-of-00009.safetensors").write_bytes(b"half")
    with pytest.raises(KeyboardInterrupt):
        distil(rounded, dense, tmp_path / "out", options, kill)
    assert not (tmp_path / "out").exists()
    distil(rounded, dense, tmp_path / "out", replace(options, windows=2))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    open_checkpoint(tmp_path / "out")


def test_what_cannot_be_tuned_is_refused(
    dense: Path, rounded: Path, tmp_path: Path, options: DistilOptions
) -> None:
    with pytest.raises(CheckpointError, match="is there already"):
        distil(rounded, dense, rounded, options)
    with pytest.raises(CheckpointError, match=r"takes about .* GiB and there are 0\.0"):
        distil(rounded, dense, tmp_path / "out", replace(options, memory=1000))
    other = tmp_path / "other"
    other.mkdir()
    for path in dense.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    config = json.loads((dense / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(CheckpointError, match="num_hidden_layers is 2 there and 3 here"):
        distil(rounded, other, tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


def test_the_commands_print_json_for_scripts(dense: Path, text: Path, tmp_path: Path, ragqa: Run) -> None:
    few = ("--calibration", text, "--samples", "2", "--sample-tokens", "64")
    made = ragqa("model", "quantize", dense, "once", "--group-size", "32", *few, "--json", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    told = json.loads(made.stdout)
    assert told["schema_version"] == 1
    assert told["calibration_tokens"] == 128
    assert told["peak_memory"] > 2**20
    assert len(told["errors"]) == 14  # two layers of seven matrices
    rounding = ("--group-size", "32", "--round-to-nearest", "--json")
    rounded = ragqa("model", "quantize", dense, "rounded", *rounding, cwd=tmp_path)
    assert json.loads(rounded.stdout)["errors"] == {}
    settings = ("--calibration", text, "--windows", "30", "--window-tokens", "64", "--rate", "2e-3")
    tuned = ragqa("model", "distil", "rounded", dense, "tuned", *settings, "--json", cwd=tmp_path)
    assert tuned.returncode == 0, tuned.stderr
    told = json.loads(tuned.stdout)
    assert told["kl_after"] < told["kl_before"]
    assert told["windows"] == 30
