"""Models to work with until a trained one is there: SmolLM2 rounded to nearest, and Llamas of random
weights.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ragqa.gptq.model import build_empty
from ragqa.gptq.packing import PackedLinear, pack
from ragqa.gptq.quantization import Quantization
from ragqa.gptq.rope import normalise_rope
from ragqa.gptq.solver import Recipe, round_to_nearest
from ragqa.gptq.source import Source, open_source
from ragqa.gptq.writing import packed_tensors, write_checkpoint

SEED_PROPORTIONS: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 2048,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
}
"""What the random Llamas share with the 33B model; widths are added."""


def make_stand_in(folder: Path) -> Path:
    """SmolLM2-135M-Instruct as a GPTQ folder: 4 bits, groups of 64 (576 columns), rounded to nearest.

    Fetches the weights on the first call (`ragqa.gptq.smollm2`). An existing folder is kept as it is.
    """
    from ragqa.gptq.smollm2 import fetch_gguf

    if not (folder / "config.json").is_file():
        round_model(fetch_gguf(), folder, Quantization(bits=4, group_size=64, desc_act=False, sym=False))
    return folder


def round_model(source: Path, folder: Path, quantization: Quantization) -> None:
    """Round every projection of a full-precision model to nearest: no calibration, a minute for the small
    model.

    source: what `ragqa.gptq.source.open_source` opens. Raises ValueError for act-order, which rounding has
    not.
    """
    if quantization.desc_act:
        raise ValueError("rounding to nearest has no activation order")
    opened = open_source(source)
    folder.mkdir(parents=True, exist_ok=True)
    opened.tokenizer().save_pretrained(folder)
    write_checkpoint(folder, opened.config, quantization, [_rounded_tensors(opened, quantization)])


def _rounded_tensors(opened: Source, quantization: Quantization) -> dict[str, Tensor]:
    module = build_empty(normalise_rope(opened.config))
    linears = {name for name, one in module.named_modules() if type(one) is nn.Linear and name != "lm_head"}
    recipe = Recipe(quantization.bits, quantization.group_size, desc_act=False, sym=quantization.sym)
    tensors: dict[str, Tensor] = {}
    for name in opened.names:
        layer = name.removesuffix(".weight")
        if layer in linears:
            rounded = round_to_nearest(opened.tensor(name), None, recipe)
            packed = pack(rounded.codes, rounded.zeros, rounded.scales, rounded.g_idx, quantization.bits)
            tensors.update(packed_tensors(layer, packed))
        else:
            tensors[name] = opened.tensor(name).to(torch.float16)
    return tensors


def llama_config(hidden: int, intermediate: int, layers: int, heads: int, vocabulary: int) -> dict[str, Any]:
    """The configuration of a Llama of the seed's family with other widths."""
    return {
        **SEED_PROPORTIONS,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "vocab_size": vocabulary,
    }


def make_random_llama(
    folder: Path, config: dict[str, Any], quantization: Quantization, seed: int = 0
) -> Path:
    """A folder of random weights: quantized layers drawn as codes, act-order where the settings say so.

    Layers that see the same input share their order, as a quantizer's do. One shard a decoder layer.
    """
    draw = torch.Generator().manual_seed(seed)
    module = build_empty(normalise_rope(config))
    write_checkpoint(folder, config, quantization, _random_shards(module, quantization, draw))
    return folder


def _random_shards(
    module: Any, quantization: Quantization, draw: torch.Generator
) -> Iterator[dict[str, Tensor]]:
    linears = {
        name: one for name, one in module.named_modules() if type(one) is nn.Linear and name != "lm_head"
    }
    plain = {
        name: tuple(one.shape)
        for name, one in module.named_parameters()
        if name.rpartition(".")[0] not in linears
    }
    yield {name: _random_plain(shape, draw) for name, shape in plain.items()}
    for index, layer in enumerate(module.model.layers):
        prefix, shard, orders = f"model.layers.{index}.", {}, {}
        for name, linear in layer.named_modules():
            if type(linear) is not nn.Linear:
                continue
            source = name if name.endswith(("o_proj", "down_proj")) else name.rpartition(".")[0]
            if source not in orders:
                orders[source] = torch.randperm(linear.in_features, generator=draw)
            packed = random_layer(linear.in_features, linear.out_features, quantization, draw, orders[source])
            bias = None
            if linear.bias is not None:
                bias = torch.randn(linear.out_features, generator=draw).mul_(0.1).half()
            shard.update(packed_tensors(prefix + name, packed, bias))
        yield shard


def _random_plain(shape: tuple[int, ...], draw: torch.Generator) -> Tensor:
    if len(shape) == 1:
        return torch.ones(shape, dtype=torch.float16)
    return torch.empty(shape, dtype=torch.float32).normal_(0, 0.02, generator=draw).half()


def random_layer(
    inputs: int, outputs: int, quantization: Quantization, draw: torch.Generator, order: Tensor
) -> PackedLinear:
    """Random codes with scales that keep the layer's output about as large as its input."""
    top, groups = 2**quantization.bits, quantization.groups(inputs)
    codes = torch.randint(0, top, (inputs, outputs), generator=draw)
    zeros = torch.full((groups, outputs), top // 2)
    if not quantization.sym:
        zeros = torch.randint(top // 2 - 1, top // 2 + 2, (groups, outputs), generator=draw)
    scales = (1 + torch.rand(groups, outputs, generator=draw)) * 2.3 / (top * inputs**0.5)
    size = inputs if quantization.group_size == -1 else quantization.group_size
    index = torch.arange(inputs) // size
    if quantization.desc_act:
        index = torch.empty_like(index).index_copy_(0, order, index)
    return pack(codes, zeros, scales, index, quantization.bits)
