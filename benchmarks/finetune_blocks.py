"""Blocks of a training group: how many, and their metadata lines. Pure."""

import random
from collections.abc import Mapping, Sequence

from finetune_sets import Passage
from finetune_variation import Lines, cited_lines, lines_for

# Mostly few blocks: tokens, not examples, are what a slow machine runs out of.
FEW = ((1, 58), (2, 16), (3, 20), (4, 3), (6, 2), (8, 1))
# For a card, whose model reads many.
MANY = ((1, 10), (2, 15), (3, 20), (5, 20), (8, 20), (12, 15))


def count_of_blocks(random_: random.Random, *, many: bool) -> int:
    """How many blocks a group has."""
    counts, weights = zip(*(MANY if many else FEW), strict=True)
    return int(random_.choices(counts, weights)[0])


def with_lines(
    chosen: Sequence[Passage], texts: Mapping[int, str], random_: random.Random
) -> dict[int, tuple[Lines, str]]:
    """Metadata lines and text of each passage, by its number; what a reply cites of them differs."""
    blocks: dict[int, tuple[Lines, str]] = {}
    seen: set[Lines] = set()
    for place, passage in enumerate(chosen, 1):
        for _ in range(20):
            page = passage.part if len(chosen) == 1 else place + passage.part
            lines = lines_for(passage.title, page, passage.section, random_)
            if cited_lines(lines) not in seen and (lines or len(chosen) == 1):
                break
        seen.add(cited_lines(lines))
        blocks[passage.number] = (lines, texts[passage.number])
    return blocks
