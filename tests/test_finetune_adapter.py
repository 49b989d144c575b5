"""A scaled base and the adapter beside it: frozen in few bits, merged, the model's outputs stay."""

import pytest

from ragqa.errors import CheckpointError
from ragqa.gptq.finetune.rows import ChatEncoder, question_row
from tests.finetune_support import GROUP, make_base, make_tokenizer

torch = pytest.importorskip("torch")

from ragqa.gptq.finetune.base import load_base  # noqa: E402
from ragqa.gptq.finetune.frozen import FrozenLinear, freeze_in_bits  # noqa: E402
from ragqa.gptq.finetune.lora import adapter_tensors, add_adapter, merge_adapter  # noqa: E402
from ragqa.gptq.finetune.loss import backward  # noqa: E402

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("base"))


def test_a_frozen_base_in_four_bits_gives_the_gradients_of_the_weights_it_stands_for(base):
    packed, _ = load_base(base, 2.0)
    dense, _ = load_base(base, 2.0)
    freeze_in_bits(packed, 4, 32)
    for name, part in packed.named_modules():
        if isinstance(part, FrozenLinear):
            dense.get_submodule(name).weight.data = part.packed.dequantized()
    row = question_row(GROUP, ChatEncoder(make_tokenizer()))
    gradients = []
    for model in (packed, dense):
        add_adapter(model, 4, 8.0, seed=1)
        for tensor in adapter_tensors(model).values():
            torch.nn.init.normal_(tensor, std=0.1, generator=torch.Generator().manual_seed(1))
        backward(model, row, row.weight, CPU)
        gradients.append({name: tensor.grad for name, tensor in adapter_tensors(model).items()})
    for name, gradient in gradients[1].items():
        torch.testing.assert_close(gradients[0][name], gradient)
    with pytest.raises(CheckpointError, match="full-precision"):
        merge_adapter(packed)


def test_merging_an_adapter_changes_no_output(base):
    model, _ = load_base(base, factor=2.0)
    add_adapter(model, rank=4, alpha=8.0, seed=3)
    for tensor in adapter_tensors(model).values():
        torch.nn.init.normal_(tensor, std=0.1)
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        before = model(ids).logits
        merge_adapter(model)
        torch.testing.assert_close(model(ids).logits, before, rtol=1e-4, atol=1e-4)


def test_positions_are_scaled(base):
    plain, _ = load_base(base, factor=1.0)
    scaled, _ = load_base(base, factor=2.0)
    assert torch.equal(scaled.model.rotary_emb.inv_freq, plain.model.rotary_emb.inv_freq / 2)
