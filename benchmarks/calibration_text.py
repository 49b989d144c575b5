"""Writes the text that docs/model.md's figures of `ragqa model quantize` were calibrated on.

    python benchmarks/calibration_text.py OUT

Half stories, half encyclopedia and health pages, from the train_* sets of RAGQA_EVAL_DATA, in turns of about
a thousand tokens. A document that shares eight words in a row with a text of longtext, on which perplexity
is measured, is left out. Three turns in ten are written as the WikiText corpora write a page (`spaced`),
which is cut into tokens as no other text is: quantizers are calibrated on what they are measured on.
"""

import json
import os
import random
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

STORIES = "fairytale"
SETS = (STORIES, "boolq", "selqa", "qafeedback", "tsqa", "dolly", "medquad")
TURNS = ("selqa", "boolq", "tsqa", "medquad", "qafeedback")
"""What stories take turns with."""
SPACED = ("selqa", "tsqa", "qafeedback")
"""The turns that are written as a corpus writes them."""
ROUNDS = 16
TURN_CHARACTERS = 4500
SHARED_WORDS = 8
COLUMNS = 70


FULL_STOP = r"(?<!\b[A-Z])(?<!\b[A-Z][a-z])(?<!\b[A-Z][a-z]{2})\.(?=\s+[\"\[( ]*[A-Z0-9])|\.(?=[\s\"')\]]*$)"
"""A full stop that ends a sentence, not an initial or a title."""


def main(out: Path) -> None:
    data = Path(os.environ.get("RAGQA_EVAL_DATA", Path(__file__).parent.parent.parent / "shared")) / "eval"
    measured = {run for path in (data / "longtext").glob("*.txt") for run in runs(path.read_text("utf-8"))}
    draw = random.Random(0)
    documents = {
        name: written(shuffled(data / f"train_{name}" / "documents.jsonl", measured, draw), name)
        for name in SETS
    }
    parts: list[str] = []
    for _ in range(ROUNDS):
        for name in TURNS:
            parts += [*turn(documents[STORIES]), *turn(documents[name])]
    out.write_text("".join(parts), encoding="utf-8")


def runs(text: str) -> Iterator[int]:
    """The hash of every run of eight words."""
    words = re.findall(r"\w+", text.lower())
    return (hash(tuple(words[at : at + SHARED_WORDS])) for at in range(len(words) - SHARED_WORDS + 1))


def shuffled(path: Path, measured: set[int], draw: random.Random) -> list[tuple[str, str]]:
    """Title and text of each document that shares no run with what is measured."""
    kept = []
    for line in path.read_text("utf-8").splitlines():
        document = json.loads(line)
        if measured.isdisjoint(runs(document["text"])):
            kept.append((document["title"], document["text"].strip()))
    draw.shuffle(kept)
    return kept


def written(documents: list[tuple[str, str]], name: str) -> Iterator[str]:
    for number, (title, text) in enumerate(documents):
        if name in SPACED:
            yield as_corpus(title, text)
        else:
            yield as_page(title, wrapped(text) if name == STORIES and number % 2 else text)


def wrapped(text: str) -> str:
    """The text with its lines broken as books in plain text have them."""
    return "\n".join(textwrap.fill(line, COLUMNS, break_on_hyphens=False) for line in text.splitlines())


def as_page(title: str, text: str) -> str:
    return f"{title}\n{text}\n\n" if title else f"{text}\n\n"


def as_corpus(title: str, text: str) -> str:
    """A page as the WikiText corpora (Merity et al. 2016, arXiv 1609.07843) write it: a paragraph a line,
    with a blank at both ends, the title between equals signs."""
    lines = [f"= {title} =", *text.splitlines()] if title else text.splitlines()
    return "".join(f" {spaced(line)} \n" for line in lines if line.strip())


def spaced(line: str) -> str:
    """The line with its punctuation as words of its own, as WikiText has it: `two @-@ part`, `1 @,@ 500`,
    `the band 's " best " song .`"""
    line = re.sub(r"(?<=\w)-(?=\w)", " @-@ ", line)
    line = re.sub(r"(?<=\d)([.,])(?=\d)", r" @\1@ ", line)
    line = re.sub(r"``|''|[\u201c\u201d\"]", ' " ', line)
    line = re.sub(r"(?<!\S)[\u2018'](?=\w)|(?<=\S)[\u2019'](?!\w)", " ' ", line)
    line = re.sub(r"(?<=\w)[\u2019'](?=\w)", " '", line)
    line = re.sub(r"([;:!?()\[\]$\u2013\u2014/%]|,(?!@))", r" \1 ", line)
    line = re.sub(FULL_STOP, " . ", line)
    return " ".join(line.split())


def turn(documents: Iterator[str]) -> list[str]:
    taken: list[str] = []
    while sum(map(len, taken)) < TURN_CHARACTERS:
        taken.append(next(documents))
    return taken


if __name__ == "__main__":
    main(Path(sys.argv[1]))
