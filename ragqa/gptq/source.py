"""Full-precision checkpoints, read one tensor at a time. Knows no model classes and nothing of quantization.

Two kinds: a folder of safetensors (one file or shards with an index), and a GGUF file of the Llama or Qwen2
architecture, whose tensors are dequantized as they are asked for.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ragqa.errors import CheckpointError
from ragqa.gptq.rope import APPLIED, read_scaling

GGUF_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
DERIVED = (".inv_freq", "rope_freqs.weight")
"""Tensors that old files hold and models compute."""


class Source(Protocol):
    """A checkpoint: its `config.json` as a dict, the names of its tensors, and each tensor on request."""

    @property
    def config(self) -> Mapping[str, Any]: ...
    @property
    def names(self) -> tuple[str, ...]: ...

    def tensor(self, name: str) -> Tensor: ...

    def tokenizer(self) -> Any:
        """The checkpoint's tokenizer, of transformers' type."""
        ...


def open_source(path: Path) -> Source:
    """Open a folder or a `.gguf` file.

    Raises CheckpointError for anything else, for pickled weights, remote code and already quantized folders.
    """
    if path.is_dir():
        return SafetensorsSource(path)
    if path.suffix == ".gguf" and path.is_file():
        return GgufSource(path)
    raise CheckpointError(
        f"{path} is not a model: expected a folder with config.json and safetensors, or a .gguf file"
    )


class SafetensorsSource:
    """A folder as transformers saves it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        config = folder / "config.json"
        if not config.is_file():
            raise CheckpointError(f"{folder} has no config.json")
        self.config: dict[str, Any] = json.loads(config.read_text(encoding="utf-8"))
        if "auto_map" in self.config:
            raise CheckpointError(f"{config} asks for code of its own (auto_map); ragqa runs none")
        if "quantization_config" in self.config or (folder / "quantize_config.json").exists():
            raise CheckpointError(
                f"{folder} is already quantized; quantize the full-precision model it came from"
            )
        self._file_of = self._find_files()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._file_of)

    def tensor(self, name: str) -> Tensor:
        from safetensors import safe_open

        with safe_open(self._file_of[name], framework="pt") as file:
            tensor: Tensor = file.get_tensor(name)
        return tensor

    def tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.folder, local_files_only=True, trust_remote_code=False)

    def _find_files(self) -> dict[str, Path]:
        from safetensors import safe_open

        files = sorted(self.folder.glob("*.safetensors"))
        if not files:
            pickled = next(
                (p.name for p in sorted(self.folder.iterdir()) if p.suffix in (".bin", ".pt")), None
            )
            reason = f"only {pickled}, which can run code when loaded" if pickled else "no weights"
            raise CheckpointError(f"{self.folder} holds {reason}; convert the weights to safetensors")
        found: dict[str, Path] = {}
        for path in files:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 (not a mapping)
                    if name in found:
                        raise CheckpointError(f"{path.name} and {found[name].name} both hold {name}")
                    if not name.endswith(DERIVED):
                        found[name] = path
        return found


class GgufSource:
    """A GGUF file, memory-mapped. Names and shapes come out as transformers' Llama has them."""

    def __init__(self, path: Path) -> None:
        from gguf import GGUFReader

        self.path = path
        reader = GGUFReader(path)
        architecture = str(reader.fields["general.architecture"].contents())
        if architecture not in ("llama", "qwen2"):
            raise CheckpointError(f"{path} is of architecture {architecture}; only llama and qwen2 are read")
        self.architecture = architecture
        self._tensors = {
            _plain_name(tensor.name): tensor for tensor in reader.tensors if not tensor.name.endswith(DERIVED)
        }
        self.config = self._read_config()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._tensors)

    def tensor(self, name: str) -> Tensor:
        from gguf.quants import dequantize

        stored = self._tensors[name]
        weight = torch.from_numpy(dequantize(stored.data, stored.tensor_type).copy())
        if self.architecture == "llama" and ".q_proj." in name:
            return _halves_apart(weight, int(self.config["num_attention_heads"]))
        if self.architecture == "llama" and ".k_proj." in name:
            return _halves_apart(weight, int(self.config["num_key_value_heads"]))
        return weight

    def tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(
            self.path.parent, gguf_file=self.path.name, local_files_only=True
        )

    def _read_config(self) -> dict[str, Any]:
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(self.path.parent, gguf_file=self.path.name, local_files_only=True)
        values: dict[str, Any] = config.to_dict()
        for key in ("quantization_config", "_name_or_path", "_model_name_or_path"):
            values.pop(key, None)
        values["architectures"] = [
            {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}[self.architecture]
        ]
        values["tie_word_embeddings"] = "lm_head.weight" not in self._tensors
        return portable_config(values)


def portable_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with the rotary settings spelled so that transformers 4 and 5 and vLLM take them
    alike.

    transformers 5 writes `rope_parameters` alone, which transformers 4 passes over in silence: it would run
    with a base of 10,000 whatever the model's is. Marks that live in memory only are left out.
    """
    declared = read_scaling(config)
    objects = {**(config.get("rope_scaling") or {}), **(config.get("rope_parameters") or {})}
    dropped = ("rope_parameters", "dtype", APPLIED)
    written = {key: value for key, value in config.items() if key not in dropped}
    settings = {key: value for key, value in objects.items() if key not in ("type", "rope_theta")}
    written["rope_theta"] = declared.theta
    written["rope_scaling"] = {**settings, "rope_type": declared.kind} if declared.kind != "default" else None
    return written


def _plain_name(name: str) -> str:
    block = re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", name)
    if block:
        return f"model.layers.{block[1]}.{GGUF_NAMES[block[2]]}.{block[3]}"
    stem, _, kind = name.rpartition(".")
    return f"{GGUF_NAMES[stem]}.{kind}"


def _halves_apart(weight: Tensor, heads: int) -> Tensor:
    """Undo llama.cpp's interleaving of a head's rotary pairs: rows (0, 1), (2, 3) … become (0, n/2), (1,
    n/2+1) …"""
    pairs = weight.reshape(heads, weight.shape[0] // heads // 2, 2, *weight.shape[1:])
    return pairs.swapaxes(1, 2).reshape(weight.shape).contiguous()
