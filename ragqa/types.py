"""The values between a question and its answer. Frozen; no behaviour but derived names.

Every `start`/`end` of a source is a half-open range of code points into that document's canonical text.
"""

from dataclasses import dataclass
from typing import Literal

from ingest.types import Metadata

Verdict = Literal["supported", "partial", "unsupported", "no_claim"]
RefusalReason = Literal["nothing_retrieved", "not_in_context", "unsupported"]
DropReason = Literal["budget", "duplicate", "filtered"]

REFUSAL = "The documents do not contain the answer to this question."
"""The fixed sentence of every refused answer."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One chunk that retrieval found. `score` compares within one query only; ranks are from 1."""

    chunk_id: int
    source: str
    document_id: str
    title: str
    section: tuple[str, ...]
    page: int | None
    page_end: int | None
    start: int
    end: int
    text: str
    score: float
    ranks: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class ContextBlock:
    """One closed-context block: a contiguous span of one document, with the metadata lines shown above it.

    `text` is the canonical text of the span as stored (not yet defused). `metadata` holds the lines of the
    block's BEGINCONTEXT part, the first of which is always `source`. `key` is unique within a prompt.
    """

    key: str
    source: str
    document_id: str
    text_sha256: str
    title: str
    section: tuple[str, ...]
    page: int | None
    page_end: int | None
    start: int
    end: int
    text: str
    metadata: Metadata
    score: float
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Dropped:
    """A span that was found but not packed."""

    source: str
    start: int
    end: int
    reason: DropReason


@dataclass(frozen=True, slots=True)
class Prompt:
    """What an engine is asked: `text` is the message, `token_ids` the final ids, wrapper included."""

    question: str
    text: str
    token_ids: tuple[int, ...]
    blocks: tuple[ContextBlock, ...]
    dropped: tuple[Dropped, ...]
    window: int


@dataclass(frozen=True, slots=True)
class Generation:
    """What an engine wrote. `confidence`, in [0, 1], is its estimate that the documents hold the answer.

    `refusal_odds` are the model's own log-odds of refusing, if it has a rule that weighs them.
    """

    text: str
    tokens: int
    stopped: Literal["end", "stop", "length"] = "end"
    confidence: float | None = None
    refusal_odds: float | None = None


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of the answer; `citations` are ids, `missing` is what no cited quote holds."""

    text: str
    start: int
    end: int
    citations: tuple[int, ...]
    verdict: Verdict
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Citation:
    """A quote that was found word for word in a block of this prompt, hence in its document."""

    id: int
    block_key: str
    start: int
    end: int
    quote: str
    claimed_by_model: bool
    page: int | None = None
    page_end: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A checked answer. Refused answers have no sentences and no citations."""

    question: str
    text: str
    refusal_reason: RefusalReason | None
    confidence: float
    sentences: tuple[Sentence, ...]
    citations: tuple[Citation, ...]
    prompt: Prompt | None
    generation: Generation | None
    engine: str
    model: str
    window: int
    tokens_estimated: bool
    seconds_retrieve: float = 0.0
    seconds_generate: float = 0.0

    @property
    def refused(self) -> bool:
        """Whether the documents were found not to hold the answer."""
        return self.refusal_reason is not None
