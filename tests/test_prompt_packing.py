"""A prompt is packed to an exact budget: whole sentences, the best chunk last to go, sources told apart."""

import re
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.sentences import sentence_spans
from ragqa.errors import PromptTooLongError
from ragqa.prompt import defuse, instruction_for, normalise, pack_prompt, parse, write
from ragqa.types import ContextBlock
from tests.blocks import make_block
from tests.hostile_text import HOSTILE


def encode(text: str) -> tuple[int, ...]:
    """A tokenizer whose tokens join across seams: runs of line ends, and words with the space before them."""
    return tuple(hash(token) % 1000 for token in re.findall(r"\n+[A-Z]*| ?\w{1,5}|\s+|[^\w\s]+", f"<{text}>"))


def block(number: int, text: str, start: int = 0, source: str | None = None) -> ContextBlock:
    return make_block(source or f"{number}.md", text, start=start, key=f"given-{number}")


SENTENCE = st.text(st.sampled_from("abc de\tf\u3002\n0"), max_size=30).map(lambda words: f"A{words}. ")
BODY = st.lists(SENTENCE, min_size=1, max_size=12).map("".join)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(BODY, max_size=5), st.integers(40, 400), st.integers(0, 60),
    st.one_of(st.none(), st.integers(1, 300)), st.lists(st.integers(0, 100), max_size=5),
)  # fmt: skip
@example(
    ["A0 . A . A\n0\n0 。0. ", "A. A. A. A. A. A. A. A\n0. A。0 . A\n0 。0. ", "A\t。0\n. A. A. A. "],
    116, 0, None, [0, 0, 3],
)  # fmt: skip  # cut twice
def test_the_budget_is_exact_and_no_sentence_is_cut(
    bodies: list[str], window: int, reserve: int, ceiling: int | None, starts: list[int]
) -> None:
    blocks = [block(number, body, 7 * number) for number, body in enumerate(bodies)]
    focus = [(b.start + at, b.start + at + 5) for b, at in zip(blocks, starts, strict=False)]
    try:
        prompt = pack_prompt("Why?", blocks, encode, window, reserve, ceiling, focus)
    except PromptTooLongError:
        limit = min(window - reserve, ceiling or window)
        assert len(encode(write((), instruction_for("Why?")))) > limit
        return
    assert prompt.token_ids == encode(prompt.text)
    assert len(prompt.token_ids) + reserve <= window
    assert ceiling is None or len(prompt.token_ids) <= ceiling
    assert parse(prompt.text)[0] == tuple((b.metadata, defuse(b.text)) for b in prompt.blocks)
    given_blocks = {b.source: b for b in blocks}
    assert [b.source for b in prompt.blocks] == [
        b.source for b in blocks if b.source in {p.source for p in prompt.blocks}
    ]
    for packed in prompt.blocks:
        whole = given_blocks[packed.source]
        assert packed.text == whole.text[packed.start - whole.start : packed.end - whole.start]
        if packed.text != whole.text:
            edges = sentence_spans(whole.text)
            assert packed.start - whole.start in {start for start, _ in edges}
            assert packed.end - whole.start in {end for _, end in edges}
        assert packed.tokens > 0
    dropped = {d.source for d in prompt.dropped}
    assert dropped | {b.source for b in prompt.blocks} == set(given_blocks)
    assert all(d.reason == "budget" for d in prompt.dropped)


def test_a_block_is_filled_with_as_many_sentences_as_fit() -> None:
    long = block(1, "".join(f"Sentence number {n} is here. " for n in range(200)))
    prompt = pack_prompt("Why?", [long], encode, window=500, reserve=100)
    (packed,) = prompt.blocks
    assert packed.start == 0
    longer = replace(packed, text=long.text[: packed.end + len(" Sentence number 60 is here.")])
    assert 380 <= len(prompt.token_ids) <= 400
    assert len(encode(write([(longer.metadata, longer.text)], instruction_for("Why?")))) > 400


def test_the_best_chunk_of_a_block_outlasts_the_cut() -> None:
    long = block(1, "".join(f"Sentence number {n} is here. " for n in range(200)), start=50)
    at = 50 + long.text.index("Sentence number 150")
    (packed,) = pack_prompt("Why?", [long], encode, 300, 100, None, [(at, at + 20)]).blocks
    assert "Sentence number 150 is here." in packed.text
    assert "Sentence number 145 is here." in packed.text
    assert packed.text == long.text[packed.start - 50 : packed.end - 50]


def test_few_calls_of_the_tokenizer() -> None:
    calls: list[int] = []

    def counting(text: str) -> tuple[int, ...]:
        calls.append(len(text))
        return encode(text)

    blocks = [block(n, "Some words are here again. " * 150) for n in range(12)]
    pack_prompt("Why?", blocks, counting, window=16_384, reserve=512)
    assert len(calls) == 14  # the question, each block, the whole
    calls.clear()
    pack_prompt("Why?", blocks, counting, window=8_000, reserve=512)
    assert len(calls) < 60


def test_a_block_inside_another_is_a_duplicate_and_the_larger_takes_the_better_place() -> None:
    text = "One is here. Two is here. Three is here. "
    inner, outer = block(1, text[13:26], 13, "a.md"), block(2, text, 0, "a.md")
    other, copy = block(3, "Other text.", 0, "b.md"), replace(inner, source="copy.md")
    prompt = pack_prompt("Why?", [inner, other, outer, copy], encode, 1000, 0)
    assert [b.text for b in prompt.blocks] == [text, "Other text."]
    assert [(d.source, d.start, d.end, d.reason) for d in prompt.dropped] == [
        ("a.md", 13, 26, "duplicate"),
        ("copy.md", 13, 26, "duplicate"),
    ]


def test_blocks_of_one_source_are_told_apart_by_their_lines_and_keys() -> None:
    paged = [
        replace(block(n, "Text.", n * 10, "a.md"), metadata=(("source", "a.md"), ("page", str(page))))
        for n, page in enumerate((1, 2, 2))
    ]
    prompt = pack_prompt("Why?", [*paged, block(9, "Text.", 0, "b.md")], encode, 1000, 0)
    assert [b.key for b in prompt.blocks] == ["a.md · 1", "a.md · 2", "a.md · 2 · 2", "b.md"]
    assert prompt.blocks[2].metadata == (("source", "a.md"), ("part", "2"), ("page", "2"))
    assert len({b.metadata for b in prompt.blocks}) == 4


@settings(deadline=None)
@given(st.lists(HOSTILE.filter(lambda source: source.strip() != ""), min_size=1, max_size=6))
def test_keys_and_lines_are_unique_whatever_the_sources_are(sources: list[str]) -> None:
    blocks = [block(n, "Text.", n * 10, source) for n, source in enumerate(sources)]
    packed = pack_prompt("Why?", blocks, encode, 100_000, 0).blocks
    assert len({b.key for b in packed}) == len(packed) == len(blocks)
    assert len({tuple((k, normalise(v)) for k, v in b.metadata) for b in packed}) == len(packed)


def test_a_question_alone_that_does_not_fit_is_an_error_that_names_the_numbers() -> None:
    with pytest.raises(PromptTooLongError, match=r"takes \d+ tokens of the 50"):
        pack_prompt("Why? " * 100, [block(1, "Text.")], encode, 100, 50)
    with pytest.raises(PromptTooLongError, match=r"may take 30\. Allow more \(--context-tokens"):
        pack_prompt("Why? " * 100, [block(1, "Text.")], encode, 100, 50, ceiling=30)
