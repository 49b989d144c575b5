"""Brings up any model folder or GGUF file for measuring: full precision, or quantized through
`ragqa.gptq.model`."""

from pathlib import Path
from typing import Any

from torch import nn

from ragqa.errors import CheckpointError
from ragqa.gptq.checkpoint import open_checkpoint
from ragqa.gptq.model import DTYPES, LoadedModel, LoadOptions, build_empty, load_model, scaled_config
from ragqa.gptq.rope import read_scaling, window_of
from ragqa.gptq.source import open_source


def load_any(path: Path, options: LoadOptions = LoadOptions()) -> LoadedModel:
    """The model at `path`: a GPTQ folder, a full-precision folder of safetensors, or a GGUF file."""
    if path.is_dir() and is_quantized(path):
        return load_model(open_checkpoint(path), options)
    return load_dense(path, options)


def load_tokenizer(path: Path) -> Any:
    """The tokenizer of whatever `load_any` takes; code of the folder's own is never run."""
    if path.is_dir() and is_quantized(path):
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    return open_source(path).tokenizer()


def is_quantized(folder: Path) -> bool:
    """Whether the folder says that it is quantized."""
    if (folder / "quantize_config.json").is_file():
        return True
    config = folder / "config.json"
    return config.is_file() and '"quantization_config"' in config.read_text(encoding="utf-8")


def load_dense(path: Path, options: LoadOptions = LoadOptions()) -> LoadedModel:
    """A full-precision model on the CPU in fp32, or the type that the options name. Raises
    CheckpointError."""
    source = open_source(path)
    values = scaled_config(source.config, options)
    module = build_empty(values)
    dtype = DTYPES["float32" if options.dtype == "auto" else options.dtype]
    tied = bool(source.config.get("tie_word_embeddings"))
    missing = [
        name for name in dict(module.named_parameters(remove_duplicate=False)) if name not in source.names
    ]
    if [name for name in missing if not (tied and name == "lm_head.weight")]:
        raise CheckpointError(f"{path} lacks {missing[0]}.")
    for name in source.names:
        owner, _, part = name.rpartition(".")
        value = nn.Parameter(source.tensor(name).to(dtype), requires_grad=False)
        setattr(module.get_submodule(owner), part, value)
    if tied:
        module.lm_head.weight = module.model.embed_tokens.weight
    module.model.rotary_emb = type(module.model.rotary_emb)(module.config)
    return LoadedModel(module.eval(), module.config, window_of(values), dtype, read_scaling(values).factor)
