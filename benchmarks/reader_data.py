"""Questions beside windows of documents, with the characters that answer: what the reader learns from.

    python benchmarks/reader_data.py --work DIR          writes DIR/train.jsonl and DIR/choose.jsonl
    python benchmarks/reader_data.py --work DIR --again  writes DIR/again.jsonl for a second pass

A line is one pair: {"set", "kind", "question", "title", "sentences": […],
"gold": [[sentence, start, end], …]}. No gold: nothing in the window answers. Of sets that figures are
reported on only the even half by subject is read, and a slice of it, whole titles, is kept apart in
choose.jsonl for choosing. Sets whose licence forbids commercial use are not read.
"""

import argparse
import json
import os
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from zlib import crc32

from ingest.sentences import sentence_spans
from ragqa.evaluation.question_set import Question, SetDocument, read_set
from ragqa.evaluation.suite import half_of
from ragqa.features import STOP_WORDS, WORD

DATA = Path(os.environ.get("RAGQA_EVAL_DATA", "../shared")) / "eval"
TRAINING = ("selqa", "tsqa", "boolq", "fairytale", "qafeedback", "medquad", "dolly")
HALVED = ("squad2", "nq_gold", "qed", "clapnq", "covidqa", "tatqa", "mtragun", "pubmedqa")
APART = {"squad2": "Huguenot"}
"""The even title kept for choosing; of the other halved sets a twelfth of the titles."""
COPIES = {"squad2": 2, "clapnq": 3, "covidqa": 2, "nq_gold": 1.5, "qed": 1.5, "tatqa": 1.5}
LIMITS = {
    "train_medquad": 300,
    "train_boolq": 250,
    "train_fairytale": 1000,
    "train_selqa": 2000,
    "tatqa": 500,
}
NEGATIVES = {"near": 0.42, "removed": 0.15, "changed": 0.4}
"""Chance of a made negative beside each answerable pair, by kind."""
UNCHANGED = ("train_boolq", "train_medquad", "pubmedqa")
"""Sets whose questions, changed, may have the same answer still."""
OPPOSITES = tuple(
    tuple(pair.split("/"))
    for pair in """
    first/last largest/smallest most/least before/after north/south east/west northern/southern
    eastern/western increase/decrease increased/decreased higher/lower highest/lowest more/fewer early/late
    oldest/youngest win/lose won/lost start/end began/ended male/female maximum/minimum above/below
    born/buried mother/father son/daughter husband/wife buy/sell import/export birth/death best/worst
    major/minor
    """.split()  # noqa: SIM905  # a list of quoted words could not be read
)
NAME = re.compile(r"\b[A-Z][\w’'-]+(?: (?:of|the|de|von|van|and) (?=[A-Z])| [A-Z][\w’'-]+)*")
NUMBER = re.compile(r"\b\d[\d,.]*\d\b|\b\d\b")


@dataclass(frozen=True, slots=True)
class Source:
    """A document cut into sentences; `sizes` are their lengths in tokens, roughly."""

    title: str
    sentences: tuple[str, ...]
    starts: tuple[int, ...]
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """Characters `start:end` of sentence `sentence` answer."""

    sentence: int
    start: int
    end: int


def source_of(title: str, text: str) -> Source:
    text = re.sub(r"(?m)^\|[-| ]+\|$", "", text)
    text = re.sub(r"(?m)^\| ?(.*?) ?\|$", lambda row: row[1].replace(" | ", "\t").replace("|", "\t"), text)
    spans = sentence_spans(text)
    sentences = tuple(" ".join(text[a:b].split()) for a, b in spans)
    return Source(title, sentences, tuple(a for a, _ in spans), tuple(map(size, sentences)))


def size(text: str) -> int:
    return sum(1 + len(word) // 8 for word in re.findall(r"\w+|[^\w\s]", text))


def words(text: str) -> set[str]:
    return {word.lower() for word in WORD.findall(text)} - STOP_WORDS


def find(sentences: Sequence[str], quote: str) -> list[Mark]:
    """Where the quote stands: within sentences, or across several that follow each other."""
    solid = " ".join(quote.split())
    if not solid:
        return []
    edge = r"(?<!\w)" + re.escape(solid) + r"(?!\w)"
    found = [Mark(n, *m.span()) for n, s in enumerate(sentences) for m in re.finditer(edge, s, re.IGNORECASE)]
    if found or len(solid) < 40:
        return found
    inside = [n for n, sentence in enumerate(sentences) if len(sentence) > 15 and sentence in solid]
    return [Mark(n, 0, len(sentences[n])) for n in inside]


def marks_of(question: Question, document: str, source: Source, start: int | None) -> list[Mark]:
    """The answering characters: the answer in its evidence, else the evidence, else what overlaps it."""
    quotes = [q for part in question.evidence if part.document == document for q in part.quotes]
    marks = [mark for quote in quotes for mark in find(source.sentences, quote)]
    if start is not None and len(marks) > 1:  # the one annotated, where the answer stands several times
        marks = [min(marks, key=lambda mark: abs(source.starts[mark.sentence] + mark.start - start))]
    held = {mark.sentence for mark in marks}
    exact = [
        mark
        for answer in question.answers
        for mark in find(source.sentences, answer)
        if mark.sentence in held
    ]
    if exact and any(len(quote) > len(answer) for quote in quotes for answer in question.answers):
        return exact
    return marks or overlapping(source, question.answers)


def overlapping(source: Source, answers: Sequence[str]) -> list[Mark]:
    """Sentences that hold most of an answer's words; where none does, the whole passage."""
    wanted = [words(answer) for answer in answers]
    found = [
        Mark(number, 0, len(sentence))
        for number, sentence in enumerate(source.sentences)
        if any(len(w) > 1 and len(w & words(sentence)) >= 0.6 * len(w) for w in wanted)
    ]
    if found or sum(source.sizes) > 170:
        return found
    return [Mark(number, 0, len(sentence)) for number, sentence in enumerate(source.sentences)]


def crop(source: Source, centre: int, draw: random.Random, wide: bool) -> range:
    """Sentences around `centre`: as many as a window of random size holds, the centre anywhere in it."""
    limit = 160 if wide else draw.randint(45, 110)
    first, last, total = centre, centre + 1, source.sizes[centre]
    while first > 0 or last < len(source.sentences):
        before = first > 0 and (last >= len(source.sentences) or draw.random() < 0.5)
        total += source.sizes[first - 1 if before else last]
        if total > limit:
            break
        first, last = (first - 1, last) if before else (first, last + 1)
    return range(first, last)


class Near:
    """BM25 (k1 0.9, b 0.4) over all windows of a set, for passages that are near and do not answer."""

    def __init__(self, sources: dict[str, Source]) -> None:
        self.windows = [(name, w) for name, source in sources.items() for w in packed(source)]
        self.postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self.lengths = []
        for number, (name, window) in enumerate(self.windows):
            source = sources[name]
            text = " ".join([source.title, *(source.sentences[n] for n in window)])
            counts = Counter(word.lower() for word in WORD.findall(text))
            self.lengths.append(sum(counts.values()))
            for word in counts.keys() - STOP_WORDS:
                self.postings[word].append((number, counts[word]))
        self.mean = sum(self.lengths) / max(1, len(self.lengths))

    def search(self, question: str, limit: int) -> list[tuple[str, range]]:
        scores: Counter[int] = Counter()
        for word in words(question):
            held = self.postings.get(word, [])
            weight = log(1 + (len(self.windows) - len(held) + 0.5) / (len(held) + 0.5))
            for number, count in held if len(held) < 2000 else []:
                long = 0.9 * (0.6 + 0.4 * self.lengths[number] / self.mean)
                scores[number] += weight * count / (count + long)
        return [self.windows[number] for number, _ in scores.most_common(limit)]


def packed(source: Source, limit: int = 100) -> Iterator[range]:
    """The source in windows of whole sentences, about `limit` tokens each at most."""
    first, total = 0, 0
    for number, tokens in enumerate(source.sizes):
        if total and total + tokens > limit:
            yield range(first, number)
            first, total = number, 0
        total += tokens
    if total:
        yield range(first, len(source.sizes))


def changed(question: str, source: Source, draw: random.Random) -> str | None:
    """The question with a number, name or word in place of its own, so that the source answers it no more."""
    text = " ".join(source.sentences)
    asked, options = question.lower(), []
    for number in NUMBER.findall(question):
        others = [one for one in NUMBER.findall(text) if one != number and len(one) == len(number)]
        year = (
            str(int(number) + draw.choice((-13, -7, -4, 3, 6, 11)))
            if re.fullmatch(r"1\d{3}|20\d\d", number)
            else ""
        )
        options += [(number, one) for one in ([draw.choice(others)] if others else []) + [year] if one]
    names = sorted({name for name in NAME.findall(text) if len(name) > 3 and name.lower() not in STOP_WORDS})
    mine = [n for n in names if re.search(rf"\b{re.escape(n.lower())}\b", asked)]
    others = [n for n in names if n.lower() not in asked and not words(n) & words(question)]
    options += [(name, draw.choice(others)) for name in mine if others]
    for one, other in OPPOSITES:
        for old, new in ((one, other), (other, one)):
            if re.search(rf"\b{old}\b", asked):
                options += [(old, new)] * 2
    if not options:
        return None
    old, new = draw.choice(options)
    new = new if question != asked else new.lower()
    return re.sub(rf"\b{re.escape(old)}\b", new.replace("\\", ""), question, count=1, flags=re.IGNORECASE)


class Maker:
    """Pairs of one set."""

    def __init__(self, name: str, documents: Sequence[SetDocument], nearest: dict[str, str]) -> None:
        self.name, self.nearest, self.draw = name, nearest, random.Random(f"reader {name}")
        self.sources = {one.id: source_of(one.title, one.text) for one in documents}
        self.sources = {key: source for key, source in self.sources.items() if source.sentences}
        self.index = Near(self.sources)

    def pair(self, kind: str, question: str, source: Source, window: Sequence[int], marks=()) -> dict:
        place = {number: row for row, number in enumerate(window)}
        text = question if self.draw.random() < 0.85 else question.rstrip("?").strip()
        return {
            "set": self.name,
            "kind": kind,
            "question": text,
            "title": source.title,
            "sentences": [source.sentences[number] for number in window],
            "gold": [[place[m.sentence], m.start, m.end] for m in marks if m.sentence in place],
        }

    def answerable(self, question: Question, made: bool = True) -> Iterator[dict]:
        """The pair of a question with its gold passage, and by chance negatives made from it."""
        known = [name for name in question.gold if name in self.sources]
        found = {name: self.marks(question, name) for name in known}
        known = [name for name in known if found[name]]
        if not known:
            return
        source, marks = self.sources[known[0]], found[known[0]]
        window = crop(source, self.draw.choice(marks).sentence, self.draw, self.wide())
        yield self.pair("answered", question.text, source, window, marks)
        for kind, chance in NEGATIVES.items():
            if made and self.draw.random() < chance:
                yield from getattr(self, kind)(question, known[0], window, marks)

    def wide(self) -> bool:
        return self.draw.random() < (0.5 if self.name in ("squad2", "clapnq") else 0.1)

    def marks(self, question: Question, name: str) -> list[Mark]:
        starts = [part.start for part in question.evidence if part.document == name]
        return marks_of(question, name, self.sources[name], starts[0] if len(starts) == 1 else None)

    def near_miss(self, question: Question) -> list[tuple[str, range]]:
        """Passages near the question that hold neither the answer nor most of its words."""
        wanted = [words(answer) for answer in question.answers]
        out = []
        for name, window in self.index.search(question.text, 12):
            text = " ".join(self.sources[name].sentences[n] for n in window)
            held = words(text)
            if any(w and len(w & held) >= 0.7 * len(w) for w in wanted):
                continue
            if name in question.gold and (not wanted or self.name not in ("covidqa", "tatqa", "sample")):
                continue
            out.append((name, window))
        return out

    def near(self, question: Question, *_gold) -> Iterator[dict]:
        found = self.near_miss(question)[:6]
        if found:
            name, window = self.draw.choice(found)
            yield self.pair("near", question.text, self.sources[name], window)

    def removed(self, question: Question, name: str, window: range, marks: list[Mark]) -> Iterator[dict]:
        source, gone = self.sources[name], {mark.sentence for mark in marks}
        kept = [number for number in window if number not in gone]
        left = words(" ".join(source.sentences[number] for number in kept))
        if len(kept) >= 2 and not any(w and w <= left for w in map(words, question.answers)):
            yield self.pair("removed", question.text, source, kept)

    def changed(self, question: Question, name: str, window: range, _marks: list[Mark]) -> Iterator[dict]:
        source = self.sources[name]
        text = changed(question.text, source, self.draw)
        if text and text != question.text and self.name not in UNCHANGED:
            yield self.pair("changed", text, source, window)

    def unanswerable(self, question: Question) -> Iterator[dict]:
        """An annotated unanswerable question with the passage of its subject that is nearest to it."""
        source = self.sources.get(self.nearest.get(question.id, ""))
        if source is None:
            return
        asked = words(question.text)
        shares = [len(asked & words(sentence)) for sentence in source.sentences]
        window = crop(source, shares.index(max(shares)), self.draw, self.wide())
        yield self.pair("unanswerable", question.text, source, window)


def usable(name: str, question: Question) -> bool:
    return name not in HALVED or half_of(question) == "even"


def is_apart(name: str, subject: str) -> bool:
    if name not in HALVED:
        return False
    return subject == APART[name] if name in APART else crc32(f"slice {subject}".encode()) % 12 == 0


def documents_of(name: str, documents: Sequence[SetDocument], half: str = "even") -> list[SetDocument]:
    """The documents that may be read: of halved sets those whose title falls into that half."""
    if name not in HALVED:
        return list(documents)
    wanted = ("even", "odd").index(half)
    titles = [(one.title or one.id).encode("utf-8", "replace") for one in documents]
    return [one for one, title in zip(documents, titles, strict=True) if crc32(title) % 2 == wanted]


def nearest_of(folder: Path) -> dict[str, str]:
    """The nearest document of each unanswerable question, and which questions are a talk's first turn."""
    rows = map(json.loads, (folder / "questions.jsonl").read_text(encoding="utf-8").strip().split("\n"))
    return {
        row["id"]: str(row["meta"].get("nearest_doc") or "") for row in rows if not row["meta"].get("history")
    }


def pairs_of(name: str) -> tuple[list[dict], list[dict]]:
    """The pairs of a set: to learn from, and to choose on."""
    question_set, nearest = read_set(DATA / name), nearest_of(DATA / name)
    maker = Maker(name, documents_of(name, question_set.documents), nearest)
    questions = [one for one in question_set.questions if usable(name, one) and one.id in nearest]
    maker.draw.shuffle(questions)
    train: list[dict] = []
    choose: list[dict] = []
    for question in questions[: LIMITS.get(name, len(questions))]:
        apart = is_apart(name, question.subject)
        for _ in range(1 if apart else copies(name, maker.draw)):
            made = maker.answerable(question) if question.answerable else maker.unanswerable(question)
            (choose if apart else train).extend(made)
    return train, choose


def copies(name: str, draw: random.Random) -> int:
    return int(COPIES.get(name, 1) + draw.random())


def sample_pairs(work: Path) -> list[dict]:
    """The pairs of the project's own documents, tune split: a folder of papers, asked as people ask."""
    from ingest.index import open_index
    from ingest.pipeline import IngestOptions, ingest_paths
    from ragqa.evaluation.question_set import read_questions

    folder = Path(__file__).parent.parent / "data"
    ingest_paths([folder / "documents"], work / "sample", IngestOptions())
    rows = [
        json.loads(line)
        for line in (folder / "questions.jsonl").read_text(encoding="utf-8").strip().split("\n")
    ]
    tune = {row["id"] for row in rows if row["meta"]["split"] == "tune"}
    with open_index(work / "sample") as index:
        documents = sample_documents(index)
    maker = Maker("sample", documents, {})
    pairs = []
    for question in read_questions(folder / "questions.jsonl"):
        if question.id in tune:
            for _ in range(3):
                pairs += maker.answerable(question) if question.answerable else maker.near(question)
    return pairs


def sample_documents(index) -> list[SetDocument]:
    import numpy as np

    ids = [one for one, _ in index.dense(np.zeros(index.settings.dimensions, np.float32), 10**6)]
    texts: dict[str, list] = defaultdict(list)
    for chunk in index.chunks(ids):
        texts[chunk.source].append(chunk)
    return [
        SetDocument(
            source, chunks[0].title, "\n\n".join(c.text for c in sorted(chunks, key=lambda c: c.start))
        )
        for source, chunks in sorted(texts.items())
    ]


def write(path: Path, pairs: list[dict]) -> None:
    lines = (json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs)
    path.write_text("".join(lines), encoding="utf-8")


def again(pairs: list[dict]) -> list[dict]:
    """The pairs for a second pass: windows cut anew, other and more changed questions, fewer far passages."""
    draw = random.Random("again")
    out = []
    for pair in pairs:
        if pair["kind"] == "changed" or (pair["kind"] == "near" and draw.random() < 0.5):
            continue
        out.append(cut(pair, draw))
        if pair["kind"] == "answered" and pair["set"] not in UNCHANGED:
            starts = tuple(range(len(pair["sentences"])))
            source = Source(pair["title"], tuple(pair["sentences"]), starts, starts)
            text = changed(pair["question"], source, draw)
            if text and text != pair["question"]:
                out.append(cut(pair | {"kind": "changed", "question": text, "gold": []}, draw))
    draw.shuffle(out)
    return out


def cut(pair: dict, draw: random.Random) -> dict:
    """The pair with some of the first and last sentences gone, never one that answers."""
    count = len(pair["sentences"])
    gold = [number for number, _, _ in pair["gold"]]
    first = draw.randint(0, min([*gold, max(0, count - 2)]) // 2)
    last = draw.randint((max([*gold, first + 1]) + count) // 2 + 1, count + 1) if count > 2 else count
    return pair | {
        "sentences": pair["sentences"][first:last],
        "gold": [[number - first, a, b] for number, a, b in pair["gold"]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--again", action="store_true")
    given = parser.parse_args()
    work = given.work
    if given.again:
        lines = (work / "train.jsonl").read_text(encoding="utf-8").strip().split("\n")
        write(work / "again.jsonl", again(list(map(json.loads, lines))))
        return
    work.mkdir(parents=True, exist_ok=True)
    train, choose = sample_pairs(work), []
    for name in (*(f"train_{one}" for one in TRAINING), *HALVED):
        mine, apart = pairs_of(name)
        train, choose = train + mine, choose + apart
        kinds = Counter(pair["kind"] for pair in mine)
        print(name, len(mine), dict(kinds), "apart", len(apart), flush=True)
    random.Random(0).shuffle(train)
    for name, pairs in (("train", train), ("choose", choose)):
        write(work / f"{name}.jsonl", pairs)
    print(len(train), "to learn from,", len(choose), "to choose on")


if __name__ == "__main__":
    main()
