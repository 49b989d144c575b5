"""The quantizer of one matrix: the paper's definition, Hessians, act-order, damping."""

from dataclasses import replace

import pytest
import torch

from ragqa.gptq.solver import Hessian, QuantizedMatrix, Recipe, find_grid, quantize_matrix, round_to_nearest

torch.set_num_threads(1)


def correlated(inputs: int = 96, rows: int = 600, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    mix = torch.randn(inputs, inputs, generator=draw) * torch.rand(inputs, generator=draw) ** 3
    return torch.randn(rows, inputs, generator=draw) @ mix


def hessian_of(data: torch.Tensor) -> torch.Tensor:
    hessian = Hessian(data.shape[1], torch.device("cpu"))
    for part in data.split(100):
        hessian.add(part.unsqueeze(0))
    return hessian.matrix


def random_weight(outputs: int = 24, inputs: int = 96) -> torch.Tensor:
    return torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(1))


def by_definition(weight: torch.Tensor, hessian: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """The paper's algorithm without its speedups: one column after another leaves the inverse; in float64."""
    order = hessian.diagonal().argsort(descending=True, stable=True)
    if not recipe.desc_act:
        order = torch.arange(len(order))
    weight, hessian = weight.double()[:, order], hessian.double()[order][:, order]
    hessian += recipe.damp * hessian.diagonal().mean() * torch.eye(len(order))
    inverse = torch.linalg.inv(hessian)
    codes = torch.empty_like(weight)
    for column in range(len(order)):
        if column % recipe.group_size == 0:
            group = weight[:, column : column + recipe.group_size].float()
            scale, zero = find_grid(group, recipe, None)
        values = weight[:, column : column + 1]
        codes[:, column : column + 1] = ((values / scale).round() + zero).clamp(0, 2**recipe.bits - 1)
        error = (values - (codes[:, column : column + 1] - zero) * scale) / inverse[column, column]
        weight = weight - error * inverse[column]
        inverse = inverse - torch.outer(inverse[:, column], inverse[column]) / inverse[column, column]
    return codes[:, order.argsort()].T.int()


def test_the_hessian_is_two_over_n_of_the_inputs_products() -> None:
    data = correlated()
    expected = 2 / len(data) * data.double().T @ data.double()
    assert torch.allclose(hessian_of(data).double(), expected, rtol=1e-4, atol=1e-4)


def test_rows_of_greater_importance_count_by_it_and_are_quantized_better() -> None:
    data, weight = correlated(), random_weight()
    importance = torch.rand(len(data), generator=torch.Generator().manual_seed(2))
    importance[0] = 500
    weighed = Hessian(96, torch.device("cpu"))
    for part in (slice(0, 250), slice(250, 600)):
        weighed.add(data[part].unsqueeze(0), importance[part].unsqueeze(0))
    expected = 2 / len(data) * data.double().T @ (importance.double().unsqueeze(1) * data.double())
    assert torch.allclose(weighed.matrix.double(), expected, rtol=1e-4, atol=1e-3)

    def error_of_first(hessian: torch.Tensor) -> float:
        solved = quantize_matrix(weight, hessian, Recipe(group_size=32))
        groups = solved.g_idx.long()
        found = ((solved.codes - solved.zeros[groups]) * solved.scales[groups]).T
        return float((data[0] @ (found - weight).T).norm())

    assert error_of_first(weighed.matrix) < 0.3 * error_of_first(hessian_of(data))


@pytest.mark.parametrize("group_size", [16, 32, 96])
@pytest.mark.parametrize("desc_act", [True, False])
@pytest.mark.parametrize("sym", [True, False])
def test_codes_are_those_of_the_papers_definition(group_size: int, desc_act: bool, sym: bool) -> None:
    recipe = Recipe(4, group_size, desc_act, sym, clip_search=False)
    weight, hessian = random_weight(), hessian_of(correlated())
    found = quantize_matrix(weight, hessian, recipe).codes
    wanted = by_definition(weight, hessian, recipe)
    # fp32 against float64: a value on the edge of two codes may fall either way, and shifts those behind it.
    assert float((found != wanted).float().mean()) < 0.01


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, hessian = random_weight(inputs=256), hessian_of(correlated(256, 900))
    recipe = Recipe(group_size=32)
    in_blocks = quantize_matrix(weight, hessian, recipe)
    monkeypatch.setattr("ragqa.gptq.solver.BLOCK", 256)
    at_once = quantize_matrix(weight, hessian, recipe)
    assert float((in_blocks.codes != at_once.codes).float().mean()) < 0.01


@pytest.mark.parametrize("sym", [True, False])
def test_gptq_beats_rounding_and_act_order_beats_none_on_the_layers_output(sym: bool) -> None:
    data, weight = correlated(), random_weight()
    hessian, recipe = hessian_of(data), Recipe(group_size=32, sym=sym)
    wanted = data @ weight.T

    def error(quantized_by: QuantizedMatrix) -> float:
        codes, zeros, scales, index = (
            getattr(quantized_by, name) for name in ("codes", "zeros", "scales", "g_idx")
        )
        rebuilt = ((codes - zeros[index.long()]) * scales[index.long()]).T
        return float((data @ rebuilt.T - wanted).norm() / wanted.norm())

    rounded = round_to_nearest(weight, hessian, recipe)
    plain = quantize_matrix(weight, hessian, replace(recipe, desc_act=False))
    ordered = quantize_matrix(weight, hessian, recipe)
    assert error(ordered) < error(plain) < 0.8 * error(rounded)
    assert ordered.error == pytest.approx(error(ordered) ** 2, rel=0.02)


def test_scales_are_those_stored_and_zeros_are_never_zero() -> None:
    weight = random_weight().abs()  # all positive: the free zero point would be 0
    quantized = quantize_matrix(weight, hessian_of(correlated()), Recipe(group_size=32))
    assert torch.equal(quantized.scales, quantized.scales.half().float())
    assert int(quantized.zeros.min()) >= 1
    assert int(quantized.zeros.max()) <= 15


def test_act_order_quantizes_the_largest_inputs_first_and_columns_without_input_become_zero() -> None:
    data = correlated()
    data[:, 7] = 0
    data[:, 50] *= 1000
    quantized = quantize_matrix(random_weight(), hessian_of(data), Recipe(group_size=32))
    assert int(quantized.g_idx[50]) == 0
    assert int(quantized.g_idx.bincount().max()) == 32
    zeros = quantized.zeros[int(quantized.g_idx[7])]
    assert torch.equal(quantized.codes[7], zeros)


def test_a_rank_deficient_hessian_is_damped_until_it_works() -> None:
    data = torch.ones(3, 96)
    quantized = quantize_matrix(random_weight(), hessian_of(data), Recipe(group_size=32, damp=1e-9))
    assert bool(torch.isfinite(quantized.scales).all())
