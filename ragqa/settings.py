"""Configuration is data: frozen, one comment per group, `dataclasses.replace` to vary."""

from dataclasses import dataclass
from typing import Literal

OnUnsupported = Literal["mark", "refuse"]
TOP_K = 24


@dataclass(frozen=True, slots=True)
class RetrievalSettings:
    """How chunks are found and grown into blocks."""

    # How many chunks each retriever names before the two lists are fused.
    candidates: int = 100
    # The dense retriever's weight in the fused score; the lexical one has the rest.
    dense_weight: float = 0.5
    # Who reads the best chunks again and reorders them: `reader`, a folder or a hub id; None is nobody.
    reranker: str | None = None
    # Chunks that are grown into blocks, and the blocks that reach the prompt (training had 1 to 5).
    top_k: int = TOP_K
    max_blocks: int = 12
    # A block is a section, or the part of it around the hit: about this many tokens at most.
    block_tokens: int = 700

    @property
    def block_limit(self) -> int:
        """How many blocks are made: who asks for more chunks than usual wants a prompt that is filled."""
        return max(self.max_blocks, self.top_k) if self.top_k > TOP_K else self.max_blocks


@dataclass(frozen=True, slots=True)
class AnswerSettings:
    """How a question is answered and what becomes of sentences nobody can check."""

    # A ceiling on the prompt's tokens; None leaves the engine's window as the only one.
    context_tokens: int | None = None
    max_answer_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    # Every sentence must be supported, and the engine must be surer.
    strict: bool = False
    on_unsupported: OnUnsupported = "mark"
