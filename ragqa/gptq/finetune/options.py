"""What a tuning run is told and what it tells. Values only; no torch."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ragqa.gptq.refusing import RefusalRule

StageName = Literal["long", "answers"]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: optimizer steps, rows a step, and the peak learning rate.

    The rate rises over `warmup` steps, stays, and falls to zero over the last `decay` steps. Only the fall
    depends on `steps`, so a run may be resumed with another number of them.
    """

    steps: int
    rows: int
    rate: float
    warmup: int = 10
    decay: int = 0


@dataclass(frozen=True, slots=True)
class FinetuneOptions:
    """A run. `out` holds its checkpoint; a run with the same `out` goes on where that one stands."""

    base: Path
    out: Path
    # Stage 1: plain text, cut into windows of `window` tokens.
    texts: tuple[Path, ...] = ()
    window: int = 8192
    # Past the window: every second window's positions jump once, so that distances up to `reach` are seen.
    reach: int = 0
    long: Stage = field(default_factory=lambda: Stage(steps=100, rows=1, rate=5e-4))
    # Stage 2: closed-context examples, as `benchmarks/finetune_data.py` writes them.
    examples: Path | None = None
    validation: Path | None = None
    answers: Stage = field(default_factory=lambda: Stage(steps=1000, rows=4, rate=1e-3, warmup=20, decay=200))
    validate_every: int = 100
    # The lowest blocks keep their adapter of stage 1: no gradient goes through them.
    frozen_blocks: int = 0
    # Bits of the frozen base while it is trained beside (QLoRA); 0 leaves it as it is.
    frozen_bits: Literal[0, 4, 8] = 0
    frozen_group: int = 64
    # The adapter; `start` is the folder of one to begin from in place of a new one.
    start: Path | None = None
    factor: float = 2.0
    rank: int = 32
    alpha: float = 64.0
    seed: int = 0
    # The machine. Two processes of one thread are steadier on a shared CPU than one process of two.
    processes: int = 1
    threads: int = 1
    save_seconds: float = 180.0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step: loss in nats a token, speed over this session, seconds left in this stage."""

    stage: StageName
    step: int
    steps: int
    loss: float
    tokens: int
    tokens_per_second: float
    seconds_left: float


@dataclass(frozen=True, slots=True)
class Validation:
    """Figures on examples kept apart, the model fed the target's own tokens.

    `loss` is in nats a token of the target. `refusal_auroc` is how well the log-odds of beginning the fixed
    refusal tell unanswerable from answerable questions, `refusal` the thresholds that part them best.
    """

    stage: StageName
    step: int
    loss: float
    refusal_auroc: float
    questions: int
    refusal: "RefusalRule | None" = None


@dataclass(frozen=True, slots=True)
class FinetuneReport:
    """What a run came to: steps done in each stage, tokens of this session, and where the adapter lies."""

    adapter: Path
    long_steps: int
    answer_steps: int
    tokens: int
    seconds: float
    last_loss: float
    validations: tuple[Validation, ...]


Progress = Callable[[Step | Validation], None]


def ignore_progress(_event: Step | Validation) -> None:
    """Tell nobody."""
