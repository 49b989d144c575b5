"""The kernels of gptqmodel, where it is installed: the only file that imports it. Knows no file and no model.

Nothing here is believed: what is built is a candidate that `ragqa.gptq.trial` compares with the reference. So
what gptqmodel raises, and what differs between its versions, costs a layer its kernel and no more. Written
for versions 5 to 7, whose `select_quant_linear` names the classes that take a layer, best first; run on the
CPU alone. It is imported when a layer is to be built with it: importing it changes other packages of the
process.
"""

import functools
import importlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata, util
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from ragqa.gptq.grouped import shape_of
from ragqa.gptq.packing import PackedLinear, pack_rows, unpack_rows
from ragqa.gptq.trial import Candidate, quiet

PACKAGE = "gptqmodel"

PLAIN = frozenset({"torch", "gptq_torch"})
"""The backend of PyTorch's operators, as versions 5 and 7 spell it: our reference again, but for a compiler
that runs once a layer (7 to 26 s here)."""

DEQUANTIZING = PLAIN | {"triton", "gptq_triton"}
"""Those that dequantize a layer whole at every call, of no use where packed codes can be multiplied."""

FETCHING = frozenset({"hf_kernel"})
"""The backend whose kernel is downloaded (version 5, on CPUs): never."""

SHARING = "scratch_space_fixed"
"""What classes have that want memory shared by all layers of gptqmodel's own models (exllama v2)."""


def is_installed() -> bool:
    """Whether gptqmodel is there to be imported; it is not imported."""
    return util.find_spec(PACKAGE) is not None


class GptqmodelLinear(nn.Module):
    """A linear layer that gptqmodel multiplies; takes (…, inputs), gives (…, outputs) in the same type.

    The bias is added here, so that the kernel's product alone can be compared.
    """

    def __init__(self, inner: nn.Module, packed: PackedLinear, dtype: torch.dtype) -> None:
        super().__init__()
        self.in_features, self.out_features, self.dtype = packed.inputs, packed.outputs, dtype
        self.inner = inner
        self.register_buffer("bias", None)

    def forward(self, inputs: Tensor) -> Tensor:
        flat = inputs.reshape(-1, self.in_features).to(self.dtype).contiguous()
        product: Tensor = self.inner(flat).to(inputs.dtype)
        if self.bias is not None:
            product = product + self.get_buffer("bias").to(inputs.dtype)
        return product.reshape(*inputs.shape[:-1], self.out_features)


def gptqmodel_candidates(
    packed: PackedLinear, device: torch.device, dtype: torch.dtype, left_out: frozenset[str] = PLAIN
) -> list[Candidate]:
    """gptqmodel's kernels for this layer in its own order, but for those of the backends left out.

    Raises nothing: an import or a choice that fails is a candidate that does.
    """
    try:
        with quiet(), isolated():
            kernels = usable_kernels(settings_of(packed), device, dtype, left_out)
    except Exception as problem:
        return [Candidate(PACKAGE, functools.partial(_raise, problem))]
    version = metadata.version(PACKAGE)
    return [
        Candidate(
            f"{PACKAGE} {version}'s {kernel.__name__}",
            functools.partial(build_layer, kernel, packed, device, dtype),
        )
        for kernel in kernels
    ]


def usable_kernels(
    settings: Mapping[str, Any], device: torch.device, dtype: torch.dtype, left_out: frozenset[str]
) -> list[type[Any]]:
    """The classes that gptqmodel itself finds to take such layers on such a device, best first.

    Raises LookupError where none is left, and whatever gptqmodel raises.
    """
    importer = importlib.import_module(f"{PACKAGE}.utils.importer")
    constants = importlib.import_module(f"{PACKAGE}.models._const")
    found = importer.select_quant_linear(
        **settings,
        device=constants.DEVICE(device.type),
        dtype=dtype,
        pack=False,
        pack_dtype=torch.int32,
        multi_select=True,
    )
    usable = [
        kernel
        for kernel in dict.fromkeys(found)
        if not hasattr(kernel, SHARING) and not (left_out | FETCHING) & backends_of(kernel)
    ]
    if not usable:
        names = ", ".join(kernel.__name__ for kernel in found)
        raise LookupError(f"it has no kernel for such layers that would be faster, of {names}")
    return usable


def backends_of(kernel: type[Any]) -> set[str]:
    """The names of the backends that a class belongs to."""
    return {str(getattr(one, "value", one)).lower() for one in getattr(kernel, "SUPPORTS_BACKENDS", ())}


def build_layer(
    kernel: type[Any], packed: PackedLinear, device: torch.device, dtype: torch.dtype
) -> GptqmodelLinear:
    """A layer of that class with these weights on that device, ready to multiply. Raises what it raises.

    The class gets copies: most rewrite what they are given.
    """
    with isolated():
        layer = kernel(
            **settings_of(packed),
            in_features=packed.inputs,
            out_features=packed.outputs,
            bias=False,
            pack_dtype=torch.int32,
            dtype=dtype,
            register_buffers=True,
        )
        layer.load_state_dict(tensors_for(packed, as_they_are=bool(kernel.REQUIRES_FORMAT_V2)), strict=False)
        layer = layer.to(device).eval()
        layer.post_init()
    return GptqmodelLinear(layer, packed, dtype)


def settings_of(packed: PackedLinear) -> dict[str, Any]:
    """What gptqmodel wants to know of a layer: bits, group_size (-1 for one group), desc_act, sym.

    Read from the tensors, so that what a layer is and what its folder says of it cannot differ. Raises
    ValueError for groups of unequal size.
    """
    size = shape_of(packed).group_size
    if size is None:
        raise ValueError("groups of unequal size")
    stored = unpack_rows(packed.qzeros, packed.bits)
    in_order = torch.arange(packed.inputs, device=packed.g_idx.device) // size
    return {
        "bits": packed.bits,
        "group_size": -1 if size == packed.inputs else size,
        "desc_act": not torch.equal(packed.g_idx.long(), in_order),
        "sym": bool((stored == 2 ** (packed.bits - 1) - 1).all()),
    }


def tensors_for(packed: PackedLinear, *, as_they_are: bool) -> dict[str, Tensor]:
    """Copies of the four tensors, zero points stored as they are (gptqmodel's format 2) or minus one (1)."""
    qzeros = packed.qzeros
    if as_they_are:
        # Field by field: added to whole words, a stored minus one (15) would carry into its neighbour.
        stored = unpack_rows(qzeros.T, packed.bits)
        qzeros = pack_rows((stored + 1) & (2**packed.bits - 1), packed.bits).T
    parts = {"qweight": packed.qweight, "qzeros": qzeros, "scales": packed.scales, "g_idx": packed.g_idx}
    return {name: part.clone().contiguous() for name, part in parts.items()}


@contextmanager
def isolated() -> Iterator[None]:
    """No network meanwhile, and the environment as before afterwards.

    Version 5 asks the hub for a kernel when it looks which of its classes could serve; all versions set
    variables of CUDA and PyTorch for the whole process.
    """
    from huggingface_hub import constants

    before, offline = dict(os.environ), constants.HF_HUB_OFFLINE
    os.environ["HF_HUB_OFFLINE"], constants.HF_HUB_OFFLINE = "1", True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def _raise(problem: Exception) -> NoReturn:
    raise problem
