"""Training examples: grammar, labels and sources are right by construction, and the seed fixes every byte."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ragqa.prompt import parse, write
from ragqa.types import REFUSAL

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "finetune_data.py"
TRAINING = ("boolq", "fairytale", "selqa", "tsqa", "medquad", "qafeedback", "dolly", "near_misses")
MEASURED = ("squad2", "nq_gold", "qed", "clapnq", "covidqa", "tatqa")
SETS = (*(f"train_{name}" for name in TRAINING), *MEASURED)
SHORT = {"train_boolq": "yes", "train_fairytale": "a {trade}", "train_tsqa": "{town}"}
SHORT |= dict.fromkeys(("squad2", "nq_gold", "qed", "covidqa", "tatqa", "train_near_misses"), "{town}")
PEOPLE = [
    "Ada Lark",
    "Bo Fennel",
    "Cy Marsh",
    "Dee Thorn",
    "Eli Brook",
    "Fay Stone",
    "Gus Alder",
    "Hal Moss",
    "Ivy Reed",
    "Jo Heath",
]
WEATHER = "Rain fell that winter on Saint Mary Abbey for 40 days. The bells of Kings Lodge rang all along."
TRADES = ["baker", "mason", "weaver", "sailor", "tanner", "glazier", "potter", "miller", "cooper", "farrier"]
TOWNS = [
    "Elm Cross",
    "Oak Ford",
    "Ash Green",
    "Fir Hill",
    "Yew Bank",
    "Bay Point",
    "Box Wood",
    "Gum Creek",
    "Nut Lane",
    "Pine End",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Small sets in the form of the evaluation data."""
    root = tmp_path_factory.mktemp("data")
    for place, name in enumerate(SETS):
        folder = root / "eval" / name
        folder.mkdir(parents=True)
        documents, questions = [], []
        for number in range(40):
            person, trade = PEOPLE[number % 10], TRADES[(number // 10 + number + place) % 10]
            town, year = TOWNS[(number * 3 + place) % 10], 1700 + 40 * place + number
            identity = f"{name}#{number}"
            sentence = f"{person} was born in {town} in {year} and worked there as a {trade}."
            text = f"{sentence} The neighbours of {person} spoke well of the {trade} for years. {WEATHER}"
            documents.append({"id": identity, "title": f"{person} {number}", "text": text, "meta": {}})
            short = SHORT.get(name, "{sentence}").format(trade=trade, town=town, sentence=sentence)
            questions.append(
                {
                    "id": f"{name}-{number}",
                    "question": f"What did {person} do in {year} as a {trade}?",
                    "answers": [short],
                    "gold_doc_ids": [identity],
                    "evidence": [],
                    "answerable": True,
                    "meta": {},
                }
            )
            if name == "train_near_misses":
                asked = f"What did {person} never do in {year}?"
                near_miss = {"question": asked, "answers": [], "gold_doc_ids": [], "answerable": False}
                questions.append(questions[-1] | near_miss | {"meta": {"nearest_doc": identity}})
        for kind, records in (("documents", documents), ("questions", questions)):
            (folder / f"{kind}.jsonl").write_text("\n".join(map(json.dumps, records)))
    return root


def make(data, out, hash_seed="0", seed="0", blanks="0", more=()):
    near = data / "eval" / "train_near_misses"
    command = [sys.executable, str(SCRIPT), str(out), "--data", str(data), "--near", str(near)]
    command += ["--seed", seed, "--blanks", blanks]
    command += more
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(SCRIPT.parent.parent)}
    subprocess.run(
        [*command, "--groups", "120", "--validation-groups", "10"],
        check=True,
        env=environment,
        capture_output=True,
    )
    return [(out / name).read_text().splitlines() for name in ("examples.jsonl", "validation.jsonl")]


@pytest.fixture(scope="module")
def made(data, tmp_path_factory):
    lines = make(data, tmp_path_factory.mktemp("made"))
    return [[json.loads(line) for line in part] for part in lines]


def test_the_seed_fixes_every_byte(data, tmp_path):
    first = make(data, tmp_path / "a", hash_seed="1")
    assert first == make(data, tmp_path / "b", hash_seed="2")
    assert first != make(data, tmp_path / "c", seed="1")


def test_a_good_part_is_to_be_refused_with_the_fixed_sentence(made):
    asked = [question for group in made[0] for question in group["questions"]]
    refused = [question for question in asked if not question["answerable"]]
    assert 0.2 * len(asked) < len(refused) < 0.5 * len(asked)
    assert {question["target"] for question in refused} == {REFUSAL}
    assert {question["kind"] for question in refused} >= {"near", "changed", "far"}


def test_near_misses_are_refused_beside_what_their_passage_answers(made):
    groups = [[q for q in group["questions"] if q["set"] == "near"] for group in made[0]]
    refused = [q for group in groups for q in group if q["kind"] == "annotated"]
    assert refused
    assert all("never" in q["instruction"] and q["target"] == REFUSAL for q in refused)
    assert any({q["answerable"] for q in group} == {True, False} for group in groups)
    assert {q["kind"] for group in groups for q in group} >= {"gold", "annotated", "near"}


def test_the_source_lines_are_lines_of_one_block_that_holds_the_answer(made):
    cited = 0
    for group in made[0]:
        for question in group["questions"]:
            answer, _, sources = question["target"].partition("\nSource:\n")
            if not sources:
                continue
            cited += 1
            held = [
                block
                for block in group["blocks"]
                if all([*line.split(": ", 1)] in block["metadata"] for line in sources.splitlines())
            ]
            assert len(held) == 1
            if answer not in ("Yes.", "No."):
                assert answer.rstrip(".").casefold() in held[0]["text"].casefold()
    assert cited > 50


def test_blocks_are_written_as_the_grammar_has_them(made):
    for group in made[0]:
        blocks = tuple((tuple(map(tuple, block["metadata"])), block["text"]) for block in group["blocks"])
        assert parse(write(blocks, group["questions"][0]["instruction"]))[0] == blocks
        assert all(len(block["metadata"]) <= 8 for block in group["blocks"])


def test_gold_stands_at_every_position(made):
    firsts = {
        place
        for group in made[0]
        if len(group["blocks"]) == 3
        for question in group["questions"]
        for place, block in enumerate(group["blocks"])
        if f"\nSource:\nsource: {dict(block['metadata']).get('source')}" in question["target"]
    }
    assert firsts == {0, 1, 2}


def test_documents_of_validation_are_not_in_training(made):
    texts = [{block["text"] for group in part for block in group["blocks"]} for part in made]
    plain = [{text for text in part if "born in" in text} for part in texts]
    assert plain[1]
    assert not plain[0] & plain[1]


def test_of_sets_that_are_measured_the_odd_half_is_not_read(made, data):
    from zlib import crc32

    texts = {block["text"] for part in made for group in part for block in group["blocks"]}
    halves = {"even": 0, "odd": 0}
    for name in MEASURED:
        for line in (data / "eval" / name / "documents.jsonl").read_text().splitlines():
            document = json.loads(line)
            half = ("even", "odd")[crc32(document["title"].encode()) % 2]
            halves[half] += document["text"] in texts
    assert halves["even"] > 20
    assert halves["odd"] == 0


def test_replies_are_cut_short_behind_the_label_of_a_lone_block_only(made):
    cut = [(group, question) for group in made[0] for question in group["questions"] if not question["whole"]]
    assert cut
    assert all(
        len(group["blocks"]) == 1 and question["target"].endswith("\nSource:") for group, question in cut
    )


def test_a_blank_is_filled_with_words_of_the_passage_that_the_question_lacks(data, tmp_path):
    groups = [json.loads(line) for line in make(data, tmp_path, blanks="0.5")[0]]
    asked = [(group, q) for group in groups for q in group["questions"] if q["kind"] == "blank"]
    assert len(asked) > 20
    for group, question in asked:
        answer = question["target"].split("\n")[0].removesuffix(".")
        assert answer in " ".join(block["text"] for block in group["blocks"])
        assert answer not in question["instruction"]


def test_wide_examples_hold_questions_that_need_two_blocks_and_earlier_turns(data, tmp_path):
    groups = [json.loads(one) for one in make(data, tmp_path, more=("--wide", "0.8", "0.3"))[0]]
    assert max(len(group["blocks"]) for group in groups) == 12
    both = [(group, one) for group in groups for one in group["questions"] if one["kind"] == "joined"]
    assert len(both) > 10
    for group, question in both:
        answer, _, sources = question["target"].partition("\nSource:\n")
        key = sources.partition(":")[0]
        parts = ("\n" + sources).split(f"\n{key}: ")[1:]
        assert len(parts) == 2
        for words, part in zip(answer.rstrip(".").split(". "), parts, strict=True):
            lines = f"{key}: {part}".splitlines()
            cited = [
                b for b in group["blocks"] if all([*line.split(": ", 1)] in b["metadata"] for line in lines)
            ]
            assert len(cited) == 1
            assert words.casefold() in cited[0]["text"].casefold()
    turned = [one for group in groups for one in group["questions"] if "Asked before:" in one["instruction"]]
    assert len(turned) > 10
