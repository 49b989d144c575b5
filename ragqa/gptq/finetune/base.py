"""The model to tune and the model tuned: full-precision weights, scaled positions, chat form."""

from pathlib import Path
from typing import Any

import torch

from ragqa.gptq.finetune.lora import apply_adapter, read_adapter
from ragqa.gptq.rope import APPLIED, scale_rope
from ragqa.gptq.source import open_source

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""ChatML without the system message that some templates add: tokens that no answer needs."""


def load_base(path: Path, factor: float, dtype: torch.dtype = torch.float32) -> tuple[Any, Any]:
    """Model and tokenizer of a folder or `.gguf` file, positions scaled linearly by `factor`.

    A tokenizer that has ChatML's control tokens gets the template above; others keep their own.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    source = open_source(path)
    values = dict(source.config)
    if factor != 1:
        values = {key: value for key, value in scale_rope(values, factor).items() if key != APPLIED}
    config = AutoConfig.for_model(values.pop("model_type"), **values)
    build: Any = AutoModelForCausalLM.from_config
    model = build(config, attn_implementation="sdpa", dtype=dtype)
    held = dict(model.named_parameters())
    with torch.no_grad():
        for name in source.names:
            held[name].copy_(source.tensor(name))
    tokenizer = source.tokenizer()
    if {"<|im_start|>", "<|im_end|>"} <= tokenizer.get_vocab().keys():
        tokenizer.chat_template = CHATML
    return model, tokenizer


def write_merged(base: Path, adapter: Path, out: Path) -> Path:
    """The base with an adapter in its weights (fp16), as a folder that `ragqa model quantize` takes.

    Its configuration declares the scaled positions, its tokenizer the chat form of the training.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    facts, _ = read_adapter(adapter)
    model, tokenizer = load_base(base, float(facts["ragqa"]["factor"]))
    apply_adapter(model, adapter)
    model.half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out
