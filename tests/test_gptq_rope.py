"""Scaled rotary positions: right to the last position, read in every spelling, never applied twice or too
late.
"""

import pytest

torch = pytest.importorskip("torch", reason="the gptq extra is not installed")

from transformers import LlamaConfig, LlamaForCausalLM  # noqa: E402
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding  # noqa: E402

from ragqa.errors import CheckpointError  # noqa: E402
from ragqa.gptq.rope import (  # noqa: E402
    read_scaling,
    replace_llama_rope_with_scaled_rope,
    scale_rope,
    window_of,
)

SMALL = {
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 32,
    "max_position_embeddings": 2048,
}


def tables(config, positions):
    rotary = LlamaRotaryEmbedding(LlamaConfig(**{k: v for k, v in config.items() if k != "model_type"}))
    cosine, sine = rotary(torch.zeros(1), positions.unsqueeze(0))
    return cosine[0], sine[0]


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
@pytest.mark.parametrize("theta", [10_000.0, 100_000.0])
def test_cosines_and_sines_match_float64_to_position_16383(factor, theta):
    """m / factor * theta**(-2i/d), computed in float64, at every position.

    Fp32 angles carry 2**-24 of themselves.
    """
    positions = torch.arange(16_384)
    cosine, sine = tables(scale_rope({**SMALL, "rope_theta": theta}, factor), positions)
    exponents = torch.arange(0, 128, 2, dtype=torch.float64) / 128
    angles = (positions.double() / factor).unsqueeze(1) * theta**-exponents
    angles = torch.cat((angles, angles), dim=1)
    allowed = 4 * angles.abs() * 2.0**-24 + 1e-6
    assert bool(((cosine.double() - angles.cos()).abs() <= allowed).all())
    assert bool(((sine.double() - angles.sin()).abs() <= allowed).all())


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_equal_to_transformers_own_linear_scaling_to_the_bit(factor):
    native = {**SMALL, "rope_parameters": {"rope_type": "linear", "factor": float(factor), "rope_theta": 1e4}}
    positions = torch.arange(16_384)
    ours, theirs = tables(scale_rope(SMALL, factor), positions), tables(native, positions)
    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[1], theirs[1])


@pytest.mark.parametrize("spelling", [
    {"rope_scaling": {"type": "linear", "factor": 8.0}},
    {"rope_scaling": {"rope_type": "linear", "factor": 8}},
    {"rope_scaling": {"rope_type": "linear", "type": "linear", "factor": 8}},
    {"rope_scaling": {"factor": 8.0}},
    {"rope_parameters": {"rope_type": "linear", "factor": 8.0, "rope_theta": 10000.0}},
    {"rope_parameters": {"rope_type": "linear", "factor": 8}, "rope_scaling": {"factor": 8}},
])  # fmt: skip
def test_every_spelling_is_read_and_the_same_factor_applies_once(spelling):
    config = {**SMALL, **spelling}
    assert (read_scaling(config).kind, read_scaling(config).factor) == ("linear", 8.0)
    scaled = scale_rope(config, 8)
    assert scaled["rope_parameters"] == {"rope_type": "linear", "factor": 8.0, "rope_theta": 10_000.0}
    assert window_of(scaled) == 16_384


def test_without_scaling_nothing_is_stretched():
    assert read_scaling({**SMALL, "rope_scaling": None}).factor == 1
    assert window_of(SMALL) == 2048


@pytest.mark.parametrize(("config", "message"), [
    ({"rope_scaling": {"type": "linear", "factor": 4}}, r"linear rope scaling by 4, but 8 was asked"),
    ({"rope_scaling": {"factor": 4}, "rope_parameters": {"rope_type": "linear", "factor": 8}},
     r"disagree"),
    ({"rope_scaling": {"type": "linear", "rope_type": "yarn", "factor": 8}}, r"two types"),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 8}}, r"declares yarn"),
    ({"rope_scaling": {"type": "linear"}}, r"no factor"),
    ({"rope_scaling": {"type": "linear", "factor": "8"}}, r"expected a number"),
    ({"rope_scaling": "linear"}, r"expected an object"),
    ({"rope_theta": 1e4, "rope_parameters": {"rope_type": "default", "rope_theta": 1e5}}, r"two values"),
])  # fmt: skip
def test_disagreement_is_an_error(config, message):
    with pytest.raises(CheckpointError, match=message):
        scale_rope({**SMALL, **config}, 8)


@pytest.mark.parametrize("factor", [0, 0.5, -8, float("nan"), float("inf"), True])
def test_senseless_factors_are_refused(factor):
    with pytest.raises(CheckpointError, match="makes no sense"):
        scale_rope(SMALL, factor)


def test_scaling_twice_is_an_error():
    with pytest.raises(CheckpointError, match="twice would give 64"):
        replace_llama_rope_with_scaled_rope(replace_llama_rope_with_scaled_rope(SMALL))


def test_a_built_model_is_too_late():
    model = LlamaForCausalLM(LlamaConfig(**{k: v for k, v in SMALL.items() if k != "model_type"}))
    with pytest.raises(CheckpointError, match="Too late"):
        replace_llama_rope_with_scaled_rope(model)


def test_the_known_name_scales_a_copy_and_no_other_model():
    config = LlamaConfig(**{k: v for k, v in SMALL.items() if k != "model_type"})
    before = dict(config.rope_parameters)
    scaled = replace_llama_rope_with_scaled_rope(config)
    assert isinstance(scaled, LlamaConfig)
    assert scaled.rope_parameters["factor"] == 8
    assert dict(config.rope_parameters) == before
    plain, stretched = LlamaRotaryEmbedding(config), LlamaRotaryEmbedding(scaled)
    assert torch.equal(plain.inv_freq, stretched.inv_freq * 8)


def test_other_scalings_pass_through():
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048, "rope_theta": 1e4}
    from ragqa.gptq.rope import normalise_rope

    assert normalise_rope({**SMALL, "rope_parameters": yarn})["rope_parameters"] == yarn
