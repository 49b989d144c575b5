"""Training questions that need two blocks, or what was said before: made of those that need one. Pure.

Replies to the first kind cite both blocks, each begun with the same key, as the source constraint has it.
"""

import random
import re
from collections.abc import Mapping, Sequence

from finetune_sets import Asked
from finetune_variation import Lines, ask, cited_lines

JOINTS = ("{a} And {b}", "{a} Also, {b}", "{a} {b}", "1. {a} 2. {b}", "{a}\n{b}")
TURN = "Asked before: {a}\nAnswered: {answer}\nNow: {b}"
Blocks = Mapping[int, tuple[Lines, str]]
QUESTION_WORD = re.compile(r"(?:What|Who|When|Where|Which|Why|How|In what|In which)\b")


def joined(first: Asked, second: Asked, blocks: Blocks, random_: random.Random) -> dict | None:
    """Both questions at once, both answers, both blocks cited; None where that cannot be written.

    Cannot: blocks without lines, the same block, blocks whose citations begin with different keys.
    """
    cited = [cited_lines(blocks[one.passage][0]) for one in (first, second)]
    alike = all(cited) and cited[0][0][0] == cited[1][0][0] and cited[0] != cited[1]
    if not alike or first.passage == second.passage or not (first.answer and second.answer):
        return None
    joint = random_.choice(JOINTS)
    behind = second.question
    if joint.startswith("{a} A") and QUESTION_WORD.match(behind):
        behind = behind[0].lower() + behind[1:]
    question = joint.format(a=first.question, b=behind)
    sources = "".join(f"\n{key}: {value}" for lines in cited for key, value in lines)
    return {
        "instruction": ask(question, wants_source=True, whole_sentence=False, random_=random_),
        "target": f"{first.answer} {second.answer}\nSource:{sources}",
        "answerable": True,
        "whole": True,
        "kind": "joined",
        "set": first.set,
    }


def behind_a_turn(earlier: Asked, written: Mapping[str, object], asked: Asked) -> dict | None:
    """The written question with one asked and answered before it; None where the earlier has no answer."""
    instruction = str(written["instruction"])
    if earlier.answer is None or earlier.question == asked.question or asked.question not in instruction:
        return None
    said = TURN.format(a=earlier.question, answer=earlier.answer, b=asked.question)
    return {**written, "instruction": instruction.replace(asked.question, said, 1)}


def widened(
    questions: Sequence[tuple[Asked, str]],
    written: Sequence[dict],
    blocks: Blocks,
    shares: tuple[float, float],
    random_: random.Random,
) -> list[dict]:
    """What was written of the questions, a share of it behind an earlier turn, and a share of pairs joined.

    shares: of questions joined, of questions behind a turn.
    """
    out = list(written)
    for place, (asked, _) in enumerate(questions):
        if random_.random() < shares[1]:
            turned = behind_a_turn(random_.choice(questions)[0], written[place], asked)
            out[place] = turned or written[place]
    for first, second in _pairs(questions, random_):
        if random_.random() < shares[0]:
            both = joined(first, second, blocks, random_)
            out += [both] if both else []
    return out


def _pairs(questions: Sequence[tuple[Asked, str]], random_: random.Random) -> list[tuple[Asked, Asked]]:
    """Two answerable questions at a time, each once, of different passages."""
    some = [
        one for one, kind in questions if kind == "gold" and one.set != "boolq" and not one.whole_sentence
    ]
    random_.shuffle(some)
    return [(a, b) for a, b in zip(some[::2], some[1::2], strict=False) if a.passage != b.passage]
