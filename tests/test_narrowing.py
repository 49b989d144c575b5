"""Fewer blocks for a small model: the best ones, and none of a version that is not asked about."""

from dataclasses import replace

from ragqa.candidates import Candidate
from ragqa.narrowing import Narrowing
from ragqa.retriever import Retrieval
from ragqa.types import ContextBlock
from tests.blocks import make_block


def block(source: str, title: str, date: str = "") -> ContextBlock:
    lines = (("source", source), *((("date", date),) if date else ()))
    return make_block(source, f"Of {title}.", 0.5, title=title, metadata=lines)


def by_name(_question, blocks):
    """Best first by the title's last letter."""
    ordered = sorted(blocks, key=lambda one: one.title[-1], reverse=True)
    return [Candidate(one, 0, 3, one.text, 0.0) for one in ordered]


def found(*blocks):
    return Retrieval(tuple(blocks), tuple((n, n + 1) for n in range(len(blocks))), ())


def test_the_best_blocks_are_kept_with_their_places_and_the_rest_is_named():
    some = [block(f"{letter}.md", f"About {letter}") for letter in "bdac"]
    kept = Narrowing(2, by_name)("Why?", found(*some))
    assert [one.source for one in kept.blocks] == ["d.md", "c.md"]
    assert kept.focus == ((1, 2), (3, 4))
    assert [(one.source, one.reason) for one in kept.dropped] == [("b.md", "budget"), ("a.md", "budget")]


def test_few_blocks_stay_as_they_were_found_and_nobody_ranks_them():
    some = found(block("a.md", "About a"), block("b.md", "About b"))
    assert Narrowing(2, lambda *_: 1 / 0)("Why?", some) == some


def test_an_older_version_is_left_out_unless_it_is_asked_about():
    old, new = block("leave-2023.md", "Leave", "2023-01-01"), block("leave-2025.md", "Leave", "2025-01-01")
    some = found(old, new, block("z.md", "About z"))
    kept = Narrowing(2, by_name)("How long?", some).blocks
    assert [one.source for one in kept] == ["leave-2025.md", "z.md"]
    asked = Narrowing(2, by_name)("How long was it in 2023?", some).blocks
    assert old in asked
    assert new not in asked


def test_a_block_without_a_ranked_sentence_comes_last():
    some = found(*(block(f"{letter}.md", f"About {letter}") for letter in "abc"))
    last = replace(some.blocks[2])
    kept = Narrowing(2, lambda _q, blocks: by_name(_q, [one for one in blocks if one.key == last.key]))
    assert [one.source for one in kept("Why?", some).blocks] == ["c.md", "a.md"]
