"""A foreign layer is taken when it computes what the reference computes. Knows no kernel and no file.

A kernel that nobody could run where this was written, or that another package brings, may be wrong for one
shape, one card or one version. So each layer built with one is compared, before it answers anything, with the
weight dequantized from the checkpoint's own tensors, on inputs drawn from a fixed seed.
"""

import contextlib
import io
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ragqa.gptq.packing import PackedLinear, dequantize

logger = logging.getLogger(__name__)

LIMIT = 1e-2
"""Relative error that a right kernel stays below: bf16 rounds at 2⁻⁹, its dequantized weights once more."""

TRIED_ROWS = (1, 4, 20, 60, 200)
"""Rows of the inputs, from a token to a prompt. Kernels take other ways from 8, 16, 48, 50 or 128 rows on."""

TRIED_OUTPUTS = 1024
"""Outputs of the reference that are dequantized at a time: 27 MB in fp32 for 6,656 columns."""

LONGEST_REASON = 300
"""Characters of what a kernel raised that are told."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A layer that could serve: the kernel's name, and what builds it (and may raise anything).

    It has no bias, as a large one would hide an error of the product.
    """

    kernel: str
    build: Callable[[], nn.Module]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a kernel does not serve a layer."""

    kernel: str
    reason: str


def first_right(
    candidates: Iterable[Candidate], packed: PackedLinear, device: torch.device, dtype: torch.dtype
) -> tuple[nn.Module | None, list[Refusal]]:
    """The first candidate that computes rightly, if there is one, and why those before it do not serve.

    `packed` is on the CPU; the layers take inputs of `dtype` on `device`. What they print is logged.
    """
    refusals: list[Refusal] = []
    for candidate in candidates:
        layer, reason = try_candidate(candidate, packed, device, dtype)
        if layer is not None:
            return layer, refusals
        refusals.append(Refusal(candidate.kernel, reason))
    return None, refusals


def try_candidate(
    candidate: Candidate, packed: PackedLinear, device: torch.device, dtype: torch.dtype
) -> tuple[nn.Module | None, str]:
    """The candidate's layer, or None and what is wrong with it."""
    try:
        with quiet(), torch.no_grad():
            layer = candidate.build().eval()
            error = greatest_error(layer, packed, device, dtype)
    # A package that is not ours may raise anything; whatever it is, the layer is served otherwise.
    except Exception as problem:
        return None, f"{type(problem).__name__}: {problem}".splitlines()[0][:LONGEST_REASON]
    # Not `error > LIMIT`: what is not a number is no agreement.
    if not error <= LIMIT:
        return None, f"relative error {error:.2g} against dequantized weights, {LIMIT:g} is allowed"
    return layer, ""


def greatest_error(layer: nn.Module, packed: PackedLinear, device: torch.device, dtype: torch.dtype) -> float:
    """The greatest of `relative_error` over inputs of TRIED_ROWS rows; not a number where one is none."""
    draw = torch.Generator(device).manual_seed(0)
    errors = []
    for rows in TRIED_ROWS:
        inputs = torch.randn(rows, packed.inputs, generator=draw, device=device).to(dtype)
        errors.append(relative_error(layer(inputs).float(), reference(packed, inputs)))
    return float(torch.stack(errors).max())


def reference(packed: PackedLinear, inputs: Tensor) -> Tensor:
    """inputs (rows, inputs) times the dequantized weight, in fp32 -> (rows, outputs)."""
    wide, per_word = inputs.float(), 32 // packed.bits
    products = []
    for first in range(0, packed.outputs, TRIED_OUTPUTS):
        last = min(first + TRIED_OUTPUTS, packed.outputs)
        part = PackedLinear(
            qweight=packed.qweight[:, first:last].to(inputs.device),
            qzeros=packed.qzeros[:, first // per_word : last // per_word].to(inputs.device),
            scales=packed.scales[:, first:last].to(inputs.device),
            g_idx=packed.g_idx.to(inputs.device),
            bits=packed.bits,
        )
        products.append(wide @ dequantize(part).T)
    return torch.cat(products, dim=1)


def relative_error(found: Tensor, expected: Tensor) -> Tensor:
    """The error of the worst row or column (of a row alone where there is one), over that row's or column's
    length, or over the mean one's where it is longer.

    The whole product's would not show one wrong column among ten thousand. Raises ValueError for shapes that
    differ.
    """
    if found.shape != expected.shape:
        raise ValueError(f"the product is of shape {tuple(found.shape)}, not {tuple(expected.shape)}")
    worst = []
    for along in (1,) if expected.shape[0] == 1 else (0, 1):
        lengths = expected.norm(dim=along)
        floor = lengths.square().mean().sqrt()
        worst.append(((found - expected).norm(dim=along) / torch.maximum(lengths, floor)).max())
    return torch.stack(worst).max()


def warn_of(refusals: Iterable[Refusal]) -> None:
    """Tell once of each kernel how many layers it does not serve, and why the first."""
    reasons: dict[str, list[str]] = {}
    for refusal in refusals:
        reasons.setdefault(refusal.kernel, []).append(refusal.reason)
    for kernel, its in reasons.items():
        layers = "1 layer" if len(its) == 1 else f"{len(its)} layers"
        logger.warning(
            "%s is not used for %s, which another kernel serves: %s.", kernel, layers, its[0].rstrip(".")
        )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What is printed meanwhile is logged: standard output is the answer's."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        if text := printed.getvalue().strip():
            logger.debug("%s", text)
