"""What people see: numbered citations, places, highlighted quotes, and nothing that acts on a terminal."""

import io
import json
import unicodedata
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ingest.index import SourceRow, open_index
from ragqa.answering import Answerer
from ragqa.llm.replay import ReplayEngine
from ragqa.settings import AnswerSettings
from ragqa.terminal import answer_view, citation_head, printable, source_line, stats_lines
from ragqa.types import Citation
from ragqa.wiring import open_retriever
from tests.blocks import make_block
from tests.conftest import Run

QUESTION = "How many days of paid leave does an employee have?"


def shown(index_path: Path, reply: str, *, colour: bool = False) -> str:
    with open_retriever(index_path) as retriever:
        answer = Answerer(retriever, ReplayEngine({QUESTION: reply}), AnswerSettings()).ask(QUESTION)
    out = io.StringIO()
    Console(file=out, width=200, markup=False, highlight=False, force_terminal=colour).print(
        answer_view(answer)
    )
    return out.getvalue()


def test_a_cited_sentence_shows_number_source_section_date_and_quote(index_path: Path) -> None:
    text = shown(index_path, "Every employee has 28 days of paid leave a year.\nSource:\nsource: leave.md")
    assert "Every employee has 28 days of paid leave a year. [1]" in text
    assert "[1] leave.md" in text
    assert "2024-03-01" in text
    assert "“Every employee has 28 days of paid leave a year.”" in text


def test_the_date_of_a_file_is_called_so() -> None:
    """What was printed to PDF today may say what held years ago."""
    citation = Citation(1, "a.pdf", 0, 5, "words", claimed_by_model=False)
    date = (("date", "2026-11-28T09:45:49"),)
    own = (*date, ("created", date[0][1]))
    for metadata, shown in ((date, "2026-11-28"), (own, "file created 2026-11-28")):
        head = citation_head(citation, make_block("a.pdf", "words", metadata=metadata))
        assert head.plain == f"[1] a.pdf · {shown}"


def test_one_page_is_no_pages() -> None:
    row = SourceRow("a.pdf", "f" * 64, "ok", "", "Title", 1, 1, 9, ())
    assert source_line(row).endswith("  1 page")
    assert source_line(replace(row, pages=2)).endswith("  2 pages")


def test_the_words_that_carry_the_answer_are_bold(index_path: Path) -> None:
    text = shown(index_path, "Every employee has 28 days of paid leave a year.", colour=True)
    assert "\x1b[1m28\x1b[0m" in text


def test_an_unsupported_sentence_is_marked_with_what_is_missing(index_path: Path) -> None:
    text = shown(index_path, "Every employee has 28 days of paid leave a year. The bonus is 4,711 euros.")
    assert "not supported by the documents" in text
    assert "4,711" in text


def test_a_documents_own_marks_do_not_pass_for_citations(tmp_path: Path, ragqa: Run) -> None:
    (tmp_path / "terms.md").write_text("# Terms\n\nThe payment term of all invoices is 21 days [7] [12].\n")
    ragqa("ingest", "terms.md", cwd=tmp_path)
    asked = ("ask", "What is the payment term of invoices?")
    assert "invoices is 21 days (7) (12). [1]" in ragqa(*asked, cwd=tmp_path).stdout
    answer = json.loads(ragqa(*asked, "--json", cwd=tmp_path).stdout)
    assert "21 days [7] [12]." in answer["answer"]


def test_a_refusal_says_why(index_path: Path) -> None:
    assert "Passages were found, but none that answers." in shown(index_path, "I don't know.")


def test_a_heading_that_is_the_title_is_shown_once(index_path: Path) -> None:
    text = shown(index_path, "Every employee has 28 days of paid leave a year.\nSource:\nsource: leave.md")
    assert "Annual leave · 2024" in text
    assert "Annual leave › Annual leave" not in text


def test_the_figures_of_an_index_are_for_people(index_path: Path) -> None:
    with open_index(index_path) as index:
        lines = "\n".join(stats_lines(index.stats()))
    assert "4 ok" in lines
    assert not any(sign in lines for sign in "{}'")


@given(st.text())
def test_nothing_printed_acts_on_a_terminal(text: str) -> None:
    assert all(
        char == "\n" or unicodedata.category(char) not in ("Cc", "Cf", "Cs") for char in printable(text)
    )


def test_escape_sequences_become_harmless_and_length_is_kept() -> None:
    assert printable("\x1b[31mred\u202e\x9b2J") == "\ufffd[31mred\ufffd\ufffd2J"
