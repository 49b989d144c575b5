"""How the check judges human answers, and the same answers made wrong.

    python benchmarks/check.py [--data ../shared/eval/clapnq] [--tune]

Each question's prompt holds its gold document and eleven others. Kinds: `true` answers as people wrote
them, `number` and `name` (one replaced by one of another question's answer), `negation` (one put in or
taken out), `other` (answers to other questions). Figures are shares of answers, by sentence, judged
`supported`; thresholds were chosen on the questions whose id has an even sha256, the figures are of the odd
ones.
"""

import argparse
import hashlib
import json
import random
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from ragqa.citations import checking, parse_reply
from ragqa.citations.facts import facts
from ragqa.types import ContextBlock, Prompt

KINDS = ("true", "number", "name", "negation", "other")
AUXILIARIES = r"\b(is|are|was|were|can|may|will|has|have|had|could|would|should|must|does|did|do)\b"


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def block_of(document: dict) -> ContextBlock:
    text = document["text"]
    return ContextBlock(
        key=document["id"],
        source=document["id"],
        document_id=document["id"],
        text_sha256="",
        title=document["title"],
        section=(),
        page=None,
        page_end=None,
        start=0,
        end=len(text),
        text=text,
        metadata=(("source", document["id"]),),
        score=0.0,
    )


def replaced(answer: str, kind: str, pool: list[str], chance: random.Random) -> str | None:
    """The answer with one fact of the kind replaced by another question's, None where it has none."""
    own = [fact for fact in facts(answer, LOWER) if fact.kind == kind and fact.text in answer]
    others = [text for text in pool if text.lower() not in answer.lower()]
    if not own or not others:
        return None
    fact = chance.choice(own)
    return answer.replace(fact.text, chance.choice(others), 1)


def flipped(answer: str) -> str | None:
    """The answer with a negation taken out, else one put in behind the first auxiliary verb."""
    without = re.sub(r"\b(not|never) ", "", answer, count=1)
    if without != answer:
        return without
    flip = re.sub(AUXILIARIES, r"\1 not", answer, count=1)
    return flip if flip != answer else None


LOWER = frozenset(
    [
        "the",
        "a",
        "in",
        "on",
        "it",
        "this",
        "these",
        "they",
        "he",
        "she",
        "as",
        "at",
        "when",
        "after",
        "during",
    ]
)


def cases(questions: list[dict], seed: int = 7) -> Iterator[tuple[dict, str, str]]:
    chance = random.Random(seed)
    answers = [question["answers"][0] for question in questions]
    pools = {
        kind: [fact.text for answer in answers for fact in facts(answer, LOWER) if fact.kind == kind]
        for kind in ("number", "name")
    }
    for number, question in enumerate(questions):
        answer = question["answers"][0]
        yield question, "true", answer
        for kind in ("number", "name"):
            wrong = replaced(answer, kind, pools[kind], chance)
            if wrong:
                yield question, kind, wrong
        if flip := flipped(answer):
            yield question, "negation", flip
        yield question, "other", answers[(number + 17) % len(answers)]


def judge(question: dict, answer: str, documents: dict[str, dict], order: list[str]) -> list[str]:
    gold = question["gold_doc_ids"][0]
    place = order.index(gold)
    ids = [gold, *(order[(place + step) % len(order)] for step in range(1, 12))]
    blocks = tuple(block_of(documents[name]) for name in ids)
    prompt = Prompt(question["question"], "", (), blocks, (), 16_384)
    sentences, _ = checking.check(parse_reply(answer, prompt), prompt)
    return [sentence.verdict for sentence in sentences if sentence.verdict != "no_claim"]


def measure(questions: list[dict], documents: dict[str, dict], *, show: int = 0) -> dict[str, float]:
    order = sorted(documents)
    passed: dict[str, list[bool]] = defaultdict(list)
    whole: dict[str, list[bool]] = defaultdict(list)
    for question, kind, answer in cases(questions):
        verdicts = judge(question, answer, documents, order)
        whole[kind].append(bool(verdicts) and all(verdict == "supported" for verdict in verdicts))
        passed[kind] += [verdict == "supported" for verdict in verdicts]
        if show and (kind == "true") != whole[kind][-1]:
            print(kind, verdicts, question["question"], "|", answer, "\n")
    figures = {f"{kind} (answers)": sum(whole[kind]) / max(1, len(whole[kind])) for kind in KINDS}
    figures["true (sentences)"] = sum(passed["true"]) / max(1, len(passed["true"]))
    figures["other (sentences)"] = sum(passed["other"]) / max(1, len(passed["other"]))
    return figures | {f"n {kind}": len(whole[kind]) for kind in KINDS}


def speed(documents: dict[str, dict]) -> float:
    """CPU milliseconds for 12 blocks of about 1,000 tokens and five sentences, nothing cached."""
    texts = "\n".join(document["text"] for document in documents.values())
    names = [f"{n}.md" for n in range(12)]
    made = [
        {"id": name, "title": name, "text": texts[4200 * n : 4200 * (n + 1)]} for n, name in enumerate(names)
    ]
    blocks = tuple(map(block_of, made))
    sentences = [
        f"{block.text[900:1000].strip()} and {block.text[2000:2060].strip()}." for block in blocks[:5]
    ]
    prompt = Prompt("what is it", "", (), blocks, (), 16_384)
    checking.read.cache_clear()
    began = time.process_time()
    checking.check(parse_reply(" ".join(sentences), prompt), prompt)
    return 1000 * (time.process_time() - began)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--data", type=Path, default=Path("../shared/eval/clapnq"))
    arguments.add_argument("--tune", action="store_true", help="try thresholds on the even half")
    arguments.add_argument("--show", action="store_true", help="print the misjudged answers of the even half")
    options = arguments.parse_args()
    documents = {document["id"]: document for document in read_lines(options.data / "documents.jsonl")}
    halves: dict[int, list[dict]] = {0: [], 1: []}
    for question in read_lines(options.data / "questions.jsonl"):
        if question["answerable"]:
            halves[hashlib.sha256(question["id"].encode()).digest()[-1] % 2].append(question)
    if options.tune:
        for threshold in (0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8):
            checking.SUPPORTED = threshold
            print(threshold, {k: round(v, 3) for k, v in measure(halves[0], documents).items()})
        return
    for name, half in (("even (chosen on)", halves[0]), ("odd (reported)", halves[1])):
        show = int(options.show and half is halves[0])
        print(name, {k: round(v, 3) for k, v in measure(half, documents, show=show).items()})
    print("milliseconds", round(speed(documents), 1))


if __name__ == "__main__":
    main()
