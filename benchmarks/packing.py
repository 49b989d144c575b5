"""How many blocks, how large and in which order: evidence and answers by how the prompt is packed.

    python benchmarks/packing.py --work DIR [--part even] [--limit 100] [--engine NAME[:MODEL]] [SET...]
        [--way NAME ...]

Answerable questions of clapnq, qed and squad2, each asked under every way of packing; one change from the
shipped settings a row. Prints Markdown: each figure, and its difference to the shipped way over the same
questions with a 95 % interval. Best-last and document order move the blocks that a prompt holds: give
`--context-tokens` only where all of them fit.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ingest.embed import load_embedder
from ingest.index import open_index
from ragqa.answering import Answerer
from ragqa.cli.output import progress
from ragqa.evaluation.bootstrap import mean_with_interval, paired_difference
from ragqa.evaluation.outcome import Outcome, values_of
from ragqa.evaluation.question_set import read_set
from ragqa.evaluation.run import Asking, BlindRetriever, RememberingEmbedder
from ragqa.evaluation.suite import build_index, drawn, questions_of
from ragqa.retriever import Retrieval
from ragqa.settings import AnswerSettings, RetrievalSettings
from ragqa.wiring import EngineChoice, build_engine

DATA = Path(os.environ.get("RAGQA_EVAL_DATA", Path(__file__).parent / ".." / ".." / "shared")) / "eval"
SETS = ("clapnq", "qed", "squad2")
SHIPPED = RetrievalSettings()
METRICS = ("ranked_evidence@1", "ranked_evidence@3", "evidence@1", "evidence@3", "f1", "over_refusal")
Values = dict[str, float]


@dataclass(frozen=True, slots=True)
class Way:
    """One way of packing."""

    name: str
    settings: RetrievalSettings = SHIPPED
    order: str = "best first"


BASE = Way(f"shipped: {SHIPPED.max_blocks} blocks of {SHIPPED.block_tokens}, best first")
WAYS = (
    BASE,
    *(Way(f"{count} blocks", replace(SHIPPED, max_blocks=count)) for count in (1, 4, 8)),
    Way("single chunks", replace(SHIPPED, block_tokens=1)),
    *(Way(f"blocks of {size}", replace(SHIPPED, block_tokens=size)) for size in (500, 1000)),
    Way("best last", order="best last"),
    Way("document order", order="document order"),
)


class OrderedRetriever(BlindRetriever):
    """A retriever that hands its blocks over in another order."""

    order = "best first"

    def retrieve(self, question: str, where=()) -> Retrieval:
        found = super().retrieve(question, where)
        pairs = list(zip(found.blocks, found.focus, strict=True))
        if self.order == "best last":
            pairs.reverse()
        elif self.order == "document order":
            pairs.sort(key=lambda pair: (pair[0].source, pair[0].start))
        blocks, focus = [block for block, _ in pairs], [span for _, span in pairs]
        return replace(found, blocks=tuple(blocks), focus=tuple(focus))


class LastingMemory(RememberingEmbedder):
    """Sentences are embedded once for all ways of packing a question: time is not measured here."""

    def forget(self) -> None:
        """Not between two ways."""

    def next_question(self) -> None:
        super().forget()


def values(outcome: Outcome) -> Values:
    """The figures of one answer, whether its prompt held a gold document, and the prompt's tokens."""
    asked = outcome.asked
    held = bool(asked and set(asked.blocks) & set(outcome.question.gold))
    found = values_of(outcome)
    chosen = {metric: found[metric] for metric in METRICS if metric in found}
    return chosen | {"gold in prompt": float(held), "tokens": found["tokens_per_question"]}


def measure(name: str, arguments: argparse.Namespace) -> list[dict[str, Values]]:
    """For each question the values by way."""
    made = read_set(DATA / name)
    path, places = build_index(made, arguments.work / name)
    answerable = tuple(one for one in questions_of(made.questions, arguments.part) if one.answerable)
    questions = drawn(answerable, arguments.limit)
    engine, *model = arguments.engine.split(":", 1)
    rows = []
    with open_index(path) as index, progress() as tick:
        embedder = LastingMemory(load_embedder(index.settings.embedder))
        answers = build_engine(EngineChoice(engine, *model), embedder)
        ways = {}
        for way in (way for way in WAYS if way == BASE or not arguments.way or way.name in arguments.way):
            retriever = OrderedRetriever(index, embedder, way.settings)
            retriever.order = way.order
            settings = AnswerSettings(context_tokens=arguments.context_tokens)
            ways[way.name] = Asking(retriever, Answerer(retriever, answers, settings), places)
        for number, question in enumerate(questions, start=1):
            rows.append({way: values(asking.outcome(question)) for way, asking in ways.items()})
            embedder.next_question()
            tick(f"{name}, {arguments.engine}", number, len(questions))
    return rows


def table(name: str, rows: Sequence[dict[str, Values]]) -> str:
    """A row a way; the difference to the shipped one where its interval leaves out 0, in brackets."""
    metrics = ["gold in prompt", *(m for m in METRICS if any(m in row[BASE.name] for row in rows)), "tokens"]
    lines = [f"| {name}, n = {len(rows)} | {' | '.join(metrics)} |", "|---" * (len(metrics) + 1) + "|"]
    for way in (way for way in WAYS if way.name in rows[0]):
        cells = []
        for metric in metrics:
            new = [row[way.name][metric] for row in rows if metric in row[BASE.name]]
            old = [row[BASE.name][metric] for row in rows if metric in row[BASE.name]]
            change = paired_difference(new, old)
            digits = 0 if metric == "tokens" else 3
            cell = f"{mean_with_interval(new).value:.{digits}f}"
            if not change.low <= 0 <= change.high:
                cell += (
                    f" ({change.value:+.{digits}f}, {change.low:+.{digits}f} to {change.high:+.{digits}f})"
                )
            cells.append(cell)
        lines.append(f"| {way.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="*", default=SETS)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--part", choices=("all", "even", "odd"), default="even")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--engine", default="extractive", metavar="NAME[:MODEL]")
    parser.add_argument("--context-tokens", type=int)
    parser.add_argument(
        "--way",
        action="append",
        choices=[way.name for way in WAYS],
        help="beside the shipped one, these alone",
    )
    arguments = parser.parse_args()
    for name in arguments.sets:
        rows = measure(name, arguments)
        sys.stdout.write(f"\n{table(f'{name}, {arguments.engine}, {arguments.part} half', rows)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
