"""What a model needs in memory, and what makes it fit.

Pure arithmetic over `config.json`: no torch, no weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ragqa.gptq.quantization import Quantization
from ragqa.gptq.rope import head_size, read_scaling, window_of

GIB = 2**30
PREFILL_CHUNK = 1024
"""Tokens of a prefill step, as `ragqa.gptq.decoder` takes them."""
NARROW_CACHES = (
    ("8-bit KV cache (vLLM, llama.cpp, exllamav2)", 8.5),
    ("4-bit KV cache (llama.cpp, exllamav2)", 4.5),
)
"""KV caches of other runtimes by the bits a value takes: 32 share a half float (ggml's q8_0 and q4_0); vLLM's
fp8 takes 8."""


@dataclass(frozen=True, slots=True)
class FitOption:
    """A way to run the model and the bytes it needs then, on each card or machine."""

    name: str
    bytes: int
    fits: bool


@dataclass(frozen=True, slots=True)
class RuntimeSetting:
    """The same window and scaling as another runtime takes them."""

    runtime: str
    setting: str


@dataclass(frozen=True, slots=True)
class FitReport:
    """Bytes of each part at `context` positions, whether they fit `memory`, and what would make them fit."""

    context: int
    memory: int
    weights: int
    kv_cache: int
    activations: int
    options: tuple[FitOption, ...]
    longest_context: int
    runtimes: tuple[RuntimeSetting, ...]

    @property
    def total(self) -> int:
        return self.weights + self.kv_cache + self.activations

    @property
    def fits(self) -> bool:
        return self.total <= self.memory


def weight_bytes(config: Mapping[str, Any], quantization: Quantization) -> int:
    """Bytes of a GPTQ folder's weights.

    A layer of i inputs and o outputs takes i*o*bits/8 for codes, 2 + bits/8 for the scale and zero of each
    group and output, 4*i for the group index (AutoGPTQ's v1 layout); embedding, head and norms take 2 a
    value.
    """
    hidden, wide, layers = (
        int(config[key]) for key in ("hidden_size", "intermediate_size", "num_hidden_layers")
    )
    queries = int(config["num_attention_heads"]) * head_size(config)
    shared = _kv_heads(config) * head_size(config)
    shapes = [(hidden, queries), (hidden, shared), (hidden, shared), (queries, hidden)]
    shapes += [(hidden, wide), (hidden, wide), (wide, hidden)]
    constants = 2 + quantization.bits / 8
    one = sum(
        i * o * quantization.bits / 8 + quantization.groups(i) * o * constants + 4 * i for i, o in shapes
    )
    tables = 1 if config.get("tie_word_embeddings") else 2
    plain = 2 * (tables * int(config["vocab_size"]) * hidden + (2 * layers + 1) * hidden)
    return int(layers * one) + plain


def kv_bytes(config: Mapping[str, Any], context: int, bits: float = 16) -> int:
    """Bytes of the KV cache: 2 * layers * KV heads * head size a position (Pope et al.

    2022, arXiv:2211.05102).
    """
    values = 2 * int(config["num_hidden_layers"]) * _kv_heads(config) * head_size(config)
    return int(values * context * bits / 8)


def activation_bytes(config: Mapping[str, Any], context: int) -> int:
    """Bytes alive at once in the prefill of one chunk, as `ragqa.gptq.decoder` computes it.

    The residual stream in fp32 with its norm and sum (3 * 4 * hidden), the gate, what it gates and their
    product (3 * 2 * intermediate), queries, keys and values twice over for the rotation, a mask of one byte
    a pair, and the fp32 logits of the last position. Scores are never held: attention is fused (Dao et al.
    2022, arXiv:2205.14135).
    """
    chunk = min(PREFILL_CHUNK, context)
    heads = int(config["num_attention_heads"]) + 2 * _kv_heads(config)
    token = (
        12 * int(config["hidden_size"]) + 6 * int(config["intermediate_size"]) + 4 * heads * head_size(config)
    )
    return chunk * (token + context) + 4 * int(config["vocab_size"])


def fit(
    config: Mapping[str, Any], quantization: Quantization, context: int, memory: int, name: str = "MODEL"
) -> FitReport:
    """What the model of that `config.json` needs for `context` positions, against `memory` bytes."""
    weights, activations = weight_bytes(config, quantization), activation_bytes(config, context)
    fixed = weights + activations
    options = [
        FitOption("16-bit KV cache", fixed + kv_bytes(config, context), False),
    ]
    options += [
        FitOption(name, fixed + kv_bytes(config, context, bits), False) for name, bits in NARROW_CACHES
    ]
    options += [
        FitOption(
            f"{cards} cards, layers spread over them",
            _spread(config, fixed, activations, context, cards),
            False,
        )
        for cards in (2, 4, 8)
    ]
    checked = tuple(FitOption(one.name, one.bytes, one.bytes <= memory) for one in options)
    room = memory - weights - activation_bytes(config, 1)
    return FitReport(
        context=context,
        memory=memory,
        weights=weights,
        kv_cache=kv_bytes(config, context),
        activations=activations,
        options=checked,
        longest_context=_longest(config, weights, memory) if room > 0 else 0,
        runtimes=runtime_settings(config, quantization, context, name),
    )


def runtime_settings(
    config: Mapping[str, Any], quantization: Quantization, context: int, name: str = "MODEL"
) -> tuple[RuntimeSetting, ...]:
    """The window and the linear scaling of a configuration as other runtimes take them.

    vLLM takes `max_position_embeddings` for the trained length and multiplies it by the factor itself; none
    takes more positions than that gives. The options are those of vLLM's and llama.cpp's manuals, and of
    `model_init.py` in exllama and in exllamav2 0.3.2.
    """
    scaling = read_scaling(config)
    linear, factor = scaling.kind == "linear", f"{scaling.factor:g}"
    length = min(context, window_of(config))
    rope = f'{{"rope_type": "linear", "factor": {factor}, "rope_theta": {scaling.theta:g}}}'
    trained = int(config["max_position_embeddings"])
    overrides = f' --hf-overrides \'{{"max_position_embeddings": {trained}, "rope_parameters": {rope}}}\''
    # Marlin's kernels know no zero points; vLLM's other GPTQ kernel computes in fp16 alone.
    kernels = "gptq_marlin" if quantization.sym else "gptq --dtype float16"
    settings = (
        ("vLLM", f"vllm serve {name} --quantization {kernels} --max-model-len {length}", overrides),
        (
            "llama.cpp",
            f"llama-server -m {name.rpartition('/')[2]}.gguf --ctx-size {length}",
            f" --rope-scaling linear --rope-scale {factor}",
        ),
        ("exllama", f"--length {length}", f" --compress_pos_emb {factor}"),
        ("exllamav2", f"--length {length}", f" --rope_scale {factor}"),
    )
    return tuple(
        RuntimeSetting(runtime, plain + (scaled if linear else "")) for runtime, plain, scaled in settings
    )


def _spread(config: Mapping[str, Any], fixed: int, activations: int, context: int, cards: int) -> int:
    """The fullest card's share: whole decoder layers, the odd ones on the first cards, embedding and head
    with them.
    """
    layers = int(config["num_hidden_layers"])
    most = -(-layers // cards)
    weights = fixed - activations
    tables = 2 * int(config["vocab_size"]) * int(config["hidden_size"])
    return most * (weights + kv_bytes(config, context)) // layers + tables + activations


def _longest(config: Mapping[str, Any], weights: int, memory: int) -> int:
    """The longest context that fits with a 16-bit KV cache, by bisection: the need grows with the context."""
    low, high = 0, 1 << 24
    while high - low > 1:
        middle = (low + high) // 2
        need = weights + kv_bytes(config, middle) + activation_bytes(config, middle)
        low, high = (middle, high) if need <= memory else (low, middle)
    return low


def _kv_heads(config: Mapping[str, Any]) -> int:
    return int(config.get("num_key_value_heads") or config["num_attention_heads"])
