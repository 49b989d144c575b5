"""Asks every question of a set and keeps what came of it. Knows the retriever and the answerer, no metric."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Protocol, runtime_checkable

from ragqa.answering import Answerer
from ragqa.candidates import Candidate
from ragqa.evaluation.blind import DEPTH, BlindRetriever, RememberingEmbedder
from ragqa.evaluation.citing import Place, Span, find_all, squeeze
from ragqa.evaluation.outcome import Asked, Outcome
from ragqa.evaluation.question_set import PAGE_MARK, Evidence, Question, page_id
from ragqa.types import Answer, Hit, Prompt

RANKED = 3
"""Sentences of a ranking that are kept: as many as a measure looks at."""

OnQuestion = Callable[[int, int], None]
"""Called with how many questions are done, and how many there are."""


@runtime_checkable
class RanksSentences(Protocol):
    """An engine that can say how it ranks the sentences of a prompt."""

    def ranking(self, prompt: Prompt) -> tuple[Candidate, ...]:
        """Every sentence, best first."""
        ...


class Asking:
    """One question set against one index. `places` maps a source of the index to the set's document id."""

    def __init__(
        self, retriever: BlindRetriever, answerer: Answerer | None, places: Mapping[str, str]
    ) -> None:
        self.retriever = retriever
        self.answerer = answerer
        self.places = places
        self.retriever.places = places
        rows = tuple(retriever.index.sources())
        self._documents = {self._name(row.source): row.document_id for row in rows}
        last_first = sorted(rows, key=lambda row: row.source, reverse=True)
        self._first_names = {row.document_id: self._name(row.source) for row in last_first}
        self._text = lru_cache(maxsize=64)(self._read_text)
        self._squeezed = lru_cache(maxsize=4096)(self._squeeze)

    def ask_all(
        self, questions: Sequence[Question], *, gold_removed: bool, on_question: OnQuestion
    ) -> list[Outcome]:
        """The outcomes in order; where `gold_removed`, answerable questions are asked blind too."""
        outcomes = []
        for number, question in enumerate(questions, start=1):
            outcomes.append(self.outcome(question, gold_removed=gold_removed))
            on_question(number, len(questions))
        return outcomes

    def unknown(self, questions: Sequence[Question]) -> tuple[str, ...]:
        """Gold documents of these questions that the index does not hold, in order."""
        named = (one for question in questions for one in gold_documents(question))
        return tuple(dict.fromkeys(one for one in named if one not in self._documents))

    def as_indexed(self, question: Question) -> Question:
        """The question, its documents named as hits name them: of equal files, which are one document of the
        index, by the first.
        """

        def known(name: str) -> str:
            document = self._documents.get(name)
            return self._first_names[document] if document else name

        def named(gold: str) -> str:
            name, mark, page = gold.partition(PAGE_MARK)
            return known(gold) if gold in self._documents else known(name) + mark + page

        gold = tuple(dict.fromkeys(map(named, question.gold)))
        evidence = tuple(replace(one, document=known(one.document)) for one in question.evidence)
        return replace(question, gold=gold, evidence=evidence)

    def outcome(self, question: Question, *, gold_removed: bool = False) -> Outcome:
        """Everything one question shows."""
        evidence = self.evidence(question.evidence)
        by_page = any(part.page is not None for part in question.evidence)
        self.retriever.turn_to(question)
        hits = self.retriever.search(question.text, DEPTH)
        ranked = [one for hit in hits for one in self._gold_ids(hit, by_page=by_page)]
        found = tuple(place for hit in hits[:10] for place in self._hit_places(hit, by_page=by_page))
        if isinstance(self.retriever.embedder, RememberingEmbedder):
            self.retriever.embedder.forget()
        asked = self._ask(question, by_page=by_page)
        blind = None
        if gold_removed and question.answerable and question.gold and self.answerer is not None:
            self.retriever.turn_to(question, frozenset(gold_documents(question)))
            blind = self._ask(question, by_page=by_page)
        return Outcome(question, tuple(dict.fromkeys(ranked)), found, evidence, asked, blind)

    def evidence(self, parts: Sequence[Evidence]) -> dict[str, list[Span]]:
        """The spans of the gold evidence in the texts as they were ingested; a page is a span of its own."""
        spans: dict[str, list[Span]] = {}
        for part in parts:
            if part.page is not None:
                spans.setdefault(page_id(part.document, part.page), []).append((0, 1))
                continue
            for quote in part.quotes:
                found = find_all(quote, self._text(part.document))
                if part.start is not None and len(part.quotes) == 1:
                    found = nearest(found, part.start)
                spans.setdefault(part.document, []).extend(found)
        return {document: found for document, found in spans.items() if found}

    def place_of(self, source: str, start: int, end: int) -> Place:
        """A span of a source's text as the set's document and a span without white space."""
        document = self._name(source)
        return document, self._squeezed(document, start, end)

    def _ask(self, question: Question, *, by_page: bool) -> Asked | None:
        if self.answerer is None:
            return None
        began = time.perf_counter()
        answer = self.answerer.ask(question.text)
        seconds = time.perf_counter() - began
        places = {one.id: self._cited_place(answer, one.id, by_page=by_page) for one in answer.citations}
        claims = [one for one in answer.sentences if one.verdict != "no_claim"]
        prompt = answer.prompt
        return Asked(
            text=answer.text,
            refused=answer.refused,
            confidence=answer.confidence,
            places=tuple(places.values()),
            sentences=tuple(tuple(places[number] for number in one.citations) for one in claims),
            blocks=tuple(self._name(block.source) for block in prompt.blocks) if prompt else (),
            tokens=(len(prompt.token_ids) if prompt else 0)
            + (answer.generation.tokens if answer.generation else 0),
            seconds=seconds,
            ranked=self._ranking(prompt, by_page=by_page),
        )

    def _ranking(self, prompt: Prompt | None, *, by_page: bool) -> tuple[Place, ...] | None:
        """The best sentences of the prompt, where the engine ranks them; of pages there is no ranking."""
        engine = self.answerer.engine if self.answerer else None
        if by_page or not isinstance(engine, RanksSentences):
            return None
        best = engine.ranking(prompt)[:RANKED] if prompt else ()
        return tuple(self.place_of(one.block.source, one.start, one.end) for one in best)

    def _cited_place(self, answer: Answer, number: int, *, by_page: bool) -> Place:
        citation = next(one for one in answer.citations if one.id == number)
        blocks = answer.prompt.blocks if answer.prompt else ()
        document = self._name(next(block.source for block in blocks if block.key == citation.block_key))
        if by_page:
            return page_id(document, citation.page), (0, 1)
        return self.place_of(document, citation.start, citation.end)

    def _hit_places(self, hit: Hit, *, by_page: bool) -> list[Place]:
        document = self._name(hit.source)
        if by_page:
            return [(one, (0, 1)) for one in self._gold_ids(hit, by_page=by_page)]
        return [(document, self._squeezed(document, hit.start, hit.end))]

    def _gold_ids(self, hit: Hit, *, by_page: bool) -> list[str]:
        document = self._name(hit.source)
        if not by_page or hit.page is None:
            return [document]
        return [page_id(document, page) for page in range(hit.page, (hit.page_end or hit.page) + 1)]

    def _name(self, source: str) -> str:
        return self.places.get(source, source)

    def _squeeze(self, document: str, start: int, end: int) -> Span:
        text = self._text(document)
        first = len(squeeze(text[:start]))
        return first, first + len(squeeze(text[start:end]))

    def _read_text(self, document: str) -> str:
        document_id = self._documents.get(document)
        return "" if document_id is None else self.retriever.index.document(document_id).text


def gold_documents(question: Question) -> tuple[str, ...]:
    """The documents behind the gold ids, which name pages where the evidence does."""
    if any(part.page is not None for part in question.evidence):
        return tuple(part.document for part in question.evidence)
    return question.gold


def nearest(spans: Sequence[Span], start: int) -> list[Span]:
    """The one span that begins nearest to `start`; none of none."""
    return sorted(spans, key=lambda span: abs(span[0] - start))[:1]
