"""The suite: every mark of the project against its figure, written into docs/quality.md.

    python benchmarks/quality.py [--work DIR] [--only SET] [--limit N] [--engine NAME[:MODEL]] [--keep]

Retrieval, answers and refusals on the sets under RAGQA_EVAL_DATA and on the sample in data/, then what
`check.py` and `hostile.py` print. Each set is ingested once under DIR; sets joined by `+` share one index,
documents of PDF sets are whole files. Finished figures are kept there, so that a run that was stopped goes
on; they are measured again where code, models, settings or questions changed, unless `--keep`. Only what
stands between the two marks of the page is written, the prose around it is not.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from quality_page import FIGURES_BEGIN, FIGURES_END, ROWS, Engine, Figures, Measured, page

from ingest.errors import IngestError
from ingest.pipeline import IngestOptions, ingest_paths
from ragqa.cli.output import progress, say
from ragqa.errors import RagqaError
from ragqa.evaluation.question_set import Question, QuestionSet, read_questions, read_set
from ragqa.evaluation.report import report_json
from ragqa.evaluation.suite import EvalOptions, build_index, half_of, measure
from ragqa.llm.environment import auto_gptq_python
from ragqa.settings import AnswerSettings
from ragqa.wiring import DEFAULT_MODEL, EngineChoice

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("RAGQA_EVAL_DATA", ROOT / ".." / "shared")) / "eval"
SAMPLE = ROOT / "data"
SINGLES = ("scifact", "cranfield", "multihop")
"""Sets whose mark is relative to one retriever alone."""
DRAWN = {"qed+clapnq+squad2+nq_gold": 800, "covidqa": 500, "qed": 150, "squad2": 600}
"""Questions drawn of the large sets; those of one retriever or engine are those of the others."""
MODEL_QUESTIONS = 240
OTHERS_QUESTIONS = 8
"""Questions of a set for an engine that generates on the CPU, by our layers and by other software's, which
take several times as long; and the tokens of its prompts."""
MODEL_CONTEXT = 2_000
SCRIPTS = {"check": False, "hostile": True}
"""Scripts beside this one that print Markdown, and whether they need a work folder for their indexes."""
NEVER = frozenset({"cli", "batch.py", "contract.py", "doctor.py", "langchain.py", "terminal.py"})
"""Parts of the code that no figure depends on."""
ANSWERING = (
    "selection.py",
    "features.py",
    "fitted.py",
    "kinds.py",
    "namesakes.py",
    "voices.py",
    "windows.py",
)
"""Parts that retrieval does without."""


@dataclass(frozen=True, slots=True)
class Job:
    """One set measured in one way: by one retriever alone, fused, or with an engine that answers."""

    set_name: str
    options: EvalOptions
    label: str

    @property
    def name(self) -> str:
        return f"{self.set_name}, {self.label}"


@dataclass(frozen=True, slots=True)
class Kept:
    """What was measured so far, a file a job under `work`. `only` is what is measured now, empty for all."""

    work: Path
    only: frozenset[str]
    any_code: bool

    def wants(self, subject: str) -> bool:
        return not self.only or subject in self.only

    def read(self, name: str, subject: str, key: str) -> Any:
        """What was kept of the same code, models, settings and questions; of others where that will do."""
        path = self.path(name)
        if not path.is_file():
            return None
        record = json.loads(path.read_text(encoding="utf-8"))
        fits = record["key"] == key
        if not fits and not self.wants(subject):
            say(f"{name}: as measured earlier, with other code, models or settings.")
        return record["value"] if fits or self.any_code or not self.wants(subject) else None

    def write(self, name: str, key: str, value: Any) -> None:
        """Whole or not at all: a run may be stopped here."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".new")
        unfinished.write_text(json.dumps({"key": key, "value": value}), encoding="utf-8")
        unfinished.replace(path)

    def path(self, name: str) -> Path:
        return self.work / "figures" / f"{name}.json"


def jobs(engines: list[Engine], limit: int | None) -> Iterator[Job]:
    """Everything the page needs, the quick ones first."""
    sets = dict.fromkeys(row.set_name for row in ROWS if not row.answers)
    for name in sets:
        for alone in (None, "dense", "lexical") if name in SINGLES else (None,):
            options = EvalOptions(alone=alone, limit=limit or DRAWN.get(name))
            yield Job(name, options, alone or "retrieval")
    for engine in engines:
        for name in dict.fromkeys(row.set_name for row in ROWS if row.answers):
            part = "all" if name == "sample" else "odd"
            options = EvalOptions(
                engine=engine.choice, gold_removed=True, part=part, limit=limit or DRAWN.get(name)
            )
            if engine.choice.name != "extractive":
                most = OTHERS_QUESTIONS if engine.choice.name == "auto-gptq" else MODEL_QUESTIONS
                few = min(options.limit or most, most)
                options = replace(options, limit=few, answering=AnswerSettings(MODEL_CONTEXT))
            yield Job(name, options, engine.label)


@cache
def question_set(name: str) -> QuestionSet:
    """The set of that name, those of a name like `qed+clapnq` as one, or the sample's report split."""
    if name == "sample":
        return QuestionSet(name, report_split(), (), SAMPLE / "documents")
    sets = [read_set(DATA / part) for part in name.split("+")]
    if len(sets) == 1:
        return sets[0]
    documents = tuple(document for one in sets for document in one.documents)
    questions = tuple(question for one in sets for question in one.questions)
    return replace(sets[0], name=name, questions=questions, documents=documents)


def report_split() -> tuple[Question, ...]:
    lines = (SAMPLE / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    chosen = {row["id"] for row in map(json.loads, lines) if row["meta"]["split"] == "report"}
    return tuple(one for one in read_questions(SAMPLE / "questions.jsonl") if one.id in chosen)


def is_here(name: str) -> bool:
    return name == "sample" or all((DATA / part / "questions.jsonl").is_file() for part in name.split("+"))


def index_of(made: QuestionSet, work: Path, tick) -> tuple[Path, dict[str, str]]:
    """The set's index under the work folder, made where it is not yet."""
    if made.name != "sample":
        index, places = build_index(made, work / made.name, tick=tick)
        return index, dict(places)
    ingest_paths([SAMPLE / "documents"], work / "sample" / ".ragqa", IngestOptions(), tick)
    return work / "sample" / ".ragqa", {}


def figures_of(job: Job, kept: Kept, place: str) -> Figures | None:
    """The job's figures, as kept or measured now; None where they are neither wanted nor kept."""
    made = question_set(job.set_name)
    name, key = f"{job.set_name}-{job.label}", key_of(job, made)
    figures = kept.read(name, job.set_name, key)
    if figures is not None or not kept.wants(job.set_name):
        return figures
    with progress() as tick:

        def told(stage: str, done: int, total: int | None) -> None:
            tick(f"{place} {job.name}: {stage}", done, total)

        index, places = index_of(made, kept.work, told)
        report = measure(
            job.set_name, made.questions, index, places, job.options, lambda n, of: told("questions", n, of)
        )
    figures = report_json(report) | {"odd": [one.id for one in made.questions if half_of(one) == "odd"]}
    kept.write(name, key, figures)
    return figures


def key_of(job: Job, made: QuestionSet) -> str:
    """What the figures depend on: settings, questions, documents, code and models."""
    files = sorted(made.pdfs.rglob("*")) if made.pdfs else []
    documents = [(one.id, one.title, one.text) for one in made.documents]
    # As a repr has them: without who is told how far a run is, which is another function in each process.
    what = (job.options, made.questions, documents, [(f.name, f.stat().st_size) for f in files])
    return sha256((repr(what) + code_state(unused_by(job.options))).encode()).hexdigest()


def unused_by(options: EvalOptions) -> frozenset[str]:
    """Parts of the code that cannot change the figures: new weights leave those of retrieval alone."""
    if options.engine is None:
        return NEVER | {"gptq", "llm", "citations", "prompt", "assets", *ANSWERING}
    return NEVER | {"gptq"} if options.engine.name == "extractive" else NEVER


@cache
def code_state(without: frozenset[str]) -> str:
    """A hash of the code and of the files that ship with it, but for what lies `without`."""
    state = sha256()
    for folder in ("ragqa", "ingest"):
        for path in sorted((ROOT / folder).rglob("*")):
            inside = path.relative_to(ROOT).parts
            if path.is_file() and "__pycache__" not in inside and inside[1] not in without:
                state.update(path.read_bytes())
    return state.hexdigest()


def printed_by(script: str, kept: Kept) -> str:
    """The Markdown that a script beside this one prints, kept like figures; why not, where it does not."""
    path = ROOT / "benchmarks" / f"{script}.py"
    if not path.is_file():
        return f"Not measured: there is no benchmarks/{script}.py."
    sources = b"".join(one.read_bytes() for one in sorted(path.parent.glob(f"{script}*.py")))
    key = sha256(sources + code_state(NEVER | {"gptq"}).encode()).hexdigest()
    text = kept.read(script, script, key)
    if text is None and not kept.wants(script):
        return "Not measured."
    if text is not None:
        return str(text)
    say(f"benchmarks/{script}.py …")
    environment = {**os.environ, "RAGQA_EVAL_DATA": str(DATA.parent)}
    command = [sys.executable, path, *(("--work", kept.work.resolve()) if SCRIPTS[script] else ())]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT, check=False)
    if done.returncode:
        say(f"benchmarks/{script}.py ended with {done.returncode}: its part of the page says so.")
        return f"Not measured: `benchmarks/{script}.py` ended with {done.returncode}."
    kept.write(script, key, done.stdout.strip())
    return done.stdout.strip()


def engines_here(named: list[str]) -> list[Engine]:
    """Each engine there is, and models that were named; with the reason where one cannot be measured."""
    extra = [Engine(EngineChoice(*one.split(":", 1))) for one in named if one != "extractive"]
    missing = why_no_model()
    other = missing if auto_gptq_python().is_file() else "there is no environment for it (`make auto-gptq`)"
    shipped = [
        Engine(EngineChoice("gptq", DEFAULT_MODEL), missing),
        Engine(EngineChoice("auto-gptq", DEFAULT_MODEL), other),
    ]
    taken = {one.label for one in extra}
    return [Engine(EngineChoice("extractive")), *extra, *(one for one in shipped if one.label not in taken)]


def why_no_model() -> str:
    try:
        from ragqa.llm.gptq import find_model

        find_model(DEFAULT_MODEL)
    except (ImportError, RagqaError) as error:
        return str(error).rstrip(".")
    return ""


def write_page(path: Path, figures: str) -> None:
    """Put the figures between the page's marks; a page without marks gets them at its end."""
    text = path.read_text(encoding="utf-8") if path.is_file() else "# Measured quality\n"
    if FIGURES_BEGIN not in text:
        text = f"{text.rstrip()}\n\n{FIGURES_BEGIN}\n{FIGURES_END}\n"
    before, rest = text.split(FIGURES_BEGIN, 1)
    after = rest.split(FIGURES_END, 1)[1]
    path.write_text(f"{before}{FIGURES_BEGIN}\n\n{figures}\n{FIGURES_END}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=ROOT / ".cache" / "eval")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "quality.md")
    parser.add_argument(
        "--only", action="append", default=[], metavar="SET|check|hostile", help="measure this, keep the rest"
    )
    parser.add_argument("--limit", type=int, help="at most this many questions of a set")
    parser.add_argument(
        "--engine", action="append", default=[], metavar="NAME[:MODEL]", help="besides those here"
    )
    parser.add_argument("--keep", action="store_true", help="take what earlier code measured as it is")
    arguments = parser.parse_args()
    engines = engines_here(arguments.engine)
    kept = Kept(arguments.work, frozenset(arguments.only), arguments.keep)
    planned = list(jobs([one for one in engines if not one.absent], arguments.limit))
    found: Measured = {}
    failed = []
    for number, job in enumerate(planned, start=1):
        if not is_here(job.set_name):
            say(f"{job.name}: not in {DATA}, left out.")
            continue
        try:
            figures = figures_of(job, kept, f"{number}/{len(planned)}")
        except (IngestError, RagqaError) as error:
            failed.append(f"{job.name}: {error}")
            continue
        if figures:
            found[job.set_name, job.label] = figures
            say(f"{number}/{len(planned)} {job.name}: done")
    printed = {script: printed_by(script, kept) for script in SCRIPTS}
    write_page(arguments.page, page(found, engines, printed))
    say(f"Wrote {arguments.page}.")
    if failed:
        sys.exit("\n".join(["Could not be measured:", *failed]))


if __name__ == "__main__":
    main()
