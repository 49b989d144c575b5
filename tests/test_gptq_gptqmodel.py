"""gptqmodel's classes get the right tensors: run with the kernels that it has for a CPU.

The same functions build its layers for CUDA. Kernels of a card cannot run here; a wrong one is refused
(`tests/test_gptq_trial.py`).
"""

import contextlib
import os

import pytest

torch = pytest.importorskip("torch", reason="the gptq extra is not installed")

from ragqa.gptq import gptqmodel_kernels  # noqa: E402
from ragqa.gptq.checkpoint import open_checkpoint  # noqa: E402
from ragqa.gptq.decoder import Decoder  # noqa: E402
from ragqa.gptq.gptqmodel_kernels import (  # noqa: E402
    DEQUANTIZING,
    PLAIN,
    GptqmodelLinear,
    backends_of,
    build_layer,
    gptqmodel_candidates,
    is_installed,
    isolated,
    settings_of,
    tensors_for,
    usable_kernels,
)
from ragqa.gptq.linear import gptq_linear  # noqa: E402
from ragqa.gptq.model import LoadOptions, load_model  # noqa: E402
from ragqa.gptq.packing import PackedLinear, pack, unpack_rows  # noqa: E402
from ragqa.gptq.quantization import Quantization  # noqa: E402
from ragqa.gptq.standin import llama_config, make_random_llama  # noqa: E402
from ragqa.gptq.trial import LIMIT, first_right, greatest_error, reference  # noqa: E402
from tests.test_gptq_linear import layer, relative  # noqa: E402

CPU, BF16, FP16 = torch.device("cpu"), torch.bfloat16, torch.float16
needs_gptqmodel = pytest.mark.skipif(
    not is_installed(), reason="gptqmodel is not installed (docs/model.md says how it was tried)"
)


@pytest.mark.parametrize(("group", "act_order", "sym", "expected"), [
    (64, True, True, {"group_size": 64, "desc_act": True, "sym": True}),
    (64, False, False, {"group_size": 64, "desc_act": False, "sym": False}),
    (-1, True, True, {"group_size": -1, "desc_act": False, "sym": True}),
])  # fmt: skip
@pytest.mark.parametrize("bits", [4, 8])
def test_what_gptqmodel_is_told_is_read_from_the_tensors(bits, group, act_order, sym, expected):
    packed, _, _ = layer(2, 256, 64, group, bits=bits, act_order=act_order, sym=sym)
    assert settings_of(packed) == {"bits": bits, **expected}


def test_groups_of_unequal_size_have_no_settings():
    packed, _, _ = layer(0, 256, 64, 64)
    packed.g_idx[int((packed.g_idx == 0).nonzero()[0])] = 1
    with pytest.raises(ValueError, match="unequal"):
        settings_of(packed)


@pytest.mark.parametrize("bits", [4, 8])
def test_zero_points_are_handed_over_as_they_are(bits):
    """Zero itself, stored as minus one, does not carry into its neighbour."""
    codes = torch.zeros(32, 8, dtype=torch.int32)
    zeros = torch.tensor([[0, 1, 2**bits - 1, 7, 0, 8, 3, 0]])
    packed = pack(codes, zeros, torch.ones(1, 8), torch.zeros(32, dtype=torch.int32), bits)
    given = tensors_for(packed, as_they_are=True)
    assert unpack_rows(given["qzeros"].T, bits).T.tolist() == zeros.tolist()
    assert torch.equal(tensors_for(packed, as_they_are=False)["qzeros"], packed.qzeros)


def test_gptqmodel_gets_copies():
    packed, _, _ = layer(0, 64, 64, 32)
    for zeros_as_they_are in (True, False):
        for name, part in tensors_for(packed, as_they_are=zeros_as_they_are).items():
            part.zero_()
            assert getattr(packed, name).any(), name


def test_a_package_that_cannot_be_imported_costs_its_kernels_alone(monkeypatch):
    monkeypatch.setattr(gptqmodel_kernels, "PACKAGE", "no_such_package")
    packed, _, _ = layer(0, 64, 64, 32)
    found, (refusal,) = first_right(gptqmodel_candidates(packed, CPU, BF16), packed, CPU, BF16)
    assert found is None
    assert refusal.reason.startswith("ModuleNotFoundError: No module named 'no_such_package'")


def test_gptqmodel_gets_no_network_and_leaves_no_variables(monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    before = dict(os.environ)
    with contextlib.suppress(ImportError), isolated():
        assert constants.HF_HUB_OFFLINE
        assert os.environ["HF_HUB_OFFLINE"] == "1"
        os.environ.update(CUDA_DEVICE_ORDER="PCI_BUS_ID", RAGQA_NEW="1")
        raise ImportError
    assert not constants.HF_HUB_OFFLINE
    assert dict(os.environ) == before


@needs_gptqmodel
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("group", [32, 64, 128, -1])
@pytest.mark.parametrize(("act_order", "sym"), [(True, True), (True, False), (False, True), (False, False)])
def test_its_plain_kernel_computes_what_the_reference_computes(bits, group, act_order, sym):
    """Its reference and ours, of the same tensors; not compiled, which takes 7 s and more a layer."""
    packed, _, _ = layer(3, 512, 256, group, bits=bits, act_order=act_order, sym=sym)
    (plain,) = [
        one for one in usable_kernels(settings_of(packed), CPU, FP16, frozenset()) if backends_of(one) & PLAIN
    ]
    with torch.compiler.set_stance("force_eager"):
        built = build_layer(plain, packed, CPU, FP16)
        assert greatest_error(built, packed, CPU, FP16) <= 1e-3
        wrong = PackedLinear(packed.qweight, packed.qzeros + 1, packed.scales, packed.g_idx, packed.bits)
        assert greatest_error(built, wrong, CPU, FP16) > LIMIT


@needs_gptqmodel
@pytest.mark.parametrize("group", [32, 64, 128])
@pytest.mark.parametrize(("act_order", "sym"), [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("dtype", [BF16, FP16])
def test_what_is_taken_multiplies_rightly(group, act_order, sym, dtype):
    """As `gptq_linear` takes it, bias and inputs of three dimensions included. Its fused kernel for CPUs sets
    zero points aside (5.8.0 and 7.7.0): such layers go to the next kernel, or to ours."""
    packed, inputs, bias = layer(4, 512, 256, group, act_order=act_order, sym=sym)
    chosen = gptq_linear(packed, bias, CPU, "gptqmodel", dtype)
    if isinstance(chosen.layer, GptqmodelLinear):
        assert not DEQUANTIZING & backends_of(type(chosen.layer.inner))
    else:
        assert not sym
        assert "against dequantized weights" in chosen.refusals[0].reason
    found = chosen.layer(inputs.to(dtype).reshape(1, *inputs.shape))
    assert (found.shape, found.dtype) == ((1, len(inputs), 256), dtype)
    assert relative(found[0], reference(packed, inputs) + bias) <= 1e-2


@needs_gptqmodel
def test_the_process_is_left_as_it_was(capfd):
    before = dict(os.environ)
    packed, _, _ = layer(5, 128, 64, 32, sym=True)
    assert first_right(gptqmodel_candidates(packed, CPU, BF16), packed, CPU, BF16)[0] is not None
    assert dict(os.environ) == before
    assert capfd.readouterr().out == ""


@needs_gptqmodel
def test_a_model_of_its_layers_computes_what_ours_computes(tmp_path):
    config = {**llama_config(128, 256, 2, 4, 259), "num_key_value_heads": 2}
    checkpoint = open_checkpoint(make_random_llama(tmp_path / "m", config, Quantization(group_size=32)))
    ids = torch.randint(3, 200, (60,), generator=torch.Generator().manual_seed(0))
    logits = []
    for options in (LoadOptions(dtype="float32", kernels="reference"), LoadOptions(kernels="gptqmodel")):
        decoder = Decoder(load_model(checkpoint, options))
        logits.append(decoder.logits(ids, decoder.new_cache(len(ids) + 1)))
    assert relative(logits[1], logits[0]) < 0.05


@needs_gptqmodel
def test_what_it_does_not_take_is_ours():
    """8 bits on a CPU, where it has its plain kernel alone; fp32, which it does not compute in."""
    narrow, wide = layer(6, 128, 64, 32, bits=8)[0], layer(6, 128, 64, 32)[0]
    chosen = gptq_linear(narrow, None, CPU, "gptqmodel")
    assert not isinstance(chosen.layer, GptqmodelLinear)
    assert "no kernel for such layers" in chosen.refusals[0].reason
    assert not isinstance(gptq_linear(wide, None, CPU, "gptqmodel", torch.float32).layer, GptqmodelLinear)
