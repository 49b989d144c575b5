"""Parsing in worker processes: what a hostile file can cost is one worker and one Problem.

The one file that knows pebble. Workers are spawned, not forked: a fork of a process with threads may hang.
"""

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from ingest.parse.files import parse_file
from ingest.parse.limits import DEFAULT_LIMITS, Limits
from ingest.types import Member, Problem

Result = tuple[Path, tuple[Member, ...]]
_IN_FLIGHT = 2  # per worker: one runs, one waits, so that a slow reader of results idles no worker
_PR_SET_PDEATHSIG = 1
_TASKS_PER_WORKER = 500  # what parsers leak goes with the worker
_ATTEMPTS = 5
_LOOK_EVERY = 1.0  # seconds
_GRACE = 30.0  # seconds beyond a file's own before a worker that says nothing is given up


class ParsePool:
    """Worker processes that parse files. `workers=0` parses in the calling process, unlimited.

    Enter and leave it in one thread that outlives it: workers die with the thread that started them.
    """

    def __init__(self, workers: int, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._lanes = [_Lane(limits) for _ in range(workers)]

    def __enter__(self) -> "ParsePool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for lane in self._lanes:
            lane.stop()

    def parse(self, paths: Iterable[Path]) -> Iterator[Result]:
        """Each path with its members, in order of completion. Takes from `paths` as workers come free."""
        if not self._lanes:
            for path in paths:
                yield path, parse_file(path, self._limits)
            return
        yield from self._parse_in_workers(iter(paths))

    def _parse_in_workers(self, paths: Iterator[Path]) -> Iterator[Result]:
        again: deque[_Task] = deque()
        try:
            while True:
                self._fill(paths, again)
                lane_of = {future: lane for lane in self._lanes for future in lane.running}
                if not lane_of:
                    return
                done, _ = wait(lane_of, timeout=_LOOK_EVERY, return_when=FIRST_COMPLETED)
                for future in done:
                    task = lane_of[future].running[future]
                    members = lane_of[future].collect(future, again)
                    if members is not None:
                        yield task.path, members
                for lane in self._lanes:
                    lane.give_up_if_stuck(again)
                while again and again[0].attempt > _ATTEMPTS:
                    yield again.popleft().path, _problem("crashed", "Its workers died: is memory short?")
        finally:
            for lane in self._lanes:
                lane.cancel()

    def _fill(self, paths: Iterator[Path], again: "deque[_Task]") -> None:
        """Files to the workers, one to each before a second to any."""
        for depth in range(1, _IN_FLIGHT + 1):
            for lane in self._lanes:
                if len(lane.running) < depth:
                    path = None if again else next(paths, None)
                    if not again and path is None:
                        return
                    lane.submit(again.popleft() if path is None else _Task(path))


@dataclass(frozen=True, slots=True)
class _Task:
    path: Path
    attempt: int = 1


class _Lane:
    """One worker behind a pebble pool of its own.

    Workers of one pebble pool share locks: one that is killed while it waits or answers leaves them locked,
    and all others wait for ever (seen within 30 kills). So each has its own, rebuilt when its worker died.
    """

    def __init__(self, limits: Limits) -> None:
        self.running: dict[Future[tuple[Member, ...]], _Task] = {}
        self._limits = limits
        self._pool: Any = None
        self._heard = 0.0

    def submit(self, task: _Task) -> None:
        if self._pool is None or not self._pool.active:
            self._abandon()
            self._pool = _started_pool(self._limits)
        if not self.running:
            self._heard = time.monotonic()
        future = self._pool.schedule(
            _parse_in_worker, args=(task.path, self._limits), timeout=self._limits.seconds
        )
        self.running[future] = task

    def collect(
        self, future: "Future[tuple[Member, ...]]", again: "deque[_Task]"
    ) -> tuple[Member, ...] | None:
        """The members, or a Problem where the worker ended; None if it held another file: it goes again."""
        from pebble import ProcessExpired

        task = self.running.pop(future)
        self._heard = time.monotonic()
        try:
            return future.result()
        except FutureTimeoutError:
            seconds = f"{self._limits.seconds:g}"
            return _problem("timeout", f"Reading took longer than {seconds} s: split the file.")
        except ProcessExpired as error:
            self._rebuild(again)
            return _problem("crashed", f"The parser {_ending(error.exitcode)}: the file may be damaged.")
        except BrokenProcessPool:
            self._rebuild(again)
            again.append(_Task(task.path, task.attempt + 1))
            return None
        except MemoryError:
            return _problem("memory", "The file needs more memory than one file may take: split it.")

    def give_up_if_stuck(self, again: "deque[_Task]") -> None:
        """Killed at the wrong moment, a worker is not missed by pebble, or its pool ends without a word."""
        silent = time.monotonic() - self._heard > self._limits.seconds + _GRACE
        if self.running and (silent or not self._pool.active):
            tasks = [self.running.pop(future) for future in list(self.running) if not future.done()]
            self._abandon()
            again.extend(_Task(task.path, task.attempt + 1) for task in tasks)

    def _rebuild(self, again: "deque[_Task]") -> None:
        """What waits behind a worker that died goes to a new one."""
        again.extend(self.running.pop(future) for future in list(self.running) if not future.done())
        self._abandon()

    def cancel(self) -> None:
        for future in self.running:
            future.cancel()
        self.running.clear()

    def stop(self) -> None:
        self.cancel()
        self._abandon(wait_seconds=10.0)

    def _abandon(self, wait_seconds: float = 0.0) -> None:
        """End the pool in a thread: joining one whose lock is lost never returns."""
        if self._pool is not None:
            ending = threading.Thread(target=_end, args=(self._pool,), daemon=True)
            ending.start()
            ending.join(wait_seconds)
            self._pool = None


def _end(pool: Any) -> None:
    pool.stop()
    pool.join()


def _started_pool(limits: Limits) -> Any:
    import multiprocessing

    from pebble import ProcessPool

    return ProcessPool(
        max_workers=1,
        max_tasks=_TASKS_PER_WORKER,
        initializer=_prepare_worker,
        initargs=(os.getpid(), limits.memory_bytes),
        context=multiprocessing.get_context("spawn"),
    )


def _problem(code: str, message: str) -> tuple[Member, ...]:
    return (Member("", Problem("failed", code, message)),)


def _ending(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        try:
            return f"was ended by {signal.Signals(-exit_code).name}"
        except ValueError:
            pass
    return f"ended with code {exit_code}"


def _parse_in_worker(path: Path, limits: Limits) -> tuple[Member, ...]:
    _limit_processor_time(limits.seconds)
    return parse_file(path, limits)


def _prepare_worker(parent: int, memory_bytes: int) -> None:
    """Once in each worker: it dies with its parent, leaves Ctrl-C to it, is silent, is limited."""
    _die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _die_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the call
            os._exit(1)
    else:
        threading.Thread(target=_watch_parent, args=(parent,), daemon=True).start()


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _limit_processor_time(seconds: float) -> None:
    """Programs that a parser starts (pandoc) outlive a killed worker; processor time ends them, too."""
    if sys.platform != "win32":
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        soft = int(used.ru_utime + used.ru_stime + 2 * seconds) + 5
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))
