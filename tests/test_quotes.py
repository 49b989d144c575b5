"""Every quote shown stands in the file itself, as another program reads it, on the page it names."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.pipeline import IngestOptions, ingest_paths
from ragqa.answering import Answerer
from ragqa.types import Answer
from ragqa.wiring import EngineChoice, open_answerer
from tests.test_data import pages_of

DATA = Path(__file__).parent.parent / "data"
QUESTIONS = [json.loads(line) for line in (DATA / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
# Each answer costs about half a second; every fourth question reaches every format.
ASKED = [question for question in QUESTIONS if question["answerable"]][::4]


def squeezed(text: str) -> str:
    """Without white space and hyphens: words broken at line ends are joined in the canonical text."""
    return re.sub(r"[\s\u00ad-]+", "", text)


@pytest.fixture(scope="module")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answerer]:
    index = tmp_path_factory.mktemp("data") / ".ragqa"
    report = ingest_paths([DATA / "documents"], index, IngestOptions(workers=1))
    assert report.added >= 30
    assert report.failed == report.skipped == ()
    with open_answerer(index, EngineChoice("extractive")) as opened:
        yield opened


@pytest.fixture(scope="module")
def answers(answerer: Answerer) -> list[Answer]:
    return [answerer.ask(question["question"]) for question in ASKED]


def test_quotes_stand_on_their_page_by_an_independent_extractor(answers: list[Answer]) -> None:
    missing, total = [], 0
    for answer in answers:
        blocks = {block.key: block for block in answer.prompt.blocks} if answer.prompt else {}
        for citation in answer.citations:
            total += 1
            source = blocks[citation.block_key].source
            pages = pages_of(source)
            first = citation.page or 1
            shown = pages[first - 1 : citation.page_end or first] if citation.page else pages
            if squeezed(citation.quote) not in squeezed(" ".join(shown)):
                missing.append((source, citation.page, citation.quote))
    assert total > 20
    assert len(missing) / total <= 0.02, missing


def test_offsets_of_citations_count_in_the_canonical_text(answerer: Answerer, answers: list[Answer]) -> None:
    for answer in answers:
        blocks = {block.key: block for block in answer.prompt.blocks} if answer.prompt else {}
        for citation in answer.citations:
            text = answerer.retriever.index.document(blocks[citation.block_key].document_id).text
            assert text[citation.start : citation.end] == citation.quote


def test_no_answer_has_more_than_three_citations_a_sentence(answers: list[Answer]) -> None:
    assert all(len(sentence.citations) <= 3 for answer in answers for sentence in answer.sentences)
