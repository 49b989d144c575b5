"""Writes the text that docs/model.md's figures of `ragqa model quantize` were calibrated on.

    python benchmarks/calibration_text.py OUT

Half stories, half encyclopedia and health pages, from the train_* sets of RAGQA_EVAL_DATA, in turns of about
a thousand tokens. A document that shares eight words in a row with a text of longtext, on which perplexity
is measured, is left out.
"""

import json
import os
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

SETS = ("fairytale", "boolq", "selqa", "qafeedback", "tsqa", "dolly", "medquad")
TURNS = ("selqa", "boolq", "tsqa", "medquad", "qafeedback")
"""What stories take turns with."""
ROUNDS = 16
TURN_CHARACTERS = 4500
SHARED_WORDS = 8


def main(out: Path) -> None:
    data = Path(os.environ.get("RAGQA_EVAL_DATA", Path(__file__).parent.parent.parent / "shared")) / "eval"
    measured = {run for path in (data / "longtext").glob("*.txt") for run in runs(path.read_text("utf-8"))}
    draw = random.Random(0)
    documents = {name: shuffled(data / f"train_{name}" / "documents.jsonl", measured, draw) for name in SETS}
    parts: list[str] = []
    for _ in range(ROUNDS):
        for name in TURNS:
            parts += [*turn(documents["fairytale"]), *turn(documents[name])]
    out.write_text("".join(parts), encoding="utf-8")


def runs(text: str) -> Iterator[int]:
    """The hash of every run of eight words."""
    words = re.findall(r"\w+", text.lower())
    return (hash(tuple(words[at : at + SHARED_WORDS])) for at in range(len(words) - SHARED_WORDS + 1))


def shuffled(path: Path, measured: set[int], draw: random.Random) -> Iterator[str]:
    kept = []
    for line in path.read_text("utf-8").splitlines():
        document = json.loads(line)
        if measured.isdisjoint(runs(document["text"])):
            title = document["title"] + "\n" if document["title"] else ""
            kept.append(f"{title}{document['text'].strip()}\n\n")
    draw.shuffle(kept)
    return iter(kept)


def turn(documents: Iterator[str]) -> list[str]:
    taken: list[str] = []
    while sum(map(len, taken)) < TURN_CHARACTERS:
        taken.append(next(documents))
    return taken


if __name__ == "__main__":
    main(Path(sys.argv[1]))
