"""What a model needs in memory, and the same setting in the words of other runtimes."""

import json
import re

import pytest

from ragqa.gptq.fit import GIB, fit, kv_bytes, weight_bytes
from ragqa.gptq.quantization import Quantization

LLAMA_33B = {
    "hidden_size": 6656, "intermediate_size": 17_920, "num_hidden_layers": 60, "num_attention_heads": 52,
    "vocab_size": 32_000, "max_position_embeddings": 2048, "rope_scaling": {"type": "linear", "factor": 8.0},
}  # fmt: skip
ASYMMETRIC = Quantization(sym=False)


def settings_of(config, quantization, context=16_384):
    return {one.runtime: one.setting for one in fit(config, quantization, context, GIB, "M").runtimes}


def test_the_33b_model_needs_what_was_computed_for_it():
    """16.3 GiB of weights and 1.52 MiB a token of fp16 keys and values: 24.4 GiB at 16,384 positions."""
    report = fit(LLAMA_33B, Quantization(), 16_384, 24 * GIB)
    assert report.weights / GIB == pytest.approx(16.3, abs=0.1)
    assert report.kv_cache / GIB == pytest.approx(24.4, abs=0.1)
    assert not report.fits
    fitting = {option.name: option.fits for option in report.options}
    assert fitting["4-bit KV cache (llama.cpp, exllamav2)"]
    assert not fitting["8-bit KV cache (vLLM, llama.cpp, exllamav2)"]
    assert not fitting["16-bit KV cache"]
    at_most = fit(LLAMA_33B, Quantization(), report.longest_context, 24 * GIB)
    assert at_most.fits
    assert not fit(LLAMA_33B, Quantization(), report.longest_context + 1, 24 * GIB).fits


def test_narrow_caches_count_the_scale_that_32_values_share():
    """ggml's q4_0 block: 16 bytes of codes and a half float."""
    assert kv_bytes(LLAMA_33B, 32, 4.5) == kv_bytes(LLAMA_33B, 32) * 18 // 64


def test_other_runtimes_get_the_trained_length_and_the_factor():
    settings = settings_of(LLAMA_33B, ASYMMETRIC)
    assert "--max-model-len 16384" in settings["vLLM"]
    overrides = re.search(r"'(.*)'", settings["vLLM"])
    assert json.loads(overrides[1]) == {
        "max_position_embeddings": 2048,
        "rope_parameters": {"rope_type": "linear", "factor": 8, "rope_theta": 10_000},
    }
    assert settings["llama.cpp"].endswith("M.gguf --ctx-size 16384 --rope-scaling linear --rope-scale 8")
    assert settings["exllama"] == "--length 16384 --compress_pos_emb 8"
    assert settings["exllamav2"] == "--length 16384 --rope_scale 8"


@pytest.mark.parametrize(("quantization", "kernels"), [
    (Quantization(sym=True), "--quantization gptq_marlin --max"),
    (ASYMMETRIC, "--quantization gptq --dtype float16 --max"),
])  # fmt: skip
def test_vllm_gets_the_kernels_that_know_the_zero_points(quantization, kernels):
    """Marlin's know none; the others compute in fp16 alone."""
    assert kernels in settings_of(LLAMA_33B, quantization)["vLLM"]


def test_an_unscaled_model_gets_no_scaling_and_no_more_than_its_window():
    plain = {key: value for key, value in LLAMA_33B.items() if key != "rope_scaling"}
    settings = settings_of(plain, ASYMMETRIC)
    assert settings["vLLM"].endswith("--max-model-len 2048")
    assert settings["llama.cpp"].endswith("--ctx-size 2048")
    assert settings["exllama"] == settings["exllamav2"] == "--length 2048"


def test_a_presets_runtimes_are_given_its_hub_id():
    pytest.importorskip("torch", reason="the gptq extra is not installed")
    from ragqa.models import fit_of

    settings = {one.runtime: one.setting for one in fit_of("airoboros-33b-16k", 16_384, GIB).runtimes}
    named = "airoboros-33b-gpt4-1.4.1-lxctx-PI-16384-GPTQ"
    assert settings["vLLM"].startswith(f"vllm serve bhenrym14/{named} --quantization gptq_marlin ")
    assert settings["llama.cpp"].startswith(f"llama-server -m {named}.gguf ")


def test_computed_weights_are_the_bytes_of_the_files(tmp_path):
    pytest.importorskip("torch", reason="the gptq extra is not installed")
    from ragqa.gptq.standin import llama_config, make_random_llama

    quantization = Quantization(group_size=32)
    make_random_llama(tmp_path, llama_config(64, 128, 1, 2, 260), quantization)
    config = json.loads((tmp_path / "config.json").read_text())
    stored = sum(path.stat().st_size for path in tmp_path.glob("*.safetensors"))
    assert weight_bytes(config, quantization) == pytest.approx(stored, rel=0.1)
