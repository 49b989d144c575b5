"""How the check judges human answers, the same made wrong, and claims with their citations.

    python benchmarks/check.py [--part odd] [--show KIND]

Prints Markdown. Each question's prompt holds its gold document and eleven others that share its words. A
changed answer is let through where the sentence that holds the change is judged `supported`. Everything was
chosen on the even half of the subjects; the odd half is reported. Where sets lie: RAGQA_EVAL_DATA.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from check_pairs import Pair, answer_pairs, claim_pairs

from ragqa.citations import alignment, checking, parse_reply, words
from ragqa.evaluation.question_set import read_set
from ragqa.evaluation.suite import questions_of
from ragqa.types import ContextBlock, Prompt

DATA = Path(os.environ.get("RAGQA_EVAL_DATA", "../shared")) / "eval"
WRONG = (
    "number", "name", "date", "unit", "number, of the same document", "name, of the same document",
    "negation", "answer to another question", "sentence of another document",
)  # fmt: skip
LABELS = ("supported", "partially_supported", "not_supported")


@dataclass(frozen=True, slots=True)
class Judged:
    """A pair and the verdicts on its sentences: all of them, or on those that hold the change."""

    pair: Pair
    verdicts: tuple[str, ...]

    @property
    def passes(self) -> bool:
        return bool(self.verdicts) and all(verdict == "supported" for verdict in self.verdicts)


def judge(pair: Pair) -> Judged:
    reply = parse_reply(pair.answer, pair.prompt)
    sentences, _ = checking.check(reply, pair.prompt)
    start, end = pair.change or (0, len(reply.answer))
    touched = [s.verdict for s in sentences if s.start < max(end, start + 1) and s.end > start]
    return Judged(pair, tuple(verdict for verdict in touched if verdict != "no_claim"))


def share(values: Sequence[tuple[str, float]]) -> str:
    """The mean with its 95 % bootstrap interval over subjects; with no event, three in n instead."""
    subjects = sorted({subject for subject, _ in values})
    place = {subject: number for number, subject in enumerate(subjects)}
    sums, counts = np.zeros(len(subjects)), np.zeros(len(subjects))
    for subject, value in values:
        sums[place[subject]] += value
        counts[place[subject]] += 1
    draws = np.random.default_rng(0).integers(0, len(subjects), (2000, len(subjects)))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    rate = sums.sum() / counts.sum()
    if rate in (0, 1):
        # Hanley and Lippman-Hand, 1983: 3/n bounds what was never seen.
        bound = min(1.0, 3 / len(subjects))
        low, high = (0.0, bound) if rate == 0 else (1 - bound, 1.0)
    return f"{rate:.3f} ({low:.3f} to {high:.3f})"


def answer_rows(part: str, name: str = "clapnq", data: Path = DATA) -> list[Judged]:
    question_set = read_set(data / name)
    questions = questions_of(question_set.questions, part)
    return [judge(pair) for pair in answer_pairs(data, questions, question_set)]


def claim_rows(part: str, data: Path = DATA) -> list[Judged]:
    question_set = read_set(data / "wice")
    documents = {document.id: document for document in question_set.documents}
    return [judge(pair) for pair in claim_pairs(questions_of(question_set.questions, part), documents)]


def answer_table(judged: Sequence[Judged]) -> Iterator[str]:
    yield "| clapnq | judged supported | n | mark |\n|---|---|---|---|"
    true = [one for one in judged if one.pair.kind == "true"]
    by_sentence = [(o.pair.subject, float(v != "supported")) for o in true for v in o.verdicts]
    whole = [(one.pair.subject, float(not one.passes)) for one in true]
    yield f"| true sentences, rejected | {share(by_sentence)} | {len(by_sentence)} | 0.10 |"
    yield f"| true answers, a sentence rejected | {share(whole)} | {len(whole)} | |"
    both = [one for one in judged if one.pair.kind in ("number", "name")]
    yield f"| number or name changed, let through | {passing(both)} | {len(both)} | 0.02 |"
    for kind in WRONG:
        if some := [one for one in judged if one.pair.kind == kind]:
            yield f"| {kind} | {passing(some)} | {len(some)} | |"


def passing(judged: Sequence[Judged]) -> str:
    return share([(one.pair.subject, float(one.passes)) for one in judged])


def claim_table(judged: Sequence[Judged]) -> Iterator[str]:
    yield "| wice, people's label | n | judged supported | partial | unsupported |\n|---|---|---|---|---|"
    for label in LABELS:
        some = [one for one in judged if one.pair.kind == label]
        cells = [
            share([(one.pair.subject, float(worst(one) == verdict)) for one in some])
            for verdict in ("supported", "partial", "unsupported")
        ]
        yield f"| {label.replace('_', ' ')} | {len(some)} | {' | '.join(cells)} |"


def worst(judged: Judged) -> str:
    order = ("unsupported", "partial", "supported")
    return min(judged.verdicts, key=order.index, default="unsupported")


def speed() -> float:
    """CPU milliseconds for 12 blocks of about 1,000 tokens and five sentences, nothing cached."""
    documents = read_set(DATA / "clapnq").documents
    texts = "\n".join(document.text for document in documents)
    pieces = [texts[4200 * n : 4200 * (n + 1)] for n in range(12)]
    blocks = tuple(
        ContextBlock(
            key=f"{n}", source=f"{n}", document_id=f"{n}", text_sha256="", title="", section=(), page=None,
            page_end=None, start=0, end=len(text), text=text, metadata=(("source", f"{n}"),), score=0.0,
        )
        for n, text in enumerate(pieces)
    )  # fmt: skip
    sentences = [f"{text[900:1000].strip()} and {text[2000:2060].strip()}." for text in pieces[:5]]
    prompt = Prompt("what is it", "", (), blocks, (), 16_384)
    for remembered in (checking.read, alignment.row, words.tokens, words.stem):
        remembered.cache_clear()
    began = time.process_time()
    checking.check(parse_reply(" ".join(sentences), prompt), prompt)
    return 1000 * (time.process_time() - began)


def rows(part: str = "odd") -> str:
    """Both tables and the time of an answer, as Markdown."""
    lines = [*answer_table(answer_rows(part)), "", *claim_table(claim_rows(part)), ""]
    return "\n".join([*lines, f"An answer of five sentences, twelve blocks: {speed():.0f} ms of CPU."])


def show(judged: Sequence[Judged], kind: str) -> None:
    """The misjudged ones of a kind, to be read."""
    for one in judged:
        wrong = one.pair.kind not in ("true", "supported")
        if kind in (one.pair.kind, "all") and one.passes == wrong:
            print(f"\n{one.pair.kind} {one.verdicts} {one.pair.prompt.question!r} {one.pair.subject!r}")
            start, end = one.pair.change or (0, 0)
            text = one.pair.answer
            print(f"  {text[:start]}>>>{text[start:end]}<<<{text[end:]}" if one.pair.change else f"  {text}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=("all", "even", "odd"), default="odd")
    parser.add_argument("--show", help="print the misjudged ones of a kind, or of all")
    options = parser.parse_args()
    if options.show:
        show([*answer_rows(options.part), *claim_rows(options.part)], options.show)
    else:
        sys.stdout.write(rows(options.part) + "\n")


if __name__ == "__main__":
    main()
