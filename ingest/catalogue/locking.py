"""One process at a time. Readers of an index need no lock. The one file that knows filelock."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ingest.catalogue.schema import storage_errors
from ingest.errors import LockedError


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`, however long others hold it first. Raises OSError."""
    with FileLock(path):
        yield


@contextmanager
def writer_lock(folder: Path, timeout: float) -> Iterator[None]:
    """Hold the lock of the index at `folder`. The system takes it back from a process that dies.

    Raises LockedError after `timeout` seconds, StorageError where the lock file cannot be made.
    """
    lock = FileLock(folder / "lock")
    with storage_errors(folder):
        try:
            lock.acquire(timeout=max(0.0, timeout))
        except Timeout as error:
            raise LockedError(
                f"Another process is writing to the index at {folder}. Wait until it is done, or wait longer "
                f"with --lock-timeout SECONDS."
            ) from error
    try:
        yield
    finally:
        lock.release()
