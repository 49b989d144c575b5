"""The small models that are made where they run: fetched, merged, quantized, checked, kept in the cache."""

import hashlib
import shutil
from importlib import resources
from pathlib import Path

from ingest.progress import Progress, silent
from ragqa.cache import cache_folder
from ragqa.errors import EngineUnavailableError

TUNED, UNTUNED = "ragqa-135m", "smollm2-135m"
ADAPTER = "assets/adapter"
CALIBRATION_WINDOWS = 32
"""A quarter of what quantizing usually takes: whoever waits for a first answer waits for this."""


def adapter_folder() -> Path:
    """The adapter that this package carries."""
    return Path(str(resources.files("ragqa"))) / ADAPTER


def folder_of(name: str) -> Path:
    """Where the model of that name is kept: with another adapter it is another folder."""
    if name != TUNED:
        return cache_folder() / name
    digest = hashlib.sha256()
    for part in ("adapter_config.json", "adapter_model.safetensors"):
        digest.update((adapter_folder() / part).read_bytes())
    return cache_folder() / f"{name}-{digest.hexdigest()[:8]}"


def is_made(name: str) -> bool:
    """Whether the model of that name lies in the cache, whole."""
    return (folder_of(name) / "config.json").is_file()


def make(name: str, tick: Progress = silent) -> Path:
    """The folder of TUNED or UNTUNED, made on the first call: 93 MB from the registry, minutes of CPU.

    Safe to stop: the next call goes on. Of several processes one makes it and the others wait. Raises
    EngineUnavailableError where the weights cannot be had, CheckFailedError where the result is wrong.
    """
    from ingest.catalogue.locking import alone

    folder = folder_of(name)
    if is_made(name):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with alone(folder.with_suffix(".lock")):
            if not is_made(name):
                _make(name, folder, tick)
    except OSError as error:
        raise EngineUnavailableError(
            f"{name} cannot be made in {folder.parent}: {error.strerror or error}. Name a folder that can be "
            "written with RAGQA_CACHE."
        ) from error
    return folder


def _make(name: str, folder: Path, tick: Progress) -> None:
    from ragqa.gptq.finetune.assembling import AssembleOptions, assemble
    from ragqa.gptq.smollm2 import fetch_gguf
    from ragqa.gptq.standin import make_stand_in

    tick(f"{name}: fetching its base (93 MB)", 0, None)
    base = fetch_gguf()
    if name == UNTUNED:
        tick(f"{name}: quantizing", 0, None)
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        make_stand_in(part).replace(folder)
    else:

        def told(stage: str, done: int, total: int | None) -> None:
            tick(f"{name}: {stage}", done, total)

        assemble(base, adapter_folder(), folder, AssembleOptions(samples=CALIBRATION_WINDOWS), told)
