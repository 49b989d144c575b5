"""The question sets to learn from, as passages and questions with answers, split by subject."""

import hashlib
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from finetune_variation import names_in

from ragqa.evaluation.question_set import Question
from ragqa.evaluation.suite import half_of
from ragqa.proposals import as_answer

# Folder of each set in the form of the evaluation data. Of those that are also measured with, the even half
# by subject is taken; the odd half is never read.
SETS = {
    "squad2": "squad2",
    "nq": "nq_gold",
    "qed": "qed",
    "clapnq": "clapnq",
    "covidqa": "covidqa",
    "tatqa": "tatqa",
    "fairytale": "train_fairytale",
    "tsqa": "train_tsqa",
    "selqa": "train_selqa",
    "boolq": "train_boolq",
    "medquad": "train_medquad",
    "qafeedback": "train_qafeedback",
    "dolly": "train_dolly",
    "near": "train_near_misses",
}
PASSAGE_WORDS = 110
# Sets whose documents are single paragraphs: not cut below this many words.
WHOLE = {"squad2": 260, "nq": 200, "qed": 200, "tatqa": 260, "near": 260}
SHORTEST_ANSWERS = {"covidqa": 15, "tatqa": 15}
MEASURED = frozenset(name for name, folder in SETS.items() if not folder.startswith("train_"))
VALIDATION_PART = 12  # one subject in twelve
VALIDATION_ARTICLE = "Islamism"
"""Of squad2's five even subjects: a twelfth by lot would be none or too many."""
STOP = frozenset(
    re.findall(
        r"\w+",
        "the a an of in on at to for and or is are was were be been did do does what who when where which "
        "why how that this with by from as it its his her their he she they has have had not",
    )
)
MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
DATE = re.compile(rf"(?:\b(?:{MONTHS}) (?:\d{{1,2}},? )?)?\b(?:1[0-9]\d\d|20[0-2]\d)\b")
COUNT = re.compile(r"\b\d[\d,.]*\b|\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve)\b")
PLACE = re.compile(r"\b(?:in|at|near) ([A-Z][\w'-]+(?:,? [A-Z][\w'-]+)*)")
ASKS_PLACE = re.compile(r"(where|(in )?(what|which) (city|country|state|town|place))\b")


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


def kept_apart(name: str, subject: str) -> bool:
    if name == "squad2":
        return subject == VALIDATION_ARTICLE
    return hash_of(subject.casefold()) % VALIDATION_PART == 0


def cut(text: str, whole: float = PASSAGE_WORDS * 1.4) -> Iterable[str]:
    """Passages that end where a sentence ends; a text of at most `whole` words is one."""
    text = text.strip()
    if len(text.split()) <= whole:
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


def read(data: Path, near: Path) -> tuple[Pool, Pool]:
    """Training and validation pools; `near` is the folder that `reader_near_misses.py --set` wrote."""
    pools = (Pool(), Pool())
    for name, folder_name in SETS.items():
        folder = near if name == "near" else data / "eval" / folder_name
        side: dict[str, Pool] = {}
        for line in (folder / "documents.jsonl").open(encoding="utf-8"):
            document = json.loads(line)
            subject = document["title"] or document["id"]
            if in_training_half(name, subject):
                side[document["id"]] = pools[kept_apart(name, subject)]
                _take(side[document["id"]], name, document)
        for line in (folder / "questions.jsonl").open(encoding="utf-8"):
            record = json.loads(line)
            document_id = [*record["gold_doc_ids"], record["meta"].get("nearest_doc")][0]
            if document_id in side:
                pool = side[document_id]
                pool.asked += _asked(name, record, pool.by_document[document_id])
    return pools


def in_training_half(name: str, subject: str) -> bool:
    """Whether a subject of the set is on the training side, as `ragqa eval --part` halves the sets."""
    if SETS[name].startswith("train_"):
        return True
    return half_of(Question("", "", (), (), (), answerable=True, subject=subject)) == "even"


def _take(pool: Pool, name: str, document: dict) -> None:
    text = document["text"].replace("``", '"').replace("''", '"')
    section = str(document["meta"].get("section", "")) if name == "selqa" else ""
    for part, passage_text in enumerate(cut(text, WHOLE.get(name, PASSAGE_WORDS * 1.4)), 1):
        title = _title(document["title"])
        passage = Passage(len(pool.passages), name, document["id"], title, section, part, passage_text)
        pool.passages.append(passage)
        pool.by_document[document["id"]].append(passage)


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
    found = [
        (a.strip(" ,;"), p)
        for a in record["answers"]
        for p in passages
        if a.strip(" ,;.").casefold() in p.text.casefold()
    ]
    if name in ("selqa", "medquad"):
        return _sentence_answers(name, record, passages)
    if name in ("qafeedback", "dolly", "clapnq"):
        answer = record["answers"][0]
        best = max(passages, key=lambda p: covered(answer, p.text))
        ok = (
            len(answer.split()) <= 60
            and covered(answer, best.text) >= 0.8
            and len(record["gold_doc_ids"]) == 1
        )
        return [Asked(name, question, finish(answer), best.number, name == "clapnq")] if ok else []
    if name in SHORTEST_ANSWERS and not _one_short(name, record, found):
        return []
    if found:
        answer, passage = min(found, key=lambda pair: len(pair[0]))
        return [Asked(name, question, finish(answer), passage.number)] if answer else []
    if name in MEASURED:
        return []
    answer = min(record["answers"], key=len)
    ok = len(passages) == 1 and covered(answer, passages[0].text) >= 0.99
    return [Asked(name, question, finish(answer), passages[0].number)] if ok else []


def _one_short(name: str, record: dict, found: list[tuple[str, Passage]]) -> bool:
    """Whether the answer is short and stands in one passage (the annotated place is not kept)."""
    if not found or len(record["answers"][0].split()) > SHORTEST_ANSWERS[name]:
        return False
    return len({passage.number for _, passage in found}) == 1 == len(record["answers"])


def _sentence_answers(name: str, record: dict, passages: list[Passage]) -> list[Asked]:
    """Whole sentences that stand in a passage, and a short answer where the question's word fixes it."""
    question, answer = record["question"].strip(), record["answers"][0].strip()
    if name == "medquad":
        sentences = re.split(r"(?<=[.!?]) +", answer)
        answer = (
            sentences[0] if len(sentences[0].split()) > 14 or len(sentences) == 1 else " ".join(sentences[:2])
        )
    holding = [p for p in passages if answer[:60] in p.text and covered(answer, p.text) >= 0.95]
    shared = set(words(question)) & set(words(answer))
    if not holding or not 3 < len(answer.split()) <= 55 or not shared:
        return []
    found = [Asked(name, question, finish(answer), holding[0].number, name == "selqa")]
    short = short_answer(question, answer) if name == "selqa" else None
    if short:
        return [Asked(name, question, finish(short), holding[0].number)]
    # Whole sentences teach a style that short answers are better without: few of them.
    return found if hash_of(question) % 8 == 0 else []


def short_answer(question: str, sentence: str) -> str | None:
    """The one year, number or name of the sentence that a when, how many or who question means; else None."""
    asked = question.casefold()
    if re.match(r"(when|(in )?(what|which) year)\b", asked):
        found = DATE.findall(sentence)
    elif asked.startswith("how many"):
        found = COUNT.findall(sentence)
    elif re.match(r"who\b", asked):
        found = [name for name in names_in(" " + sentence) if " " in name or len(name) > 4]
    elif ASKS_PLACE.match(asked):
        found = PLACE.findall(sentence)
    else:
        return None
    new = [one.strip(" ,.") for one in found if one.casefold() not in asked]
    return new[0] if len(new) == 1 and new[0] else None


def hash_of(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


def finish(answer: str) -> str:
    return as_answer(answer.replace("``", '"').replace("''", '"'))


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
        self._postings = {
            w: (math.log(1 + (total - len(p) + 0.5) / (len(p) + 0.5)), p) for w, p in found.items()
        }

    def search(self, text: str, top: int) -> list[Passage]:
        scores: dict[int, float] = defaultdict(float)
        for word in sorted(set(words(text))):
            weight, postings = self._postings.get(word, (0.0, []))
            if len(postings) < len(self.passages) / 10:
                for number, value in postings:
                    scores[number] += weight * value
        best = sorted(scores, key=lambda number: (-scores[number], number))[:top]
        return [self.passages[number] for number in best]
