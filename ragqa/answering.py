"""One question in, one checked answer out: the core call behind every face."""

import time
from collections.abc import Sequence
from dataclasses import asdict, replace

from ingest.index import Where
from ragqa.citations import check, parse_reply
from ragqa.errors import PromptTooLongError
from ragqa.llm.engine import Engine, GenerationOptions, OnText, ignore_text
from ragqa.narrowing import Narrowing
from ragqa.prompt import pack_prompt
from ragqa.retriever import Retriever
from ragqa.settings import AnswerSettings
from ragqa.types import REFUSAL, Answer, Citation, Dropped, Generation, Prompt, RefusalReason


class Answerer:
    """Answers from one index with one engine. The engine that packs is the engine that answers."""

    def __init__(
        self,
        retriever: Retriever,
        engine: Engine,
        settings: AnswerSettings,
        narrow: Narrowing | None = None,
    ) -> None:
        self.retriever = retriever
        self.engine = engine
        self.settings = settings
        self.narrow = narrow

    def ask(self, question: str, where: Where = (), on_text: OnText = ignore_text) -> Answer:
        """The checked answer, or a refusal that says why. `on_text` gets raw text as it is written.

        Raises PromptTooLongError where question or answer alone do not fit, and whatever the engine raises.
        """
        if self.settings.max_answer_tokens >= self.engine.window:
            raise PromptTooLongError(
                f"An answer of up to {self.settings.max_answer_tokens} tokens leaves the question nothing of "
                f"the window of {self.engine.window}. Allow the answer fewer tokens."
            )
        began = time.perf_counter()
        found = self.retriever.retrieve(question, where)
        if self.narrow is not None:
            found = self.narrow(question, found)
        retrieved = time.perf_counter()
        draft = Answer(
            question=question,
            text=REFUSAL,
            refusal_reason="nothing_retrieved",
            confidence=0.0,
            sentences=(),
            citations=(),
            prompt=None,
            generation=None,
            engine=self.engine.name,
            model=self.engine.model,
            window=self.engine.window,
            tokens_estimated=self.engine.estimated,
            seconds_retrieve=retrieved - began,
        )
        if not found.blocks:
            return draft
        prompt = pack_prompt(
            question,
            found.blocks,
            self.engine.encode,
            window=self.engine.window,
            reserve=self.settings.max_answer_tokens,
            ceiling=self.settings.context_tokens,
            focus=found.focus,
        )
        prompt = replace(prompt, dropped=merged(found.dropped, prompt.dropped))
        if not prompt.blocks:
            return replace(draft, prompt=prompt)
        generation = self.engine.generate(prompt, self._options(), on_text)
        draft = replace(
            draft, prompt=prompt, generation=generation, seconds_generate=time.perf_counter() - retrieved
        )
        return self._judge(draft, prompt, generation)

    def identity(self, where: Where = ()) -> dict[str, object]:
        """All that decides an answer besides the question and the index, as JSON values."""
        return {
            "engine": self.engine.name,
            "model": self.engine.model,
            "window": self.engine.window,
            "where": [list(pair) for pair in where],
            "retrieval": asdict(self.retriever.settings),
            "answering": asdict(self.settings),
            "narrowed_to": self.narrow.most if self.narrow else None,
        }

    def _options(self) -> GenerationOptions:
        settings = self.settings
        return GenerationOptions(
            settings.max_answer_tokens, settings.temperature, settings.top_p, settings.seed, settings.strict
        )

    def _judge(self, draft: Answer, prompt: Prompt, generation: Generation) -> Answer:
        reply = parse_reply(generation.text, prompt)
        stated = generation.confidence
        if reply.refuses:
            return replace(
                draft, refusal_reason="not_in_context", confidence=0.0 if stated is None else stated
            )
        sentences, citations = check(reply, prompt)
        citations = tuple(self._placed(citation, prompt) for citation in citations)
        weights = {"supported": 1.0, "partial": 0.5, "unsupported": 0.0}
        judged = [weights[sentence.verdict] for sentence in sentences if sentence.verdict != "no_claim"]
        confidence = _confidence(judged, stated)
        refusal = self._refusal(judged)
        if refusal:
            return replace(draft, refusal_reason=refusal, confidence=confidence)
        return replace(
            draft,
            text=reply.answer,
            refusal_reason=None,
            confidence=confidence,
            sentences=sentences,
            citations=citations,
        )

    def _placed(self, citation: Citation, prompt: Prompt) -> Citation:
        """The citation with the pages its own words stand on, where the document has lines."""
        block = next(block for block in prompt.blocks if block.key == citation.block_key)
        index = self.retriever.index
        pages = [line.page for line in index.boxes(block.document_id, citation.start, citation.end)]
        if not pages and block.page is not None:
            inside = (
                chunk
                for chunk in index.document_chunks(block.document_id)
                if chunk.start < citation.end and chunk.end > citation.start
            )
            pages = [page for chunk in inside for page in (chunk.page, chunk.page_end) if page is not None]
        return replace(
            citation, page=min(pages, default=block.page), page_end=max(pages, default=block.page_end)
        )

    def _refusal(self, judged: list[float]) -> RefusalReason | None:
        strict = self.settings.strict or self.settings.on_unsupported == "refuse"
        if not any(judged) or (strict and min(judged) < 1.0):
            return "unsupported"
        return None


def _confidence(judged: Sequence[float], stated: float | None) -> float:
    """That the documents hold the answer: how far sentences are supported, where the engine states nothing.

    What it states itself tells better, and partial support is no sign against it (docs/decisions.md): of its
    own confidence only the share of unsupported sentences is taken away.
    """
    if not judged:
        return 0.0
    if stated is None:
        return sum(judged) / len(judged)
    return stated * sum(one > 0 for one in judged) / len(judged)


def merged(first: tuple[Dropped, ...], second: tuple[Dropped, ...]) -> tuple[Dropped, ...]:
    """Both, in order, each span once."""
    return tuple(dict.fromkeys((*first, *second)))
