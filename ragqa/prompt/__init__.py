"""The closed-context prompt: what a model reads. Pure: no model, no index, no disk.

`defusing` makes text harmless, `grammar` writes and reads the message, `metadata` makes the lines above a
block, `packing` fits blocks into a window.
"""

from ragqa.prompt.defusing import defuse, restore
from ragqa.prompt.grammar import WRAPPERS, defuse_metadata, instruction_for, normalise, parse, write
from ragqa.prompt.metadata import metadata_lines
from ragqa.prompt.packing import pack_prompt

__all__ = [
    "WRAPPERS",
    "defuse",
    "defuse_metadata",
    "instruction_for",
    "metadata_lines",
    "normalise",
    "pack_prompt",
    "parse",
    "restore",
    "write",
]
