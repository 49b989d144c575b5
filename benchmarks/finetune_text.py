"""Write the plain text of the first stage: whole tales and encyclopedia pages, one file each.

    python benchmarks/finetune_text.py OUT [--data ../shared]

Reads `train_*` sets only; the books that perplexity is measured on are not among them. Deterministic.
"""

import argparse
import json
import os
import random
from collections import defaultdict
from pathlib import Path

SHORTEST_PAGE = 6000


def tales(data: Path) -> list[str]:
    """The stories of FairytaleQA, their sections in order."""
    sections: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for document in documents(data, "train_fairytale"):
        sections[document["title"]].append((int(document["meta"]["section"]), document["text"]))
    return [
        title.title() + "\n\n" + "\n\n".join(text for _, text in sorted(parts))
        for title, parts in sections.items()
    ]


def pages(data: Path) -> list[str]:
    """The longer Wikipedia pages of SelQA and TimeQA."""
    texts: dict[str, list[str]] = defaultdict(list)
    for name in ("train_selqa", "train_tsqa"):
        for document in documents(data, name):
            texts[document["title"]].append(document["text"])
    return [
        title + "\n\n" + "\n\n".join(parts)
        for title, parts in texts.items()
        if sum(map(len, parts)) > SHORTEST_PAGE
    ]


def documents(data: Path, name: str) -> list[dict]:
    path = data / "eval" / name / "documents.jsonl"
    return [json.loads(line) for line in path.open(encoding="utf-8")]


def main() -> None:
    parser = argparse.ArgumentParser(description="Write plain text to tune on.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RAGQA_EVAL_DATA", "../shared")))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    kinds = [tales(options.data), pages(options.data)]
    for kind in kinds:
        random.Random(0).shuffle(kind)
    written = [text for pair in zip(*kinds, strict=False) for text in pair]
    for number, text in enumerate(written):
        (options.out / f"{number:04d}.txt").write_text(text, encoding="utf-8")
    print(f"{len(written)} files, {sum(map(len, written))} characters")


if __name__ == "__main__":
    main()
