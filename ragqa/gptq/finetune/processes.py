"""One run over several processes of this machine: who sums what, and how the others are started.

Each process holds the whole model and takes every n-th row of a step; gradients are summed once a step. The
sums do not depend on the number of processes, so a run may go on with another.
"""

import multiprocessing
import multiprocessing.connection
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ragqa.gptq.finetune.options import FinetuneOptions


class Team:
    """This process among all. One alone needs no communication."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @property
    def leads(self) -> bool:
        """Whether this process saves and reports."""
        return self.rank == 0

    def mine(self, numbers: Sequence[int]) -> Sequence[int]:
        """The part of a step's rows that this process computes."""
        return numbers[self.rank :: self.size]

    def add(self, value: Tensor) -> Tensor:
        """Sum over all processes, in place."""
        if self.size > 1:
            torch.distributed.all_reduce(value)
        return value

    def add_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Sum the gradients of all processes as one vector. One that had no row counts as zero."""
        if self.size == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = self.add(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, summed in zip(
            gradients, torch.split(flat, [one.numel() for one in gradients]), strict=True
        ):
            gradient.copy_(summed.view_as(gradient))


@contextmanager
def team(options: FinetuneOptions, work: Callable[[FinetuneOptions, Team], Any]) -> Iterator[Team]:
    """This process as the first of `options.processes`; the others run `work` and end with it."""
    if options.processes == 1:
        yield Team()
        return
    context = torch.multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "meeting"
        others = [
            context.Process(target=_join, args=(options, work, meeting, rank), daemon=True)
            for rank in range(1, options.processes)
        ]
        for other in others:
            other.start()
        _meet(meeting, 0, options.processes)
        try:
            yield Team(0, options.processes)
        finally:
            torch.distributed.destroy_process_group()
            for other in others:
                other.join(timeout=30)


def _join(
    options: FinetuneOptions, work: Callable[[FinetuneOptions, Team], Any], meeting: Path, rank: int
) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _meet(meeting, rank, options.processes)
    work(options, Team(rank, options.processes))
    torch.distributed.destroy_process_group()


def _end_with_parent() -> None:
    """A parent that is killed joins nobody; without this its children would compute on."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _meet(meeting: Path, rank: int, size: int) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=size)
