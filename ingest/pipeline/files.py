"""Single files of a run: how each is counted and recorded, and whether it is still the one that was seen."""

import time

from ingest.discover import FoundFile, is_same
from ingest.pipeline.plan import Work

JUST_NOW_NS = 10_000_000
"""File systems keep time in ticks of up to 10 ms: a file may change again within the tick it was seen in."""


def kind_of(work: Work) -> str:
    """What became of a file, as the report counts it. One that is only read again has not changed."""
    if work.former is not None:
        return "renamed"
    if work.known is None:
        return "added"
    return "unchanged" if work.known.status == "ok" and work.known.sha256 == work.sha256 else "changed"


def trusted_time(file: FoundFile) -> int:
    """The time to record: -1, which no file has, where the file may yet change without its time changing."""
    return file.mtime_ns if time.time_ns() - file.mtime_ns > JUST_NOW_NS else -1


def is_gone(file: FoundFile) -> bool:
    """Whether a file is no longer the one that was seen."""
    try:
        return not is_same(file, file.location.stat())
    except OSError:
        return True
