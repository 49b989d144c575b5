"""Lists: items keep their numbers, or a bullet, so that each is told from the next."""

from functools import partial
from pathlib import Path

import pytest

from ingest.sentences import sentence_spans
from tests.parse_documents import kinds, texts, write_and_parse


@pytest.fixture
def read(tmp_path: Path):
    return partial(write_and_parse, tmp_path)


def test_ordered_lists_keep_their_numbers(read) -> None:
    items = "3. The first.\n   More.\n4. The second\n   1) nested\n   - bullet\n6. 1. twice\n7.\n8. # Last"
    assert kinds(read("a.md", f"{items}\n\nEnd.")) == [
        ("list_item", "3. The first.\nMore."),
        ("list_item", "4. The second"),
        ("list_item", "1) nested"),
        ("list_item", "• bullet"),
        ("list_item", "6. 1. twice"),
        ("heading", "8. Last"),
        ("paragraph", "End."),
    ]
    page = """<p>Terms of payment.<ol start=3><li>The first<li><b>The</b> second<ol><li><p>nested</ol>
    <li value=9>jumps<li>goes on</ol><ul><li>bullet</ul>
    <ol type=a><li>lettered</ol><ol start=x><li>bad</ol>"""
    assert texts(read("a.html", page), "list_item") == [
        "3. The first", "4. The second", "1. nested", "9. jumps", "10. goes on",
        "• bullet", "• lettered", "1. bad",
    ]  # fmt: skip


def test_items_without_a_full_stop_are_sentences_of_their_own(read) -> None:
    """Without a mark nothing tells them from one sentence that was wrapped."""
    items = ("2 CPU cores (4 recommended)", "4 GB of memory", "40 GB of disk")
    markdown = read("a.md", "It needs:\n\n" + "\n".join(f"* {item}" for item in items))
    page = read("a.html", "<p>It needs:<ul>" + "".join(f"<li>{item}" for item in items) + "</ul>")
    for document in (markdown, page):
        found = [document.text[start:end] for start, end in sentence_spans(document.text)]
        assert found == ["It needs:", *(f"• {item}" for item in items)]


def test_numbers_that_a_page_hides_writes_itself_or_makes_absurd_are_left(read) -> None:
    absurd = "9" * 5000
    page = f"""<ol style="list-style: none"><li>plain</ol><ol><li>1. numbered</ol>
    <ol start={absurd}><li>first</ol><table><tr><td colspan={absurd}>x<td>y<tr><td>a<td>b</table>"""
    assert texts(read("a.html", page), "list_item") == ["• plain", "1. numbered", "1. first"]
