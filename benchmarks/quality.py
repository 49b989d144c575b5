"""The suite: every set's figures with intervals, as Markdown.

    python benchmarks/quality.py --work DIR [--part odd] [--engine extractive] SET... > figures.md

Sets joined by `+` share one index. Each is ingested once under DIR; documents of PDF sets are whole files.
"""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from ragqa.evaluation.question_set import QuestionSet, read_set
from ragqa.evaluation.report import table
from ragqa.evaluation.suite import EvalOptions, build_index, measure
from ragqa.wiring import EngineChoice

DATA = Path(os.environ.get("RAGQA_EVAL_DATA", "../shared")) / "eval"


def joined(name: str) -> QuestionSet:
    """The sets of a name like `qed+clapnq` as one."""
    sets = [read_set(DATA / part) for part in name.split("+")]
    if len(sets) == 1:
        return sets[0]
    documents = tuple(document for one in sets for document in one.documents)
    return replace(
        sets[0], name=name, questions=tuple(q for one in sets for q in one.questions), documents=documents
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--part", choices=("all", "even", "odd"), default="odd")
    parser.add_argument("--engine", help="measure answers too, with this engine")
    parser.add_argument("--limit", type=int, help="at most this many questions of a set")
    arguments = parser.parse_args()
    engine = EngineChoice(arguments.engine) if arguments.engine else None
    options = EvalOptions(
        engine=engine, part=arguments.part, limit=arguments.limit, gold_removed=bool(engine)
    )
    for name in arguments.sets:
        question_set = joined(name)
        index, places = build_index(question_set, arguments.work / name)
        report = measure(name, question_set.questions, index, places, options)
        sys.stdout.write(f"\n{table(report)}\n")


if __name__ == "__main__":
    main()
