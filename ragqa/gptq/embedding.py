"""The token embedding and the output head, kept in the type the checkpoint stores them in.

Half-precision tables stay half as large, and only what is read is widened: a row an input token, a slice of
the head at a time for logits, which are always computed in fp32.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ragqa.gptq.compiled import compiled_loops

HEAD_ROWS = 1024
"""Rows of the head widened at a time: at 576 to 2,048 columns they stay in the cache, which made the product
faster than with a table kept in fp32 (15 against 19 ms a token for 49,152 x 576 on one core with AVX2)."""


class StoredEmbedding(nn.Module):
    """Token ids to vectors in `dtype`, from a table (tokens, width) of any floating type."""

    def __init__(self, table: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(table, requires_grad=False)
        self.dtype = dtype

    def forward(self, ids: Tensor) -> Tensor:
        return functional.embedding(ids, self.weight).to(self.dtype)


class StoredHead(nn.Module):
    """Hidden states (…, width) to fp32 logits (…, tokens), from a table (tokens, width) of any floating
    type.
    """

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(table, requires_grad=False)

    def forward(self, hidden: Tensor) -> Tensor:
        table = self.weight
        if table.dtype == torch.float32 or table.device.type != "cpu":
            return functional.linear(hidden.to(table.dtype), table).float()
        flat = hidden.reshape(-1, table.shape[1]).float().contiguous()
        loops = compiled_loops() if flat.shape[0] == 1 else None
        if loops is not None and loops.serves_head(table):
            return loops.score(flat, table).reshape(*hidden.shape[:-1], table.shape[0])
        logits = torch.empty(flat.shape[0], table.shape[0])
        wide = torch.empty(min(HEAD_ROWS, table.shape[0]), table.shape[1])
        for first in range(0, table.shape[0], HEAD_ROWS):
            part = wide[: min(HEAD_ROWS, table.shape[0] - first)]
            part.copy_(table[first : first + HEAD_ROWS])
            torch.mm(flat, part.T, out=logits[:, first : first + HEAD_ROWS])
        return logits.reshape(*hidden.shape[:-1], table.shape[0])
