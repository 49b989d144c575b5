"""docs/quality.md is made by one command: marks judged by it, prose left alone, finished figures kept."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ragqa.evaluation.bootstrap import Estimate

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def rows() -> ModuleType:
    spec = importlib.util.spec_from_file_location("quality_page", BENCHMARKS / "quality_page.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["quality_page"] = module
    spec.loader.exec_module(module)
    return module


def figures(metric: str, odd: list[float], even: list[float]) -> dict[str, object]:
    """Figures as they are kept: values by question, those of the odd half named."""
    values = [*odd, *even]
    mean = sum(values) / len(values)
    return {
        "model": "",
        "metrics": {metric: {"value": mean, "low": mean, "high": mean, "n": len(values)}},
        "questions": [{"id": str(number), metric: value} for number, value in enumerate(values)],
        "odd": [str(number) for number in range(len(odd))],
    }


def test_a_relative_mark_stands_on_the_best_single_retriever_of_the_same_half(rows: ModuleType) -> None:
    measured = {
        ("scifact", "retrieval"): figures("ndcg@10", [0.7, 0.7], [0.1]),
        ("scifact", "dense"): figures("ndcg@10", [0.6, 0.6], [0.9]),
        ("scifact", "lexical"): figures("ndcg@10", [0.62, 0.68], [0.0]),
    }
    fused, dense, lexical = rows.retrieval_lines(rows.ROWS[0], measured)
    assert (
        "| 0.700 (0.700 to 0.700) | 2 | 0.500 (n = 3) | 0.710 (best of dense and lexical + 0.06) |" in fused
    )
    assert fused.endswith("| missed |")
    assert "dense alone | 0.600" in dense
    assert "lexical alone | 0.650" in lexical


@pytest.mark.parametrize(
    ("estimate", "mark", "words"),
    [
        (Estimate(0.65, 0.6, 0.7, 9), 0.65, "met"),
        (Estimate(0.6496, 0.6, 0.7, 9), 0.65, "met"),
        (Estimate(0.64, 0.6, 0.7, 9), 0.65, "missed, the mark within its interval"),
        (Estimate(0.5, 0.4, 0.6, 9), 0.65, "missed"),
        (Estimate(0.5, 0.4, 0.6, 9), None, ""),
    ],
)
def test_a_verdict_is_of_the_figures_as_printed(
    rows: ModuleType, estimate: Estimate, mark: float | None, words: str
) -> None:
    assert rows.verdict(estimate, mark) == words


DOCUMENTS = {
    "Mill": "The tide mill at Brae grinds oats twice a day. Its wheel has forty paddles of larch.",
    "The lamp store": "The lamp store holds paraffin. Lamps are trimmed by the night watch at ten.",
    "Ropes": "The rope walk is ninety metres long. Hemp was spun there until the fire of 1911.",
}
QUESTIONS = (
    ("How many paddles has the wheel of the tide mill?", "Mill", "forty paddles"),
    ("Who trims the lamps?", "The lamp store", "Lamps are trimmed by the night watch"),
    ("How long is the rope walk?", "Ropes", "The rope walk is ninety metres long."),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sets that holds one of those on the page, in small."""
    folder = tmp_path_factory.mktemp("sets") / "eval" / "clapnq"
    folder.mkdir(parents=True)
    documents = [{"id": name, "title": name, "text": text} for name, text in DOCUMENTS.items()]
    questions = [
        {
            "id": f"q{number}{copy}",
            "question": question,
            "answers": [quote],
            "gold_doc_ids": [name],
            "evidence": [{"doc_id": name, "quotes": [quote]}],
        }
        for number, (question, name, quote) in enumerate(QUESTIONS)
        for copy in "ab"
    ]
    for name, records in (("documents", documents), ("questions", questions)):
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return folder.parent.parent


def run(data: Path, work: Path, page: Path, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "quality.py", "--work", work, "--page", page, *options],
        env={
            **os.environ,
            "RAGQA_EVAL_DATA": str(data),
            "RAGQA_CACHE": str(work / "no models"),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(BENCHMARKS.parent),
        },
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_the_page_is_written_between_its_marks_and_a_second_run_measures_nothing_again(
    data: Path, tmp_path: Path
) -> None:
    page, kept = tmp_path / "quality.md", tmp_path / "work" / "figures" / "clapnq-extractive.json"
    said = run(data, tmp_path / "work", page, "--only", "clapnq")
    assert "scifact, retrieval: not in" in said
    text = page.read_text(encoding="utf-8")
    assert "| clapnq | first sentence is evidence | extractive | " in text
    assert "| 0.77 | " in text
    assert "Not measured: `gptq`, " in text
    assert "| scifact | nDCG@10 | | not measured |" in text
    page.write_text(
        text.replace("# Measured quality", "# Prose before") + "\nProse behind.\n", encoding="utf-8"
    )
    record = json.loads(kept.read_text(encoding="utf-8"))
    record["value"]["metrics"]["ranked_evidence@1"]["value"] = 0.123
    kept.write_text(json.dumps(record), encoding="utf-8")
    run(data, tmp_path / "work", page, "--only", "clapnq")
    again = page.read_text(encoding="utf-8")
    assert again.startswith("# Prose before")
    assert again.endswith("\nProse behind.\n")
    assert "| clapnq | first sentence is evidence | extractive | 0.123" in again
    record["key"] = "of other code"
    kept.write_text(json.dumps(record), encoding="utf-8")
    run(data, tmp_path / "work", page, "--only", "clapnq")
    assert "extractive | 0.123" not in page.read_text(encoding="utf-8")
