"""The part of the sample corpus that is a gate: its files of plain text, and questions of the report split.

`python -m tests.gate` (or `make baseline`) writes `sample_baseline.json` anew: after a change that is meant
to move figures, once docs/quality.md says where it moved them.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

from ingest.pipeline import IngestOptions, ingest_paths
from ragqa.contract import dumps
from ragqa.evaluation.report import report_json
from ragqa.evaluation.suite import EvalOptions, measure_set
from ragqa.wiring import EngineChoice

BASELINE = Path(__file__).parent / "sample_baseline.json"
SAMPLE = Path(__file__).parent.parent / "data"
FORMATS = frozenset({".md", ".txt", ".html", ".csv", ".eml"})
QUESTIONS = 20


def make_gate(folder: Path) -> tuple[Path, Path]:
    """The index of the plain documents, and the file of their questions, both under `folder`."""
    documents = SAMPLE / "documents"
    for path in sorted(documents.rglob("*")):
        if path.suffix in FORMATS:
            copy = folder / "documents" / path.relative_to(documents)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    report = ingest_paths([folder / "documents"], folder / ".ragqa", IngestOptions(workers=0))
    assert not report.failed
    lines = (SAMPLE / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    asked = [line for line in lines if is_asked(json.loads(line))]
    # From all over the file, in which the unanswerable ones stand last.
    chosen = [asked[number * len(asked) // QUESTIONS] for number in range(QUESTIONS)]
    questions = folder / "questions.jsonl"
    questions.write_text("\n".join(chosen), encoding="utf-8")
    return folder / ".ragqa", questions


def is_asked(record: dict) -> bool:
    """Of the split that nothing was fitted on, and about documents that are in the gate."""
    about = record["gold_doc_ids"] or [record["meta"].get("nearest_doc") or "none.md"]
    return record["meta"]["split"] == "report" and all(Path(one).suffix in FORMATS for one in about)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        index, questions = make_gate(Path(folder))
        options = EvalOptions(engine=EngineChoice("extractive"))
        report = report_json(measure_set(str(questions), index, options, lambda *_: None))
    report["questions"] = [
        {name: value for name, value in row.items() if not name.endswith("_per_question")}
        for row in report["questions"]
    ]
    BASELINE.write_text(dumps(report) + "\n", encoding="utf-8")
    sys.stdout.write(f"Wrote {BASELINE}.\n")


if __name__ == "__main__":
    main()
