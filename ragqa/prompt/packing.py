"""Fit blocks into a model's window, exactly. Pure: the tokenizer is a parameter."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import count

from ingest.sentences import sentence_spans
from ragqa.errors import PromptTooLongError
from ragqa.prompt.grammar import instruction_for, normalise, write
from ragqa.prompt.metadata import IDENTIFYING
from ragqa.types import ContextBlock, Dropped, DropReason, Prompt

Encode = Callable[[str], tuple[int, ...]]
Span = tuple[int, int]


def pack_prompt(
    question: str,
    blocks: Sequence[ContextBlock],
    encode: Encode,
    window: int,
    reserve: int,
    ceiling: int | None = None,
    focus: Sequence[Span | None] = (),
) -> Prompt:
    """The prompt with as many of the blocks (best first) as fit, in the order given.

    `encode` gives the final ids of a message, wrapper included. Holds: `len(token_ids) + reserve <=
    window`, and `len(token_ids) <= ceiling` if there is one. A block that does not fit whole is cut between
    two sentences, or dropped. `focus` holds, for each block, the document span that must stay when it is
    cut (its best chunk); without one its beginning stays. A block inside another of the same document is a
    duplicate; the larger one takes its place. Without any block that fits, the prompt has no blocks and is
    not to be answered. Raises PromptTooLongError where the question alone does not fit.
    """
    limit = window - reserve if ceiling is None else min(window - reserve, ceiling)
    instruction = instruction_for(question)
    empty = len(encode(write((), instruction)))
    if empty > limit and ceiling is not None and ceiling < window - reserve:
        raise PromptTooLongError(
            f"The question alone takes {empty} tokens, and the whole prompt may take {ceiling}. Allow more "
            "(--context-tokens), or ask a shorter question."
        )
    if empty > limit:
        raise PromptTooLongError(
            f"The question alone takes {empty} tokens of the {limit} that the window of {window} leaves it "
            f"beside {reserve} for the answer. Ask a shorter question, or allow more tokens."
        )
    spans = dict(zip((block.key for block in blocks), focus, strict=False))
    unique, dropped = _without_duplicates(blocks)
    scale = _Scale(encode, instruction, empty)
    kept: list[_Fitting] = []
    free = limit - empty
    for block, key in zip(_told_apart(unique), (block.key for block in unique), strict=True):
        fitting = scale.fit(_Fitting(block, spans.get(key), block), free)
        if fitting is None:
            dropped.append(_dropped(block, "budget"))
        else:
            kept.append(fitting)
            free -= fitting.block.tokens
    return _exactly(question, kept, dropped, scale, window, limit)


def _exactly(
    question: str, kept: "list[_Fitting]", dropped: list[Dropped], scale: "_Scale", window: int, limit: int
) -> Prompt:
    """Count the ids of the whole string, as tokens may join where blocks meet; shorten until they fit."""
    while True:
        blocks = tuple(fitting.block for fitting in kept)
        text = write([(block.metadata, block.text) for block in blocks], scale.instruction)
        ids = scale.encode(text)
        if len(ids) <= limit or not kept:
            return Prompt(question, text, ids, _keyed(blocks), tuple(dropped), window)
        last = kept.pop()
        shorter = scale.fit(last, last.block.tokens - (len(ids) - limit))
        if shorter is None:
            dropped.append(_dropped(last.block, "budget"))
        else:
            kept.append(shorter)


@dataclass(frozen=True, slots=True)
class _Fitting:
    """A block and the document span that should outlast cuts. `block` is what is left of `whole`.

    A block that must be cut again is cut anew: the sentences of a part need not be sentences of the whole.
    """

    whole: ContextBlock
    focus: Span | None
    block: ContextBlock


@dataclass(frozen=True, slots=True)
class _Scale:
    """Weighs single blocks: tokens of a message with the block, less those of the message without."""

    encode: Encode
    instruction: str
    empty: int

    def weigh(self, block: ContextBlock) -> int:
        return max(0, len(self.encode(write([(block.metadata, block.text)], self.instruction))) - self.empty)

    def fit(self, fitting: _Fitting, free: int) -> _Fitting | None:
        """The block with its tokens, cut between sentences to fit `free`; None where no sentence fits."""
        # No tokenizer packs 30 characters into each token of prose: far too long blocks are not weighed
        # whole.
        if len(fitting.whole.text) <= 30 * max(free, 0):
            tokens = self.weigh(fitting.whole)
            if tokens <= free:
                return replace(fitting, block=replace(fitting.whole, tokens=tokens))
        elif free <= 0:
            return None
        cuts = _nested_cuts(fitting)
        weigh = cache(lambda number: self.weigh(_cut(fitting.whole, cuts[number])))
        if not cuts or weigh(0) > free:
            return None
        best = bisect_right(range(len(cuts)), free, key=weigh) - 1
        while weigh(best) > free:
            best -= 1  # more text never takes fewer tokens, but for merges at the seam
        return replace(fitting, block=replace(_cut(fitting.whole, cuts[best]), tokens=weigh(best)))


def _nested_cuts(fitting: _Fitting) -> list[Span]:
    """Spans of whole sentences within the block's text, each holding the one before."""
    block = fitting.whole
    sentences = sentence_spans(block.text)
    first, end = 0, len(sentences)
    if fitting.focus is not None:
        low, high = fitting.focus[0] - block.start, fitting.focus[1] - block.start
        inside = [n for n, (start, stop) in enumerate(sentences) if start < high and stop > low]
        if inside:
            first, end = inside[0], inside[-1] + 1
    cuts = [(first, last) for last in range(first + 1, end + 1)]
    low_edge, high_edge = first, end
    while low_edge > 0 or high_edge < len(sentences):
        # Around the focus: one behind, then one ahead.
        if high_edge < len(sentences):
            high_edge += 1
            cuts.append((low_edge, high_edge))
        if low_edge > 0:
            low_edge -= 1
            cuts.append((low_edge, high_edge))
    return [(sentences[low][0], sentences[high - 1][1]) for low, high in cuts]


def _cut(block: ContextBlock, span: Span) -> ContextBlock:
    start, end = span
    return replace(block, text=block.text[start:end], start=block.start + start, end=block.start + end)


def _dropped(block: ContextBlock, reason: DropReason) -> Dropped:
    return Dropped(block.source, block.start, block.end, reason)


def _without_duplicates(blocks: Sequence[ContextBlock]) -> tuple[list[ContextBlock], list[Dropped]]:
    """Each text once; of two where one holds the other, the larger, at the better place."""
    kept: list[ContextBlock] = []
    dropped: list[Dropped] = []
    for block in blocks:
        if any(_holds(other, block) for other in kept):
            dropped.append(_dropped(block, "duplicate"))
            continue
        held = [number for number, other in enumerate(kept) if _holds(block, other)]
        dropped += [_dropped(kept[number], "duplicate") for number in held]
        place = held[0] if held else len(kept)
        rest = [other for number, other in enumerate(kept) if number not in held]
        kept = [*rest[:place], block, *rest[place:]]
    return kept, dropped


def _holds(outer: ContextBlock, inner: ContextBlock) -> bool:
    same = outer.document_id == inner.document_id
    return same and outer.start <= inner.start and inner.end <= outer.end


def _told_apart(blocks: Sequence[ContextBlock]) -> list[ContextBlock]:
    """A `part` line for blocks whose lines would read the same, so that a cited line names one block."""
    seen: set[frozenset[tuple[str, str]]] = set()
    told = []
    for block in blocks:
        metadata = block.metadata
        numbers = count(2)
        while _identity(metadata) in seen:
            bare = tuple(line for line in block.metadata if line[0] != "part")
            metadata = (*bare[:1], ("part", str(next(numbers))), *bare[1:])
        seen.add(_identity(metadata))
        told.append(replace(block, metadata=metadata))
    return told


def _identity(metadata: Sequence[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    return frozenset((key, normalise(value)) for key, value in metadata if key in IDENTIFYING)


def _keyed(blocks: tuple[ContextBlock, ...]) -> tuple[ContextBlock, ...]:
    """Keys that people can read: the source where it names one block, else all that tells the block apart."""
    sources = [normalise(block.source) for block in blocks]
    taken: set[str] = set()
    keyed = []
    for block, source in zip(blocks, sources, strict=True):
        values = [value for key, value in block.metadata if key in IDENTIFYING and key != "source"]
        key = " · ".join([block.source, *(values if sources.count(source) > 1 else [])])
        while key in taken:
            key += "'"
        taken.add(key)
        keyed.append(replace(block, key=key))
    return tuple(keyed)
