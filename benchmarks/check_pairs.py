"""Sentences to judge: human answers, the same made wrong, and claims with their citations.

What is replaced is found here by plain patterns, and what replaces it comes from gold answers to other
questions: the recognisers of the check itself have no part in it.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from pathlib import Path

from ragqa.evaluation.question_set import Question, QuestionSet, SetDocument, read_set
from ragqa.types import ContextBlock, Prompt

BLOCKS = 12
BLOCK_CHARACTERS = 4200  # about 1,000 tokens: what the packing aims at
OTHERS = ("nq_gold", "qed", "squad2")  # sets whose short gold answers are substitutes, too
CHANGES = 3  # changed copies of an answer for each kind, at most

_MONTHS = "January February March April May June July August September October November December"
MONTHS = tuple(_MONTHS.split())
_NUMBER_WORDS = (
    "two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty fifty "
    "third fourth fifth sixth seventh eighth ninth tenth twentieth"
)
NUMBERS = {
    "year": r"(?<![\w.,$€£])(?:1[0-9]{3}|20[0-9]{2})(?![\w%]|[.,]\d)",
    "decade": r"(?<!\w)(?:1[0-9]|20)[0-9]0s(?!\w)",
    "ordinal": r"(?<!\w)[0-9]{1,3}(?:st|nd|rd|th)(?!\w)",
    "word": rf"(?<!\w)(?:{_NUMBER_WORDS.replace(' ', '|')})(?!\w)",
    "number": r"(?<![\w.,])[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?(?![\w]|[.,]\d)",
}
MONTH = rf"(?<!\w)(?:{'|'.join(MONTHS)})(?!\w)"
NAME = r"(?<!\w)[A-Z][\w'’-]+(?: (?:of |the |de |van )?[A-Z][\w'’.-]*\w)*"
_NO_NAMES = (
    "The This These That Those It Its He She His Her They Their In On At As For From By With A An And But Or "
    "What Who Where Why How So Another Also Only Many Such To Of Not No Yes All Other Then Thus Since When "
    "While After Before During If There Some Most Each Both One Two Three However According Although"
)
NO_NAMES = frozenset((*_NO_NAMES.split(), *MONTHS))
AUXILIARIES = r"\b(is|are|was|were|can|may|will|has|have|had|could|would|should|must|does|did|do)\b"
UNITS = (
    ("days", "weeks"), ("weeks", "months"), ("months", "years"), ("years", "months"), ("miles", "kilometres"),
    ("kilometres", "miles"), ("feet", "metres"), ("metres", "feet"), ("meters", "feet"), ("km", "miles"),
    ("million", "billion"), ("billion", "million"), ("hours", "minutes"), ("minutes", "seconds"),
    ("percent", "points"), ("%", " points"), ("inches", "feet"), ("pounds", "kilograms"),
    ("century", "decade"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pair:
    """A sentence or answer to judge against the blocks of a prompt. `change` is where it was made wrong,
    as offsets into the answer; None where the whole answer is judged.
    """

    subject: str
    kind: str
    answer: str
    prompt: Prompt
    change: tuple[int, int] | None = None


def blocks_of(document: SetDocument) -> Iterator[ContextBlock]:
    """The document as blocks of whole lines, as large as those of a prompt."""
    start, text = 0, document.text
    while start < len(text):
        end = start + BLOCK_CHARACTERS
        cut = text.rfind("\n", start, end) + 1 if end < len(text) else len(text)
        end = cut if cut > start else min(end, len(text))
        yield ContextBlock(
            key=f"{document.id}:{start}", source=document.id, document_id=document.id, text_sha256="",
            title=document.title, section=(), page=None, page_end=None, start=start, end=end,
            text=text[start:end], metadata=(("source", document.id),), score=0.0,
        )  # fmt: skip
        start = end


class Prompts:
    """The gold document of a question with those that share most of its rarer words, twelve blocks."""

    def __init__(self, documents: Sequence[SetDocument]) -> None:
        self.documents = {document.id: document for document in documents}
        self.blocks = {document.id: tuple(blocks_of(document)) for document in documents}
        self.words = {document.id: words_of(f"{document.title} {document.text}") for document in documents}
        self.frequency = Counter(word for words in self.words.values() for word in words)

    def of(self, question: Question) -> Prompt:
        asked = words_of(question.text)
        rarity = {word: log(len(self.documents) / (1 + self.frequency[word])) for word in asked}
        near = sorted(
            self.documents,
            key=lambda name: (-sum(rarity[word] for word in sorted(asked & self.words[name])), name),
        )
        names = [*question.gold[:1], *(name for name in near if name not in question.gold)]
        blocks = [block for name in names[:BLOCKS] for block in self.blocks[name]][:BLOCKS]
        return Prompt(question.text, "", (), tuple(blocks), (), 16_384)


def words_of(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))


class Substitutes:
    """Numbers by shape, and names, of gold answers by question."""

    def __init__(self, data: Path, main: QuestionSet) -> None:
        self.of: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for question in main.questions:
            for answer in question.answers:
                for shape, match in facts_of(answer):
                    self.of[shape].append((question.id, match.group()))
        for name in OTHERS:
            for question in read_set(data / name).questions if (data / name).is_dir() else ():
                for answer in question.answers[:1]:
                    for shape, match in facts_of(answer, starts=True):
                        if match.group() == answer.strip():
                            self.of[shape].append((question.id, answer.strip()))

    def draw(self, shape: str, question: Question, answer: str, chance: random.Random) -> str | None:
        """One of the shape that shares no word with any answer to this question."""
        taken = words_of(" ".join((answer, *question.answers)))
        options = [
            text for owner, text in self.of[shape] if owner != question.id and not words_of(text) & taken
        ]
        return chance.choice(options) if options else None


def facts_of(text: str, *, starts: bool = False) -> Iterator[tuple[str, re.Match[str]]]:
    """Numbers by shape, months and names; a sentence's first word is taken for no name, but for `starts`."""
    seen: set[int] = set()
    for shape, pattern in (*NUMBERS.items(), ("month", MONTH)):
        for match in re.finditer(pattern, text):
            if not seen & set(range(*match.span())):
                seen.update(range(*match.span()))
                yield shape, match
    for match in re.finditer(NAME, text):
        first = not text[: match.start()].strip() or text[: match.start()].rstrip()[-1] in ".!?:\n"
        single = " " not in match.group()
        if match.group().split()[0] in NO_NAMES or (first and single and not starts):
            continue
        yield "name", match


def changed(
    question: Question, answer: str, substitutes: Substitutes, document: str, chance: random.Random
) -> Iterator[tuple[str, str, tuple[int, int]]]:
    """Copies of the answer, each with one fact replaced: the kind, the copy, the place of the change."""
    found = list(facts_of(answer))
    chance.shuffle(found)
    count: Counter[str] = Counter()
    theirs = [(shape, match.group()) for shape, match in facts_of(document)]
    for shape, match in found:
        kind = {"name": "name", "month": "date"}.get(shape, "number")
        if count[kind] >= CHANGES:
            continue
        count[kind] += 1
        if instead := substitutes.draw(shape, question, answer, chance):
            yield (kind, *put(answer, match, instead))
        taken = words_of(" ".join((answer, *question.answers)))
        own = sorted({text for s, text in theirs if s == shape and not words_of(text) & taken})
        if own and kind != "date":
            yield (f"{kind}, of the same document", *put(answer, match, chance.choice(own)))
    for old, new in UNITS:
        if match := re.search(rf"(?<=[0-9 ]){re.escape(old)}(?!\w)", answer):
            yield ("unit", *put(answer, match, new))
            break


def put(answer: str, match: re.Match[str], instead: str) -> tuple[str, tuple[int, int]]:
    text = answer[: match.start()] + instead + answer[match.end() :]
    return text, (match.start(), match.start() + len(instead))


def negated(answer: str) -> tuple[str, tuple[int, int]] | None:
    """The answer with a negation taken out, else one put in behind the first auxiliary verb."""
    if match := re.search(r"\b(?:not|never) (?=\w)", answer):
        return put(answer, match, "")
    if match := re.search(AUXILIARIES, answer):
        return put(answer, match, f"{match.group()} not")
    return None


def answer_pairs(
    data: Path, questions: Sequence[Question], question_set: QuestionSet, seed: int = 7
) -> Iterator[Pair]:
    """All pairs of a set of questions with long human answers, those that state something."""
    chance = random.Random(seed)
    prompts = Prompts(question_set.documents)
    substitutes = Substitutes(data, question_set)
    stated = (replace(question, answers=tuple(filter(states, question.answers))) for question in questions)
    asked = [question for question in stated if question.answerable and question.answers]
    for number, question in enumerate(asked):
        prompt = prompts.of(question)
        document = prompts.documents[question.gold[0]].text
        for answer in question.answers:
            yield Pair(question.subject, "true", answer, prompt)
            for kind, text, place in changed(question, answer, substitutes, document, chance):
                yield Pair(question.subject, kind, text, prompt, place)
            if flip := negated(answer):
                yield Pair(question.subject, "negation", flip[0], prompt, flip[1])
        absent = sorted(set(prompts.documents) - {block.document_id for block in prompt.blocks})
        others = [other for other in asked[number:] + asked[:number] if other.gold[0] in absent]
        theirs = others[len(others) // 2].answers[0]
        yield Pair(question.subject, "answer to another question", theirs, prompt)
        sentences = re.split(r"(?<=[.!?]) +", prompts.documents[chance.choice(absent)].text)
        yield Pair(question.subject, "sentence of another document", max(sentences, key=len), prompt)


def states(answer: str) -> bool:
    """Whether an answer says anything: "." and "NA", which stand where annotators gave none, do not.

    Statements have two words; the next shortest answer of clapnq has eight.
    """
    return len(words_of(answer)) > 1


def claim_pairs(questions: Sequence[Question], documents: Mapping[str, SetDocument]) -> Iterator[Pair]:
    """Each claim of wice with the page it cites; `kind` is the label that people gave it."""
    for question in questions:
        blocks = tuple(blocks_of(documents[question.gold[0]]))
        yield Pair(question.subject, question.answers[0], question.text, Prompt("", "", (), blocks, (), 0))
