"""Writes a GPTQ model folder as repositories hold it: AutoGPTQ v1. Knows no model classes and no kernel."""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from ragqa.gptq.packing import PackedLinear
from ragqa.gptq.quantization import Quantization

SHARD_BYTES = 2 * 1024**3
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
    "generation_config.json",
)


def packed_tensors(layer: str, packed: PackedLinear, bias: Tensor | None = None) -> dict[str, Tensor]:
    """The named tensors of one quantized layer, as `model.layers.0.mlp.up_proj.qweight` and so on."""
    named = {
        f"{layer}.qweight": packed.qweight,
        f"{layer}.qzeros": packed.qzeros,
        f"{layer}.scales": packed.scales,
        f"{layer}.g_idx": packed.g_idx,
    }
    return named if bias is None else {**named, f"{layer}.bias": bias}


def shards_of(parts: Iterable[Mapping[str, Tensor]]) -> Iterator[dict[str, Tensor]]:
    """The parts gathered into shards of at most 2 GiB, unless a single part is larger."""
    shard: dict[str, Tensor] = {}
    size = 0
    for part in parts:
        added = sum(tensor.numel() * tensor.element_size() for tensor in part.values())
        if shard and size + added > SHARD_BYTES:
            yield shard
            shard, size = {}, 0
        shard.update(part)
        size += added
    yield shard


def write_checkpoint(
    folder: Path,
    config: Mapping[str, Any],
    quantization: Quantization,
    shards: Iterable[Mapping[str, Tensor]],
    tokenizer_from: Path | None = None,
) -> None:
    """Write `config.json`, `quantize_config.json` and the weights over whatever was there of that name.

    config: the model's `config.json` as a dict; `quantization_config` is set here, `architectures` must be
    in it.
    shards: each mapping of tensor names to tensors becomes one safetensors file, written and let go before
        the next is asked for, so a generator needs memory for one only. One shard becomes
        `model.safetensors`, more get `model-00001-of-00002.safetensors` and an index. Linear layers are given
        as `packed_tensors` names them; embeddings, norms and `lm_head.weight` (unless tied) stay plain.
    tokenizer_from: a folder whose tokenizer files are copied over.

    The configuration is written last, so a folder that was cut short is refused by its reader.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("model*.safetensors*"), folder / "config.json", folder / "quantize_config.json"):
        old.unlink(missing_ok=True)
    written = [_write_shard(folder / f"shard-{number}.part", shard) for number, shard in enumerate(shards, 1)]
    if not written:
        raise ValueError("a checkpoint needs at least one shard")
    _name_shards(folder, written)
    if tokenizer_from is not None:
        for name in TOKENIZER_FILES:
            if (tokenizer_from / name).is_file():
                shutil.copyfile(tokenizer_from / name, folder / name)
    _write_json(folder / "quantize_config.json", quantization.quantize_config())
    _write_json(folder / "config.json", {**config, "quantization_config": quantization.quantization_config()})


def _write_shard(path: Path, shard: Mapping[str, Tensor]) -> tuple[Path, dict[str, int]]:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in shard.items()}
    save_file(tensors, path, metadata={"format": "pt"})
    return path, {name: tensor.numel() * tensor.element_size() for name, tensor in tensors.items()}


def _name_shards(folder: Path, written: list[tuple[Path, dict[str, int]]]) -> None:
    if len(written) == 1:
        written[0][0].replace(folder / "model.safetensors")
        return
    weight_map: dict[str, str] = {}
    for number, (path, sizes) in enumerate(written, 1):
        name = f"model-{number:05d}-of-{len(written):05d}.safetensors"
        path.replace(folder / name)
        weight_map.update(dict.fromkeys(sizes, name))
    total = sum(sum(sizes.values()) for _, sizes in written)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    _write_json(folder / "model.safetensors.index.json", index)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)
