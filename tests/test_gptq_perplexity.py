"""Perplexity by context length: chunked as in one pass, in little memory, and shown as it was measured."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from ragqa.errors import RagqaError
from ragqa.gptq.dense import load_any, load_tokenizer
from ragqa.gptq.model import LoadOptions
from ragqa.gptq.perplexity import (
    HEAD_ROWS,
    TAIL,
    Curve,
    PerplexityOptions,
    Point,
    as_json,
    perplexity,
    points_of,
    spread_windows,
    table,
    token_losses,
    write_plot,
)
from ragqa.gptq.quantize import QuantizeOptions, quantize
from ragqa.models import measure_curves
from tests.gptq_models import TEXT, make_dense

torch.set_num_threads(1)
IDS = [5, *torch.randint(3, 259, (399,), generator=torch.Generator().manual_seed(0)).tolist()]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("models")
    dense = make_dense(home / "dense")
    (home / "text.txt").write_text(TEXT)
    options = QuantizeOptions(group_size=32, calibration=home / "text.txt", samples=2, sample_tokens=128)
    quantize(dense, home / "gptq", options)
    return {"dense": dense, "gptq": home / "gptq"}


def full_pass(module: Any, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        logits = module(torch.tensor([ids])).logits[0, :-1].double()
    return torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="none")


@pytest.mark.parametrize("kind", ["dense", "gptq"])
@pytest.mark.parametrize("chunk", [7, 64, 399, 1000])
def test_chunks_give_what_one_full_pass_gives(folders: dict[str, Path], kind: str, chunk: int) -> None:
    module = load_any(folders[kind], LoadOptions(dtype="float32", kernels="reference")).module
    wanted = full_pass(module, IDS)
    found = token_losses(module, IDS, chunk)
    assert found.shape == (399,)
    assert float((found - wanted).abs().max()) < 1e-4
    for point in perplexity(module, IDS, PerplexityOptions((2, 64, 400), chunk)):
        assert math.log(point.perplexity) == pytest.approx(float(wanted[: point.length - 1].mean()), abs=1e-4)


def test_a_length_counts_its_own_tokens_only_and_the_tail_its_last_ones() -> None:
    losses = torch.arange(1, 4000, dtype=torch.float64) / 1000
    short, long = points_of(losses, (512, 4000))
    assert math.log(short.perplexity) == pytest.approx(float(losses[:511].mean()))
    assert short.tail == short.perplexity
    assert math.log(long.tail) == pytest.approx(float(losses[-TAIL:].mean()))
    assert math.isinf(points_of(losses * 1000, (4000,))[0].perplexity)


def test_never_more_logits_at_once_than_the_head_is_given(folders: dict[str, Path]) -> None:
    module = load_any(folders["dense"]).module
    rows: list[int] = []
    module.lm_head.register_forward_pre_hook(lambda _module, inputs: rows.append(inputs[0].shape[0]))
    token_losses(module, IDS, 300)
    assert sum(rows) == 399
    assert max(rows) <= HEAD_ROWS


def test_the_rope_factor_reaches_the_curve(folders: dict[str, Path]) -> None:
    named, ticks = [(str(folders["dense"]), factor) for factor in (None, 4.0)], []
    text, options = folders["dense"].parent / "text.txt", PerplexityOptions((400,))
    plain, scaled = measure_curves(named, text, options, lambda *one: ticks.append(one))
    assert (plain.rope_factor, scaled.rope_factor) == (1.0, 4.0)
    assert plain.points != scaled.points
    assert scaled.peak_memory > 10**6
    assert ticks == [(named[0][0], 399, 399), (f"{named[0][0]}@4", 399, 399)]


@pytest.mark.parametrize("lengths", [(), (1, 64), (401,)])
def test_lengths_that_cannot_be_measured_are_errors(
    folders: dict[str, Path], lengths: tuple[int, ...]
) -> None:
    with pytest.raises(RagqaError, match="length"):
        perplexity(load_any(folders["dense"]).module, IDS, PerplexityOptions(lengths))


def test_full_and_quantized_folders_give_the_same_tokens(folders: dict[str, Path]) -> None:
    full, quantized = (load_tokenizer(folders[kind])(TEXT)["input_ids"] for kind in ("dense", "gptq"))
    assert full == quantized


CURVES = (
    Curve("small", 1.0, (Point(64, 30.0, 30.0), Point(2048, 1234.5, math.inf)), 1.5, 2**30),
    Curve(
        "small", 2.0, (Point(64, 40.0, 40.0), Point(2048, 25.25, 24.0), Point(4096, 24.0, 23.0)), 2.0, 2**30
    ),
)


def test_the_table_has_a_row_a_length_and_says_the_factor() -> None:
    assert table(CURVES).splitlines() == [
        "| context | small | last 1,024 | small ×2 | last 1,024 |",
        "|---:|---:|---:|---:|---:|",
        "| 64 | 30.00 | 30.00 | 40.00 | 40.00 |",
        "| 2048 | 1234 | very big | 25.25 | 24.00 |",
        "| 4096 |  |  | 24.00 | 23.00 |",
    ]


def test_the_json_is_json_whatever_the_values() -> None:
    value = json.loads(as_json(CURVES))
    assert value["schema_version"] == 1
    assert value["models"][0]["points"][1] == {"length": 2048, "perplexity": 1234.5, "last_1024": None}
    assert value["models"][1]["rope_factor"] == 2.0


def test_the_plot_is_a_small_png(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="no matplotlib: the extra plot")
    write_plot(CURVES, tmp_path / "curves.png")
    data = (tmp_path / "curves.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) < 100_000


def test_windows_are_spread_from_beginning_to_end_and_their_losses_averaged(
    folders: dict[str, Path],
) -> None:
    assert [list(window) for window in spread_windows(range(10), 4, 3)] == [
        [0, 1, 2, 3],
        [3, 4, 5, 6],
        [6, 7, 8, 9],
    ]
    assert [list(window) for window in spread_windows(range(10), 4, 1)] == [[0, 1, 2, 3]]
    module = load_any(folders["dense"]).module
    seen: list[tuple[int, int]] = []
    options = PerplexityOptions((64, 128), windows=2)
    points = perplexity(module, IDS, options, lambda done, total: seen.append((done, total)))
    first, last = token_losses(module, IDS[:128]), token_losses(module, IDS[-128:])
    for point in points:
        ends = float(torch.cat([first[: point.length - 1], last[: point.length - 1]]).mean())
        assert math.log(point.perplexity) == pytest.approx(ends)
    assert seen == [(127, 254), (254, 254)]
