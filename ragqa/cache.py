"""Where what can be made again is kept. Knows nothing of what that is."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """`RAGQA_CACHE`, else `ragqa` under `XDG_CACHE_HOME`, else `~/.cache/ragqa`. Not created here."""
    if named := os.environ.get("RAGQA_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ragqa"
