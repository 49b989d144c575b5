"""CUDA's kernel as far as a machine without a card shows it: what is chosen, what is packed, what comes back.

The layer runs with the CPU's operators, which take the same scales and zeros. CUDA's own operators run on
meta tensors, where PyTorch checks types and shapes, and their layout is written out here from its source.
"""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="the gptq extra is not installed")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402

from ragqa.gptq import cuda, linear  # noqa: E402
from ragqa.gptq.checkpoint import open_checkpoint  # noqa: E402
from ragqa.gptq.cuda import (  # noqa: E402
    Int4Linear,
    Int4Operators,
    cuda_operators,
    multiply_on_cuda,
    pack_for_cuda,
    places_of,
    two_a_byte,
    unpack_tiles,
)
from ragqa.gptq.decoder import Decoder  # noqa: E402
from ragqa.gptq.gptqmodel_kernels import DEQUANTIZING, PLAIN  # noqa: E402
from ragqa.gptq.grouped import group_columns, shape_of  # noqa: E402
from ragqa.gptq.int4 import learn_layout, multiply, pack_codes  # noqa: E402
from ragqa.gptq.int4 import unpack_tiles as unpack_cpu_tiles  # noqa: E402
from ragqa.gptq.kernels import LayerShape, Place, choose_kernel, inner_tiles  # noqa: E402
from ragqa.gptq.linear import GptqLinear, gptq_linear, place_of  # noqa: E402
from ragqa.gptq.model import LoadOptions, build_empty, load_model  # noqa: E402
from ragqa.gptq.quantization import Quantization  # noqa: E402
from ragqa.gptq.standin import llama_config, make_random_llama  # noqa: E402
from ragqa.gptq.trial import Candidate  # noqa: E402
from tests.test_gptq_linear import layer, needs_kernel, relative  # noqa: E402

BF16, FP16, FP32 = torch.bfloat16, torch.float16, torch.float32
AMPERE = Place("cuda", BF16, (8, 6))


@pytest.mark.parametrize(("shape", "place", "expected"), [
    (LayerShape(4, 4096, 11_008, 128), AMPERE, "int4"),
    (LayerShape(4, 6656, 17_920, 128), AMPERE, "int4"),
    (LayerShape(4, 6656, 17_920, 128), Place("cuda", BF16, (9, 0)), "int4"),
    (LayerShape(4, 576, 8, 576), AMPERE, "int4"),
    (LayerShape(4, 96, 64, 32), AMPERE, "int4"),
    (LayerShape(4, 4096, 11_008, 128), Place("cuda", BF16, (7, 5)), "reference"),
    (LayerShape(4, 4096, 11_008, 128), Place("cuda", BF16, None), "reference"),
    (LayerShape(4, 4096, 11_008, 128), Place("cuda", FP16, (8, 6)), "reference"),
    (LayerShape(4, 4096, 11_008, 128), Place("cuda", FP32, (8, 6)), "reference"),
    (LayerShape(8, 4096, 11_008, 128), AMPERE, "reference"),
    (LayerShape(4, 4096, 11_004, 128), AMPERE, "reference"),
    (LayerShape(4, 4096, 11_008, 16), AMPERE, "reference"),
    (LayerShape(4, 4096, 11_008, None), AMPERE, "reference"),
    (LayerShape(4, 4096, 11_008, 128), Place("cpu", BF16, tile_rows=64), "tiled"),
    (LayerShape(4, 4096, 11_008, 128), Place("cpu", FP32, tile_rows=32), "tiled"),
    (LayerShape(4, 4096, 11_040, 128), Place("cpu", BF16, tile_rows=64), "reference"),
    (LayerShape(4, 4096, 11_008, 128), Place("cpu", BF16), "reference"),
    (LayerShape(4, 4096, 11_008, 128), Place("mps", BF16), "reference"),
    (LayerShape(4, 4096, 11_008, 128), replace(AMPERE, gptqmodel=True), "gptqmodel"),
    (LayerShape(8, 4096, 11_008, 128), Place("cuda", FP16, (7, 5), gptqmodel=True), "gptqmodel"),
    (LayerShape(4, 4096, 11_008, None), replace(AMPERE, gptqmodel=True), "reference"),
    (LayerShape(4, 4096, 11_008, 128), Place("cuda", FP32, (8, 6), gptqmodel=True), "reference"),
])  # fmt: skip
def test_the_kernel_is_chosen_by_shape_type_and_device(shape, place, expected):
    assert choose_kernel(shape, place) == expected


@pytest.mark.parametrize(("inputs", "tiles"), [(128, 8), (576, 4), (96, 2), (48, None)])
def test_as_many_tiles_lie_together_as_fill_the_columns(inputs, tiles):
    assert inner_tiles(inputs) == tiles


def test_a_layer_says_how_large_its_groups_are():
    packed, _, _ = layer(0, 256, 64, 64)
    assert shape_of(packed) == LayerShape(4, 256, 64, 64)
    packed.g_idx[int((packed.g_idx == 0).nonzero()[0])] = 1
    assert shape_of(packed).group_size is None
    with pytest.raises(ValueError, match="unequal"):
        group_columns(packed)


@pytest.mark.parametrize(("kernels", "capability", "installed", "tried"), [
    ("auto", (8, 6), True, True), ("auto", (8, 6), False, False), ("auto", None, True, False),
    ("reference", (8, 6), True, False),
])  # fmt: skip
def test_gptqmodel_is_tried_on_nvidias_cards_where_it_is_installed(
    kernels, capability, installed, tried, monkeypatch
):
    monkeypatch.setattr(linear, "capability_of", lambda _device: capability)
    monkeypatch.setattr(linear, "is_installed", lambda: installed)
    assert place_of(torch.device("cuda"), BF16, kernels).gptqmodel == tried


@pytest.fixture
def card(monkeypatch):
    """A card of 8.6 whose operators are the CPU's, on the CPU; `spoil` may change their product."""

    def install(spoil=lambda product: product, gptqmodel=False):
        own = cpu_operators()
        spoiled = Int4Operators(own.pack, own.unpack, lambda *given: spoil(own.multiply(*given)))
        place = replace(AMPERE, gptqmodel=gptqmodel)
        monkeypatch.setattr(linear, "place_of", lambda *_given: place)
        monkeypatch.setattr(linear, "cuda_operators", lambda _inputs, _device: spoiled)

    return install


@needs_kernel
@pytest.mark.parametrize(("factor", "kind"), [(1, Int4Linear), (1.02, GptqLinear)])
def test_on_a_card_the_int4_kernel_serves_where_it_computes_rightly(factor, kind, card):
    packed, inputs, bias = layer(5, 256, 64, 64)
    card(lambda product: product * factor)
    chosen = gptq_linear(packed, bias, torch.device("cpu"))
    assert type(chosen.layer) is kind
    assert [one.kernel for one in chosen.refusals] == ([] if factor == 1 else ["PyTorch's int4 kernel"])
    assert relative(chosen.layer(inputs), GptqLinear(packed, bias)(inputs)) <= 1e-2
    assert type(gptq_linear(packed, bias, torch.device("cpu"), "reference").layer) is GptqLinear


@needs_kernel
@pytest.mark.parametrize(
    ("bits", "left_out", "kind"), [(4, DEQUANTIZING, Int4Linear), (8, PLAIN, GptqLinear)]
)
def test_on_a_card_gptqmodel_comes_before_our_own(bits, left_out, kind, card, monkeypatch):
    """Of its kernels those that dequantize are of use only where ours would, too."""
    asked = []

    def candidates(packed, device, dtype, left_out):
        asked.append((device, dtype, left_out))
        return [Candidate("gptqmodel's", lambda: GptqLinear(packed)), Candidate("another", torch.nn.Identity)]

    monkeypatch.setattr(linear, "gptqmodel_candidates", candidates)
    card(gptqmodel=True)
    packed, _, _ = layer(5, 256, 64, 64, bits=bits)
    taken = gptq_linear(packed, None, torch.device("cpu"))
    assert (type(taken.layer), taken.refusals) == (GptqLinear, ())
    assert asked == [(torch.device("cpu"), BF16, left_out)]
    monkeypatch.setattr(linear, "gptqmodel_candidates", lambda *given: candidates(*given)[1:])
    refused = gptq_linear(packed, None, torch.device("cpu"))
    assert (type(refused.layer), [one.kernel for one in refused.refusals]) == (kind, ["another"])


def test_a_cpu_has_no_compute_capability():
    assert place_of(torch.device("cpu"), BF16).capability is None


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**31), group=st.sampled_from([32, 64, 96, 128, -1]),
    act_order=st.booleans(), sym=st.booleans(),
)  # fmt: skip
def test_grouped_columns_and_constants_stand_for_the_same_weight(seed, group, act_order, sym):
    """(code - 8) · scale + zero, columns put back, against the reference: bf16 constants are 2⁻⁹ off."""
    packed, _, _ = layer(seed, 384, 64, group, act_order=act_order, sym=sym)
    grouped = group_columns(packed)
    scale, zero = (part.T.repeat_interleave(grouped.group_size, 1) for part in grouped.constants().unbind(-1))
    weight = (grouped.codes - 8) * scale.float() + zero.float()
    if grouped.order is not None:
        weight = torch.empty_like(weight).index_copy_(1, grouped.order, weight)
    reference = GptqLinear(packed).dequantized()
    assert relative(weight, reference) <= 2**-8
    assert (grouped.order is None) == (not act_order or group == -1)


def cpu_operators():
    layout = learn_layout()

    def unpack(packed):
        tiles = unpack_cpu_tiles(packed, layout)
        return tiles.transpose(1, 2).reshape(-1, tiles.shape[1])

    return Int4Operators(pack_codes, unpack, multiply)


@needs_kernel
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**31), columns=st.integers(1, 4), tiles=st.integers(1, 4),
    group=st.sampled_from([32, 64, 128, -1]), act_order=st.booleans(), sym=st.booleans(), bias=st.booleans(),
)  # fmt: skip
def test_the_layer_agrees_with_the_reference(seed, columns, tiles, group, act_order, sym, bias):
    packed, inputs, offset = layer(seed, columns * 128, tiles * 64, group, act_order=act_order, sym=sym)
    offset = offset if bias else None
    expected = GptqLinear(packed, offset)(inputs)
    fast = Int4Linear(group_columns(packed), cpu_operators(), offset)
    for longest in (inputs.shape[0], 0):
        fast.longest_packed = longest
        assert relative(fast(inputs), expected) <= 1e-2
        assert relative(fast(inputs.bfloat16()), expected) <= 1e-2
        assert fast(inputs.bfloat16()).dtype == BF16


@needs_kernel
def test_a_wide_layer_is_dequantized_in_pieces_that_join(monkeypatch):
    packed, inputs, _ = layer(1, 128, 320, 64)
    fast = Int4Linear(group_columns(packed), cpu_operators())
    fast.longest_packed = 0
    whole = fast(inputs)
    monkeypatch.setattr(cuda, "DEQUANTIZED_ELEMENTS", 128 * 128)
    assert len(list(fast._pieces(fast.operators.unpack))) == 3
    assert relative(fast(inputs), whole) <= 1e-6


@needs_kernel
def test_a_model_of_such_layers_computes_what_the_reference_computes(tmp_path):
    """Short and long inputs, projections joined one by one as on a card, and what stays in memory."""
    config = {**llama_config(128, 256, 2, 4, 259), "num_key_value_heads": 2}
    checkpoint = open_checkpoint(make_random_llama(tmp_path / "m", config, Quantization(group_size=32)))
    exact = load_model(checkpoint, LoadOptions(dtype="float32", kernels="reference"))
    near = load_model(checkpoint)
    for name in checkpoint.quantized_layers:
        packed = group_columns(checkpoint.packed(name))
        near.module.set_submodule(name, Int4Linear(packed, cpu_operators()))
    for block in near.module.model.layers:
        del block.self_attn.fused, block.mlp.fused
    ids = torch.randint(3, 200, (cuda.LONGEST_INT4_INPUT + 20,), generator=torch.Generator().manual_seed(0))
    logits = []
    for model in (exact, near):
        decoder = Decoder(model)
        cache = decoder.new_cache(len(ids) + 1)
        logits.append((decoder.logits(ids, cache), decoder.logits(ids[:1], cache)))
    for expected, found in zip(*logits, strict=True):
        assert relative(found, expected) < 0.05
    assert near.resident_bytes < 0.7 * 2 * sum(one.numel() for one in build_empty(config).parameters())


@needs_kernel
def test_without_a_known_layout_long_inputs_go_through_the_kernel():
    packed, inputs, _ = layer(2, 128, 64, 64)
    own = cpu_operators()
    fast = Int4Linear(group_columns(packed), Int4Operators(own.pack, None, own.multiply))
    fast.longest_packed = 0
    assert relative(fast(inputs), GptqLinear(packed)(inputs)) <= 1e-2


def as_cuda_packs(codes, tiles):
    """matrix_to_m16n8k16_Bint4_layout of int4mm.cu, thread by thread: [n/8][k/(16·tiles)][32][tiles/2]."""
    halves = two_a_byte(codes).long()
    rows, columns = codes.shape
    packed = torch.zeros(rows // 8, columns // (16 * tiles), 32, tiles // 2, dtype=torch.int64)
    for outer in range(packed.shape[1]):
        for thread in range(32):
            for inner in range(0, tiles, 2):
                base = (outer * tiles + inner) * 8 + thread % 4
                v = [halves[thread // 4 :: 8, base + step] for step in (0, 4, 8, 12)]
                word = sum((v[i] & 15) << (16 + 4 * i) | (v[i] >> 4) << (4 * i) for i in range(4))
                packed[:, outer, thread, inner // 2] = word
    return packed.to(torch.int32)


@pytest.mark.parametrize("tiles", [2, 4, 8])
def test_cudas_layout_is_learned_and_read_back(tiles):
    codes = torch.randint(0, 16, (24, 48 * tiles), generator=torch.Generator().manual_seed(tiles))
    places = places_of(lambda probe: as_cuda_packs(probe, tiles), tiles)
    assert torch.equal(unpack_tiles(as_cuda_packs(codes, tiles), places).long(), codes)


def test_a_layout_of_another_form_is_not_read():
    """Tiles in another order, as a card of another make might have them."""
    assert places_of(lambda probe: as_cuda_packs(probe, 4).flip(0), 4) is None
    assert places_of(lambda probe: as_cuda_packs(probe, 2), 4) is None


def test_two_codes_a_byte_have_the_even_column_above():
    assert two_a_byte(torch.tensor([[1, 2, 15, 0]])).tolist() == [[0x12, 0xF0]]


@pytest.mark.parametrize(("inputs", "tiles"), [(512, 8), (576, 4), (96, 2)])
def test_cudas_operators_take_what_the_layer_gives_them(inputs, tiles):
    """PyTorch's own checks of types and dimensions, on tensors without contents."""
    packed, _, bias = layer(3, inputs, 64, 32)
    grouped = group_columns(packed)
    operators = Int4Operators(lambda codes: pack_for_cuda(codes, tiles), None, multiply_on_cuda)
    with FakeTensorMode(allow_non_fake_inputs=True):
        one = Int4Linear(grouped, operators, bias)
        product = one(torch.empty(5, inputs, dtype=BF16))
    assert (one.codes.shape, one.codes.dtype) == ((8, inputs // (16 * tiles), 32, tiles // 2), torch.int32)
    assert (product.shape, product.dtype) == ((5, 64), BF16)


def test_columns_that_fill_no_tile_are_refused():
    with pytest.raises(ValueError, match="48 columns"):
        cuda_operators(48, torch.device("cpu"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no card is here")
@pytest.mark.parametrize("rows", [1, 17, 300])
@pytest.mark.parametrize("act_order", [True, False])
def test_on_a_card_the_layer_agrees_with_the_reference(rows, act_order):
    device = torch.device("cuda")
    packed, _, _ = layer(4, 1024, 512, 128, act_order=act_order)
    inputs = torch.randn(rows, 1024, generator=torch.Generator().manual_seed(5))
    found = gptq_linear(packed, None, device).layer(inputs.to(device, BF16))
    assert relative(found.cpu(), GptqLinear(packed)(inputs)) <= 1e-2
