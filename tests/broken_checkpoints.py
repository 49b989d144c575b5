"""Breaks a sound GPTQ folder, one way a function. Each names the words its refusal must hold."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

LAYER = "model.layers.0.mlp.up_proj"
Break = Callable[[Path], None]


def edit_json(name: str, **changes) -> Break:
    """Set keys of a JSON file; None deletes a key."""

    def apply(folder: Path) -> None:
        path = folder / name
        value = json.loads(path.read_text())
        for key, new in changes.items():
            value.pop(key, None) if new is None else value.__setitem__(key, new)
        path.write_text(json.dumps(value))

    return apply


def edit_both(**changes) -> Break:
    """Set keys of the quantization settings in both files."""

    def apply(folder: Path) -> None:
        edit_json("quantize_config.json", **changes)(folder)
        path = folder / "config.json"
        value = json.loads(path.read_text())
        value["quantization_config"].update(changes)
        path.write_text(json.dumps(value))

    return apply


def edit_tensors(change: Callable[[dict[str, torch.Tensor]], None]) -> Break:
    def apply(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file({name: one.contiguous() for name, one in tensors.items()}, folder / "model.safetensors")

    return apply


def replace_tensor(name: str, make: Callable[[torch.Tensor], torch.Tensor]) -> Break:
    return edit_tensors(lambda tensors: tensors.update({name: make(tensors[name])}))


def drop(name: str) -> Break:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        del tensors[name]

    return edit_tensors(change)


def add(name: str, tensor: torch.Tensor) -> Break:
    return edit_tensors(lambda tensors: tensors.update({name: tensor}))


def no_settings(folder: Path) -> None:
    (folder / "quantize_config.json").unlink()
    edit_json("config.json", quantization_config=None)(folder)


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04N.")


def index_to(file: str) -> Break:
    def apply(folder: Path) -> None:
        names = load_file(folder / "model.safetensors")
        index = {"weight_map": dict.fromkeys(names, "model.safetensors") | {f"{LAYER}.qweight": file}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    return apply


def link_out(folder: Path) -> None:
    outside = folder.parent / f"{folder.name}-outside.safetensors"
    (folder / "model.safetensors").rename(outside)
    (folder / "model.safetensors").symlink_to(outside)


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def two_candidates(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    (folder / "b.safetensors").write_bytes((folder / "a.safetensors").read_bytes())
    edit_json("quantize_config.json", model_file_base_name=None)(folder)


def plain_weights(folder: Path) -> None:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        for name in [one for one in tensors if one.endswith(".qweight")]:
            layer, shape = name.removesuffix(".qweight"), tensors[name].shape
            tensors[f"{layer}.weight"] = torch.zeros(shape[1], shape[0] * 8, dtype=torch.float16)
            for part in ("qweight", "qzeros", "scales", "g_idx"):
                del tensors[f"{layer}.{part}"]

    edit_tensors(change)(folder)


def point_outside(index: torch.Tensor) -> torch.Tensor:
    changed = index.clone()
    changed[0] = 99
    return changed


BROKEN: dict[str, tuple[Break, str]] = {
    "no config.json": (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
    "config.json cut short": (lambda f: (f / "config.json").write_text('{"model_type": '), "not valid JSON"),
    "remote code": (edit_json("config.json", auto_map={"AutoModel": "evil.Model"}), "code of its own"),
    "unknown family": (edit_json("config.json", model_type="mamba"), "type 'mamba' are not known"),
    "width is text": (edit_json("config.json", hidden_size="64"), "hidden_size is '64'"),
    "no quantization settings": (no_settings, "says nowhere how it was quantized"),
    "contradicting settings": (edit_json("quantize_config.json", group_size=128), "says group_size 128"),
    "another method": (edit_both(quant_method="awq"), "quantized with awq"),
    "marlin layout": (edit_json("quantize_config.json", is_marlin_format=True), "marlin layout"),
    "newer layout": (edit_both(checkpoint_format="gptq_v2"), "gptq_v2 layout"),
    "three bits": (edit_both(bits=3), "quantized to 3 bits"),
    "other bits than the tensors": (edit_both(bits=8), "in 8 bits needs"),
    "senseless group size": (edit_both(group_size=0), "group_size is 0"),
    "another group size than the tensors": (edit_both(group_size=64), "group size 64 need"),
    "weights as a pickle": (pickled, "a pickle, which can run code"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "holds no weights"),
    "two files of weights": (two_candidates, "nothing says which are the weights"),
    "weights cut short": (truncate, "no whole safetensors file"),
    "index names a file outside": (index_to("../other.safetensors"), "which leaves the folder"),
    "index names a missing file": (index_to("model-00002.safetensors"), "lacks model-00002.safetensors"),
    "basename outside": (edit_json("quantize_config.json", model_file_base_name="../x"), "'../x"),
    "link that leaves": (link_out, "a link that leaves the folder"),
    "layer nobody has": (
        add("model.layers.0.mlp.extra_proj.qweight", torch.zeros(8, 64, dtype=torch.int32)),
        "no layer of the model takes the quantized tensors model.layers.0.mlp.extra_proj",
    ),
    "tensor nobody takes": (add("model.extra.weight", torch.zeros(4)), "takes model.extra.weight"),
    "bias nobody takes": (add(f"{LAYER}.bias", torch.ones(128)), f"takes {LAYER}.bias"),
    "norm missing": (drop("model.norm.weight"), "model.norm.weight is missing"),
    "qzeros missing": (drop(f"{LAYER}.qzeros"), f"{LAYER}.qzeros is missing"),
    "g_idx missing": (drop(f"{LAYER}.g_idx"), "desc_act means it cannot be guessed"),
    "g_idx cut short": (replace_tensor(f"{LAYER}.g_idx", lambda one: one[:-8]), "g_idx has shape (56,)"),
    "g_idx out of range": (replace_tensor(f"{LAYER}.g_idx", point_outside), "outside the 2 groups"),
    "qweight misshapen": (replace_tensor(f"{LAYER}.qweight", lambda one: one[:, :-8]), "qweight has shape"),
    "qweight as floats": (replace_tensor(f"{LAYER}.qweight", lambda one: one.float()), "is of type F32"),
    "scales not finite": (replace_tensor(f"{LAYER}.scales", lambda one: one * float("nan")), "not finite"),
    "embedding of another model": (
        replace_tensor("model.embed_tokens.weight", lambda one: one[:-1]), "embed_tokens.weight has shape"
    ),
    "weights not quantized": (plain_weights, "none of its tensors is"),
    "layer there twice": (add(f"{LAYER}.weight", torch.zeros(128, 64)), "twice, quantized and plain"),
    "two rope scalings": (
        edit_json(
            "config.json",
            rope_scaling={"type": "linear", "factor": 2},
            rope_parameters={"rope_type": "linear", "factor": 4, "rope_theta": 1e4},
        ),
        "disagree",
    ),
    "other rope factor than asked for": (
        edit_json("config.json", rope_scaling={"type": "linear", "factor": 2}),
        "linear rope scaling by 2, but 8 was asked for",
    ),
}  # fmt: skip
"""What is wrong, how to bring it about, and what the refusal says."""
