"""Quality is a gate: figures on a fixed part of the sample corpus may not fall below those committed.

Where a change means to move them, `make baseline` writes `sample_baseline.json` anew (tests/gate.py says of
what), to be committed with the change.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gate import BASELINE, QUESTIONS, make_gate


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The index and the questions of the gate."""
    return make_gate(tmp_path_factory.mktemp("gate"))


def evaluate(
    gate: tuple[Path, Path], baseline: Path, *options: str | Path
) -> subprocess.CompletedProcess[str]:
    """`ragqa eval` as people run it; a machine with other work may take minutes for the seconds it needs."""
    index, questions = gate
    command = [sys.executable, "-m", "ragqa", "eval", questions, "--index", index, "--baseline", baseline]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, *options],
        cwd=index.parent,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=570,
    )


def test_no_figure_of_the_sample_is_worse_than_the_committed_one(gate: tuple[Path, Path]) -> None:
    done = evaluate(gate, BASELINE, "--engine", "extractive")
    assert done.returncode == 0, done.stderr
    assert "| evidence@1 |" in done.stdout
    assert "| ranked_evidence@3 |" in done.stderr
    asked = json.loads(BASELINE.read_text(encoding="utf-8"))["questions"]
    assert len(asked) == QUESTIONS


def test_a_figure_that_fell_ends_with_7_and_is_named_there_and_on_the_page(
    gate: tuple[Path, Path], tmp_path: Path
) -> None:
    better = json.loads(BASELINE.read_text(encoding="utf-8"))
    answerable = [row for row in better["questions"] if "ndcg@10" in row]
    for row in answerable:
        row["ndcg@10"] = 1.0
    before = tmp_path / "before.json"
    before.write_text(json.dumps(better), encoding="utf-8")
    page = tmp_path / "page.html"
    done = evaluate(gate, before, "--html", page, "--json")
    assert done.returncode == 7
    assert "worse" in done.stderr
    assert f"Worse than {before}" in done.stderr
    assert set(json.loads(done.stdout)["metrics"]) >= {"ndcg@10", "recall@5"}
    assert '<td class="worse">' in page.read_text(encoding="utf-8")
