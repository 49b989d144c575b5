"""Reads a GPTQ model folder and refuses what it cannot vouch for. Writing is in `ragqa.gptq.writing`."""

from ragqa.gptq.writing import packed_tensors, write_checkpoint

__all__ = ["packed_tensors", "write_checkpoint"]
