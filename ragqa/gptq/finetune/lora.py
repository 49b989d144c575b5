"""Low-rank adapters on the linear layers of a model. Knows no data and no training.

LoRA: Hu et al. 2021, https://arxiv.org/abs/2106.09685. File names and tensor names are those of the peft
library, so that others can read the adapter; the library itself is not needed.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ragqa.errors import CheckpointError
from ragqa.gptq.finetune.frozen import FrozenLinear

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
_PREFIX = "base_model.model."


class LoraLinear(nn.Module):
    """A frozen linear layer and a trained product of rank r beside it: W x + (alpha / r) B A x."""

    def __init__(
        self, base: nn.Linear | FrozenLinear, rank: int, alpha: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.base = base
        self.scale = alpha / rank
        bound = 1 / math.sqrt(base.in_features)
        first = torch.empty(rank, base.in_features).uniform_(-bound, bound, generator=generator)
        self.lora_A = nn.Parameter(first)
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, hidden: Tensor) -> Tensor:
        """`hidden` (…, in) to (…, out)."""
        low = nn.functional.linear(hidden, self.lora_A)
        out: Tensor = self.base(hidden) + nn.functional.linear(low, self.lora_B * self.scale)
        return out


def add_adapter(model: nn.Module, rank: int, alpha: float, seed: int) -> None:
    """Freeze the model and put an adapter beside every linear layer of its blocks, in place.

    A new adapter changes no output: B is zero.
    """
    model.requires_grad_(requires_grad=False)
    generator = torch.Generator().manual_seed(seed)
    found = [
        name
        for name, part in model.named_modules()
        if isinstance(part, nn.Linear | FrozenLinear) and name.endswith(TARGETS)
    ]
    for name in found:
        parent, leaf = _parent(model, name)
        setattr(parent, leaf, LoraLinear(getattr(parent, leaf), rank, alpha, generator))


def freeze_blocks(model: Any, count: int) -> None:
    """Leave the adapter of the lowest `count` blocks as it is: no gradient is computed through them."""
    for block in model.model.layers[:count]:
        block.requires_grad_(requires_grad=False)


def merge_adapter(model: nn.Module) -> None:
    """Add each product to its frozen weight and put the plain layer back, in place.

    The weights are those of the full-precision base: a base frozen in few bits has none to add to.
    """
    for name, layer in list(adapted_layers(model)):
        if isinstance(layer.base, FrozenLinear):
            raise CheckpointError("an adapter is merged into full-precision weights, not into packed ones")
        with torch.no_grad():
            layer.base.weight += (layer.scale * (layer.lora_B @ layer.lora_A)).to(layer.base.weight.dtype)
        parent, leaf = _parent(model, name)
        setattr(parent, leaf, layer.base)


def adapted_layers(model: nn.Module) -> Iterator[tuple[str, LoraLinear]]:
    """Each adapted layer with its name in the model."""
    for name, part in model.named_modules():
        if isinstance(part, LoraLinear):
            yield name, part


def adapter_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The trained tensors under peft's names; they share memory with the model."""
    tensors: dict[str, Tensor] = {}
    for name, layer in adapted_layers(model):
        tensors[f"{_PREFIX}{name}.lora_A.weight"] = layer.lora_A
        tensors[f"{_PREFIX}{name}.lora_B.weight"] = layer.lora_B
    return tensors


def fill_adapter(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy stored tensors into the model's adapter. Raises CheckpointError where names or shapes differ."""
    own = adapter_tensors(model)
    if own.keys() != tensors.keys():
        odd = min(own.keys() ^ tensors.keys())
        raise CheckpointError(f"the adapter does not fit this model: {odd} is in one of them only")
    for name, tensor in own.items():
        if tensor.shape != tensors[name].shape:
            raise CheckpointError(
                f"the adapter does not fit this model: {name} is {tuple(tensors[name].shape)}, "
                f"expected {tuple(tensor.shape)}"
            )
        with torch.no_grad():
            tensor.copy_(tensors[name])


def write_adapter(folder: Path, model: nn.Module, facts: Mapping[str, Any]) -> None:
    """Write the adapter in half precision; `facts` (factor, wrapper …) go into its configuration."""
    from safetensors.torch import save_file

    layers = [layer for _, layer in adapted_layers(model)]
    rank = layers[0].lora_A.shape[0]
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": layers[0].scale * rank,
        "lora_dropout": 0.0,
        "target_modules": list(TARGETS),
        "bias": "none",
        "inference_mode": True,
        "ragqa": dict(facts),
    }
    folder.mkdir(parents=True, exist_ok=True)
    halves = {name: tensor.detach().half().contiguous() for name, tensor in adapter_tensors(model).items()}
    save_file(halves, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def read_adapter(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and tensors of a stored adapter. Raises CheckpointError if a file is missing."""
    from safetensors.torch import load_file

    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} is no adapter: it has no {name}")
    config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    return config, load_file(folder / WEIGHTS)


def apply_adapter(model: nn.Module, folder: Path) -> None:
    """Load a stored adapter and merge it into the model's weights, in place."""
    config, tensors = read_adapter(folder)
    add_adapter(model, config["r"], config["lora_alpha"], seed=0)
    fill_adapter(model, tensors)
    merge_adapter(model)


def _parent(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, leaf = name.rpartition(".")
    return model.get_submodule(path), leaf
