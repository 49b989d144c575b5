"""Quality is a gate: figures on a fixed part of the sample corpus may not fall below those committed.

Where a change means to move them, `make baseline` writes `sample_baseline.json` anew (tests/gate.py says of
what), to be committed with the change.
"""

import json
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.gate import BASELINE, QUESTIONS, make_gate


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The index and the questions of the gate."""
    return make_gate(tmp_path_factory.mktemp("gate"))


def test_no_figure_of_the_sample_is_worse_than_the_committed_one(gate: tuple[Path, Path], ragqa: Run) -> None:
    index, questions = gate
    done = ragqa(
        "eval",
        questions,
        "--index",
        index,
        "--engine",
        "extractive",
        "--baseline",
        BASELINE,
        cwd=index.parent,
    )
    assert done.returncode == 0, done.stderr
    assert "| evidence@1 |" in done.stdout
    assert "| ranked_evidence@3 |" in done.stderr
    asked = json.loads(BASELINE.read_text(encoding="utf-8"))["questions"]
    assert len(asked) == QUESTIONS


def test_a_figure_that_fell_ends_with_7_and_is_named_there_and_on_the_page(
    gate: tuple[Path, Path], ragqa: Run, tmp_path: Path
) -> None:
    index, questions = gate
    better = json.loads(BASELINE.read_text(encoding="utf-8"))
    answerable = [row for row in better["questions"] if "ndcg@10" in row]
    for row in answerable:
        row["ndcg@10"] = 1.0
    before = tmp_path / "before.json"
    before.write_text(json.dumps(better), encoding="utf-8")
    page = tmp_path / "page.html"
    options = ("--index", index, "--baseline", before, "--html", page, "--json")
    done = ragqa("eval", questions, *options, cwd=index.parent)
    assert done.returncode == 7
    assert "worse" in done.stderr
    assert f"Worse than {before}" in done.stderr
    assert set(json.loads(done.stdout)["metrics"]) >= {"ndcg@10", "recall@5"}
    assert '<td class="worse">' in page.read_text(encoding="utf-8")
