"""Make the closed-context training examples from the `train_*` question sets.

    python benchmarks/finetune_data.py OUT [--groups 4000] [--seed 0] [--data ../shared]

Writes OUT/examples.jsonl and OUT/validation.jsonl (documents kept apart by title): one group a line, blocks and the
questions asked of them. Deterministic by seed. Lies under benchmarks/ because, like everything here, it needs the
evaluation data, which is not part of the project; the sets kept for evaluation are never opened.
"""

import argparse
import hashlib
import json
import math
import os
import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from finetune_variation import (
    ask,
    change_fact,
    change_question,
    cited_lines,
    lines_for,
    names_in,
    plant_instruction,
)

from ragqa.types import REFUSAL

# Share of groups that start from each set. BoolQ's yes and no are close to a coin for a small model: few of them.
SHARES = {"boolq": 10, "fairytale": 33, "selqa": 30, "tsqa": 12, "medquad": 8, "qafeedback": 4, "dolly": 3}
BLOCKS = ((1, 50), (2, 20), (3, 18), (4, 8), (6, 2), (8, 1), (12, 1))
PASSAGE_WORDS = 150
MOST_QUESTIONS = 5
VALIDATION_PART = 12  # one title in twelve
STOP = frozenset(
    "the a an of in on at to for and or is are was were be been did do does what who when where which why how that this with "
    "by from as it its his her their he she they has have had not".split()
)


@dataclass(frozen=True, slots=True)
class Passage:
    """A cut of a document, about PASSAGE_WORDS long."""

    number: int
    set: str
    document: str
    title: str
    section: str
    part: int
    text: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its gold passage; `answer` None where its set says it has none."""

    set: str
    question: str
    answer: str | None
    passage: int
    whole_sentence: bool = False


@dataclass(slots=True)
class Pool:
    """All passages and questions of one side of the title split."""

    passages: list[Passage] = field(default_factory=list)
    by_document: dict[str, list[Passage]] = field(default_factory=lambda: defaultdict(list))
    asked: list[Asked] = field(default_factory=list)


def words(text: str) -> list[str]:
    return [w[:6] for w in re.findall(r"\w+", text.casefold()) if w not in STOP]


def kept_apart(title: str) -> bool:
    return int(hashlib.sha256(title.casefold().encode()).hexdigest(), 16) % VALIDATION_PART == 0


def cut(text: str) -> Iterable[str]:
    """Passages that end where a sentence ends."""
    text = text.strip()
    if len(text.split()) <= PASSAGE_WORDS * 1.4:
        yield text
        return
    part: list[str] = []
    for sentence in re.split(r"(?<=[.!?][\"' ])(?=[A-Z\"])|(?<=\n)", text):
        part.append(sentence)
        if len("".join(part).split()) >= PASSAGE_WORDS * 0.75:
            yield "".join(part).strip()
            part = []
    if len("".join(part).split()) > 20:
        yield "".join(part).strip()


def read(data: Path) -> tuple[Pool, Pool]:
    """Training and validation pools."""
    pools = (Pool(), Pool())
    for name in SHARES:
        folder = data / "eval" / f"train_{name}"
        side: dict[str, Pool] = {}
        for line in (folder / "documents.jsonl").open(encoding="utf-8"):
            document = json.loads(line)
            pool = side[document["id"]] = pools[kept_apart(document["title"] or document["id"])]
            for part, text in enumerate(cut(document["text"].replace("``", '"').replace("''", '"')), 1):
                section = str(document["meta"].get("section", "")) if name == "selqa" else ""
                passage = Passage(len(pool.passages), name, document["id"], _title(document["title"]), section, part, text)
                pool.passages.append(passage)
                pool.by_document[document["id"]].append(passage)
        for line in (folder / "questions.jsonl").open(encoding="utf-8"):
            record = json.loads(line)
            near = record["gold_doc_ids"] or [record["meta"].get("nearest_doc")]
            if near[0] in side:
                pool = side[near[0]]
                pool.asked += _asked(name, record, pool.by_document[near[0]])
    return pools


def _title(title: str) -> str:
    """Titles of more than 90 characters are the text over again."""
    if len(title) > 90:
        return ""
    return title.title() if title.islower() else title


def _asked(name: str, record: dict, passages: list[Passage]) -> list[Asked]:
    question = record["question"].strip()
    if not passages:
        return []
    if not record["answerable"]:
        wanted = set(words(question))
        nearest = max(passages, key=lambda p: len(wanted & set(words(p.text))))
        return [Asked(name, question, None, nearest.number)]
    if name == "boolq":
        return [Asked(name, question, record["answers"][0].capitalize() + ".", passages[0].number)]
    found = [(a.strip(" ,;"), p) for a in record["answers"] for p in passages if a.strip(" ,;.").casefold() in p.text.casefold()]
    if name in ("selqa", "medquad"):
        return _sentence_answers(name, record, passages)
    if name in ("qafeedback", "dolly"):
        answer = record["answers"][0]
        best = max(passages, key=lambda p: covered(answer, p.text))
        ok = len(answer.split()) <= 60 and covered(answer, best.text) >= 0.8 and len(record["gold_doc_ids"]) == 1
        return [Asked(name, question, finish(answer), best.number)] if ok else []
    if found:
        answer, passage = min(found, key=lambda pair: len(pair[0]))
        return [Asked(name, question, finish(answer), passage.number)] if answer else []
    answer = min(record["answers"], key=len)
    ok = len(passages) == 1 and covered(answer, passages[0].text) >= 0.99
    return [Asked(name, question, finish(answer), passages[0].number)] if ok else []


def _sentence_answers(name: str, record: dict, passages: list[Passage]) -> list[Asked]:
    """Whole sentences that stand in a passage, and a short answer where the question's word fixes it."""
    question, answer = record["question"].strip(), record["answers"][0].strip()
    if name == "medquad":
        sentences = re.split(r"(?<=[.!?]) +", answer)
        answer = sentences[0] if len(sentences[0].split()) > 14 or len(sentences) == 1 else " ".join(sentences[:2])
    holding = [p for p in passages if answer[:60] in p.text and covered(answer, p.text) >= 0.95]
    shared = set(words(question)) & set(words(answer))
    if not holding or not 3 < len(answer.split()) <= 55 or not shared:
        return []
    found = [Asked(name, question, finish(answer), holding[0].number, name == "selqa")]
    short = short_answer(question, answer) if name == "selqa" else None
    if short:
        found = [Asked(name, question, finish(short), holding[0].number)] + found * (hash_of(question) % 3 == 0)
    return found


def short_answer(question: str, sentence: str) -> str | None:
    """The one year, number or name of the sentence that a when, how many or who question must mean; else None."""
    asked = question.casefold()
    if re.match(r"(when|(in )?(what|which) year)\b", asked):
        found = re.findall(r"(?:\b(?:January|February|March|April|May|June|July|August|September|October|November|December) "
                           r"(?:\d{1,2},? )?)?\b(?:1[0-9]\d\d|20[0-2]\d)\b", sentence)  # fmt: skip
    elif asked.startswith("how many"):
        found = re.findall(r"\b\d[\d,.]*\b|\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve)\b", sentence)
    elif re.match(r"who\b", asked):
        found = [name for name in names_in(" " + sentence) if " " in name or len(name) > 4]
    elif re.match(r"(where|(in )?(what|which) (city|country|state|town|place))\b", asked):
        found = [m.group(1) for m in re.finditer(r"\b(?:in|at|near) ([A-Z][\w'-]+(?:,? [A-Z][\w'-]+)*)", sentence)]
    else:
        return None
    new = [one.strip(" ,.") for one in found if one.casefold() not in asked]
    return new[0] if len(new) == 1 and new[0] else None


def hash_of(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


def finish(answer: str) -> str:
    answer = " ".join(answer.replace("``", '"').replace("''", '"').split()).strip(" ,;")
    if not answer:
        return answer
    return answer[0].upper() + answer[1:] + ("" if answer[-1] in ".!?\"'" else ".")


def covered(answer: str, passage: str) -> float:
    """Part of the answer's content words that the passage holds."""
    own = words(answer)
    held = set(words(passage))
    return sum(word in held for word in own) / len(own) if own else 0.0


class Near:
    """BM25 over passages (k1 0.9, b 0.4)."""

    def __init__(self, passages: list[Passage]) -> None:
        self.passages = passages
        bags = [Counter(words(f"{p.title} {p.text}")) for p in passages]
        lengths = [sum(bag.values()) for bag in bags]
        mean = sum(lengths) / len(lengths)
        found: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for number, bag in enumerate(bags):
            norm = 0.9 * (0.6 + 0.4 * lengths[number] / mean)
            for word, count in bag.items():
                found[word].append((number, count * 1.9 / (count + norm)))
        total = len(passages)
        self._postings = {w: (math.log(1 + (total - len(p) + 0.5) / (len(p) + 0.5)), p) for w, p in found.items()}

    def search(self, text: str, top: int) -> list[Passage]:
        scores: dict[int, float] = defaultdict(float)
        for word in set(words(text)):
            weight, postings = self._postings.get(word, (0.0, []))
            if len(postings) < len(self.passages) / 10:
                for number, value in postings:
                    scores[number] += weight * value
        best = sorted(scores, key=lambda number: (-scores[number], number))[:top]
        return [self.passages[number] for number in best]


class Maker:
    """Groups out of one pool."""

    def __init__(self, pool: Pool, seed: int) -> None:
        self.pool, self.random = pool, random.Random(seed)
        self.near = Near(pool.passages)
        self.answerable: dict[int, list[Asked]] = defaultdict(list)
        self.annotated: dict[int, list[Asked]] = defaultdict(list)
        self.by_title: dict[str, list[Asked]] = defaultdict(list)
        self.by_set: dict[str, list[Asked]] = defaultdict(list)
        for asked in pool.asked:
            (self.annotated if asked.answer is None else self.answerable)[asked.passage].append(asked)
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
        self.names = {name: sorted({n for a in some for n in names_in(a.question)}) for name, some in self.by_set.items()}
        self.facts = {name: sorted({a.answer.rstrip(".") for a in some if a.answer and len(a.answer.split()) <= 4})
                      for name, some in self.by_set.items()}  # fmt: skip

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
        name = draw.choices(list(SHARES), list(SHARES.values()))[0]
        if not self.by_set[name]:
            return None
        start = draw.choice(self.by_set[name])
        texts, blocks, changed = self._blocks(start)
        questions = self._answerable(start, texts, changed)
        if len(texts) == 1 and draw.random() < 0.07:
            questions = []
        questions += self._unanswerable(start, texts, len(questions))
        if not questions:
            return None
        draw.shuffle(questions)
        asked = [self._write(asked, kind, blocks) for asked, kind in questions[:MOST_QUESTIONS]]
        records = [{"metadata": lines, "text": text} for lines, text in (blocks[number] for number in blocks)]
        return {"blocks": records, "questions": asked}

    def _blocks(self, start: Asked) -> tuple[dict[int, str], dict, Asked | None]:
        """Passages of the group in a random order: texts, and metadata with text; and a question with a changed fact."""
        draw = self.random
        count = draw.choices([b for b, _ in BLOCKS], [w for _, w in BLOCKS])[0]
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
        if draw.random() < 0.12 and len(self.answerable[start.passage]) == 1 and start.answer and not start.whole_sentence:
            new = change_fact(texts[start.passage], start.answer.rstrip("."), self.facts[start.set], draw)
            if new:
                texts[start.passage] = new[0]
                changed = Asked(start.set, start.question, finish(new[1]), start.passage)
        if draw.random() < 0.04:
            number = draw.choice(list(texts))
            texts[number] = plant_instruction(texts[number], draw)
        return texts, self._with_lines(chosen, texts), changed

    def _with_lines(self, chosen: list[Passage], texts: dict[int, str]) -> dict:
        blocks: dict = {}
        seen: set = set()
        for place, passage in enumerate(chosen, 1):
            for _ in range(20):
                lines = lines_for(passage.title, passage.part if len(chosen) == 1 else place + passage.part, passage.section, self.random)
                if cited_lines(lines) not in seen and (lines or len(chosen) == 1):
                    break
            seen.add(cited_lines(lines))
            blocks[passage.number] = (lines, texts[passage.number])
        return blocks

    def _answerable(self, start: Asked, texts: dict[int, str], changed: Asked | None) -> list[tuple[Asked, str]]:
        draw = self.random
        mine = [(changed, "changed_fact")] if changed else [
            (a, "gold") for a in draw.sample(self.answerable[start.passage], min(2, len(self.answerable[start.passage])))
        ]  # fmt: skip
        for number in texts:
            if number != start.passage and self.answerable[number] and len(mine) < 3:
                mine.append((draw.choice(self.answerable[number]), "gold"))
        return [
            (a, kind)
            for a, kind in mine
            if not any(self.answers(a, text) for number, text in texts.items() if number != a.passage)
        ]

    def _unanswerable(self, start: Asked, texts: dict[int, str], beside: int) -> list[tuple[Asked, str]]:
        draw = self.random
        wanted = draw.choice((1, 1, 1, 2)) if beside <= 1 else draw.choice((1, 2, 2))
        found: list[tuple[Asked, str]] = []
        for kind in draw.choices(("near", "changed", "annotated", "far"), (40, 40, 15, 5), k=wanted * 3):
            if len(found) == wanted:
                break
            one = self._unanswerable_one(kind, start, texts)
            if one and one.question not in {a.question for a, _ in found}:
                found.append((one, kind))
        return found

    def _unanswerable_one(self, kind: str, start: Asked, texts: dict[int, str]) -> Asked | None:
        draw, number = self.random, self.random.choice(list(texts))
        if kind == "annotated":
            some = [a for n in texts for a in self.annotated[n]]
            return draw.choice(some) if some else None
        if kind == "changed":
            some = self.answerable[number]
            if not some:
                return None
            base = draw.choice(some)
            whole = " ".join(texts.values())
            new = change_question(base.question, whole, self.names[base.set], draw)
            return Asked(base.set, new, None, number, base.whole_sentence) if new else None
        some = self.by_set[draw.choice(list(SHARES))]
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
        whole = asked.whole_sentence and draw.random() < (0.9 if asked.answer else 0.5)
        instruction = ask(asked.question, wants_source=wants, whole_sentence=whole, random_=draw)
        target = REFUSAL
        if asked.answer is not None:
            target = asked.answer
            lines = cited_lines(blocks[asked.passage][0])
            if wants and lines:
                target += "\nSource:\n" + "\n".join(f"{key}: {value}" for key, value in lines)
        answerable = asked.answer is not None
        return {"instruction": instruction, "target": target, "answerable": answerable, "kind": kind, "set": asked.set}


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
    parser.add_argument("--groups", type=int, default=4000)
    parser.add_argument("--validation-groups", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RAGQA_EVAL_DATA", "../shared")))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    training, validation = read(options.data)
    for name, pool, count in (
        ("examples", training, options.groups),
        ("validation", validation, options.validation_groups),
    ):
        kinds = write_groups(options.out / f"{name}.jsonl", Maker(pool, options.seed), count)
        refused = sum(kinds[kind] for kind in ("near", "changed", "annotated", "far"))
        share = refused / sum(kinds.values())
        print(f"{name}: {count} groups, {sum(kinds.values())} questions, {share:.0%} to refuse: {dict(kinds)}")


if __name__ == "__main__":
    main()
