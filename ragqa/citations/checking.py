"""Which quotes of the packed blocks carry each sentence of an answer. Pure: no model, no index, no disk."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ingest.sentences import sentence_spans
from ragqa.citations.facts import NOTHING, Fact, Reading, contradiction, facts, holds, read
from ragqa.citations.replies import Reply
from ragqa.citations.words import STOP_STEMS, stem, tokens
from ragqa.prompt.defusing import clean
from ragqa.types import Citation, ContextBlock, Prompt, Sentence, Verdict

MAX_QUOTES = 3
MAX_BLOCKS = 2
# Chosen on the clapnq questions with an even hash, reported on the odd ones: benchmarks/check.py prints both.
SUPPORTED = 0.60  # share of the content words, weighted by rarity, that quotes must hold
PARTIAL = 0.35  # below this a sentence is not about what the quotes say
QUESTION = 0.50  # share of the question's words that must stand with a short answer
SHORT = 3  # an answer of no more content words is checked together with its question
_CANDIDATES = 24  # sentences looked at closely for each sentence of the answer, best overlap first
_WORTH_A_QUOTE = 0.08  # what a further quote must add

_NO_CLAIM = re.compile(
    r"(?:hello|hi|hey|sure|certainly|of course|thank(?:s| you)|you'?re welcome|i hope|let me know|here (?:is|are)|"
    r"please (?:note|let|feel)|if you (?:have|need)|feel free|in (?:summary|conclusion)|answer:?$|okay|great)\b.*",
    re.IGNORECASE | re.DOTALL,
)
# Words that speak of the documents, not of what they say.
_ABOUT_WORDS = "context document provided according answer information based following source text passage given question states"
_ABOUT = frozenset(map(stem, _ABOUT_WORDS.split()))
_KIND_OF_ANSWER = re.compile(
    r"\b(?:what|which|how (?:many|much))\s+(?!is|are|was|were|do|does|did|has|have)\w+", re.IGNORECASE
)
_PLAIN_WORD = re.compile(r"[^\W_]+")


class _Quote(NamedTuple):
    """A sentence of a block; `start` and `end` are offsets into the block's text."""

    block: int
    start: int
    end: int
    text: str
    words: frozenset[str]


class _Finding(NamedTuple):
    verdict: Verdict
    quotes: tuple[_Quote, ...]
    missing: tuple[str, ...]
    coverage: float


def check(reply: Reply, prompt: Prompt) -> tuple[tuple[Sentence, ...], tuple[Citation, ...]]:
    """The answer's sentences, each with a verdict, and the citations that carry them (ids from 1).

    The sentences cover the answer. A citation's quote is `text[start:end]` of its document, whole sentences
    of a block of this prompt. Blocks that the reply claimed come first; where they do not carry a sentence,
    others that do take their place.
    """
    evidence = _Evidence(prompt, frozenset(reply.claimed))
    spans = sentence_spans(reply.answer)
    ids: dict[tuple[int, int, int], int] = {}
    sentences = []
    for place, (start, end) in enumerate(spans):
        text = reply.answer[start:end]
        finding = evidence.judge(text, alone=place == 0 and len(spans) == 1, first=place == 0)
        numbers = [ids.setdefault((q.block, q.start, q.end), len(ids) + 1) for q in finding.quotes]
        sentences.append(
            Sentence(text, start, end, tuple(dict.fromkeys(numbers)), finding.verdict, finding.missing)
        )
    return tuple(sentences), tuple(_citation(prompt, reply, key, number) for key, number in ids.items())


def _citation(prompt: Prompt, reply: Reply, key: tuple[int, int, int], number: int) -> Citation:
    place, start, end = key
    block = prompt.blocks[place]
    return Citation(
        id=number,
        block_key=block.key,
        start=block.start + start,
        end=block.start + end,
        quote=block.text[start:end],
        claimed_by_model=block.key in reply.claimed,
    )


@dataclass(frozen=True, slots=True)
class _Needs:
    """What a sentence of an answer needs from its quotes."""

    reading: Reading
    facts: tuple[Fact, ...]
    words: frozenset[str]
    question: frozenset[str]
    denies: bool = False  # a bare "No."


class _Evidence:
    """The blocks of one prompt, sentence by sentence."""

    def __init__(self, prompt: Prompt, claimed: Set[str]) -> None:
        self.question = prompt.question
        self.asked = _asked(prompt.question)
        self.quotes = [
            _Quote(place, start, end, block.text[start:end], _plain_words(block.text[start:end]))
            for place, block in enumerate(prompt.blocks)
            for start, end in sentence_spans(block.text)
        ]
        self.beside = [_beside(block) for block in prompt.blocks]
        self.claimed = {place for place, block in enumerate(prompt.blocks) if block.key in claimed}
        self.order = sorted(range(len(prompt.blocks)), key=lambda place: place not in self.claimed)
        self.frequency = Counter(word for quote in self.quotes for word in quote.words)
        self.seen_in_lower_case = _lower_case_words([self.question, *(block.text for block in prompt.blocks)])

    def judge(self, text: str, *, alone: bool, first: bool) -> _Finding:
        """The verdict on one sentence of the answer; `alone` where it is the whole of it."""
        content = [token for token in tokens(text) if token.is_content]
        copied = self._copied(text)
        if copied and (len(content) >= SHORT or not alone):
            return _Finding("supported", copied, (), 1.0)
        said = {token.form for token in content} - _ABOUT
        if _claims_nothing(text, said):
            return _Finding("no_claim", (), (), 0.0)
        full = len(said) > 1 and not said.isdisjoint(self.asked)  # says itself what it is about
        needs = self._needs(text, said, shortly=first and len(content) <= SHORT and not full)
        ours = self._best(needs, [quote for quote in self.quotes if quote.block in self.claimed])
        if ours.verdict == "supported":
            return ours
        others = self._best(needs, self.quotes)
        return max(
            ours, others, key=lambda finding: (_RANK[finding.verdict], finding.coverage, finding is ours)
        )

    def _needs(self, text: str, said: Set[str], *, shortly: bool) -> _Needs:
        found = facts(text, self.seen_in_lower_case)
        in_facts = {form for fact in found for form in fact.forms}
        question: frozenset[str] = frozenset()
        if shortly:
            asked = {
                token.form for token in tokens(self.question) if token.is_content and not token.is_number
            }
            question = frozenset(asked - _ABOUT - said)
        words = frozenset(form for form in said if form not in in_facts and form[0] != "#")
        bare = _plain(text)
        reading = read(self.question) if bare in ("yes", "no") else read(text)
        return _Needs(reading, found, words, question, denies=bare == "no")

    def weight(self, word: str) -> float:
        """Rarity among the sentences of the prompt: log((n + 1) / (n with the word + 0.5))."""
        return math.log((len(self.quotes) + 1) / (self.frequency[word] + 0.5))

    def _best(self, needs: _Needs, quotes: Sequence[_Quote]) -> _Finding:
        """Take the quote that adds most, then the next, at most three of at most two blocks."""
        candidates = self._candidates(needs, quotes)
        chosen: list[_Quote] = []
        reading, beside, value = NOTHING, frozenset[str](), 0.0
        while len(chosen) < MAX_QUOTES:
            blocks = {quote.block for quote in chosen}
            open_ones = [q for q in candidates if q not in chosen and (len(blocks | {q.block}) <= MAX_BLOCKS)]
            scored = [
                (self._value(needs, reading | read(q.text), beside | self.beside[q.block]), -number, q)
                for number, q in enumerate(open_ones)
            ]
            best = max(scored, default=None, key=lambda item: item[:2])
            if best is None or best[0] < value + (_WORTH_A_QUOTE if chosen else 0.01):
                break
            value = best[0]
            chosen.append(best[2])
            reading, beside = reading | read(best[2].text), beside | self.beside[best[2].block]
        return self._verdict(needs, tuple(chosen), reading, beside)

    def _candidates(self, needs: _Needs, quotes: Sequence[_Quote]) -> list[_Quote]:
        wanted = needs.words | needs.question
        wanted |= {part for fact in needs.facts for part in _plain_words(fact.text)}
        scored = [
            (
                sum(self.weight(word) for word in wanted & quote.words),
                quote.block in self.claimed,
                -number,
                quote,
            )
            for number, quote in enumerate(quotes)
            if wanted & quote.words
        ]
        scored.sort(key=lambda item: item[:3], reverse=True)
        return [item[3] for item in scored[:_CANDIDATES]]

    def _value(self, needs: _Needs, reading: Reading, beside: Set[str]) -> float:
        parts = [self._coverage(needs.words, reading.forms | beside)] if needs.words else []
        if needs.facts:
            parts.append(sum(holds(reading, fact, beside) for fact in needs.facts) / len(needs.facts))
        if needs.question:
            parts.append(self._coverage(needs.question, reading.forms | beside))
        against = contradiction(needs.reading, reading) is not None
        return (sum(parts) / len(parts) if parts else 0.0) - (0.5 if against != needs.denies else 0.0)

    def _coverage(self, words: Set[str], held: Set[str]) -> float:
        """Share of the words, by weight, that are held; a word of the same beginning counts for most of it."""
        total = sum(self.weight(word) for word in words)
        beginnings = {word[:_BEGINNING] for word in held if len(word) >= _BEGINNING}
        sure = sum(self.weight(word) for word in words if word in held)
        near = sum(
            self.weight(word) for word in words if word not in held and word[:_BEGINNING] in beginnings
        )
        return (sure + _NEAR * near) / total if total > 0 else 1.0

    def _verdict(
        self, needs: _Needs, chosen: tuple[_Quote, ...], reading: Reading, beside: Set[str]
    ) -> _Finding:
        missing = _missing(needs.facts, reading, beside)
        coverage = self._coverage(needs.words, reading.forms | beside) if needs.words else 1.0
        asked = self._coverage(needs.question, reading.forms | beside) if needs.question else 1.0
        against = contradiction(needs.reading, reading)
        if needs.denies:
            against = None if against else ""  # "No." stands where the quotes deny what was asked
        verdict: Verdict = "unsupported"
        if not chosen or (against and asked >= QUESTION):
            missing += [against] if against else []
        elif not missing and against is None and coverage >= SUPPORTED and asked >= QUESTION:
            verdict = "supported"
        elif coverage >= PARTIAL and len(missing) < max(2, len(needs.facts)) and asked >= PARTIAL:
            verdict = "partial"
        quotes = chosen if verdict != "unsupported" else ()
        if not quotes and not against:
            missing = _missing(needs.facts, NOTHING, frozenset())
        return _Finding(verdict, quotes, tuple(dict.fromkeys(missing)), min(coverage, asked))

    def _copied(self, text: str) -> tuple[_Quote, ...]:
        """The sentences that stand word for word in a block, white space aside; claimed blocks first."""
        wanted = _one_space(text)
        for place in self.order if wanted else ():
            joined, starts, ends = self._joined[place]
            at = joined.find(wanted)
            while at >= 0:
                if at in starts and at + len(wanted) in ends:
                    return _merged(self.by_block[place][starts[at] : ends[at + len(wanted)] + 1])
                at = joined.find(wanted, at + 1)
        return ()

    @cached_property
    def by_block(self) -> list[list[_Quote]]:
        return [[quote for quote in self.quotes if quote.block == place] for place in range(len(self.beside))]

    @cached_property
    def _joined(self) -> list[tuple[str, dict[int, int], dict[int, int]]]:
        """For each block: its sentences with single spaces, and which of them starts and ends where."""
        result = []
        for quotes in self.by_block:
            texts = [_one_space(quote.text) for quote in quotes]
            starts: dict[int, int] = {}
            ends: dict[int, int] = {}
            position = 0
            for number, text in enumerate(texts):
                starts[position] = number
                ends[position + len(text)] = number
                position += len(text) + 1
            result.append((" ".join(texts), starts, ends))
        return result


_RANK = {"supported": 2, "partial": 1, "unsupported": 0, "no_claim": 0}
_BEGINNING = 6  # "develop", "development": letters in common that make two words one for coverage
_NEAR = 0.8


def _missing(needed: Iterable[Fact], reading: Reading, beside: Set[str]) -> list[str]:
    """The facts that are not held; not the unit of a number that is missing itself."""
    lost = [fact for fact in needed if not holds(reading, fact, beside)]
    numbers = {fact.forms[0] for fact in lost if fact.kind == "number"}
    return [fact.text for fact in lost if fact.kind != "unit" or fact.forms[0] not in numbers]


def _asked(question: str) -> frozenset[str]:
    """What a question is about: its content words but for the kind of answer ("which year")."""
    topic = _KIND_OF_ANSWER.sub(" ", question)
    forms = {token.form for token in tokens(topic) if token.is_content and not token.is_number}
    return frozenset(forms - _ABOUT)


def _merged(quotes: list[_Quote]) -> tuple[_Quote, ...]:
    """Neighbours as one quote where there are more than a sentence may cite."""
    if len(quotes) <= MAX_QUOTES:
        return tuple(quotes)
    return (quotes[0]._replace(end=quotes[-1].end),)


def _claims_nothing(text: str, said: Set[str]) -> bool:
    bare = text.strip().strip("*#_ ")
    heading = text.startswith("#") or (bare.endswith(":") and len(said) <= 8)
    nothing = not said and _plain(text) not in ("yes", "no")
    return nothing or heading or bare.endswith("?") or bool(_NO_CLAIM.fullmatch(bare))


def _plain(text: str) -> str:
    return " ".join(_PLAIN_WORD.findall(text.lower()))


def _one_space(text: str) -> str:
    return " ".join(clean(text).split())


def _plain_words(text: str) -> frozenset[str]:
    """Stems without the care of `tokens`: fast, to find candidates."""
    if not text.isascii():
        return frozenset(token.form for token in tokens(text)) - STOP_STEMS
    return frozenset(map(stem, _PLAIN_WORD.findall(text))) - STOP_STEMS


def _lower_case_words(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(
        stem(word) for text in texts for word in set(_PLAIN_WORD.findall(text)) if word.islower()
    )


def _beside(block: ContextBlock) -> frozenset[str]:
    """Words that name what a block is about: title and headings. Never numbers."""
    words = _plain_words(" ".join((block.title, *block.section)))
    return frozenset(word for word in words if word[0] != "#" and not word.isdigit())
