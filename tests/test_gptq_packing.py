"""The AutoGPTQ v1 layout: what goes in comes out, and the bits lie where the format's readers look."""

import pytest

torch = pytest.importorskip("torch", reason="the gptq extra is not installed")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from ragqa.gptq.packing import dequantize, pack, unpack  # noqa: E402


def random_layer(seed: int, bits: int, groups: int, inputs: int, outputs: int):
    draw = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, 2**bits, (inputs, outputs), generator=draw)
    zeros = torch.randint(0, 2**bits, (groups, outputs), generator=draw)
    scales = torch.rand(groups, outputs, generator=draw).half() + 0.01
    g_idx = torch.randint(0, groups, (inputs,), generator=draw)
    return codes, zeros, scales, g_idx


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    bits=st.sampled_from([4, 8]),
    groups=st.integers(1, 5),
    inputs=st.integers(1, 9),
    outputs=st.integers(1, 9),
)
def test_unpack_gives_back_what_was_packed(seed, bits, groups, inputs, outputs):
    codes, zeros, scales, g_idx = random_layer(seed, bits, groups, inputs * 8, outputs * 8)
    packed = pack(codes, zeros, scales, g_idx, bits)
    again, zeros_again = unpack(packed)
    assert torch.equal(again.long(), codes)
    assert torch.equal(zeros_again.long(), zeros)


def test_bits_lie_where_autogptq_reads_them():
    """qweight packs eight inputs to a word, lowest first; qzeros packs eight outputs, minus one."""
    codes = (torch.arange(8) + 1).reshape(8, 1).repeat(1, 8)
    zeros = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 0]])
    packed = pack(codes, zeros, torch.ones(1, 8), torch.zeros(8, dtype=torch.long), 4)
    assert packed.qweight.shape == (1, 8)
    assert packed.qweight[0, 0].item() & 0xFFFFFFFF == 0x87654321
    assert packed.qzeros.shape == (1, 1)
    assert packed.qzeros[0, 0].item() & 0xFFFFFFFF == 0xF6543210
    assert packed.scales.dtype == torch.float16
    assert packed.g_idx.dtype == torch.int32


def test_dequantize_follows_the_formula_by_column_group():
    codes, zeros, scales, g_idx = random_layer(3, 4, 3, 16, 8)
    weight = dequantize(pack(codes, zeros, scales, g_idx, 4))
    for o in range(8):
        for i in range(16):
            g = int(g_idx[i])
            assert weight[o, i].item() == (codes[i, o] - zeros[g, o]).item() * scales[g, o].item()


@pytest.mark.parametrize(
    ("bits", "change"), [(3, {}), (4, {"codes": 16}), (4, {"g_idx": 2}), (4, {"zeros": -1})]
)
def test_values_the_format_cannot_hold_are_refused(bits, change):
    layer = dict(zip(("codes", "zeros", "scales", "g_idx"), random_layer(1, 4, 2, 8, 8), strict=True))
    for name, value in change.items():
        layer[name].view(-1)[0] = value
    with pytest.raises(ValueError, match=r"bits|must lie"):
        pack(layer["codes"], layer["zeros"], layer["scales"], layer["g_idx"], bits)
