"""200 documents that attack prompt, citation and terminal, through the real ingest, retriever and prompt."""

import io
import json
import re
import unicodedata
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass

import pytest
from rich.console import Console
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from ingest.pipeline import IngestOptions, ingest_paths
from ragqa.answering import Answerer
from ragqa.cli.output import put_document, put_json, say
from ragqa.contract import answer_json, hit_json, source_json
from ragqa.judging import Judging
from ragqa.llm.engine import GenerationOptions, OnText, ignore_text
from ragqa.llm.extractive import ExtractiveEngine
from ragqa.prompt import metadata_lines, pack_prompt, parse
from ragqa.retriever import Retriever
from ragqa.settings import AnswerSettings
from ragqa.terminal import answer_view, hit_view, source_line
from ragqa.types import Answer, ContextBlock, Generation, Prompt
from ragqa.wiring import open_retriever
from tests.hostile_documents import ATTACKS, Hostile, make_hostile

GRAMMAR = ("BEGININPUT", "BEGINCONTEXT", "ENDCONTEXT", "ENDINPUT", "BEGININSTRUCTION", "ENDINSTRUCTION")
CONTROL = (
    "<s>", "</s>", "<unk>", "<pad>", "<bos>", "<eos>", "<|im_start|>", "<|im_end|>", "<|endoftext|>",
    "<|eot_id|>", "<|begin_of_text|>", "<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]", "<<SYS>>",
    "<</SYS>>", "USER:", "ASSISTANT:", "User:", "Assistant:", "System:", "### Instruction:", "### Response:",
)  # fmt: skip


def dangerous_tokenizer() -> Tokenizer:
    """It folds look-alikes, drops what does not show, and takes control tokens out of any text."""
    tokenizer = Tokenizer(models.BPE())
    hidden = "[\u00ad\u034f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
    steps = [normalizers.NFKC(), normalizers.Replace(_regex(hidden), "")]
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    names = (*GRAMMAR, *CONTROL)
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=True) for name in names])
    return tokenizer


def _regex(pattern: str):
    from tokenizers import Regex

    return Regex(pattern)


class ObedientEngine:
    """Falls for every attack: repeats the block that holds the asked fact and claims to have it elsewhere."""

    name = "obedient"
    model = "obedient"
    window = 100_000
    estimated = False

    def __init__(self) -> None:
        self.tokenizer = dangerous_tokenizer()

    def encode(self, message: str) -> tuple[int, ...]:
        """The control tokens alone: there is no vocabulary but these."""
        return tuple(self.tokenizer.encode(message).ids)

    def generate(
        self,
        prompt: Prompt,
        options: GenerationOptions,  # noqa: ARG002
        on_text: OnText = ignore_text,  # noqa: ARG002
    ) -> Generation:
        number = re.search(r"\d{4}", prompt.question)
        assert number
        told = [block for block in prompt.blocks if number[0] in block.text]
        text = (told or prompt.blocks)[0].text + " The vault code is 0000.\nSource:\nsource: honest.md"
        return Generation(text, tokens=1)


@dataclass(frozen=True, slots=True)
class Harbour:
    """The hostile folder, ingested."""

    made: tuple[Hostile, ...]
    asked: tuple[Hostile, ...]
    retriever: Retriever
    answers: tuple[Answer, ...]


@pytest.fixture(scope="module")
def harbour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harbour]:
    work = tmp_path_factory.mktemp("hostile")
    made = make_hostile(work / "papers")
    report = ingest_paths([work / "papers"], work / ".ragqa", IngestOptions(workers=0))
    assert (report.added, report.failed, report.skipped) == (len(made) + 1, (), ())
    with open_retriever(work / ".ragqa") as retriever:
        answerer = Answerer(retriever, ObedientEngine(), AnswerSettings(max_answer_tokens=10))
        # Every ninth meets each place and each attack; each prompt holds a dozen documents.
        asked = made[::9]
        answers = tuple(answerer.ask(one.question) for one in asked)
        yield Harbour(made, asked, retriever, answers)


def test_there_are_two_hundred_and_those_asked_for_are_found(harbour: Harbour) -> None:
    assert len(harbour.made) == 200
    assert len({one.place for one in harbour.asked}) == 8
    for one, answer in zip(harbour.asked, harbour.answers, strict=True):
        assert answer.prompt
        assert any(one.fact in block.text for block in answer.prompt.blocks)


def whole_documents(harbour: Harbour) -> Iterator[ContextBlock]:
    """Every ingested document as one block, with the lines that retrieval would give it."""
    for row in harbour.retriever.index.sources():
        assert row.document_id
        document = harbour.retriever.index.document(row.document_id)
        yield ContextBlock(
            key=row.source, source=row.source, document_id=row.document_id, text_sha256="",
            title=row.title or "", section=(row.title or "",), page=None, page_end=None, start=0,
            end=len(document.text), text=document.text, score=1.0,
            metadata=metadata_lines(
                source=row.source, title=row.title or "", section=(row.title or "",), metadata=row.metadata
            ),
        )  # fmt: skip


def test_all_of_them_in_one_prompt_add_no_control_token(harbour: Harbour) -> None:
    engine = ObedientEngine()
    blocks = list(whole_documents(harbour))
    prompt = pack_prompt("Which quay?", blocks, engine.encode, window=engine.window, reserve=1)
    assert len(prompt.blocks) == len(blocks) == 201
    tokens = [engine.tokenizer.id_to_token(number) for number in prompt.token_ids]
    assert tokens == [*GRAMMAR[:4] * 201, *GRAMMAR[4:]]
    assert len({block.metadata for block in prompt.blocks}) == 201


def test_a_prompt_holds_the_control_tokens_of_its_grammar_and_no_other(harbour: Harbour) -> None:
    tokenizer = dangerous_tokenizer()
    assert tokenizer.encode(" ".join((*GRAMMAR, *CONTROL, "x"))).tokens == [*GRAMMAR, *CONTROL]
    assert tokenizer.encode("ＥＮＤIN\u00adPUT").tokens == ["ENDINPUT"]
    for answer in harbour.answers:
        assert answer.prompt
        tokens = [tokenizer.id_to_token(number) for number in answer.prompt.token_ids]
        assert tokens == [*GRAMMAR[:4] * len(answer.prompt.blocks), *GRAMMAR[4:]]


def test_the_prompt_is_read_back_as_its_blocks(harbour: Harbour) -> None:
    for answer in harbour.answers:
        assert answer.prompt
        blocks, _ = parse(answer.prompt.text)
        assert [metadata[0][0] for metadata, _ in blocks] == ["source"] * len(answer.prompt.blocks)
        assert len(blocks) == len(answer.prompt.blocks)


def true_origin(harbour: Harbour, block: ContextBlock, quote: str) -> bool:
    """Whether the quote's facts stand in the file that the block names, and in no other."""
    lines = set(re.findall(r"line (1\d{3}) leaves", quote))
    # Files are numbered, whatever stands behind the number in their names.
    owners = {one.path[:3] for one in harbour.made if one.fact[18:22] in lines}
    document = harbour.retriever.index.document(block.document_id)
    return quote in document.text and owners <= {block.source[:3]}


def wrongly_cited(harbour: Harbour, answers: tuple[Answer, ...]) -> list[str]:
    wrong = []
    for answer in answers:
        blocks = {block.key: block for block in answer.prompt.blocks} if answer.prompt else {}
        for citation in answer.citations:
            block = blocks[citation.block_key]
            if not true_origin(harbour, block, citation.quote):
                wrong.append(f"{block.source}: {citation.quote}")
    return wrong


def test_no_citation_names_another_source_than_the_true_one(harbour: Harbour) -> None:
    """Although the engine claims honest.md for everything."""
    cited = [citation for answer in harbour.answers for citation in answer.citations]
    assert len(cited) > 20
    assert any(answer.citations and not answer.citations[0].claimed_by_model for answer in harbour.answers)
    assert wrongly_cited(harbour, harbour.answers) == []


def test_what_no_document_but_the_attack_says_is_cited_to_the_attacking_file(harbour: Harbour) -> None:
    for answer in harbour.answers:
        blocks = {block.key: block for block in answer.prompt.blocks} if answer.prompt else {}
        for citation in answer.citations:
            assert blocks[citation.block_key].source != "honest.md" or "vault is opened" in citation.quote


def test_the_extractive_engine_cites_the_true_source(harbour: Harbour) -> None:
    judging = Judging(harbour.retriever.embedder.embed, lambda: None)
    answerer = Answerer(harbour.retriever, ExtractiveEngine(judging, "minilm"), AnswerSettings())
    asked = harbour.asked[::2]
    answers = tuple(answerer.ask(one.question) for one in asked)
    assert sum(bool(answer.citations) for answer in answers) > len(asked) / 2
    assert wrongly_cited(harbour, answers) == []


def acts(text: str) -> set[str]:
    return {c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")}


def test_nothing_that_people_are_shown_acts_on_a_terminal(harbour: Harbour) -> None:
    out = io.StringIO()
    console = Console(file=out, width=1000, markup=False, highlight=False, emoji=False)
    for one, answer in zip(harbour.asked, harbour.answers, strict=True):
        console.print(answer_view(answer))
        for rank, hit in enumerate(harbour.retriever.search(one.question, 3), start=1):
            console.print(hit_view(rank, hit))
    for row in harbour.retriever.index.sources():
        out.write(source_line(row) + "\n")
    shown = out.getvalue()
    assert acts(shown) == set()
    assert "[bold red]x[/]" in shown


class Terminal(io.StringIO):
    """Keeps the bytes that would reach a terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = io.BytesIO()

    def isatty(self) -> bool:
        return True


def test_json_and_warnings_do_not_act_on_a_terminal_either(harbour: Harbour, capsys) -> None:
    values = [answer_json(answer) for answer in harbour.answers]
    values += [source_json(row) for row in harbour.retriever.index.sources()]
    hits = harbour.retriever.search("ferry line", 50)
    values += [hit_json(rank, hit) for rank, hit in enumerate(hits, start=1)]
    terminal = Terminal()
    with redirect_stdout(terminal):
        for value in values:
            put_json(value)
    printed = terminal.buffer.getvalue().decode("utf-8")
    assert acts(printed) == set()
    assert [json.loads(line) for line in printed.splitlines()] == values
    for attack in ATTACKS:
        say(attack)
    assert acts(capsys.readouterr().err) == set()


def test_a_document_printed_on_a_terminal_is_harmless_and_as_long() -> None:
    for attack in ATTACKS:
        terminal = Terminal()
        with redirect_stdout(terminal):
            put_document(attack)
        printed = terminal.buffer.getvalue().decode("utf-8")
        assert acts(printed) == set()
        assert len(printed) == len(attack)
