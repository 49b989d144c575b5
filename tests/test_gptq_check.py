"""`check` passes a right model, and names what is wrong with a wrong one."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ragqa.gptq.check import CheckReport, check, check_loaded, longest_proven, needle_lengths, table
from ragqa.gptq.checkpoint import open_checkpoint
from ragqa.gptq.dense import load_dense
from ragqa.gptq.model import LoadOptions, load_model
from ragqa.gptq.needles import DEPTHS, SENTENCES, Needle, haystack
from ragqa.gptq.proof import PROOF, read_proven_length, write_proof
from ragqa.gptq.quantize import QuantizeOptions, quantize
from ragqa.gptq.record import RECORD
from ragqa.gptq.smollm2 import cached_gguf
from ragqa.gptq.source import open_source
from tests.gptq_models import TEXT, make_dense, make_tokenizer

torch.set_num_threads(1)
EXACT = LoadOptions(dtype="float32")
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("made")
    (home / "text.txt").write_text(TEXT)
    dense = make_dense(home / "dense", max_position_embeddings=1024)
    options = QuantizeOptions(group_size=32, calibration=home / "text.txt", samples=2, sample_tokens=128)
    quantize(dense, home / "gptq", options)
    return home / "gptq"


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "model")
    return tmp_path / "model"


def rewrite(folder: Path, change: Callable[[Tensors], None]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def swap(first: str, second: str) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        for part in ("qweight", "qzeros", "scales", "g_idx"):
            one, two = f"{first}.{part}", f"{second}.{part}"
            tensors[one], tensors[two] = tensors[two], tensors[one]

    return change


def failures(report: CheckReport) -> dict[str, str]:
    return {finding.name: finding.detail for finding in report.findings if not finding.passed}


def test_a_right_model_passes_and_a_model_that_cannot_read_proves_no_length(folder: Path) -> None:
    """Random weights: the arithmetic is right, the needles are not found, and the table says both."""
    report = check(folder, EXACT)
    assert report.passed
    assert [finding.name for finding in report.findings] == [
        "rope factor",
        "rotary tables",
        "layers",
        "column order",
        "record",
    ]
    assert {needle.length for needle in report.needles} == {1024}
    assert report.proven_length == 0
    assert read_proven_length(folder, 1.0) is None
    assert "missed" in table(report)
    assert json.loads((folder / PROOF).read_text())["needles"][0]["length"] == 1024


def test_a_factor_applied_that_was_not_declared_is_named(folder: Path) -> None:
    report = check(folder, replace(EXACT, rope_factor=2.0))
    assert failures(report) == {"rope factor": "declared 1, applied 2"}
    assert not report.needles
    assert not (folder / PROOF).exists()


def test_a_factor_that_the_preset_declares_is_the_declared_one(folder: Path) -> None:
    checkpoint = open_checkpoint(folder)
    loaded = load_model(checkpoint, replace(EXACT, rope_factor=2.0))
    assert all(finding.passed for finding in check_loaded(checkpoint, loaded, declared_factor=2.0))
    assert "declared 8" in check_loaded(checkpoint, loaded, declared_factor=8.0)[0].detail


def test_a_declared_factor_that_the_model_was_built_without_is_named(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["rope_scaling"] = {"type": "linear", "factor": 4.0}
    loaded = load_model(open_checkpoint(folder), EXACT)
    (folder / "config.json").write_text(json.dumps(config))
    found = check_loaded(open_checkpoint(folder), loaded)
    assert {finding.name for finding in found if not finding.passed} == {"rope factor"}


def test_rotary_frequencies_of_another_base_are_named(folder: Path) -> None:
    checkpoint = open_checkpoint(folder)
    loaded = load_model(checkpoint, EXACT)
    loaded.module.model.rotary_emb.inv_freq[3] *= 1.001
    found = {finding.name: finding.passed for finding in check_loaded(checkpoint, loaded)}
    assert not found["rotary tables"]
    assert found["rope factor"]


def test_a_layer_swapped_in_the_files_is_named(folder: Path) -> None:
    rewrite(folder, swap("model.layers.0.mlp.down_proj", "model.layers.1.mlp.down_proj"))
    detail = failures(check(folder, EXACT))["record"]
    assert "model.layers.0.mlp.down_proj holds model.layers.1.mlp.down_proj" in detail
    assert "model.layers.1.mlp.down_proj holds model.layers.0.mlp.down_proj" in detail


def test_a_swapped_layer_is_named_without_our_record_too(folder: Path) -> None:
    (folder / RECORD).unlink()
    rewrite(folder, swap("model.layers.0.mlp.up_proj", "model.layers.1.mlp.up_proj"))
    assert "model.layers.0.mlp.up_proj" in failures(check(folder, EXACT))["column order"]


def test_a_layer_swapped_in_the_built_model_is_named(folder: Path) -> None:
    checkpoint = open_checkpoint(folder)
    loaded = load_model(checkpoint, EXACT)
    first, second = (loaded.module.model.layers[index].self_attn for index in (0, 1))
    first.o_proj, second.o_proj = second.o_proj, first.o_proj
    found = next(finding for finding in check_loaded(checkpoint, loaded) if finding.name == "layers")
    assert not found.passed
    assert "model.layers.0.self_attn.o_proj" in found.detail
    assert "q_proj" not in found.detail


def test_a_truncated_index_of_groups_is_named(folder: Path) -> None:
    name = "model.layers.1.self_attn.v_proj.g_idx"

    def cut(tensors: Tensors) -> None:
        tensors[name] = tensors[name][:-8].clone()

    rewrite(folder, cut)
    report = check(folder, EXACT)
    assert not report.passed
    assert name in failures(report)["folder"]


def test_changed_codes_are_named(folder: Path) -> None:
    def flip(tensors: Tensors) -> None:
        tensors["model.layers.0.mlp.up_proj.qweight"][0, 0] ^= 1

    rewrite(folder, flip)
    assert "model.layers.0.mlp.up_proj holds other weights" in failures(check(folder, EXACT))["record"]


def test_a_proof_holds_for_its_files_and_its_factor_alone(folder: Path, tmp_path: Path) -> None:
    assert write_proof(folder, 1.0, 4096, {}) == 4096
    assert read_proven_length(folder, 1.0) == 4096
    assert read_proven_length(folder, 2.0) is None
    shutil.copytree(folder, tmp_path / "copied", copy_function=shutil.copyfile)
    assert read_proven_length(tmp_path / "copied", 1.0) == 4096
    assert write_proof(folder, 1.0, 1024, {}) == 4096
    rewrite(folder, swap("model.layers.0.mlp.up_proj", "model.layers.1.mlp.up_proj"))
    assert read_proven_length(folder, 1.0) is None
    assert write_proof(folder, 1.0, 1024, {}) == 1024
    (folder / "added.json").write_text("{}")
    assert read_proven_length(folder, 1.0) is None
    (folder / PROOF).write_text("[]")
    assert read_proven_length(folder, 1.0) is None


def test_lengths_double_up_to_the_window() -> None:
    assert needle_lengths(16384, quick=False) == (1024, 2048, 4096, 8192, 16384)
    assert needle_lengths(10000, quick=False) == (1024, 2048, 4096, 8192, 10000)
    assert needle_lengths(16384, quick=True) == (1024, 2048)
    assert needle_lengths(512, quick=False) == (512,)


def test_the_proven_length_ends_before_the_first_needle_that_was_missed() -> None:
    def needle(length: int, gain: float) -> Needle:
        return Needle(length, 0.5, loss=2.0, control=2.0 + gain, exact=False)

    found = (needle(1024, 3), needle(2048, 1), needle(4096, 3), needle(4096, 0.9), needle(8192, 3))
    assert longest_proven(found) == 2048
    assert longest_proven(found[:1]) == 1024
    assert longest_proven(()) == 0


@pytest.mark.parametrize("tokens", [900, 5000])
def test_the_haystack_has_the_length_asked_for_and_each_needle_at_its_depth(tokens: int) -> None:
    tokenizer = make_tokenizer()
    ids = haystack(tokenizer, tokens)
    assert len(ids) == tokens
    text = tokenizer.decode(ids)
    for depth, (beginning, word) in zip(DEPTHS, SENTENCES, strict=True):
        place = text.index(f"{beginning} {word}.")
        assert text.count(word) == 1
        assert place / len(text) == pytest.approx(depth, abs=0.3 if tokens < 1000 else 0.06)


def test_a_real_small_model_finds_needles() -> None:
    if (weights := cached_gguf()) is None:
        pytest.skip("SmolLM2's weights are not in the cache: ragqa.gptq.smollm2.fetch_gguf")
    from ragqa.gptq.decoder import Decoder
    from ragqa.gptq.needles import find_needles

    tokenizer = open_source(weights).tokenizer()
    needles = find_needles(Decoder(load_dense(weights)), tokenizer, 512)
    assert sum(needle.passed for needle in needles) >= 4
