"""Engine `auto-gptq`: the same folder and the same prompts as `gptq`, run by auto-gptq 0.7.1.

That library is archived and needs transformers before 5, so it lives in an environment of its own (`make
auto-gptq`). A worker process there computes logits; all else is the engine `gptq`, so that what differs
between the two is the arithmetic alone.
"""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

import torch
from torch import Tensor

from ragqa.errors import CheckpointError, EngineUnavailableError, RagqaError
from ragqa.gptq.checkpoint import Checkpoint
from ragqa.gptq.decoder import Decoder
from ragqa.gptq.model import LoadOptions, scaled_config
from ragqa.gptq.rope import read_scaling, window_of
from ragqa.gptq.source import portable_config
from ragqa.llm.environment import VARIABLE, auto_gptq_python

WORKER = Path(__file__).with_name("auto_gptq_worker.py")


def worker_python() -> Path:
    """The Python that has auto-gptq. Raises EngineUnavailableError naming the command that builds it."""
    python = auto_gptq_python()
    if not python.is_file():
        raise EngineUnavailableError(
            f"The engine auto-gptq runs in an environment of its own, and {python} is not there. "
            f"Build it with `make auto-gptq`, or set {VARIABLE} to a Python that has auto-gptq 0.7.1."
        )
    return python


def stage_folder(checkpoint: Checkpoint, config: Mapping[str, Any], target: Path) -> None:
    """Lay out what auto-gptq reads, and nothing else, in `target`: two JSON files of our own, links to the
    weights.

    It reads configurations with remote code allowed, takes the first weights it finds, and its transformers
    passes over the newer spelling of rotary scaling; so it never sees the folder itself.
    """
    settings = checkpoint.quantization.quantize_config()
    settings.pop("checkpoint_format")
    _write_json(target / "quantize_config.json", settings)
    _write_json(target / "config.json", portable_config(config))
    files = sorted({info.file for info in checkpoint.tensors.values()})
    if len(files) == 1:
        (target / "model.safetensors").symlink_to(files[0].resolve())
        return
    for path in files:
        (target / path.name).symlink_to(path.resolve())
    weight_map = {name: info.file.name for name, info in checkpoint.tensors.items()}
    _write_json(target / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})


class Worker:
    """The other process. Close it, or use it as a context manager."""

    def __init__(self, checkpoint: Checkpoint, config: Mapping[str, Any], dtype: str = "float32") -> None:
        python = worker_python()
        self._folder = Path(tempfile.mkdtemp(prefix="ragqa-auto-gptq-"))
        # Also at the program's end: a command that is interrupted closes nothing.
        self._remove_folder = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._errors = (self._folder / "errors.txt").open("w+", encoding="utf-8", errors="replace")
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        model = self._folder / "model"
        model.mkdir()
        stage_folder(checkpoint, config, model)
        process = self._process = subprocess.Popen(  # noqa: S603 (-P: our auto_gptq.py must not stand in for theirs)
            [str(python), "-P", "-u", str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            env=environment,
        )
        self._requests, self._answers = cast("IO[str]", process.stdin), cast("IO[str]", process.stdout)
        try:
            self.versions: dict[str, str] = self.ask(op="load", folder=str(model), dtype=dtype)["versions"]
        except BaseException:
            self.close()
            raise

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send one request and wait for its answer.

        Raises CheckpointError where the worker refuses the folder, RagqaError where it failed or died, with
        what it said last.
        """
        try:
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()
            line = self._answers.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RagqaError(f"The auto-gptq worker ended: {self._last_words()}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            kind = CheckpointError if reply.get("refused") else RagqaError
            raise kind(f"auto-gptq: {reply['error']}")
        return reply

    def logits(self, ids: Tensor, keep: int, *, everything: bool = False) -> Tensor:
        """fp32 logits (positions, vocabulary) after the first `keep` cached tokens and ids (tokens,)."""
        reply = self.ask(op="logits", ids=ids.tolist(), keep=keep, all=everything)
        data = bytearray(base64.b64decode(reply["data"]))
        return torch.frombuffer(data, dtype=torch.float32).reshape(reply["shape"])

    def close(self) -> None:
        """End the process and remove what was laid out for it."""
        with contextlib.suppress(BrokenPipeError):
            self._requests.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()
        self._errors.close()
        self._remove_folder()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return lines[-1] if lines else f"exit code {self._process.poll()}, no message"


@dataclass(slots=True)
class _Place:
    """How much of the worker's cache a conversation has filled."""

    capacity: int
    length: int = 0


@dataclass(frozen=True, slots=True)
class _Remote:
    window: int
    rope_factor: float


class RemoteDecoder:
    """Gives `continue_text` the worker's logits in place of our own decoder's. One conversation at a time."""

    def __init__(self, worker: Worker, window: int, rope_factor: float = 1.0) -> None:
        self.worker, self.model = worker, _Remote(window, rope_factor)

    @classmethod
    def open(cls, checkpoint: Checkpoint, options: LoadOptions) -> "Decoder":
        """A worker that has loaded the checkpoint. It ends with the program that asks it."""
        config = scaled_config(checkpoint.config, options)
        worker = Worker(checkpoint, config, "float32" if options.dtype == "auto" else options.dtype)
        return cast("Decoder", cls(worker, window_of(config), read_scaling(config).factor))

    def new_cache(self, capacity: int) -> _Place:
        return _Place(capacity)

    def logits(self, ids: Tensor, cache: _Place) -> Tensor:
        """Logits (vocabulary,) of the last position, the ids appended to what was read before."""
        logits = self.worker.logits(ids, cache.length)[-1]
        cache.length += len(ids)
        return logits


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
