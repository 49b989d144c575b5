"""From a base and an adapter to the folder that answers: merged, quantized, checked, its rule beside it."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ingest.progress import Progress, silent
from ragqa.errors import CheckFailedError, CheckpointError
from ragqa.gptq.check import CheckReport, check
from ragqa.gptq.finetune.base import write_merged
from ragqa.gptq.finetune.lora import read_adapter
from ragqa.gptq.needles import Needle
from ragqa.gptq.quantize import QuantizeOptions, QuantizeProgress, quantize
from ragqa.gptq.refusing import RefusalRule, write_rule

CARD = "README.md"


@dataclass(frozen=True, slots=True)
class AssembleOptions:
    """How the merged weights are quantized; what is not here is as `QuantizeOptions` has it.

    Groups of 64 divide the small model's widths, 128 do not. Windows are as long as the prompts that it
    reads, of a block or two.
    """

    method: Literal["gptq", "rtn"] = "gptq"
    group_size: int = 64
    samples: int = 128
    sample_tokens: int = 512


@dataclass(frozen=True, slots=True)
class Assembled:
    """The folder, what the check found, and seconds from start to end."""

    folder: Path
    check: CheckReport
    seconds: float


def assemble(
    base: Path,
    adapter: Path,
    out: Path,
    options: AssembleOptions = AssembleOptions(),
    tick: Progress = silent,
) -> Assembled:
    """Write the GPTQ folder `out` from a full-precision base and an adapter of `ragqa model finetune`.

    `out` appears whole or not at all; after a kill the same call goes on after the last quantized layer.
    Raises CheckpointError for an `out` that holds a model or an adapter that does not fit, CheckFailedError
    where `model check --quick` finds the result wrong.
    """
    began = time.monotonic()
    if (out / "config.json").exists():
        raise CheckpointError(f"{out} already holds a model; choose another folder or delete it")
    merged, part = out.with_name(f"{out.name}.merged"), out.with_name(f"{out.name}.part")
    tick("merging", 0, None)
    if not (merged / "model.safetensors").is_file():
        write_merged(base, adapter, merged)
    if not (part / "config.json").is_file():
        _quantize(merged, part, options, tick)
    rule = rule_of(adapter)
    if rule is not None:
        write_rule(part, rule)
    if (adapter / CARD).is_file():
        shutil.copy(adapter / CARD, part / CARD)
    report = _checked(part, tick)
    shutil.rmtree(merged)
    part.replace(out)
    return Assembled(out, report, time.monotonic() - began)


def rule_of(adapter: Path) -> RefusalRule | None:
    """The refusal rule that validation gave the adapter, if it did."""
    facts = read_adapter(adapter)[0].get("ragqa", {}).get("refusal")
    return RefusalRule(**facts) if facts else None


def _quantize(merged: Path, part: Path, options: AssembleOptions, tick: Progress) -> None:
    def told(step: QuantizeProgress) -> None:
        tick("quantizing", step.done, step.layers)

    settings = QuantizeOptions(
        group_size=options.group_size,
        method=options.method,
        samples=options.samples,
        sample_tokens=options.sample_tokens,
    )
    quantize(merged, part, settings, told)


def _checked(folder: Path, tick: Progress) -> CheckReport:
    done: list[Needle] = []

    def told(needle: Needle) -> None:
        done.append(needle)
        tick("checking", len(done), None)

    report = check(folder, quick=True, on_needle=told)
    if not report.passed:
        wrong = ", ".join(finding.name for finding in report.findings if not finding.passed)
        raise CheckFailedError(f"{folder} did not pass: {wrong}.")
    return report
