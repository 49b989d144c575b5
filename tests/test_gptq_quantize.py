"""The quantizer: folders against their readers, layers against the model they are taken from."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ragqa.errors import CheckpointError
from ragqa.gptq.calibration import calibration_text, calibration_windows
from ragqa.gptq.checkpoint import open_checkpoint
from ragqa.gptq.dense import load_dense
from ragqa.gptq.model import LoadOptions, load_model
from ragqa.gptq.packing import dequantize, unpack
from ragqa.gptq.quantize import QuantizeOptions, QuantizeProgress, layer_tensors, quantize
from ragqa.gptq.record import recorded_layers
from ragqa.gptq.sequential import STAGES, Calibration, Skeleton, quantize_layer, run_layer
from ragqa.gptq.solver import Hessian, column_order, quantize_matrix
from ragqa.gptq.source import _halves_apart, open_source
from ragqa.gptq.unfinished import UNFINISHED
from tests.gptq_models import TEXT, make_dense, make_tokenizer

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dense(tmp_path_factory.mktemp("dense"))


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "calibration.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def options(text: Path) -> QuantizeOptions:
    return QuantizeOptions(group_size=32, calibration=text, samples=4, sample_tokens=128)


@torch.no_grad()
def test_each_stages_hessian_weighs_tokens_by_share_and_by_the_stream_they_are_added_to(dense: Path) -> None:
    """Against hooks on transformers' own forward pass; nothing is quantized, so all stages see its inputs."""
    source, module = open_source(dense), load_dense(dense).module
    ids = torch.tensor([make_tokenizer()(TEXT[:60])["input_ids"]])
    importance = torch.ones(ids.shape[1])
    importance[0] = 0.25 / 0.75 * (ids.shape[1] - 1)
    seen: dict[str, torch.Tensor] = {}
    layer = module.model.layers[0]
    for name, one in layer.named_modules():
        one.register_forward_pre_hook(lambda _, given, at=name: seen.update({at: given[0]} if given else {}))
    layer.register_forward_hook(lambda _one, _given, found: seen.update(output=found))
    module(ids)
    sums = {STAGES[1]: seen["post_attention_layernorm"], STAGES[3]: seen["output"]}

    skeleton = Skeleton(source.config, torch.device("cpu"))
    hidden = [module.model.embed_tokens(ids).clone()]
    found: dict[tuple[str, ...], torch.Tensor] = {}
    quantize_layer(
        skeleton.layer(0, layer_tensors(source, 0)), Calibration(hidden, skeleton, 0.25), found.__setitem__
    )
    assert tuple(found) == STAGES
    for names, hessian in found.items():
        rows = seen[names[0]][0].double()
        weights = importance.double()
        if names in sums:
            weights = weights / sums[names][0].double().square().mean(-1)
        expected = 2 / len(rows) * rows.T @ (weights.unsqueeze(1) * rows)
        assert torch.allclose(hessian.double(), expected, rtol=1e-3, atol=1e-4 * float(expected.max()))
    assert torch.allclose(hidden[0], seen["output"], atol=1e-4)


def test_without_a_share_every_token_counts_alike(dense: Path) -> None:
    skeleton = Skeleton(open_source(dense).config, torch.device("cpu"))
    assert Calibration((), skeleton).importance(9).tolist() == [1] * 9
    weights = Calibration((), skeleton, 0.5).importance(9)
    assert float(weights[0] / weights.sum()) == pytest.approx(0.5)
    assert Calibration((), skeleton, 0.5).importance(1).tolist() == [1]


def test_a_folder_is_read_back_with_every_setting_and_layer(
    dense: Path, tmp_path: Path, options: QuantizeOptions
) -> None:
    seen: list[QuantizeProgress] = []
    report = quantize(dense, tmp_path / "out", options, seen.append)
    checkpoint = open_checkpoint(tmp_path / "out")
    assert checkpoint.quantization == options.quantization
    assert len(checkpoint.quantized_layers) == len(report.errors) == 14
    assert [step.done for step in seen] == [1, 2]
    assert seen[-1].eta == 0
    assert report.calibration_tokens == 4 * 128
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["quantization_config"]["desc_act"] is True
    assert config["torch_dtype"] == "float16"
    assert not (tmp_path / "out" / UNFINISHED).exists()
    assert set(recorded_layers(tmp_path / "out") or {}) == set(checkpoint.quantized_layers)
    source = open_source(dense)
    for name in checkpoint.tensors:
        if name in source.names:
            assert torch.equal(checkpoint.tensor(name), source.tensor(name).half())
    load_model(checkpoint)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("changes", [{}, {"model_type": "qwen2"}, {"tie_word_embeddings": True}])
def test_the_quantized_model_stays_near_the_full_one(
    bits: int, changes: dict[str, object], tmp_path: Path, options: QuantizeOptions
) -> None:
    source = make_dense(tmp_path / "source", **changes)
    quantize(source, tmp_path / "out", replace(options, bits=bits))
    ids = torch.tensor([make_tokenizer()(TEXT[:200])["input_ids"]])
    with torch.inference_mode():
        full = load_dense(source).module(ids).logits
        loaded = load_model(open_checkpoint(tmp_path / "out"), LoadOptions(dtype="float32"))
        near = loaded.module(ids).logits
    assert float((near - full).norm() / full.norm()) < (0.35 if bits == 4 else 0.03)


def test_calibration_runs_the_models_own_layers(dense: Path) -> None:
    """What reaches the last layer's norm is what transformers' own forward pass computes."""
    source = open_source(dense)
    skeleton = Skeleton(source.config, torch.device("cpu"))
    ids = torch.tensor([make_tokenizer()(TEXT[:90])["input_ids"]])
    module = load_dense(dense).module
    with torch.inference_mode():
        hidden = [module.model.embed_tokens(ids).clone()]
        for index in range(skeleton.layers):
            run_layer(skeleton.layer(index, layer_tensors(source, index)), hidden, skeleton)
            skeleton.release(index)
        wanted = module.model(ids).last_hidden_state
        assert torch.allclose(module.model.norm(hidden[0]), wanted, atol=1e-4)


def test_a_killed_run_goes_on_and_writes_the_same_bytes(
    dense: Path, tmp_path: Path, options: QuantizeOptions
) -> None:
    def kill(step: QuantizeProgress) -> None:
        if step.done == 1:
            raise KeyboardInterrupt

    quantize(dense, tmp_path / "whole", options)
    with pytest.raises(KeyboardInterrupt):
        quantize(dense, tmp_path / "killed", options, kill)
    assert not (tmp_path / "killed" / "config.json").exists()
    report = quantize(dense, tmp_path / "killed", options)
    assert report.resumed == 1
    assert len(report.errors) == 14
    whole, killed = (tmp_path / name / "model.safetensors" for name in ("whole", "killed"))
    assert whole.read_bytes() == killed.read_bytes()


def test_remains_of_another_run_are_not_mixed_in(
    dense: Path, tmp_path: Path, options: QuantizeOptions
) -> None:
    def kill(_step: QuantizeProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantize(dense, tmp_path / "out", options, kill)
    with pytest.raises(CheckpointError, match="other settings"):
        quantize(dense, tmp_path / "out", replace(options, damp=0.02))


@torch.no_grad()
def test_a_layer_is_calibrated_on_what_the_quantized_ones_before_it_give(
    dense: Path, tmp_path: Path, text: Path, options: QuantizeOptions
) -> None:
    quantize(dense, tmp_path / "out", replace(options, correct=False))
    checkpoint, source = open_checkpoint(tmp_path / "out"), open_source(dense)
    skeleton = Skeleton(source.config, torch.device("cpu"))
    windows = calibration_windows(text.read_text(), source.tokenizer(), 4, 128)

    def codes_after(first_layer: dict[str, torch.Tensor]) -> torch.Tensor:
        embedding = source.tensor("model.embed_tokens.weight")
        hidden = [torch.nn.functional.embedding(window, embedding) for window in windows]
        run_layer(skeleton.layer(0, first_layer), hidden, skeleton)
        second = skeleton.layer(1, layer_tensors(source, 1))
        hessian = Hessian(64, torch.device("cpu"))
        for states in hidden:
            weights = Calibration(hidden, skeleton, options.sink_share).importance(states.shape[1])
            hessian.add(second.input_layernorm(states), weights)
        reading = [second.get_submodule(name).weight for name in STAGES[0]]
        order = column_order(reading, hessian.matrix, options.recipe)
        return quantize_matrix(reading[0], hessian.matrix, options.recipe, order).codes

    full = layer_tensors(source, 0)
    quantized = {
        name: dequantize(checkpoint.packed(f"model.layers.0.{name.removesuffix('.weight')}"))
        if "proj" in name
        else weight
        for name, weight in full.items()
    }
    written = unpack(checkpoint.packed("model.layers.1.self_attn.q_proj"))[0]
    assert torch.equal(written, codes_after(quantized))
    assert not torch.equal(written, codes_after(full))


def test_rounding_needs_no_calibration_and_gives_the_nearest_codes(dense: Path, tmp_path: Path) -> None:
    options = QuantizeOptions(group_size=32, method="rtn", clip_search=False)
    report = quantize(dense, tmp_path / "out", options)
    assert report.calibration_tokens == 0
    checkpoint = open_checkpoint(tmp_path / "out")
    assert checkpoint.quantization.desc_act is False
    name = "model.layers.0.mlp.up_proj"
    packed = checkpoint.packed(name)
    weight = open_source(dense).tensor(f"{name}.weight")
    step = packed.scales[packed.g_idx.long()].T.float()
    inside = (unpack(packed)[0].T > 0) & (unpack(packed)[0].T < 15)
    assert bool(((dequantize(packed) - weight).abs() <= 0.5001 * step)[inside].all())


@pytest.mark.parametrize("size", [48, 256, 0, -2])
def test_a_group_size_that_does_not_divide_names_those_that_do(
    dense: Path, tmp_path: Path, options: QuantizeOptions, size: int
) -> None:
    with pytest.raises(CheckpointError, match=r"widths 64, 128; these do: 32, 64, -1"):
        quantize(dense, tmp_path / "out", replace(options, group_size=size))
    assert not (tmp_path / "out").exists()


def test_sources_that_cannot_be_vouched_for_are_refused(
    dense: Path, tmp_path: Path, options: QuantizeOptions
) -> None:
    with pytest.raises(CheckpointError, match="already holds a model"):
        quantize(dense, dense, options)
    quantize(dense, tmp_path / "once", options)
    with pytest.raises(CheckpointError, match="already quantized"):
        quantize(tmp_path / "once", tmp_path / "twice", options)
    config = json.loads((dense / "config.json").read_text())
    (tmp_path / "remote").mkdir()
    (tmp_path / "remote" / "config.json").write_text(json.dumps({**config, "auto_map": {}}))
    with pytest.raises(CheckpointError, match="auto_map"):
        quantize(tmp_path / "remote", tmp_path / "twice", options)
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text(json.dumps(config))
    (pickled / "pytorch_model.bin").write_bytes(b"cos")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin"):
        quantize(pickled, tmp_path / "twice", options)
    with pytest.raises(CheckpointError, match="bits are not supported"):
        quantize(dense, tmp_path / "twice", replace(options, bits=3))
    with pytest.raises(CheckpointError, match="cannot be read"):
        quantize(dense, tmp_path / "twice", replace(options, calibration=tmp_path / "absent.txt"))


def test_llama_cpps_interleaved_rows_are_put_back() -> None:
    weight = torch.arange(16.0).reshape(16, 1)  # 2 heads of 8 rows, halves (0..3, 4..7)
    interleaved = weight.reshape(2, 2, 4, 1).swapaxes(1, 2).reshape(16, 1)
    assert interleaved.flatten()[:4].tolist() == [0, 4, 1, 5]
    assert torch.equal(_halves_apart(interleaved, 2), weight)


def test_windows_are_whole_spread_over_the_text_and_free_of_control_tokens() -> None:
    tokenizer = make_tokenizer()
    text = "".join(chr(97 + place // 100 % 26) for place in range(2600)) + "</s>"
    windows = calibration_windows(text, tokenizer, 3, 100)
    assert [tuple(window.shape) for window in windows] == [(1, 100)] * 3
    assert tokenizer.decode(windows[0][0])[:3] == "aaa"
    assert tokenizer.decode(windows[-1][0])[-4:] == "</s>"
    assert all(2 not in window for window in windows)
    assert len(calibration_windows(text, tokenizer, 50, 1000)) == 3
    with pytest.raises(CheckpointError, match="has 4 tokens"):
        calibration_windows("abcd", tokenizer, 3, 100)
    assert len(calibration_text(None)) > 10_000


def test_the_checkpoints_tensors_are_half_precision_or_packed(
    dense: Path, tmp_path: Path, options: QuantizeOptions
) -> None:
    quantize(dense, tmp_path / "out", options)
    kinds = {
        name.rpartition(".")[2]: value.dtype
        for name, value in load_file(tmp_path / "out" / "model.safetensors").items()
    }
    assert kinds == {
        "weight": torch.float16,
        "qweight": torch.int32,
        "qzeros": torch.int32,
        "scales": torch.float16,
        "g_idx": torch.int32,
    }
