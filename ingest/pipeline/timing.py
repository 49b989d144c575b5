"""How long a run takes, stage by stage."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

STAGES = ("look", "read", "embed", "write", "vectors", "total")


class Stopwatch:
    """Wall time by stage, in seconds."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time that the block takes."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - started
