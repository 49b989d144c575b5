"""The model to tune: full-precision weights and scaled positions. Knows no adapter and no data."""

from pathlib import Path
from typing import Any

import torch

from ragqa.gptq.rope import APPLIED, scale_rope
from ragqa.gptq.source import open_source


def load_base(path: Path, factor: float) -> tuple[Any, Any]:
    """Model (fp32) and tokenizer of a folder or `.gguf` file, positions scaled linearly by `factor`."""
    from transformers import AutoConfig, AutoModelForCausalLM

    source = open_source(path)
    values = dict(source.config)
    if factor != 1:
        values = {key: value for key, value in scale_rope(values, factor).items() if key != APPLIED}
    config = AutoConfig.for_model(values.pop("model_type"), **values)
    build: Any = AutoModelForCausalLM.from_config
    model = build(config, attn_implementation="sdpa", dtype=torch.float32)
    held = dict(model.named_parameters())
    with torch.no_grad():
        for name in source.names:
            held[name].copy_(source.tensor(name))
    return model, source.tokenizer()
