"""Chunks are exact spans: whole sentences and rows, one section, with heading trail and table header."""

import hashlib
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ingest.chunk import MAX_TOKENS, chunk_document, count_tokens
from ingest.types import Document, Element, Line


def document(*pieces: tuple[str, str, int]) -> Document:
    """A document of (kind, text, depth or page) pieces joined by blank lines."""
    text, elements = "", []
    for kind, piece, number in pieces:
        text += "\n\n" if text else ""
        depth, page = (number, None) if kind == "heading" else (0, number or None)
        elements.append(Element(kind, len(text), len(text) + len(piece), page, depth))
        text += piece
    sha = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    return Document(sha, text, sha, "Title", tuple(elements), (), (), None)


def texts(made: Document) -> list[str]:
    return [made.text[chunk.start : chunk.end] for chunk in chunk_document(made)]


def test_a_heading_starts_a_chunk_and_stays_with_what_follows() -> None:
    body = "The pump runs at night. " * 8
    made = document(
        ("heading", "Pumps", 1), ("paragraph", body, 0), ("heading", "Valves", 1), ("paragraph", body, 0)
    )
    first, second = texts(made)
    assert first.startswith("Pumps\n\n")
    assert second.startswith("Valves\n\n")


def test_the_heading_trail_holds_the_headings_above_and_no_others() -> None:
    body = "A sentence long enough to stand alone in its own chunk, with many more words than needed. " * 2
    made = document(
        ("heading", "One", 1), ("paragraph", body, 0),
        ("heading", "Inner", 2), ("paragraph", body, 0),
        ("heading", "Two", 1), ("paragraph", body, 0),
    )  # fmt: skip
    assert [chunk.section for chunk in chunk_document(made)] == [("One",), ("One", "Inner"), ("Two",)]


def test_a_chunk_keeps_to_one_section_however_short() -> None:
    made = document(
        ("heading", "Pumps", 1),
        ("heading", "Pump P-10", 2), ("paragraph", "It must not be run dry.", 0),
        ("heading", "Pump P-20", 2), ("paragraph", "It may be run dry for 30 seconds.", 0),
    )  # fmt: skip
    assert [chunk.section for chunk in chunk_document(made)] == [
        ("Pumps", "Pump P-10"),
        ("Pumps", "Pump P-20"),
    ]
    assert texts(made)[1] == "Pump P-20\n\nIt may be run dry for 30 seconds."


def test_text_may_end_the_section_above_it() -> None:
    made = document(("heading", "Reply", 1), ("heading", "Quoted", 2), ("paragraph", "Older.", 0))
    own = Element("paragraph", len(made.text) - 3, len(made.text), depth=2)
    older = replace(made.elements[-1], end=own.start)
    made = replace(made, elements=(*made.elements[:2], older, own))
    assert [chunk.section for chunk in chunk_document(made)] == [("Reply", "Quoted"), ("Reply",)]


def test_sentences_are_never_cut_where_they_fit() -> None:
    sentences = [f"Sentence number {n} tells of the tide gate and its {n} bolts." for n in range(120)]
    made = document(("paragraph", " ".join(sentences), 0))
    for text in texts(made):
        assert text.endswith("bolts.")
        assert text.startswith("Sentence number")
        assert count_tokens(text) <= MAX_TOKENS


def test_table_rows_stay_whole_and_remember_their_header() -> None:
    rows = [("table_row", f"Pump {n}\t{n * 10} bar\tready for the winter season", 0) for n in range(80)]
    made = document(("table_header", "Name\tPressure\tState", 0), *rows)
    chunks = chunk_document(made)
    assert len(chunks) > 1
    assert all(chunk.table_header == "Name\tPressure\tState" for chunk in chunks[1:])
    assert all(line.startswith("Pump ") for text in texts(made)[1:] for line in text.split("\n\n"))


def test_a_table_header_ends_with_its_table() -> None:
    made = document(
        ("table_header", "Name\tPressure", 0), ("table_row", "A\t1", 0), ("paragraph", "Prose. " * 120, 0)
    )
    assert chunk_document(made)[-1].table_header == ""


def test_pages_are_those_of_the_elements_inside() -> None:
    made = document(("paragraph", "On page three.", 3), ("paragraph", "On page four.", 4))
    assert [(chunk.page, chunk.page_end) for chunk in chunk_document(made)] == [(3, 3), (4, 4)]
    lined = replace(made, lines=(Line(0, 3, 3, 0, 0, 1, 1),))
    assert [(chunk.page, chunk.page_end) for chunk in chunk_document(lined)] == [(3, 4)]


def test_a_text_without_a_full_stop_or_space_is_still_divided() -> None:
    made = document(("paragraph", "x" * 20_000, 0))
    assert len(chunk_document(made)) > 5


PIECES = st.lists(
    st.tuples(
        st.sampled_from(["heading", "paragraph", "list_item", "table_header", "table_row", "code"]),
        st.text(min_size=1, max_size=400),
        st.integers(1, 4),
    ),
    max_size=12,
)


@given(PIECES)
def test_chunks_cover_every_word_once_and_in_order(pieces: list[tuple[str, str, int]]) -> None:
    made = document(*pieces)
    covered = [False] * len(made.text)
    end = 0
    for ordinal, chunk in enumerate(chunk_document(made)):
        assert chunk.ordinal == ordinal
        assert end <= chunk.start < chunk.end
        end = chunk.end
        covered[chunk.start : chunk.end] = [True] * (chunk.end - chunk.start)
        assert made.text[chunk.start : chunk.end] == made.text[chunk.start : chunk.end].strip()
    assert all(seen or char.isspace() for seen, char in zip(covered, made.text, strict=True))
