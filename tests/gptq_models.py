"""Small full-precision models with a tokenizer, as transformers saves them."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from ragqa.gptq.model import build_empty
from ragqa.gptq.rope import normalise_rope
from ragqa.gptq.standin import llama_config
from tests.byte_tokenizer import byte_tokenizer

TEXT = "The ferry leaves at ten past each hour; bicycles travel free, and dogs pay half. " * 40


def small_config(**changes: Any) -> dict[str, Any]:
    """Two layers of width 64 with grouped heads; 64 and 128 columns, so groups of 32 and 64 fit."""
    config = {**llama_config(64, 128, 2, 4, 320), "num_key_value_heads": 2, **changes}
    config["architectures"] = [
        {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}[config["model_type"]]
    ]
    return config


def make_dense(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """A folder of random weights whose outputs are far from flat, with a tokenizer of bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    config = small_config(**changes)
    draw = torch.Generator().manual_seed(seed)
    weights = {}
    for name, one in build_empty(normalise_rope(config)).named_parameters():
        spread = 0.5 if "embed" in name else 1.4 / one.shape[-1] ** 0.5
        values = torch.randn(one.shape, generator=draw) * spread
        weights[name] = 1 + 0.1 * torch.randn(one.shape, generator=draw) if "norm" in name else values
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    make_tokenizer().save_pretrained(folder)
    return folder


def make_tokenizer() -> Any:
    """One token a byte."""
    return byte_tokenizer("<unk>", "<s>", "</s>", unk_token="<unk>")
