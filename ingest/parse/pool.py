"""Parsing in worker processes: what a hostile file can cost is one worker and one Problem.

The one file that knows pebble. Workers are spawned, not forked: a fork of a process with threads may hang.
"""

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import TracebackType
from typing import Any

from ingest.parse.files import parse_file
from ingest.parse.limits import DEFAULT_LIMITS, Limits
from ingest.types import Member, Problem

Result = tuple[Path, tuple[Member, ...]]
_IN_FLIGHT_PER_WORKER = 2  # one runs, one waits: no worker idles, no queue grows
_PR_SET_PDEATHSIG = 1
_TASKS_PER_WORKER = 500  # what parsers leak goes with the worker
_ATTEMPTS = 3


class ParsePool:
    """Worker processes that parse files. `workers=0` parses in the calling process, unlimited.

    Enter and leave it in one thread that outlives it: workers die with the thread that started them.
    """

    def __init__(self, workers: int, limits: Limits = DEFAULT_LIMITS) -> None:
        self._workers = workers
        self._limits = limits
        self._pool: Any = None

    def __enter__(self) -> "ParsePool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def parse(self, paths: Iterable[Path]) -> Iterator[Result]:
        """Each path with its members, in order of completion. Takes from `paths` as workers come free."""
        if self._workers == 0:
            for path in paths:
                yield path, parse_file(path, self._limits)
            return
        yield from self._parse_in_workers(iter(paths))

    def _parse_in_workers(self, paths: Iterator[Path]) -> Iterator[Result]:
        running: dict[Future[tuple[Member, ...]], tuple[Path, int]] = {}
        try:
            while True:
                while len(running) < self._workers * _IN_FLIGHT_PER_WORKER:
                    path = next(paths, None)
                    if path is None:
                        break
                    running[self._submit(path)] = (path, 1)
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    path, attempt = running.pop(future)
                    members = self._outcome(future, last=attempt == _ATTEMPTS)
                    if members is None:
                        running[self._submit(path)] = (path, attempt + 1)
                    else:
                        yield path, members
        finally:
            for future in running:
                future.cancel()

    def _submit(self, path: Path) -> "Future[tuple[Member, ...]]":
        if self._pool is None or not self._pool.active:
            self._stop()
            self._pool = self._start()
        future: Future[tuple[Member, ...]] = self._pool.schedule(
            _parse_in_worker, args=(path, self._limits), timeout=self._limits.seconds
        )
        return future

    def _start(self) -> Any:
        import multiprocessing

        from pebble import ProcessPool

        return ProcessPool(
            max_workers=self._workers,
            max_tasks=_TASKS_PER_WORKER,
            initializer=_prepare_worker,
            initargs=(os.getpid(), self._limits.memory_bytes),
            context=multiprocessing.get_context("spawn"),
        )

    def _stop(self) -> None:
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None

    def _outcome(self, future: "Future[tuple[Member, ...]]", *, last: bool) -> tuple[Member, ...] | None:
        """The members; a Problem for a worker that ended; None where the pool broke: again then."""
        from pebble import ProcessExpired

        try:
            return future.result()
        except FutureTimeoutError:
            seconds = f"{self._limits.seconds:g}"
            problem = Problem(
                "failed", "timeout", f"Reading took longer than {seconds} s: split or simplify the file."
            )
        except ProcessExpired as error:
            problem = Problem(
                "failed", "crashed", f"The parser {_ending(error.exitcode)}: the file may be damaged."
            )
        except BrokenProcessPool:
            # A worker died while it held no file: pebble gives up on all files then.
            if not last:
                return None
            problem = Problem("failed", "crashed", "Workers died again and again: is memory short?")
        except MemoryError:
            problem = Problem(
                "failed", "memory", "The file needs more memory than one file may take: split it."
            )
        return (Member("", problem),)


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
        import threading

        threading.Thread(target=_watch_parent, args=(parent,), daemon=True).start()


def _watch_parent(parent: int) -> None:
    import time

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
