"""The layer's kernels against the reference: dequantize, multiply."""

import pytest

torch = pytest.importorskip("torch", reason="the gptq extra is not installed")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from ragqa.gptq.compiled import ALONE, compiled_loops  # noqa: E402
from ragqa.gptq.embedding import StoredHead  # noqa: E402
from ragqa.gptq.int4 import learn_layout, pack_codes, unpack_tiles  # noqa: E402
from ragqa.gptq.kernels import kernel_group_size  # noqa: E402
from ragqa.gptq.linear import GptqLinear, TiledLinear, gptq_linear  # noqa: E402
from ragqa.gptq.quantization import Quantization  # noqa: E402
from ragqa.gptq.standin import random_layer  # noqa: E402
from ragqa.gptq.tiles import fuse, tile_weights  # noqa: E402

CPU = torch.device("cpu")
needs_loops = pytest.mark.skipif(compiled_loops() is None, reason="llvmlite is not installed")
needs_kernel = pytest.mark.skipif(learn_layout() is None, reason="this processor has no int4 kernel")


def layer(seed, inputs, outputs, group_size, bits=4, act_order=True, sym=False):
    draw = torch.Generator().manual_seed(seed)
    quantization = Quantization(bits=bits, group_size=group_size, desc_act=act_order, sym=sym)
    order = torch.randperm(inputs, generator=draw)
    packed = random_layer(inputs, outputs, quantization, draw, order)
    return packed, torch.randn(17, inputs, generator=draw), torch.randn(outputs, generator=draw)


def relative(found, expected):
    return float((found.float() - expected.float()).norm() / expected.float().norm())


@needs_kernel
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    columns=st.integers(1, 4),
    tiles=st.integers(1, 4),
    group=st.sampled_from([32, 64, 128, -1]),
    act_order=st.booleans(),
    sym=st.booleans(),
    bias=st.booleans(),
)
def test_kernels_agree_with_the_reference(seed, columns, tiles, group, act_order, sym, bias):
    """Relative error at most 1e-2 through torch's bf16 kernel, 1e-5 compiled or dequantized in fp32."""
    packed, inputs, offset = layer(seed, columns * 128, tiles * 64, group, act_order=act_order, sym=sym)
    offset = offset if bias else None
    reference = GptqLinear(packed, offset)
    for loops in (None, compiled_loops()):
        fast = TiledLinear(tile_weights(packed), offset, loops=loops)
        fast.longest_packed = inputs.shape[0]
        assert relative(fast(inputs), reference(inputs)) <= (1e-2 if loops is None else 1e-5)
        fast.longest_packed = 0
        assert relative(fast(inputs), reference(inputs)) <= 1e-5
        assert torch.equal(fast.dequantized(), reference.dequantized())


@needs_loops
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31), columns=st.integers(1, 4), tiles=st.integers(1, 4), act_order=st.booleans()
)
def test_compiled_dequantizing_is_that_of_torch_to_the_bit(seed, columns, tiles, act_order):
    """In bf16 too: rounded once, to even, from the product in fp32."""
    packed, _, _ = layer(seed, columns * 128, tiles * 64, 64, act_order=act_order)
    weights = tile_weights(packed)
    expected = torch.empty(weights.inputs, weights.outputs)
    found = torch.empty_like(expected)
    weights.dequantize_into(expected)
    compiled_loops().dequantize_into(found, weights)
    assert torch.equal(found, expected)
    narrow = torch.empty_like(found, dtype=torch.bfloat16)
    compiled_loops().dequantize_into(narrow, weights)
    assert torch.equal(narrow, expected.to(torch.bfloat16))


@needs_loops
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("width", [96, 72])
def test_heads_give_the_logits_of_their_table(dtype, width):
    """72 columns are no whole step of the compiled loop."""
    draw = torch.Generator().manual_seed(8)
    table, hidden = torch.randn(333, width, generator=draw).to(dtype), torch.randn(2, width, generator=draw)
    table[0, 0] = 1e-7  # the smallest half floats are denormal
    head = StoredHead(table)
    for states in (hidden, hidden[:1]):
        assert relative(head(states), states @ table.float().T) <= 1e-6


@needs_loops
@pytest.mark.parametrize(("heads", "shared", "size", "begin", "end"), [
    (9, 3, 64, 0, 1), (9, 3, 64, 0, 77), (4, 4, 32, 10, 33), (8, 2, 128, 0, 96),
])  # fmt: skip
def test_attention_of_one_token_is_that_of_torch(heads, shared, size, begin, end):
    """In float64 over the same bf16 cache; the token's own keys and values are rounded as torch does."""
    draw = torch.Generator().manual_seed(heads)
    keys, values = torch.randn(2, shared, 100, size, generator=draw).bfloat16()
    mixed = torch.randn(heads + 2 * shared, size, generator=draw)
    cosine, sine = torch.randn(2, size, generator=draw)
    turned = torch.addcmul(mixed * cosine, mixed.roll(size // 2, -1), sine)
    past, seen = keys.clone(), values.clone()
    past[:, end - 1], seen[:, end - 1] = turned[heads:-shared].bfloat16(), mixed[-shared:].bfloat16()
    queries = turned[:heads].double().view(1, shared, heads // shared, size)
    expected = torch.nn.functional.scaled_dot_product_attention(
        queries, past[None, :, begin:end].double(), seen[None, :, begin:end].double()
    )
    found = compiled_loops().attend(mixed, (cosine, sine), keys, values, begin, end)
    assert relative(found, expected.reshape(1, -1)) <= 2e-6
    assert torch.equal(keys, past)
    assert torch.equal(values, seen)


@needs_loops
def test_several_threads_give_what_one_gives():
    packed, inputs, _ = layer(9, 1024, 4 * ALONE // 1024 // 64 * 64 + 64, 128)
    fast = gptq_linear(packed, None, CPU).layer
    fast.longest_packed = 1
    torch.set_num_threads(1)
    expected = [fast(inputs[:1]), fast(inputs)]
    torch.set_num_threads(3)
    try:
        found = [fast(inputs[:1]), fast(inputs)]
    finally:
        torch.set_num_threads(1)
    assert torch.equal(found[0], expected[0])
    assert relative(found[1], expected[1]) <= 1e-6


@needs_kernel
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_come_back_as_they_went_in(dtype):
    packed, inputs, _ = layer(1, 256, 128, 64)
    expected = GptqLinear(packed)(inputs)
    fast = gptq_linear(packed, None, CPU).layer
    for longest in (0, 64):
        fast.longest_packed = longest
        product = fast(inputs.to(dtype))
        assert product.dtype == dtype
        assert relative(product, expected) <= 1e-2


@pytest.mark.parametrize(("inputs", "outputs", "group", "bits"), [
    (256, 64, 128, 8),   # eight bits
    (96, 64, 48, 4),     # a group the kernel does not take
    (128, 24, 64, 4),    # outputs that fill no tile
])  # fmt: skip
def test_what_the_kernel_cannot_serve_falls_back_to_the_reference(inputs, outputs, group, bits):
    packed, states, _ = layer(2, inputs, outputs, group, bits)
    assert tile_weights(packed) is None
    fallback = gptq_linear(packed, None, CPU).layer
    assert isinstance(fallback, GptqLinear)
    expected = states @ fallback.dequantized().T
    assert torch.allclose(fallback(states), expected, atol=1e-5)


@needs_kernel
def test_uneven_groups_fall_back_to_the_reference():
    packed, _, _ = layer(3, 128, 64, 64)
    packed.g_idx[int((packed.g_idx == 0).nonzero()[0])] = 1
    assert tile_weights(packed) is None


@needs_kernel
def test_the_learned_layout_unpacks_what_was_packed():
    layout = learn_layout()
    codes = torch.randint(0, 16, (layout.rows * 3, 64), generator=torch.Generator().manual_seed(4))
    tiles = unpack_tiles(pack_codes(codes), layout)
    assert torch.equal(tiles.transpose(1, 2).reshape(codes.shape).long(), codes)


@needs_kernel
def test_long_inputs_are_dequantized_in_pieces_that_join():
    """A layer wider than one piece: the borders fall on whole tiles and none is left out."""
    packed, inputs, _ = layer(5, 2048, 1088, 128)
    fast = gptq_linear(packed, None, CPU, "reference").layer
    assert relative(fast(inputs), GptqLinear(packed)(inputs)) <= 1e-5


@needs_kernel
def test_fused_projections_give_each_parts_output_from_shared_memory():
    draw = torch.Generator().manual_seed(6)
    order = torch.randperm(128, generator=draw)
    parts = [random_layer(128, size, Quantization(group_size=64), draw, order) for size in (128, 64, 64)]
    whole = fuse([tile_weights(part) for part in parts])
    inputs = torch.randn(3, 128, generator=draw)
    together = TiledLinear(whole, None, "reference")(inputs).split((128, 64, 64), dim=1)
    for part, found in zip(parts, together, strict=True):
        assert relative(found, GptqLinear(part)(inputs)) <= 1e-5
    view = whole.rows(128, 192)
    assert view.codes.untyped_storage().data_ptr() == whole.codes.untyped_storage().data_ptr()
    assert relative(TiledLinear(view)(inputs), GptqLinear(parts[1])(inputs)) <= 1e-2


@needs_kernel
def test_layers_of_different_order_are_not_fused():
    draw = torch.Generator().manual_seed(7)
    parts = [
        tile_weights(
            random_layer(128, 64, Quantization(group_size=64), draw, torch.randperm(128, generator=draw))
        )
        for _ in range(2)
    ]
    assert fuse(parts) is None


@pytest.mark.parametrize(("group", "expected"), [(64, 64), (512, 256), (96, 32), (576, 64), (50, None)])
def test_the_kernels_group_size_divides_the_layers(group, expected):
    assert kernel_group_size(group) == expected
