"""Is this folder the model it says it is, and how far does it read? Nothing is taken from a report: all is
computed."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ragqa.errors import CheckpointError, RagqaError
from ragqa.gptq.checkpoint import Checkpoint, open_checkpoint
from ragqa.gptq.decoder import Decoder
from ragqa.gptq.model import LoadedModel, LoadOptions, load_model
from ragqa.gptq.needles import DEPTHS, Needle, find_needles
from ragqa.gptq.packing import dequantize
from ragqa.gptq.proof import withdraw_proof, write_proof
from ragqa.gptq.record import RECORD, layer_digest, recorded_layers
from ragqa.gptq.rope import head_size, read_scaling

QUICK_LENGTH = 2048
TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 3e-2, torch.float16: 1e-2}
"""Relative error of a layer's output against the dequantized reference, for inputs too long for int4
kernels."""
KERNEL_TOLERANCE = 3e-2
"""The same for one row, which the int4 kernel multiplies in bf16 whatever the model's type."""
SHARING = (("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), ("mlp.gate_proj", "mlp.up_proj"))
"""Matrices that see the same input and so, quantized in order of activation, have the same order."""

OnNeedle = Callable[[Needle], None]


def ignore_needle(_needle: Needle) -> None:
    """Report to nobody."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked; `detail` names what is wrong, or what was measured."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    """`passed` is about the files and the arithmetic. `proven_length` is how far the needles were found, 0
    for none."""

    folder: Path
    findings: tuple[Finding, ...]
    needles: tuple[Needle, ...]
    window: int
    proven_length: int
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether the folder is the model it says it is."""
        return all(finding.passed for finding in self.findings)


def check(
    folder: Path,
    options: LoadOptions = LoadOptions(),
    *,
    quick: bool = False,
    declared_factor: float | None = None,
    on_needle: OnNeedle = ignore_needle,
) -> CheckReport:
    """Check a GPTQ folder and write its proven length beside it, or withdraw it where the check fails.

    declared_factor: what a preset says of a folder that declares no rope scaling itself. quick: no needle
    past 2,048 tokens. A folder that is refused is a finding, not an exception; needles are asked only of a
    sound model.
    """
    began = time.monotonic()
    try:
        checkpoint = open_checkpoint(folder)
        loaded = load_model(checkpoint, options)
    except CheckpointError as error:
        refused = Finding("folder", passed=False, detail=str(error))
        withdraw_proof(folder)
        return CheckReport(folder, (refused,), (), 0, 0, time.monotonic() - began)
    findings = check_loaded(checkpoint, loaded, declared_factor)
    needles: tuple[Needle, ...] = ()
    proven = 0
    if all(finding.passed for finding in findings):
        needles = _needles(folder, loaded, quick, on_needle)
        proven = longest_proven(needles)
        record = {"window": loaded.window, "needles": [asdict(needle) for needle in needles]}
        if not quick:
            proven = write_proof(folder, loaded.rope_factor, proven, record)
    else:
        withdraw_proof(folder)
    return CheckReport(folder, findings, needles, loaded.window, proven, time.monotonic() - began)


def check_loaded(
    checkpoint: Checkpoint, loaded: LoadedModel, declared_factor: float | None = None
) -> tuple[Finding, ...]:
    """The checks that need no text: rotary factor and tables, layers against the reference, order, record."""
    return (
        check_factor(checkpoint, loaded, declared_factor),
        check_rotary(checkpoint, loaded),
        check_layers(checkpoint, loaded),
        check_order(checkpoint),
        check_record(checkpoint),
    )


def check_factor(
    checkpoint: Checkpoint, loaded: LoadedModel, declared_factor: float | None = None
) -> Finding:
    """The factor that the folder (or its preset) declares is the one by which the built model slows its
    positions."""
    scaling = read_scaling(checkpoint.config)
    if scaling.kind not in ("default", "linear"):
        return Finding("rope factor", passed=True, detail=f"{scaling.kind} scaling, left to transformers")
    declared = scaling.factor if declared_factor is None else declared_factor
    cosine, sine = _tables(loaded, 0, 2)
    # Frequency 0 turns by one radian a position, whatever the base: what it turns by is 1 / factor.
    applied = 1.0 / math.atan2(float(sine[1, 0]), float(cosine[1, 0]))
    same = math.isclose(applied, declared, rel_tol=1e-4)
    return Finding("rope factor", same, f"declared {declared:g}, applied {applied:.4g}")


def check_rotary(checkpoint: Checkpoint, loaded: LoadedModel) -> Finding:
    """cos and sin of every position of the window against their definition in float64.

    An fp32 angle of p radians is off by up to p * 2**-23 (its own rounding and its frequency's), so that is
    what the last position may differ by.
    """
    scaling = read_scaling(checkpoint.config)
    if scaling.kind not in ("default", "linear"):
        return Finding("rotary tables", passed=True, detail=f"{scaling.kind} scaling, left to transformers")
    size = head_size(checkpoint.config)
    frequencies = (
        scaling.theta ** (-torch.arange(0, size, 2, dtype=torch.float64) / size) / loaded.rope_factor
    )
    worst, allowed = 0.0, loaded.window * 2.0**-23 + 1e-6
    for start in range(0, loaded.window, 4096):
        end = min(start + 4096, loaded.window)
        cosine, sine = _tables(loaded, start, end)
        angles = torch.arange(start, end, dtype=torch.float64).unsqueeze(1) * frequencies
        for found, wanted in ((cosine, angles.cos()), (sine, angles.sin())):
            worst = max(worst, float((found[:, : size // 2].double() - wanted).abs().max()))
    detail = f"greatest difference {worst:.1e}, allowed {allowed:.1e}, positions 0 to {loaded.window - 1}"
    return Finding("rotary tables", worst <= allowed, detail)


def check_layers(checkpoint: Checkpoint, loaded: LoadedModel) -> Finding:
    """Every quantized layer of the built model gives what dequantizing its tensors and multiplying gives."""
    draw = torch.Generator().manual_seed(0)
    worst, wrong = 0.0, []
    for name in checkpoint.quantized_layers:
        for rows, allowed in ((1, KERNEL_TOLERANCE), (64, TOLERANCES[loaded.dtype])):
            error = _layer_error(checkpoint, loaded, name, rows, draw)
            worst = max(worst, error)
            if not error <= allowed:
                wrong.append(f"{name} (relative error {error:.2g} on {rows} rows)")
    detail = f"{len(checkpoint.quantized_layers)} layers, greatest relative error {worst:.1e}"
    return Finding("layers", not wrong, _listed(wrong) or detail)


def check_order(checkpoint: Checkpoint) -> Finding:
    """In act-order folders, matrices that see the same input have the same g_idx; one that has not came
    from elsewhere."""
    if not checkpoint.quantization.desc_act or checkpoint.quantization.group_size == -1:
        return Finding("column order", passed=True, detail="in order")
    wrong = []
    for prefix in sorted({".".join(name.split(".")[:3]) for name in checkpoint.quantized_layers}):
        for names in SHARING:
            full = [f"{prefix}.{name}" for name in names if f"{prefix}.{name}.g_idx" in checkpoint.tensors]
            orders = [checkpoint.tensor(f"{name}.g_idx") for name in full]
            wrong += [
                f"{name} is ordered unlike {full[0]}"
                for name, order in zip(full[1:], orders[1:], strict=True)
                if not torch.equal(order, orders[0])
            ]
    return Finding("column order", not wrong, _listed(wrong) or "matrices of one input agree")


def check_record(checkpoint: Checkpoint) -> Finding:
    """Where our quantizer made the folder, every layer is the one it made, in its place."""
    recorded = recorded_layers(checkpoint.folder)
    if recorded is None:
        return Finding("record", passed=True, detail=f"no {RECORD}: the folder was made elsewhere")
    place = {digest: name for name, digest in recorded.items()}
    wrong = []
    for name in checkpoint.quantized_layers:
        digest = layer_digest(checkpoint.packed(name))
        if digest != recorded.get(name):
            wrong.append(f"{name} holds {place.get(digest, 'other weights than were written')}")
    return Finding(
        "record", not wrong, _listed(wrong) or f"{len(recorded)} layers are those that were written"
    )


def needle_lengths(window: int, *, quick: bool) -> tuple[int, ...]:
    """1,024 and its doublings up to the window, and the window itself."""
    top = min(window, QUICK_LENGTH) if quick else window
    lengths = [1024 * 2**power for power in range(20) if 1024 * 2**power < top]
    return (*lengths, top)


def longest_proven(needles: Sequence[Needle]) -> int:
    """The longest length at which, and at all shorter ones, every needle was found; 0 for none."""
    proven = 0
    for length in sorted({needle.length for needle in needles}):
        if not all(needle.passed for needle in needles if needle.length == length):
            break
        proven = length
    return proven


def table(report: CheckReport) -> str:
    """The report as people read it: a line a finding, a row a length with a cell a depth."""
    lines = [f"{'ok  ' if one.passed else 'FAIL'} {one.name}: {one.detail}" for one in report.findings]
    if report.needles:
        lines += ["", "needles  " + "".join(f"{depth:>9.0%}" for depth in DEPTHS)]
    for length in sorted({needle.length for needle in report.needles}):
        cells = [_cell(needle) for needle in report.needles if needle.length == length]
        lines.append(f"{length:>7}  " + "".join(f"{cell:>9}" for cell in cells))
    if report.needles:
        lines += [
            "",
            "exact: greedy decoding writes the word; found: at least e times likelier than unread",
        ]
    lines.append(f"proven length {report.proven_length} of {report.window}")
    return "\n".join(lines)


def _cell(needle: Needle) -> str:
    return ("exact" if needle.exact else "found") if needle.passed else "missed"


def _needles(folder: Path, loaded: LoadedModel, quick: bool, on_needle: OnNeedle) -> tuple[Needle, ...]:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return tuple(
        _each_needle(Decoder(loaded), tokenizer, needle_lengths(loaded.window, quick=quick), on_needle)
    )


def _each_needle(
    decoder: Decoder, tokenizer: Any, lengths: Sequence[int], on_needle: OnNeedle
) -> Iterator[Needle]:
    for length in lengths:
        for needle in find_needles(decoder, tokenizer, length):
            on_needle(needle)
            yield needle


def _tables(loaded: LoadedModel, start: int, end: int) -> tuple[Tensor, Tensor]:
    """The built model's own cos and sin of positions start … end-1, in fp32."""
    rotary = loaded.module.model.rotary_emb
    device = rotary.inv_freq.device
    positions = torch.arange(start, end, device=device).unsqueeze(0)
    cosine, sine = rotary(torch.zeros(1, device=device), positions)
    return cosine[0].cpu(), sine[0].cpu()


@torch.inference_mode()
def _layer_error(
    checkpoint: Checkpoint, loaded: LoadedModel, name: str, rows: int, draw: torch.Generator
) -> float:
    """Relative error of a layer's output on `rows` random inputs: few take the int4 kernel, many the other
    way."""
    layer = loaded.module.get_submodule(name)
    weight = dequantize(checkpoint.packed(name))
    inputs = torch.randn(rows, weight.shape[1], generator=draw).to(loaded.dtype)
    wanted = torch.nn.functional.linear(inputs.float(), weight)
    found = layer(inputs.to(_device(layer))).float().cpu()
    if layer.bias is not None:
        found = found - layer.bias.float().cpu()
    if found.shape != wanted.shape:
        raise RagqaError(f"{name} gives {tuple(found.shape)}, its tensors {tuple(wanted.shape)}")
    return float((found - wanted).norm() / wanted.norm())


def _device(layer: torch.nn.Module) -> torch.device:
    return next((tensor.device for tensor in layer.buffers()), torch.device("cpu"))


def _listed(wrong: Sequence[str]) -> str:
    more = f", and {len(wrong) - 5} more" if len(wrong) > 5 else ""
    return ", ".join(wrong[:5]) + more
