"""How a folder is quantized, as a value. Pure: no torch, no disk."""

from dataclasses import dataclass
from typing import Any

BITS = (4, 8)
"""Widths this project reads and writes; 2 and 3 bits of the format are refused with a message."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """The settings of `quantize_config.json`.

    `group_size` counts input columns sharing one scale; -1 means all of them. `desc_act` says that columns
    were quantized in order of falling activation, so that `g_idx` is not sorted. `sym` says that zeros are
    all `2 ** (bits - 1)`.
    """

    bits: int = 4
    group_size: int = 128
    desc_act: bool = True
    sym: bool = True
    damp_percent: float = 0.01
    true_sequential: bool = True

    def groups(self, inputs: int) -> int:
        """Number of groups of a layer with `inputs` input columns."""
        return 1 if self.group_size == -1 else -(-inputs // self.group_size)

    def quantize_config(self) -> dict[str, Any]:
        """The object that auto-gptq 0.7.1 writes to `quantize_config.json`."""
        return {
            "bits": self.bits,
            "group_size": self.group_size,
            "damp_percent": self.damp_percent,
            "desc_act": self.desc_act,
            "static_groups": False,
            "sym": self.sym,
            "true_sequential": self.true_sequential,
            "model_name_or_path": None,
            "model_file_base_name": "model",
            "is_marlin_format": False,
            "quant_method": "gptq",
            "checkpoint_format": "gptq",
        }

    def quantization_config(self) -> dict[str, Any]:
        """The object that transformers and vLLM read from `config.json`."""
        return {
            "quant_method": "gptq",
            "checkpoint_format": "gptq",
            "bits": self.bits,
            "group_size": self.group_size,
            "damp_percent": self.damp_percent,
            "desc_act": self.desc_act,
            "sym": self.sym,
            "true_sequential": self.true_sequential,
        }
