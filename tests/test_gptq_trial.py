"""A wrong kernel never answers: it is found out when the layer is built, by the reference, and named once."""

import pytest

torch = pytest.importorskip("torch", reason="the gptq extra is not installed")

from torch import nn  # noqa: E402

from ragqa.gptq import linear  # noqa: E402
from ragqa.gptq.checkpoint import open_checkpoint  # noqa: E402
from ragqa.gptq.linear import GptqLinear, TiledLinear, gptq_linear  # noqa: E402
from ragqa.gptq.model import LoadOptions, load_model  # noqa: E402
from ragqa.gptq.packing import dequantize  # noqa: E402
from ragqa.gptq.quantization import Quantization  # noqa: E402
from ragqa.gptq.standin import llama_config, make_random_llama  # noqa: E402
from ragqa.gptq.trial import (  # noqa: E402
    LIMIT,
    TRIED_ROWS,
    Candidate,
    first_right,
    greatest_error,
    reference,
    warn_of,
)
from tests.test_gptq_linear import layer, needs_kernel  # noqa: E402

CPU, FP32, BF16 = torch.device("cpu"), torch.float32, torch.bfloat16


class Dense(nn.Module):
    """A foreign layer that computes by a dense weight; `spoil` may change what it gives."""

    def __init__(self, weight, spoil=lambda product: product):
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", None)
        self.spoil = spoil

    def forward(self, inputs):
        product = self.spoil(inputs @ self.weight.to(inputs.dtype).T)
        return product if self.bias is None else product + self.bias.to(inputs.dtype)


def packed_layer(**options):
    return layer(7, 256, 192, 64, **options)[0]


def candidate(packed, spoil=lambda product: product, name="the kernel"):
    return Candidate(name, lambda: Dense(dequantize(packed), spoil))


def only_long(product):
    return product * 2 if product.shape[0] == max(TRIED_ROWS) else product


def only_one(product):
    return product * 2 if product.shape[0] == 1 else product


def one_column(product):
    product[:, 17] = 0
    return product


def one_row(product):
    """Seen in no column: of 200 rows it is the smallest part."""
    if product.shape[0] == max(TRIED_ROWS):
        product[-1] *= 1.02
    return product


def nearly_one_column(product):
    """Seen in no row: of ten thousand columns it is the smallest part."""
    product[:, 17] *= 1.2
    return product


def not_a_number(product):
    product[0, 0] = float("nan")
    return product


def printing(product):
    print("a banner")
    return product


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("act_order", [True, False])
@pytest.mark.parametrize("dtype", [FP32, BF16, torch.float16])
def test_a_layer_that_computes_rightly_is_kept(bits, act_order, dtype):
    packed = packed_layer(bits=bits, act_order=act_order)
    found, refusals = first_right([candidate(packed)], packed, CPU, dtype)
    assert isinstance(found, Dense)
    assert refusals == []


@pytest.mark.parametrize("spoil", [only_long, only_one, one_column, one_row, not_a_number])
def test_a_layer_that_is_wrong_in_one_place_is_dropped(spoil):
    packed = packed_layer()
    found, (refusal,) = first_right([candidate(packed, spoil)], packed, CPU, BF16)
    assert found is None
    assert refusal.kernel == "the kernel"
    assert "against dequantized weights" in refusal.reason


@pytest.mark.parametrize(("factor", "kept"), [(1 + LIMIT * 0.9, True), (1 + LIMIT * 1.1, False)])
def test_a_layer_may_be_off_by_the_limit_and_no_more(factor, kept):
    packed = packed_layer()
    found, _ = first_right([candidate(packed, lambda product: product * factor)], packed, CPU, FP32)
    assert (found is not None) == kept


def test_one_wrong_column_of_ten_thousand_is_seen():
    packed = layer(8, 64, 16_384, 64)[0]
    assert greatest_error(Dense(dequantize(packed), nearly_one_column), packed, CPU, FP32) > LIMIT


def raising(packed):
    def spoil(product):
        raise RuntimeError("no such instruction\nand a page of code")

    return candidate(packed, spoil)


def unbuildable(_packed):
    def build():
        raise ImportError("libcuda.so")

    return Candidate("the kernel", build)


def misshapen(packed):
    return candidate(packed, lambda product: product[:, :-8])


@pytest.mark.parametrize(("made", "reason"), [
    (raising, "RuntimeError: no such instruction"), (unbuildable, "ImportError: libcuda.so"),
    (misshapen, "ValueError: the product is of shape (1, 184), not (1, 192)"),
])  # fmt: skip
def test_a_layer_that_raises_is_dropped_with_what_it_raised(made, reason):
    packed = packed_layer()
    found, (refusal,) = first_right([made(packed)], packed, CPU, BF16)
    assert found is None
    assert refusal.reason == reason


def test_the_first_right_one_is_taken_and_later_ones_are_not_built():
    packed = packed_layer()
    wrong, right = candidate(packed, one_column, "wrong"), candidate(packed, name="right")
    found, refusals = first_right([wrong, right, unbuildable(packed)], packed, CPU, BF16)
    assert found is not None
    assert [refusal.kernel for refusal in refusals] == ["wrong"]


def test_what_a_kernel_prints_is_no_answer(capsys):
    packed = packed_layer()
    found, _ = first_right([candidate(packed, printing)], packed, CPU, BF16)
    assert found is not None
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("bits", [4, 8])
def test_the_reference_is_that_of_the_whole_weight(bits, monkeypatch):
    """Dequantized in pieces: 192 outputs by 80."""
    monkeypatch.setattr("ragqa.gptq.trial.TRIED_OUTPUTS", 80)
    packed, inputs, _ = layer(9, 256, 192, 64, bits=bits)
    torch.testing.assert_close(reference(packed, inputs), GptqLinear(packed)(inputs))


def test_a_kernel_is_named_once(caplog):
    packed = packed_layer()
    candidates = [raising(packed), candidate(packed, one_column, "other")]
    warn_of(refusal for _ in range(3) for refusal in first_right(candidates, packed, CPU, BF16)[1])
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "the kernel is not used for 3 layers, which another kernel serves",
        "other is not used for 3 layers, which another kernel serves",
    ]


@pytest.fixture
def foreign(monkeypatch):
    """A package of kernels that is installed and gives the candidates it is asked to."""

    def install(*spoils):
        def candidates(packed, _device, _dtype, _left_out):
            return [candidate(packed, spoil, spoil.__name__) for spoil in spoils]

        monkeypatch.setattr(linear, "is_installed", lambda: True)
        monkeypatch.setattr(linear, "gptqmodel_candidates", candidates)

    return install


def rightly(product):
    return product


@needs_kernel
def test_a_refused_kernel_leaves_the_layer_to_our_own(foreign):
    packed = layer(1, 128, 64, 64)[0]
    foreign(one_column, one_row)
    chosen = gptq_linear(packed, None, CPU, "gptqmodel")
    assert isinstance(chosen.layer, TiledLinear)
    assert chosen.layer.longest_packed > 0
    assert [refusal.kernel for refusal in chosen.refusals] == ["one_column", "one_row"]
    narrow = layer(1, 128, 64, 64, bits=8)[0]
    assert isinstance(gptq_linear(narrow, None, CPU, "gptqmodel").layer, GptqLinear)


def test_the_bias_is_added_to_a_layer_that_was_compared_without(foreign):
    """A bias a thousand times the product would hide any error of it."""
    packed, inputs, bias = layer(1, 128, 64, 64)
    foreign(one_column, rightly)
    chosen = gptq_linear(packed, bias * 1000, CPU, "gptqmodel")
    assert isinstance(chosen.layer, Dense)
    torch.testing.assert_close(chosen.layer(inputs), GptqLinear(packed, bias * 1000)(inputs))


@pytest.mark.parametrize("kernels", ["auto", "reference"])
def test_on_a_cpu_no_foreign_kernel_is_tried_unasked(foreign, kernels):
    foreign(rightly)
    assert not isinstance(gptq_linear(packed_layer(), None, CPU, kernels).layer, Dense)


def test_loading_says_once_which_kernel_is_not_used_and_why(foreign, tmp_path, caplog):
    config = llama_config(128, 256, 2, 4, 259)
    checkpoint = open_checkpoint(make_random_llama(tmp_path / "m", config, Quantization(group_size=32)))
    foreign(one_column, rightly)
    loaded = load_model(checkpoint, LoadOptions(kernels="gptqmodel"))
    assert all(isinstance(loaded.module.get_submodule(one), Dense) for one in checkpoint.quantized_layers)
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("one_column is not used for 14 layers, which another kernel serves: relative")
