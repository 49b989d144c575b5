"""Weights that make up for what was lost before them: against the regression's definition, and as a whole."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ragqa.gptq.calibration import calibration_windows
from ragqa.gptq.checkpoint import open_checkpoint
from ragqa.gptq.correction import Shortfall, correction
from ragqa.gptq.dense import load_dense
from ragqa.gptq.model import LoadOptions, load_model
from ragqa.gptq.quantize import QuantizeOptions, layer_tensors, quantize
from ragqa.gptq.sequential import STAGES, Calibration, Skeleton, quantize_layer, run_layer
from ragqa.gptq.solver import Hessian
from ragqa.gptq.source import open_source
from tests.gptq_models import TEXT, make_dense, make_tokenizer

torch.set_num_threads(1)
WINDOWS = 4


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dense(tmp_path_factory.mktemp("dense"))


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def evidence(
    inputs: torch.Tensor, missing: torch.Tensor, importance: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Shortfall and Hessian, taken up in two parts of unlike size."""
    shortfall, hessian = Shortfall(), Hessian(inputs.shape[1], torch.device("cpu"))
    for part in (slice(0, 100), slice(100, None)):
        shortfall.add(missing[part], inputs[part], importance[part])
        hessian.add(inputs[part], importance[part])
    return shortfall.matrix, hessian.matrix


def test_the_correction_is_the_weighed_ridge_regression_of_what_is_missing() -> None:
    inputs, missing, importance = drawn(400, 24), drawn(400, 8, seed=1), drawn(400, seed=2).exp()
    shortfall, hessian = evidence(inputs, missing, importance)
    found = correction(shortfall, hessian, damp=0.1)
    rows = torch.cat([inputs * importance.sqrt().unsqueeze(1), torch.zeros(24, 24)]).double()
    wanted = torch.cat([missing * importance.sqrt().unsqueeze(1), torch.zeros(24, 8)]).double()
    mean_square = float((inputs.square() * importance.unsqueeze(1)).sum(0).mean())
    rows[400:] = (0.1 * mean_square) ** 0.5 * torch.eye(24)
    assert torch.allclose(found.double(), torch.linalg.lstsq(rows, wanted).solution.T, atol=1e-4)


def test_a_weight_is_brought_back_to_what_it_made_of_the_inputs_before_they_were_changed() -> None:
    inputs, weight = drawn(600, 24), drawn(8, 24, seed=1)
    changed = inputs @ (torch.eye(24) + 0.2 * drawn(24, 24, seed=2))
    shortfall, hessian = evidence(changed, inputs - changed, torch.ones(600))
    corrected = weight + correction(weight @ shortfall, hessian, damp=1e-6)
    wanted = inputs @ weight.T
    assert float((changed @ corrected.T - wanted).norm()) < 0.01 * float((changed @ weight.T - wanted).norm())


def test_inputs_that_are_always_zero_are_left_alone() -> None:
    shortfall, hessian = evidence(torch.zeros(200, 24), drawn(200, 8), torch.ones(200))
    assert torch.equal(correction(shortfall, hessian), torch.zeros(8, 24))
    with pytest.raises(ValueError, match="nothing was added"):
        Shortfall().matrix  # noqa: B018 (the property raises)


@torch.no_grad()
def test_each_stage_is_given_weights_that_bring_its_output_nearer_to_the_full_models(dense: Path) -> None:
    """Layer 1 on inputs that layer 0, coarsely rounded, has spoilt: without and with a correction."""
    source = open_source(dense)
    skeleton = Skeleton(source.config, torch.device("cpu"))
    windows = calibration_windows(TEXT, make_tokenizer(), WINDOWS, 128)
    embedding = source.tensor("model.embed_tokens.weight")

    def stream(rounded: bool) -> list[torch.Tensor]:
        states = [torch.nn.functional.embedding(window, embedding) for window in windows]
        weights = layer_tensors(source, 0)
        for name in [one for one in weights if rounded and "proj" in one]:
            weights[name] = (weights[name] * 8).round() / 8
        run_layer(skeleton.layer(0, weights), states, skeleton)
        return states

    def distance(corrected: bool) -> float:
        hidden, full, wanted = stream(True), stream(False), stream(False)
        layer = skeleton.layer(1, layer_tensors(source, 1))
        run_layer(layer, wanted, skeleton)
        seen: list[tuple[str, ...]] = []
        given = Calibration(hidden, skeleton, full=full if corrected else ())
        quantize_layer(layer, given, lambda names, _hessian: seen.append(names))
        assert tuple(seen) == STAGES
        if corrected:
            assert all(torch.equal(one, other) for one, other in zip(full, wanted, strict=True))
        return float(sum((a - b).square().sum() for a, b in zip(hidden, wanted, strict=True)))

    assert distance(True) < 0.7 * distance(False)


@torch.no_grad()
def test_a_corrected_model_is_nearer_to_the_full_one_on_text_it_was_not_calibrated_on(
    dense: Path, tmp_path: Path
) -> None:
    draw = torch.Generator().manual_seed(7)
    letters = "".join(chr(97 + int(one)) for one in torch.randint(26, (9000,), generator=draw))
    (tmp_path / "text").write_text(letters)
    options = QuantizeOptions(group_size=32, calibration=tmp_path / "text", samples=60, sample_tokens=128)
    ids = torch.tensor([make_tokenizer()(letters[::-1][:500])["input_ids"]])
    wanted = load_dense(dense).module(ids).logits

    def distance(name: str, corrected: bool) -> float:
        quantize(dense, tmp_path / name, replace(options, correct=corrected))
        loaded = load_model(open_checkpoint(tmp_path / name), LoadOptions(dtype="float32"))
        return float((loaded.module(ids).logits - wanted).norm())

    assert distance("corrected", True) < 0.97 * distance("plain", False)
