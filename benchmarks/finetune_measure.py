"""What a tuned model is worth, through the product's own answerer, blocks given (`ragqa eval --given`).

    python benchmarks/finetune_measure.py answer MODEL OUT --set squad2 --given 1 --questions 100
    python benchmarks/finetune_measure.py fit VALIDATION.jsonl … --adapter FOLDER
    python benchmarks/finetune_measure.py report OUT.jsonl … --rule FOLDER

`answer` never refuses and keeps, a question a line, what the model wrote, its log-odds of refusing and the
quoting engine's of an answer being there; so `fit` can choose a rule on questions kept apart from training
(`--part kept`: even half, subjects that no training example is of; or what `reader_near_misses.py --set`
writes with `--part near_choose`, which the reader never saw either) and `report` can apply it to the odd
half. A run that was stopped goes on. `fit` writes the rule into the adapter's configuration.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import torch
from finetune_sets import kept_apart

from ingest.embed import load_embedder
from ingest.index import open_index
from ragqa.answering import Answerer
from ragqa.citations.refusals import refuses
from ragqa.evaluation.bootstrap import mean_with_interval
from ragqa.evaluation.given import GivenRetriever
from ragqa.evaluation.question_set import Question, read_set
from ragqa.evaluation.refusing import auroc
from ragqa.evaluation.suite import build_index, cache_of, drawn, half_of
from ragqa.evaluation.wording import exact_match, token_f1
from ragqa.gptq.finetune.lora import CONFIG
from ragqa.gptq.finetune.rows import DECISION_TOKENS
from ragqa.gptq.refusing import RefusalRule
from ragqa.narrowing import Narrowing
from ragqa.settings import AnswerSettings
from ragqa.wiring import EngineChoice, build_engine, judging_with, settings_for

STRICT_RECALL = 0.8
MARKERS = ("BEGIN", "ENDIN", "ENDCONTEXT")


def chosen_questions(options: argparse.Namespace, questions: Sequence[Question]) -> tuple[Question, ...]:
    def wanted(one: Question) -> bool:
        if options.part == "kept":
            return half_of(one) == "even" and kept_apart(options.set, one.subject)
        return options.part in ("all", half_of(one))

    return drawn(tuple(one for one in questions if wanted(one)), options.questions)


def answer(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    folder = options.data / "eval" / options.set
    question_set = read_set(folder)
    index, places = build_index(
        question_set, options.work / options.set if options.work else cache_of(folder)
    )
    choice = EngineChoice("gptq", options.model)
    done = set()
    if options.out.is_file():
        done = {json.loads(line)["id"] for line in options.out.read_text(encoding="utf-8").splitlines()}
    with open_index(index) as opened, options.out.open("a", encoding="utf-8") as out:
        embedder = load_embedder(opened.settings.embedder)
        engine = build_engine(choice, embedder)
        never = RefusalRule(DECISION_TOKENS, math.inf, math.inf, 0.0, options.chooses)
        engine = replace(engine, rule=never)
        settings = settings_for(choice, options.retrieval)
        retriever = GivenRetriever(opened, embedder, settings)
        retriever.places, retriever.count = places, options.given
        answerer = Answerer(retriever, engine, AnswerSettings(max_answer_tokens=96))
        if options.narrow:
            judging = judging_with(embedder.embed)
            answerer.narrow = Narrowing(options.narrow, lambda q, blocks: judging.judge(q, blocks).candidates)
        for question in chosen_questions(options, question_set.questions):
            if question.id in done:
                continue
            hidden = frozenset(question.gold) if options.blind else frozenset()
            retriever.turn_to(question, hidden)
            told = answerer.ask(question.text)
            line = line_of(question, told, places, options) | {
                "odds": told.generation.refusal_odds if told.generation else 0.0,
                "judge": engine.judge(told.prompt).odds if told.prompt else 0.0,
            }  # fmt: skip
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
            out.flush()


def line_of(question: Question, told: Any, places: dict[str, str], options: argparse.Namespace) -> dict:
    """What came of one question, nothing refused but what the check refuses."""
    raw = told.generation.text if told.generation else ""
    blocks = [places[block.source] for block in told.prompt.blocks] if told.prompt else []
    sources = {block.key: places[block.source] for block in told.prompt.blocks} if told.prompt else {}
    cited = [sources[citation.block_key] for citation in told.citations]
    from ragqa.citations.replies import parse_reply

    reply = parse_reply(raw, told.prompt)
    claimed = [sources[key] for key in reply.claimed]
    ended = bool(told.generation) and told.generation.stopped == "end"
    return {
        "set": options.set, "id": question.id, "question": question.text, "answers": question.answers,
        "answerable": question.answerable and not options.blind, "given": options.given, "raw": raw,
        "answer": reply.answer, "checked": not told.refused, "verdicts": [s.verdict for s in told.sentences],
        "f1": token_f1(reply.answer, question.answers) if question.answers else 0.0,
        "em": float(exact_match(reply.answer, question.answers)) if question.answers else 0.0,
        "claimed": bool(claimed), "claimed_right": bool(claimed) and all(c in question.gold for c in claimed),
        "cited_right": bool(cited) and cited[0] in question.gold,
        "malformed": not ended or not reply.answer or any(marker in raw for marker in MARKERS),
        "place": next((n for n, one in enumerate(blocks) if one in question.gold), None),
        "prompt_tokens": len(told.prompt.token_ids) if told.prompt else 0,
        "seconds": told.seconds_generate,
    }  # fmt: skip


def read_lines(files: Sequence[Path]) -> list[dict]:
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def score(line: dict, rule: RefusalRule) -> float:
    """What the rule compares with its threshold."""
    return line["odds"] - rule.judge * line["judge"]


def fit(options: argparse.Namespace) -> None:
    """The weight that separates best, or `--judge`; the threshold where recall less over-refusal is largest.

    Sets weigh alike, whatever their size. The strict threshold refuses STRICT_RECALL of the unanswerable.
    """
    lines = read_lines(options.files)
    best = None
    chooses = rule_of(options.adapter).chooses
    weights = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
    for weight in weights if options.judge is None else (options.judge,):
        rule = RefusalRule(DECISION_TOKENS, 0.0, 0.0, weight, chooses)
        scores = np.asarray([score(line, rule) for line in lines])
        able = np.asarray([line["answerable"] for line in lines])
        area = auroc(scores[~able].tolist(), scores[able].tolist())
        gains = [(gain(scores, able, lines, cut), cut) for cut in np.unique(scores)]
        value, cut = max(gains)
        print(f"judge {weight}: AUROC {area:.3f}, recall less over-refusal {value:.3f} at {cut:.2f}")
        if best is None or area > best[0]:
            strict = float(np.sort(scores[~able])[int((1 - STRICT_RECALL) * (~able).sum())])
            best = area, replace(rule, threshold=float(cut), strict=min(strict, float(cut)))
    assert best is not None
    print(best[1])
    if options.adapter:
        path = options.adapter / CONFIG
        config = json.loads(path.read_text(encoding="utf-8"))
        rule = best[1]
        config["ragqa"]["refusal"] = {name: getattr(rule, name) for name in rule.__dataclass_fields__}
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def gain(scores: np.ndarray, able: np.ndarray, lines: Sequence[dict], cut: float) -> float:
    """Refusal recall less over-refusal at a threshold, the mean over sets."""
    names = np.asarray([line["set"] for line in lines])
    refused = scores >= cut
    found = []
    for name in dict.fromkeys(names):
        here = names == name
        if (here & able).any() and (here & ~able).any():
            found.append(refused[here & ~able].mean() - refused[here & able].mean())
    return float(np.mean(found)) if found else float(refused[~able].mean() - refused[able].mean())


def rule_of(path: Path | None) -> RefusalRule:
    if path is None:
        return RefusalRule(DECISION_TOKENS, math.inf, math.inf)
    return RefusalRule(**json.loads((path / CONFIG).read_text(encoding="utf-8"))["ragqa"]["refusal"])


def report(options: argparse.Namespace) -> None:
    lines, rule = read_lines(options.files), rule_of(options.rule)
    for line in lines:
        line["refused"] = score(line, rule) >= rule.threshold or refuses(line["answer"], ())
        line["shown"] = not line["refused"] and line["checked"]
    able = [line for line in lines if line["answerable"]]
    unable = [line for line in lines if not line["answerable"]]
    told = [line for line in able if not line["refused"]]
    figures = {
        "f1, a refusal counts 0": [line["f1"] * (not line["refused"]) for line in able],
        "f1 where answered": [line["f1"] for line in told],
        "em where answered": [line["em"] for line in told],
        "f1, refused or stopped by the check 0": [line["f1"] * line["shown"] for line in able],
        "source the model names is right": [float(line["claimed_right"]) for line in told if line["claimed"]],
        "source the product cites is right": [float(line["cited_right"]) for line in told if line["shown"]],
        "refusal recall": [float(line["refused"]) for line in unable],
        "over-refusal": [float(line["refused"]) for line in able],
        "refusal recall, check included": [float(not line["shown"]) for line in unable],
        "over-refusal, check included": [float(not line["shown"]) for line in able],
        "malformed": [float(line["malformed"]) for line in lines],
        "prompt tokens": [float(line["prompt_tokens"]) for line in lines],
        "seconds": [line["seconds"] for line in lines],
    }
    for name, values in figures.items():
        if values:
            found = mean_with_interval(values)
            print(f"{name:38s} {found.value:.3f} [{found.low:.3f}, {found.high:.3f}] n={found.n}")
    if able and unable:
        for name, weighed in (("model alone", replace(rule, judge=0.0)), ("as the rule weighs", rule)):
            scores = [[score(line, weighed) for line in part] for part in (unable, able)]
            print(f"{'refusal AUROC, ' + name:38s} {auroc(*scores):.3f}")


def main() -> None:
    from ragqa.settings import RetrievalSettings

    parser = argparse.ArgumentParser(description="Measure a tuned model.")
    commands = parser.add_subparsers(dest="command", required=True)
    asking = commands.add_parser("answer")
    asking.add_argument("model")
    asking.add_argument("out", type=Path)
    asking.add_argument("--set", default="squad2")
    asking.add_argument("--questions", type=int, default=100)
    asking.add_argument("--given", type=int, default=1)
    asking.add_argument("--narrow", type=int, help="of these, so many by the reader, as the product does")
    asking.add_argument(
        "--chooses", type=float, default=1.0, help="weight of the reader's proposals; 0: none"
    )
    asking.add_argument("--blind", action="store_true", help="without the gold documents")
    asking.add_argument("--part", choices=("all", "even", "odd", "kept"), default="odd")
    asking.add_argument("--threads", type=int, default=1)
    asking.add_argument("--data", type=Path, default=Path("../shared"))
    asking.add_argument("--work", type=Path, help="where the indexes lie")
    asking.set_defaults(retrieval=RetrievalSettings())
    fitting = commands.add_parser("fit")
    fitting.add_argument("files", type=Path, nargs="+")
    fitting.add_argument("--adapter", type=Path)
    fitting.add_argument("--judge", type=float, help="the reader's weight, where it is not to be fitted")
    reporting = commands.add_parser("report")
    reporting.add_argument("files", type=Path, nargs="+")
    reporting.add_argument("--rule", type=Path, help="the adapter whose rule refuses")
    options = parser.parse_args()
    {"answer": answer, "fit": fit, "report": report}[options.command](options)


if __name__ == "__main__":
    main()
