"""A checkpoint folder to a running model: transformers' model class without weights, our layers put into it.

Weights are read shard by shard and checked in both directions: every layer gets what it needs, and nothing
in the folder is left over. Nothing is patched but the one model object.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ragqa.errors import CheckpointError
from ragqa.gptq.checkpoint import Checkpoint
from ragqa.gptq.embedding import StoredEmbedding, StoredHead
from ragqa.gptq.kernels import OLDEST_CAPABILITY
from ragqa.gptq.linear import Kernels, TiledLinear, capability_of, gptq_linear
from ragqa.gptq.placing import place_modules
from ragqa.gptq.rope import normalise_rope, read_scaling, scale_rope, window_of
from ragqa.gptq.tiles import fuse
from ragqa.gptq.trial import Refusal, warn_of

FUSED = (("self_attn", ("q_proj", "k_proj", "v_proj")), ("mlp", ("gate_proj", "up_proj")))
"""Projections that read the same input: one product serves them where their layouts agree."""
DROPPED_KEYS = (
    "quantization_config",
    "auto_map",
    "_name_or_path",
    "torch_dtype",
    "dtype",
    "transformers_version",
)
DTYPES: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a model is brought up.

    dtype: `auto`, or one of DTYPES: what activations and the KV cache are held in.
    rope_factor: linear scaling to apply where the folder declares none.
    trained_positions: positions the model was trained on, where its configuration gives the stretched window.
    device_map: `cpu`, `cuda`, `cuda:1`; `auto` to spread layers over the cards and the CPU; or a map of
        module names to devices.
    kernels: `auto`; `reference` to dequantize and multiply whatever the length; or `gptqmodel` for its
        kernels on the CPU too.
    """

    dtype: str = "auto"
    rope_factor: float | None = None
    trained_positions: int | None = None
    device_map: str | Mapping[str, str] = "cpu"
    kernels: Kernels = "auto"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready to run. `module` is transformers' class; `window` what its rope scaling gives."""

    module: Any
    config: Any
    window: int
    dtype: torch.dtype
    rope_factor: float

    @property
    def resident_bytes(self) -> int:
        """Bytes of weights that stay in memory, each storage counted once."""
        seen: dict[int, int] = {}
        for tensor in _all_tensors(self.module):
            storage = tensor.untyped_storage()
            seen[storage.data_ptr()] = storage.nbytes()
        return sum(seen.values())


def default_dtype(device: torch.device) -> torch.dtype:
    """bf16 on a CPU, for half the KV cache whatever products are computed in, and on cards whose int4 kernel
    takes it; fp16 on others."""
    capability = capability_of(device)
    narrow = device.type == "cpu" or (capability is not None and capability >= OLDEST_CAPABILITY)
    return torch.bfloat16 if narrow else torch.float16


def scaled_config(values: Mapping[str, Any], options: LoadOptions) -> dict[str, Any]:
    """`config.json` as the model is built from it: rope scaled once, in transformers' spelling."""
    kept = {key: value for key, value in values.items() if key not in DROPPED_KEYS}
    if options.trained_positions is not None:
        kept["max_position_embeddings"] = options.trained_positions
    if options.rope_factor is None:
        return normalise_rope(kept)
    return scale_rope(kept, options.rope_factor)


def build_empty(config: Mapping[str, Any]) -> Any:
    """transformers' model of that configuration on the meta device: structure, no weights, no
    initialisation.
    """
    from transformers import AutoConfig, LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM

    classes = {"llama": LlamaForCausalLM, "mistral": MistralForCausalLM, "qwen2": Qwen2ForCausalLM}
    family = str(config["model_type"])
    if config.get("use_sliding_window"):
        raise CheckpointError(
            "Models with sliding windows in some layers (use_sliding_window) are not supported."
        )
    settings = AutoConfig.for_model(**config)
    settings._attn_implementation = "sdpa"
    with torch.device("meta"):
        module = classes[family](settings)
    return module.eval().requires_grad_(False)


def load_model(checkpoint: Checkpoint, options: LoadOptions = LoadOptions()) -> LoadedModel:
    """Build the model and fill it.

    Raises CheckpointError, having loaded nothing, where the folder does not fit it.
    """
    values = scaled_config(checkpoint.config, options)
    module = build_empty(values)
    check_names(checkpoint, module)
    devices = place_modules(module, options.device_map)
    first = devices("model.embed_tokens")
    dtype = default_dtype(first) if options.dtype == "auto" else _dtype(options.dtype)
    refusals: list[Refusal] = []
    for layer in checkpoint.quantized_layers:
        packed = checkpoint.packed(layer)
        bias = _optional(checkpoint, module, f"{layer}.bias", dtype)
        chosen = gptq_linear(packed, bias, devices(layer), options.kernels, dtype)
        module.set_submodule(layer, chosen.layer)
        refusals += chosen.refusals
    warn_of(refusals)
    fill_plain(checkpoint, module, dtype, devices)
    _fuse_layers(module)
    rotary = module.model.rotary_emb
    module.model.rotary_emb = type(rotary)(module.config).to(first)
    scaling = read_scaling(values)
    return LoadedModel(module.eval(), module.config, window_of(values), dtype, scaling.factor)


def check_names(checkpoint: Checkpoint, module: Any) -> None:
    """Compare the folder's tensor names and shapes with the model's, both ways; raises CheckpointError."""
    folder, quantized = checkpoint.folder, set(checkpoint.quantized_layers)
    parameters = {name: tuple(one.shape) for name, one in module.named_parameters(remove_duplicate=False)}
    for layer in checkpoint.quantized_layers:
        _check_layer(checkpoint, module, layer)
    if not quantized:
        raise CheckpointError(
            f"{folder} says it is quantized, but none of its tensors is: the weights are those of another "
            "folder."
        )
    tied = bool(checkpoint.config.get("tie_word_embeddings"))
    for name, shape in parameters.items():
        info = checkpoint.tensors.get(name)
        if (
            info is None
            and name.rpartition(".")[0] not in quantized
            and not (tied and name == "lm_head.weight")
        ):
            raise CheckpointError(f"{folder}: {name} is missing.")
        if info is not None and info.shape != shape:
            raise CheckpointError(
                f"{folder}: {name} has shape {info.shape}, the configuration needs {shape}."
            )
    for name in checkpoint.tensors:
        _check_expected(checkpoint, name, name in parameters, quantized)


def _check_layer(checkpoint: Checkpoint, module: Any, layer: str) -> None:
    try:
        linear = module.get_submodule(layer)
    except AttributeError:
        linear = None
    if not isinstance(linear, nn.Linear):
        raise CheckpointError(
            f"{checkpoint.folder}: no layer of the model takes the quantized tensors {layer}.*; config.json "
            "belongs to another model."
        )
    info = checkpoint.tensors.get(f"{layer}.qweight")
    if info is None:
        raise CheckpointError(f"{checkpoint.folder}: {layer} is quantized but {layer}.qweight is missing.")
    needed = (linear.in_features * checkpoint.quantization.bits // 32, linear.out_features)
    if info.shape != needed:
        raise CheckpointError(
            f"{checkpoint.folder}: {layer}.qweight has shape {info.shape}, but a layer of "
            f"{linear.in_features} by "
            f"{linear.out_features} in {checkpoint.quantization.bits} bits needs {needed}."
        )
    if linear.bias is not None and f"{layer}.bias" not in checkpoint.tensors:
        raise CheckpointError(f"{checkpoint.folder}: {layer}.bias is missing.")


def _check_expected(checkpoint: Checkpoint, name: str, known: bool, quantized: set[str]) -> None:
    layer, _, part = name.rpartition(".")
    if layer in quantized and part == "weight":
        raise CheckpointError(f"{checkpoint.folder}: {layer} is there twice, quantized and plain.")
    if known or (layer in quantized and part in ("qweight", "qzeros", "scales", "g_idx")):
        return
    # auto-gptq wrote biases of zeros for layers that have none.
    if layer in quantized and part == "bias" and not bool(checkpoint.tensor(name).any()):
        return
    raise CheckpointError(f"{checkpoint.folder}: nothing in the model takes {name}.")


def _optional(checkpoint: Checkpoint, module: Any, name: str, dtype: torch.dtype) -> Tensor | None:
    if module.get_submodule(name.rpartition(".")[0]).bias is None:
        return None
    return checkpoint.tensor(name).to(dtype)


def fill_plain(checkpoint: Checkpoint, module: Any, dtype: torch.dtype, devices: Any) -> None:
    """Put in all that is not quantized; `devices` gives the place of a module by its name."""
    table = checkpoint.tensor("model.embed_tokens.weight").to(devices("model.embed_tokens"))
    module.model.embed_tokens = StoredEmbedding(table, dtype)
    if isinstance(module.lm_head, nn.Linear):
        tied = bool(checkpoint.config.get("tie_word_embeddings"))
        head = table if tied else checkpoint.tensor("lm_head.weight")
        module.lm_head = StoredHead(head.to(devices("lm_head")))
    for name, parameter in list(module.named_parameters()):
        if parameter.device.type == "meta":
            owner, _, part = name.rpartition(".")
            value = checkpoint.tensor(name).to(devices(owner), dtype)
            if isinstance(module.get_submodule(owner), nn.Linear) and part == "weight":
                value = value.contiguous()
            setattr(module.get_submodule(owner), part, nn.Parameter(value, requires_grad=False))


def _fuse_layers(module: Any) -> None:
    """Let projections of one input share one block of memory, so that one product can serve them."""
    for layer in module.model.layers:
        for block, names in FUSED:
            parts = [getattr(getattr(layer, block), name) for name in names]
            if not all(isinstance(part, TiledLinear) for part in parts):
                continue
            whole = fuse([part.weights for part in parts])
            if whole is not None:
                start = 0
                for part in parts:
                    part.weights = whole.rows(start, start + part.out_features)
                    start += part.out_features
                biases = [part.bias for part in parts]
                bias = None if biases[0] is None else torch.cat(biases)
                fused = TiledLinear(
                    whole, bias, "auto" if parts[0].longest_packed else "reference", parts[0].loops
                )
                # Not a registered submodule: transformers' own forward never sees it, parameters are not
                # doubled.
                object.__setattr__(getattr(layer, block), "fused", fused)


def _dtype(name: str) -> torch.dtype:
    if name not in DTYPES:
        raise CheckpointError(f"{name!r} is no type to compute in; there are {', '.join(DTYPES)} and auto.")
    return DTYPES[name]


def _all_tensors(module: nn.Module) -> list[Tensor]:
    found: list[Tensor] = []
    for one in module.modules():
        found += [
            tensor for tensor in (*one._parameters.values(), *one._buffers.values()) if tensor is not None
        ]
        for linear in (one, getattr(one, "fused", None)):
            if isinstance(linear, TiledLinear):
                found += linear.resident_tensors()
    return found
