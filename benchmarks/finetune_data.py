"""Make the closed-context training examples from the question sets.

    python benchmarks/finetune_data.py OUT --near DIR [--groups 1600] [--seed 0] [--blanks 0.25]
                                       [--wide 0.3 0.1]

Writes OUT/examples.jsonl and OUT/validation.jsonl (documents kept apart by title): one group a line, its
blocks and the questions asked of them. DIR holds the near misses (`reader_near_misses.py --set DIR --part
near`). Deterministic by seed. Lies under benchmarks/ because, like everything
here, it needs the evaluation data, which is not part of the project. Of sets that are measured with, only the
even half by subject is taken.
"""

import argparse
import json
import os
import random
import sys
from collections import Counter, defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from finetune_blocks import count_of_blocks, with_lines
from finetune_joined import widened
from finetune_sets import SETS, Asked, Near, Passage, Pool, covered, finish, read
from finetune_variation import (
    SENTENCE,
    ask,
    blank_out,
    change_fact,
    change_question,
    cited_lines,
    names_in,
    plant_instruction,
)

from ragqa.types import REFUSAL

# Share of groups that start from each set, in the order of SETS: mostly Wikipedia prose with short answers.
# BoolQ's yes and no are close to a coin for a small model: few of them.
SHARES = (32, 19, 9, 3, 6, 3, 9, 9, 7, 1.5, 0.5, 0.5, 0.5, 40)
MOST_QUESTIONS = 10
# Where one block is all there is, its lines after `Source:` tell nothing new: few of them are learnt.
CUT_SHORT = 0.7


class Maker:
    """Groups out of one pool; the share `blanks` of them ask for words taken out of sentences.

    `wide` are the shares of questions joined in pairs and behind an earlier turn, in groups of 1 to 12
    blocks; None: neither, and few blocks.
    """

    def __init__(
        self, pool: Pool, seed: int, blanks: float = 0.0, wide: tuple[float, float] | None = None
    ) -> None:
        self.pool, self.random, self.blanks, self.wide = pool, random.Random(seed), blanks, wide
        self.near = Near(pool.passages)
        self.uses: Counter[str] = Counter()
        self.answerable: dict[int, list[Asked]] = defaultdict(list)
        self.annotated: dict[int, list[Asked]] = defaultdict(list)
        self.by_title: dict[str, list[Asked]] = defaultdict(list)
        self.by_set: dict[str, list[Asked]] = defaultdict(list)
        for asked in pool.asked:
            side = self.annotated if asked.answer is None else self.answerable
            side[asked.passage].append(asked)
            if asked.answer is not None:
                self.by_set[asked.set].append(asked)
                self.by_title[self._subject(asked.passage)].append(asked)
        self.neighbours: dict[str, list[Passage]] = {}
        self.near_questions: dict[int, list[Asked]] = defaultdict(list)
        for asked in pool.asked:
            if asked.answer is None:
                continue
            found = [p for p in self.near.search(asked.question, 8) if p.number != asked.passage]
            self.neighbours[asked.question] = found
            for passage in found[:5]:
                if not self.answers(asked, passage.text):
                    self.near_questions[passage.number].append(asked)
        self.names, self.facts = {}, {}
        for name, some in self.by_set.items():
            short = {a.answer.rstrip(".") for a in some if a.answer and len(a.answer.split()) <= 4}
            self.facts[name] = sorted(short)
            self.names[name] = sorted({n for a in some for n in names_in(a.question)})

    def _subject(self, number: int) -> str:
        """What a passage is about: its title, or its document where that has none."""
        passage = self.pool.passages[number]
        return f"{passage.set}/{passage.title or passage.document}"

    def answers(self, asked: Asked, text: str) -> bool:
        """Whether the text might answer the question as well: it holds the answer's words."""
        if asked.set == "boolq":
            return covered(asked.question, text) >= 0.7
        return covered(asked.answer or "", text) >= (0.99 if len((asked.answer or "").split()) <= 8 else 0.6)

    def group(self) -> dict | None:
        """One group, or None where the draw does not work out."""
        draw = self.random
        if self.blanks and draw.random() < self.blanks:
            return self._blank_group()
        name = draw.choices(tuple(SETS), SHARES)[0]
        if not self.by_set[name]:
            return None
        start = self._least_used(draw.sample(self.by_set[name], min(8, len(self.by_set[name]))), 1)[0]
        texts, blocks, changed = self._blocks(start)
        questions = self._answerable(start, texts, changed)
        if len(texts) == 1 and draw.random() < 0.05:
            questions = []
        questions += self._unanswerable(texts, len(questions))
        if not questions:
            return None
        draw.shuffle(questions)
        self.uses.update(asked.question for asked, _ in questions)
        asked = [self._write(asked, kind, blocks) for asked, kind in questions]
        if self.wide:
            asked = widened(questions, asked, blocks, self.wide, draw)
        records = [{"metadata": lines, "text": text} for lines, text in (blocks[number] for number in blocks)]
        return {"blocks": records, "questions": asked}

    def _blank_group(self) -> dict | None:
        """A passage and blanks to be filled from it; some that it does not fill."""
        draw = self.random
        passage = draw.choice(self.pool.passages)
        own = self._blanks(passage)
        if len(own) < 3:
            return None
        near = [self.pool.passages[p.number] for p in self.near.search(own[0].question, 3)[1:]]
        others = [a for p in near for a in self._blanks(p) if not self.answers(a, passage.text)]
        chosen = [(a, "blank") for a in own[: draw.choice((3, 4, 5))]]
        names = sorted({name for p in near for name in names_in(p.text)})
        changed = (change_question(a.question, passage.text, names, draw) for a, _ in chosen)
        wrong = [(Asked(passage.set, q, None, passage.number), "changed") for q in changed if q]
        wrong += [(Asked(passage.set, a.question, None, passage.number), "near") for a in others[:2]]
        chosen += draw.sample(wrong, min(len(wrong), draw.choice((1, 2, 2))))
        draw.shuffle(chosen)
        blocks = with_lines([passage], {passage.number: passage.text}, draw)
        records = [{"metadata": lines, "text": text} for lines, text in blocks.values()]
        return {"blocks": records, "questions": [self._write(a, kind, blocks) for a, kind in chosen]}

    def _blanks(self, passage: Passage) -> list[Asked]:
        """A blank in each sentence that has something to take out, in any order."""
        sentences = [one for one in SENTENCE.split(passage.text) if 8 <= len(one.split()) <= 45]
        found = [blank_out(one, self.random) for one in self.random.sample(sentences, len(sentences))]
        return [Asked(passage.set, q, finish(a), passage.number) for q, a in filter(None, found)]

    def _least_used(self, some: list[Asked], count: int) -> list[Asked]:
        """`count` of them, those asked least so far first; any order among equals."""
        order = self.random.sample(some, len(some))
        return sorted(order, key=lambda asked: self.uses[asked.question])[:count]

    def _blocks(self, start: Asked) -> tuple[dict[int, str], dict, Asked | None]:
        """Texts of the group's passages by number, each with its lines; and a question on a changed fact."""
        draw = self.random
        count = count_of_blocks(draw, many=self.wide is not None)
        chosen = [self.pool.passages[start.passage]]
        near = self.neighbours[start.question]
        same = self.pool.by_document[chosen[0].document]
        pool = [*near[:5], *draw.sample(same, min(2, len(same)))]
        while len(chosen) < count:
            other = draw.choice(pool) if pool and draw.random() < 0.75 else draw.choice(self.pool.passages)
            pool = [p for p in pool if p.number != other.number]
            if other.number not in {p.number for p in chosen} and not self.answers(start, other.text):
                chosen.append(other)
        draw.shuffle(chosen)
        texts = {p.number: p.text for p in chosen}
        changed = None
        alone = len({a.question for a in self.answerable[start.passage]}) == 1
        if draw.random() < 0.3 and alone and start.answer and not start.whole_sentence:
            new = change_fact(texts[start.passage], start.answer.rstrip("."), self.facts[start.set], draw)
            if new:
                texts[start.passage] = new[0]
                changed = Asked(start.set, start.question, finish(new[1]), start.passage)
        if draw.random() < 0.04:
            number = draw.choice(list(texts))
            texts[number] = plant_instruction(texts[number], draw)
        return texts, with_lines(chosen, texts, draw), changed

    def _answerable(
        self, start: Asked, texts: dict[int, str], changed: Asked | None
    ) -> list[tuple[Asked, str]]:
        draw = self.random
        own = self.answerable[start.passage]
        others = [n for n in texts if n != start.passage and self.answerable[n]]
        mine = [(a, "gold") for a in self._least_used(own, 3 if others else 7)]
        if changed:
            mine = [(changed, "changed_fact")]
        for number in others[:4]:
            mine += [(a, "gold") for a in self._least_used(self.answerable[number], draw.choice((1, 2, 3)))]
        mine = mine[: MOST_QUESTIONS - 3]
        return [
            (a, kind)
            for a, kind in mine
            if not any(self.answers(a, text) for number, text in texts.items() if number != a.passage)
        ]

    def _unanswerable(self, texts: dict[int, str], beside: int) -> list[tuple[Asked, str]]:
        draw = self.random
        wanted = draw.choice((0, 0, 1, 1)) if beside == 1 else max(1, round(beside * draw.choice((0.3, 0.5))))
        written = [(a, "annotated") for n in texts for a in self._least_used(self.annotated[n], 4)]
        # Mostly what was written to look answerable; else what another passage answers, as in most folders.
        if written and draw.random() < 0.75:
            return draw.sample(written, min(len(written), max(1, round(beside * 0.55))))
        found: list[tuple[Asked, str]] = []
        for kind in draw.choices(("near", "changed", "far"), (60, 30, 10), k=wanted * 3):
            if len(found) == wanted:
                break
            one = self._unanswerable_one(kind, texts)
            if one and one.question not in {a.question for a, _ in found}:
                found.append((one, kind))
        return found

    def _unanswerable_one(self, kind: str, texts: dict[int, str]) -> Asked | None:
        draw, number = self.random, self.random.choice(list(texts))
        if kind == "changed":
            some = self.answerable[number]
            if not some:
                return None
            base = draw.choice(some)
            whole = " ".join(texts.values())
            new = change_question(base.question, whole, self.names[base.set], draw)
            return Asked(base.set, new, None, number, base.whole_sentence) if new else None
        some = self.by_set[draw.choice(tuple(SETS))]
        if kind == "near":
            # Of the same article, told by another passage of it: the hardest to tell from an answerable one.
            same = [a for a in self.by_title[self._subject(number)] if a.passage not in texts]
            some = same if same and draw.random() < 0.7 else self.near_questions[number]
        some = [a for a in some if a.passage not in texts]
        if not some:
            return None
        base = draw.choice(some)
        if any(self.answers(base, text) for text in texts.values()):
            return None
        return Asked(base.set, base.question, None, number, base.whole_sentence)

    def _write(self, asked: Asked, kind: str, blocks: dict) -> dict:
        draw = self.random
        wants = draw.random() < 0.8
        sentence = asked.whole_sentence and draw.random() < (0.95 if asked.answer else 0.5)
        instruction = ask(asked.question, wants_source=wants, whole_sentence=sentence, random_=draw)
        target = REFUSAL
        whole = True
        if asked.answer is not None:
            target = asked.answer
            lines = cited_lines(blocks[asked.passage][0])
            if wants and lines:
                whole = len(blocks) > 1 or draw.random() >= CUT_SHORT
                target += "\nSource:"
                target += "".join(f"\n{key}: {value}" for key, value in lines) if whole else ""
        facts = {"answerable": asked.answer is not None, "whole": whole, "kind": kind, "set": asked.set}
        return {"instruction": instruction, "target": target, **facts}


def write_groups(path: Path, maker: Maker, count: int) -> Counter:
    """Write `count` groups; returns how many questions of each kind there are."""
    kinds: Counter = Counter()
    with path.open("w", encoding="utf-8") as out:
        written = 0
        while written < count:
            group = maker.group()
            if group is None:
                continue
            written += 1
            kinds.update(question["kind"] for question in group["questions"])
            out.write(json.dumps(group, ensure_ascii=False) + "\n")
    return kinds


def main() -> None:
    parser = argparse.ArgumentParser(description="Make closed-context training examples.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--near", type=Path, required=True)
    parser.add_argument("--groups", type=int, default=1600)
    parser.add_argument("--blanks", type=float, default=0.0, help="share of groups that ask to fill blanks")
    parser.add_argument(
        "--wide",
        type=float,
        nargs=2,
        metavar=("JOINED", "TURNS"),
        help="1 to 12 blocks; shares of questions joined, and behind a turn",
    )
    parser.add_argument("--validation-groups", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RAGQA_EVAL_DATA", "../shared")))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    training, validation = read(options.data, options.near)
    for name, pool, count in (
        ("examples", training, options.groups),
        ("validation", validation, options.validation_groups),
    ):
        blanks = options.blanks if name == "examples" else 0.0
        maker = Maker(pool, options.seed, blanks, options.wide and tuple(options.wide))
        kinds = write_groups(options.out / f"{name}.jsonl", maker, count)
        refused = sum(kinds[kind] for kind in ("near", "changed", "annotated", "far"))
        share = refused / sum(kinds.values())
        print(
            f"{name}: {count} groups, {sum(kinds.values())} questions, {share:.0%} to refuse: {dict(kinds)}"
        )


if __name__ == "__main__":
    main()
