"""Measure a tuned adapter, greedy, on questions it never saw: answers, sources, refusals, with intervals.

    python benchmarks/finetune_measure.py answer BASE ADAPTER OUT [--set squad2 --questions 100 --blocks 1]
    python benchmarks/finetune_measure.py report OUT…

`answer` appends one line a question to OUT and goes on where an earlier run stopped; `--shard 0/2` takes
every second question. `ADAPTER` may be `none`: the untuned base. Blocks are the gold (or nearest) passage
among BM25-near passages of the same set, at every position. This asks the model alone, without retrieval,
check or refusal rule, so that a learning curve shows the model; only the odd half of a set is asked, the even
one is trained on. `ragqa eval SET --part odd --engine gptq --model FOLDER` measures the whole product.
"""

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import torch
from finetune_sets import Near, Passage

from ragqa.citations.replies import parse_reply
from ragqa.evaluation.bootstrap import mean_with_interval
from ragqa.evaluation.question_set import read_set
from ragqa.evaluation.refusing import auroc
from ragqa.evaluation.suite import half_of
from ragqa.evaluation.wording import token_f1
from ragqa.gptq.constrained import SourceConstraint, restrict
from ragqa.gptq.decoder import Decoder
from ragqa.gptq.dense import load_dense
from ragqa.gptq.finetune.base import CHATML
from ragqa.gptq.finetune.lora import apply_adapter
from ragqa.gptq.finetune.rows import DECISION_TOKENS, ChatEncoder
from ragqa.gptq.model import LoadOptions
from ragqa.gptq.source import open_source
from ragqa.prompt import instruction_for, metadata_lines, write
from ragqa.types import REFUSAL, ContextBlock, Prompt

LIMIT = 96


def read(folder: Path) -> tuple[list[Passage], list[dict[str, Any]]]:
    """Documents as passages, and the questions."""
    passages = []
    for number, line in enumerate((folder / "documents.jsonl").open(encoding="utf-8")):
        document = json.loads(line)
        words = document["text"].split(" ")
        text = " ".join(words[:350])
        passages.append(Passage(number, folder.name, document["id"], document["title"], "", 1, text))
    return passages, [json.loads(line) for line in (folder / "questions.jsonl").open(encoding="utf-8")]


def blocks_for(
    question: dict[str, Any], passages: Sequence[Passage], near: Near, count: int
) -> list[ContextBlock]:
    """The gold or nearest passage among near ones, in an order that the question's id fixes."""
    wanted = (question["gold_doc_ids"] or [question["meta"].get("nearest_doc")])[0]
    chosen = [passage for passage in passages if passage.document == wanted][:1]
    for other in near.search(question["question"], count + 4) if count > 1 else []:
        held = any(answer.casefold() in other.text.casefold() for answer in question["answers"])
        if len(chosen) < count and other.document != wanted and not held:
            chosen.append(other)
    random.Random(question["id"]).shuffle(chosen)
    return [block_of(passage) for passage in chosen]


def block_of(passage: Passage) -> ContextBlock:
    """A block as the packer makes it, of a file named after its document."""
    source = f"{passage.title.replace(' ', '-').lower()[:40]}-{passage.number}.md"
    lines = metadata_lines(source=source, title=passage.title)
    empty: dict[str, Any] = {"section": (), "page": None, "page_end": None, "start": 0, "text_sha256": ""}
    return ContextBlock(
        key=source, source=source, document_id=passage.document, title=passage.title, end=len(passage.text),
        text=passage.text, metadata=lines, score=0.0, **empty,
    )  # fmt: skip


class Model:
    """The tuned model, unquantized, greedy."""

    def __init__(self, base: Path, adapter: Path | None, factor: float) -> None:
        self.loaded = load_dense(base, LoadOptions(rope_factor=factor if factor != 1 else None))
        if adapter:
            apply_adapter(self.loaded.module, adapter)
        self.tokenizer = open_source(base).tokenizer()
        self.tokenizer.chat_template = CHATML
        self.encoder = ChatEncoder(self.tokenizer)
        self.decoder = Decoder(self.loaded)

    def reply(self, blocks: Sequence[ContextBlock], question: str) -> tuple[str, float, bool]:
        """Text, log-probability of beginning the refusal, and whether the reply came to its end."""
        message = write([(block.metadata, block.text) for block in blocks], instruction_for(question))
        ids = self.encoder.prompt(message)
        ends = frozenset({self.encoder.end})
        constraint = SourceConstraint([block.metadata for block in blocks], self.tokenizer, ends)
        cache = self.decoder.new_cache(len(ids) + LIMIT + DECISION_TOKENS)
        logits = self.decoder.logits(torch.tensor(ids), cache)
        refusing = self._refusing(logits, cache)
        written: list[int] = []
        while len(written) < LIMIT:
            token = int(restrict(logits, constraint.allowed(written)).argmax())
            if token in ends:
                break
            written.append(token)
            logits = self.decoder.logits(torch.tensor([token]), cache)
        text = self.tokenizer.decode(written, skip_special_tokens=True)
        return text, refusing, len(written) < LIMIT

    def _refusing(self, logits: Any, cache: Any) -> float:
        total, length = 0.0, cache.length
        first = self.encoder.text(REFUSAL)[:DECISION_TOKENS]
        for place, token in enumerate(first):
            total += float(torch.log_softmax(logits, -1)[token])
            if place + 1 < len(first):
                logits = self.decoder.logits(torch.tensor([token]), cache)
        cache.length = length
        return total


def answer(options: argparse.Namespace) -> None:
    passages, questions = read(options.data / "eval" / options.set)
    near = Near(passages)
    subjects = {one.id: half_of(one) for one in read_set(options.data / "eval" / options.set).questions}
    questions = [one for one in questions if options.part in ("all", subjects[one["id"]])]
    chosen = random.Random(0).sample(questions, min(options.questions, len(questions)))
    part, parts = map(int, options.shard.split("/"))
    done = set()
    if options.out.is_file():
        done = {json.loads(line)["id"] for line in options.out.read_text(encoding="utf-8").splitlines()}
    model = Model(options.base, None if str(options.adapter) == "none" else options.adapter, options.factor)
    with options.out.open("a", encoding="utf-8") as out:
        for question in chosen[part::parts]:
            if question["id"] in done:
                continue
            blocks = blocks_for(question, passages, near, options.blocks)
            text, refusing, ended = model.reply(blocks, question["question"])
            out.write(json.dumps(line_of(question, blocks, text, refusing, ended), ensure_ascii=False) + "\n")
            out.flush()


def line_of(
    question: dict[str, Any], blocks: Sequence[ContextBlock], text: str, refusing: float, ended: bool
) -> dict[str, Any]:
    """What came out, read as the product reads it."""
    prompt = Prompt(question["question"], "", (), tuple(replace(block) for block in blocks), (), 0)
    reply = parse_reply(text, prompt)
    gold = question["gold_doc_ids"]
    claimed = [block.document_id for block in blocks if block.key in reply.claimed]
    refused = reply.refuses or REFUSAL[:13] in reply.answer
    f1 = token_f1(reply.answer, question["answers"]) if question["answers"] else 0.0
    return {
        "id": question["id"], "question": question["question"], "answers": question["answers"],
        "answerable": question["answerable"], "raw": text, "answer": reply.answer, "refused": refused,
        "refusing": refusing, "f1": f1,
        "cited": bool(claimed), "right": bool(claimed) and all(one in gold for one in claimed),
        "malformed": not ended or bool(reply.invented) or not reply.answer or "BEGIN" in text,
    }  # fmt: skip


def report(files: Sequence[Path]) -> None:
    lines = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    able = [line for line in lines if line["answerable"]]
    unable = [line for line in lines if not line["answerable"]]
    told = [line for line in able if not line["refused"]]
    figures = {
        "f1 (a refusal scores 0)": [0.0 if line["refused"] else line["f1"] for line in able],
        "f1 where answered": [line["f1"] for line in told],
        "right source, of answers": [float(line["right"]) for line in told],
        "refusal recall": [float(line["refused"]) for line in unable],
        "over-refusal": [float(line["refused"]) for line in able],
        "malformed": [float(line["malformed"]) for line in lines],
    }
    for name, values in figures.items():
        if values:
            found = mean_with_interval(values)
            print(f"{name:26s} {found.value:.3f} [{found.low:.3f}, {found.high:.3f}] n={found.n}")
    if able and unable:
        scores = [[line["refusing"] for line in part] for part in (unable, able)]
        print(f"{'refusal AUROC':26s} {auroc(*scores):.3f} (log-probability of beginning the refusal)")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a tuned adapter.")
    commands = parser.add_subparsers(dest="command", required=True)
    asking = commands.add_parser("answer")
    for name in ("base", "adapter", "out"):
        asking.add_argument(name, type=Path)
    asking.add_argument("--set", default="squad2")
    asking.add_argument("--questions", type=int, default=100)
    asking.add_argument("--blocks", type=int, default=1)
    asking.add_argument("--part", choices=("all", "even", "odd"), default="odd")
    asking.add_argument("--factor", type=float, default=2.0)
    asking.add_argument("--shard", default="0/1")
    asking.add_argument("--data", type=Path, default=Path("../shared"))
    reporting = commands.add_parser("report")
    reporting.add_argument("files", type=Path, nargs="+")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.command == "answer":
        answer(options)
    else:
        report(options.files)


if __name__ == "__main__":
    main()
