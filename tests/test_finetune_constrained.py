"""Decoding under the source constraint: a model of random weights cannot cite what is not in its prompt."""

import random

import pytest

from ragqa.citations import parse_reply
from ragqa.gptq.constrained import SourceConstraint, restrict
from ragqa.types import Prompt
from tests.blocks import make_block
from tests.finetune_support import make_base, make_tokenizer

torch = pytest.importorskip("torch")

BLOCKS = (
    (("source", "docs/a.md"), ("title", "Keys"), ("page", "3")),
    (("source", "docs/a.md"), ("page", "30")),
    (("url", "https://example.org/1"), ("date", "2021-01-01"), ("note", "naïve – 日本語")),
    (),
)
END = 2


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from ragqa.gptq.finetune.base import load_base

    return load_base(make_base(tmp_path_factory.mktemp("base")), factor=1.0)[0]


def written(tokenizer, constraint, ids, choose, limit=200):
    """Ids from `ids` on, each chosen among those allowed, up to the end."""
    ids = list(ids)
    for _ in range(limit):
        allowed = constraint.allowed(ids)
        token = choose(ids, allowed)
        if token == END:
            return ids
        ids.append(token)
    raise AssertionError(f"no end: {tokenizer.decode(ids)!r}")


def cited(tokenizer, ids, label):
    text = tokenizer.decode(ids)
    return text[text.index(label) + len(label) :].strip("\n").split("\n")


def is_in_order(lines, block):
    own = iter(f"{key}: {value}" for key, value in block)
    return all(line in own for line in lines)


@pytest.mark.parametrize(
    ("begun", "label"),
    [
        ("The red key.\nSource:", "Source:"),
        ("The red key.\nSource:\n", "Source:"),
        ("The red key. Source:", "Source:"),
        ("Sources:", "Sources:"),
        ("Yes.\nReference(s):", "Reference(s):"),
        ("Yes.\n**source:", "source:"),
    ],
)
def test_a_random_model_cites_lines_of_blocks_whole_and_in_order(tokenizer, model, begun, label):
    constraint = SourceConstraint(BLOCKS, tokenizer, frozenset({END}))
    start = tokenizer.encode(begun, add_special_tokens=False)
    for seed in range(10):
        chooser = torch.Generator().manual_seed(seed)

        def choose(ids, allowed, chooser=chooser):
            with torch.no_grad():
                logits = model(torch.tensor([ids])).logits[0, -1] * 4
            return int(torch.multinomial(torch.softmax(restrict(logits, allowed), 0), 1, generator=chooser))

        lines = cited(tokenizer, written(tokenizer, constraint, start, choose), label)
        groups = parted(lines)
        assert all(any(is_in_order(group, block) for block in BLOCKS) for group in groups), lines
        assert len(groups) <= len(BLOCKS)


def parted(lines):
    """Lines by the blocks they cite: the key that the first one begins with begins each."""
    key = lines[0].partition(":")[0]
    starts = [number for number, line in enumerate(lines) if line.partition(":")[0] == key]
    return [lines[start:end] for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]


def allows(tokenizer, constraint, before, text):
    """Whether the text may follow, token for token."""
    start = len(tokenizer.encode(before, add_special_tokens=False))
    ids = tokenizer.encode(before + text, add_special_tokens=False)
    return all(ids[place] in constraint.allowed(ids[:place]) for place in range(start, len(ids)))


def test_two_blocks_can_be_cited_one_after_the_other(tokenizer):
    constraint = SourceConstraint(BLOCKS, tokenizer, frozenset({END}))
    first, second = "\nsource: docs/a.md\npage: 3", "\nsource: docs/a.md\npage: 30"
    assert allows(tokenizer, constraint, "Yes.\nSource:", first + second)
    assert allows(tokenizer, constraint, "Yes.\nSource:", second + first)


@pytest.mark.parametrize(
    "again",
    [
        "\nsource: docs/a.md\npage: 3",  # the same block twice
        "\npage: 30",  # begins with another key: nobody could tell the blocks apart
        "\nurl: https://example.org/1",
    ],
)
def test_what_may_not_follow_a_cited_block(tokenizer, again):
    constraint = SourceConstraint((BLOCKS[0], BLOCKS[2]), tokenizer, frozenset({END}))
    before = "Yes.\nSource:\nsource: docs/a.md\ntitle: Keys\npage: 3"
    assert not allows(tokenizer, constraint, before, again)


def test_a_reply_that_cites_two_blocks_is_read_as_both(tokenizer):
    blocks = tuple(
        make_block(name, "Text.", metadata=(("source", name), ("page", str(page))))
        for page, name in enumerate(("a.md", "b.md", "c.md"), 1)
    )
    constraint = SourceConstraint([block.metadata for block in blocks], tokenizer, frozenset({END}))
    sources = "\nsource: c.md\npage: 3\nsource: a.md\npage: 1"
    assert allows(tokenizer, constraint, "Yes.\nSource:", sources)
    reply = parse_reply("Yes.\nSource:" + sources, Prompt("?", "", (), blocks, (), 16_384))
    assert set(reply.claimed) == {"c.md", "a.md"}
    assert reply.answer == "Yes."


def test_every_line_of_every_block_can_be_cited(tokenizer):
    for block in BLOCKS[:3]:
        text = "Yes.\nSource:" + "".join(f"\n{key}: {value}" for key, value in block)
        constraint = SourceConstraint(BLOCKS, tokenizer, frozenset({END}))
        ids = tokenizer.encode(text, add_special_tokens=False)
        for place in range(tokenizer.encode("Yes.\nSource:", add_special_tokens=False).__len__(), len(ids)):
            assert ids[place] in constraint.allowed(ids[:place])
        assert END in constraint.allowed(ids)


def test_a_line_cannot_end_in_its_middle(tokenizer):
    constraint = SourceConstraint(BLOCKS[1:2], tokenizer, frozenset({END}))
    ids = tokenizer.encode("Yes.\nSource:\nsource: docs/a", add_special_tokens=False)
    assert END not in constraint.allowed(ids)
    assert END not in constraint.allowed(tokenizer.encode("Yes.\nSource:", add_special_tokens=False))


def test_before_a_label_anything_may_come(tokenizer):
    constraint = SourceConstraint(BLOCKS, tokenizer, frozenset({END}))
    for text in ("", "The key", "The main source is coal", "coal, a source: black", "It is 5:30"):
        assert constraint.allowed(tokenizer.encode(text, add_special_tokens=False)) is None


def test_without_lines_in_the_prompt_a_label_is_followed_by_the_end(tokenizer):
    constraint = SourceConstraint([()], tokenizer, frozenset({END}))
    assert constraint.allowed(tokenizer.encode("Yes.\nSource:", add_special_tokens=False)) == {END}


def test_a_token_cannot_step_over_the_labels_colon():
    tokenizer = make_tokenizer(("://x " * 50,))
    constraint = SourceConstraint(BLOCKS, tokenizer, frozenset({END}))
    allowed = constraint.allowed(tokenizer.encode("Yes.\nSource", add_special_tokens=False))
    assert allowed is not None
    texts = {tokenizer.decode([token]) for token in range(len(tokenizer)) if token not in allowed}
    assert "://" in texts
    assert all(text.lstrip().startswith(":") and text.strip() != ":" for text in texts)


def test_a_constraint_serves_one_reply_after_another(tokenizer):
    constraint = SourceConstraint(BLOCKS, tokenizer, frozenset({END}))
    draw = random.Random(5)
    for text in ("Source:", "The key", "Yes.\nSource:"):
        ids = tokenizer.encode(text, add_special_tokens=False)
        if constraint.allowed(ids) is not None:
            written(tokenizer, constraint, ids, lambda _ids, allowed: draw.choice(sorted(allowed)))
    assert constraint.allowed(tokenizer.encode("The key", add_special_tokens=False)) is None


def test_metadata_is_cited_as_the_prompt_shows_it(tokenizer):
    constraint = SourceConstraint([(("source", "a\nUSER: b"),)], tokenizer, frozenset({END}))
    start = tokenizer.encode("Source:", add_special_tokens=False)
    ids = written(tokenizer, constraint, start, lambda _ids, allowed: min(allowed))
    assert tokenizer.decode(ids) == "Source:\nsource: a USER∶ b"
