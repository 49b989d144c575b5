"""Training rows: questions over one shared context, and windows of plain text. Knows no model, no torch.

A row is one sequence. Segment 0 is read by all; each question is a segment of its own, which sees segment 0
and itself, at the positions it would have alone. So a row gives the same losses as its questions one by one,
and the context is computed once.
"""

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragqa.errors import CheckpointError
from ragqa.gptq.encoding import template_encoder
from ragqa.prompt import write
from ragqa.types import REFUSAL

DECISION_WEIGHT = 3.0
"""Loss weight of the tokens that decide between refusing and answering, which few tokens of a target do."""

DECISION_TOKENS = 2
"""`The documents`: answers begin with `The` too, so the first token alone does not tell."""

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """An instruction over a group's blocks and the reply to learn; all of it, or its beginning only."""

    instruction: str
    target: str
    answerable: bool
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Group:
    """Blocks (metadata lines and text) and the questions asked of them."""

    blocks: tuple[tuple[tuple[tuple[str, str], ...], str], ...]
    questions: tuple[Question, ...]

    @property
    def characters(self) -> int:
        """Its size, for sorting: exact lengths would mean encoding all groups before the first step."""
        shared = sum(
            len(text) + sum(len(key) + len(value) for key, value in lines) for lines, text in self.blocks
        )
        return shared + sum(len(asked.instruction) + len(asked.target) for asked in self.questions)


@dataclass(frozen=True, slots=True)
class Row:
    """Token ids with position, segment and loss weight of each (the weight is of predicting that token)."""

    ids: Ids
    positions: Ids
    segments: Ids
    weights: tuple[float, ...]

    @property
    def weight(self) -> float:
        """Total loss weight."""
        return sum(self.weights)


def read_groups(path: Path) -> tuple[Group, ...]:
    """The groups of a JSONL file of examples. Raises CheckpointError naming the line that does not parse."""
    groups = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            groups.append(_group(json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path}:{number} is no training example: {error!r}") from error
    return tuple(groups)


def _group(record: dict[str, Any]) -> Group:
    blocks = tuple(
        (tuple((str(key), str(value)) for key, value in block["metadata"]), str(block["text"]))
        for block in record["blocks"]
    )
    questions = tuple(
        Question(
            str(asked["instruction"]),
            str(asked["target"]),
            bool(asked["answerable"]),
            bool(asked.get("whole", True)),
        )
        for asked in record["questions"]
    )
    return Group(blocks, questions)


class ChatEncoder:
    """Messages and replies to ids, as the engine encodes them: through the tokenizer's chat template.

    Text is encoded with special tokens switched off; control ids stand only where the template has them.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._form = template_encoder(tokenizer)
        self.end = int(tokenizer.eos_token_id)

    def prompt(self, message: str) -> Ids:
        """The ids of a message up to where the reply begins."""
        return self._form.encode(message)

    def text(self, text: str) -> Ids:
        """Plain ids."""
        return tuple(self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))


def question_row(group: Group, encoder: ChatEncoder) -> Row:
    """The group as one row: what all its prompts begin with is shared."""
    prompts = [encoder.prompt(write(group.blocks, asked.instruction)) for asked in group.questions]
    replies = [
        (*encoder.text(asked.target), *([encoder.end] if asked.whole else [])) for asked in group.questions
    ]
    shared = _common_prefix(prompts) if len(prompts) > 1 else 0
    segments = [
        _segment(prompt[shared:], reply, asked.answerable)
        for prompt, reply, asked in zip(prompts, replies, group.questions, strict=True)
    ]
    return _row(prompts[0][:shared], segments)


def probe_row(group: Group, encoder: ChatEncoder) -> Row:
    """The group with the refusal as every reply: weights stand on the deciding tokens alone."""
    asked = tuple(Question(question.instruction, REFUSAL, False) for question in group.questions)
    row = question_row(Group(group.blocks, asked), encoder)
    return Row(row.ids, row.positions, row.segments, tuple(float(w > 1) for w in row.weights))


def text_rows(texts: Iterable[str], encoder: ChatEncoder, window: int, reach: int = 0) -> tuple[Row, ...]:
    """The texts one after another, cut into windows of exactly `window` tokens; the rest is left out.

    With a `reach` beyond the window, the positions of every second window jump once, at a random place, by a
    random distance: distances up to `reach` are seen at the cost of short windows (PoSE: Zhu et al. 2023,
    https://arxiv.org/abs/2309.10400).
    """
    stream: list[int] = []
    for text in texts:
        stream += [*encoder.text(text), encoder.end]
    weights = (0.0, *[1.0] * (window - 1))
    plain = (0,) * window
    rows = []
    for number, start in enumerate(range(0, len(stream) - window + 1, window)):
        positions = _jumping(window, reach, number) if reach > window and number % 2 else tuple(range(window))
        rows.append(Row(tuple(stream[start : start + window]), positions, plain, weights))
    return tuple(rows)


def _jumping(window: int, reach: int, number: int) -> Ids:
    random_ = random.Random(f"{window}/{reach}/{number}")  # noqa: S311 (a variation, no secret)
    place = random_.randint(window // 8, window - window // 8)
    jump = random_.randint(1, reach - window)
    return (*range(place), *range(place + jump, window + jump))


def plan(lengths: Sequence[int], rows_per_step: int, epoch: int, seed: int) -> tuple[tuple[int, ...], ...]:
    """Which rows each step of an epoch takes; a step's rows are of about one length, so no process waits.

    `lengths` are the rows' sizes in any unit. Rows beyond whole steps are left to another epoch.
    """
    random_ = random.Random(f"{seed}/{epoch}")  # noqa: S311 (an order, no secret)
    order = random_.sample(range(len(lengths)), len(lengths))
    steps: list[tuple[int, ...]] = []
    pool = rows_per_step * 8
    for start in range(0, len(order), pool):
        part = sorted(order[start : start + pool], key=lengths.__getitem__)
        whole = len(part) // rows_per_step * rows_per_step
        chosen = [tuple(part[at : at + rows_per_step]) for at in range(0, whole, rows_per_step)]
        random_.shuffle(chosen)
        steps += chosen
    return tuple(steps)


def _segment(prompt: Ids, reply: Ids, answerable: bool) -> tuple[Ids, tuple[float, ...]]:
    deciding = 1 if answerable else DECISION_TOKENS
    weights = [DECISION_WEIGHT] * deciding + [1.0] * (len(reply) - deciding)
    return (*prompt, *reply), (*[0.0] * len(prompt), *weights)


def _row(shared: Ids, segments: Sequence[tuple[Ids, tuple[float, ...]]]) -> Row:
    ids, positions = list(shared), list(range(len(shared)))
    numbers, weights = [0] * len(shared), [0.0] * len(shared)
    for number, (own, own_weights) in enumerate(segments, 1):
        ids += own
        positions += range(len(shared), len(shared) + len(own))
        numbers += [number] * len(own)
        weights += own_weights
    return Row(tuple(ids), tuple(positions), tuple(numbers), tuple(weights))


def _common_prefix(prompts: Sequence[Ids]) -> int:
    for place, ids in enumerate(zip(*prompts, strict=False)):
        if len(set(ids)) > 1:
            return place
    return min(map(len, prompts)) - 1
