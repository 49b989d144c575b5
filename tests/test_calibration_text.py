"""Pages and books in the form that the texts they stand for have."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "calibration_text.py"
specification = importlib.util.spec_from_file_location("calibration_text", SCRIPT)
assert specification is not None
assert specification.loader is not None
script = importlib.util.module_from_spec(specification)
specification.loader.exec_module(script)


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("A two-part, well-known song.", "A two @-@ part , well @-@ known song ."),
        ("It cost $1,500 at 3.5%.", "It cost $ 1 @,@ 500 at 3 @.@ 5 % ."),
        ("The band's first; he didn't sing.", "The band 's first ; he didn 't sing ."),
        ("Mr. J. R. Hall of the U.S. Navy left. He", "Mr. J. R. Hall of the U.S. Navy left . He"),
        ("“Yes,” he said: “no.” (2001–2005)", '" Yes , " he said : " no . " ( 2001 – 2005 )'),
        ("the Joneses' house", "the Joneses ' house"),
        ("plain words", "plain words"),
    ],
)
def test_punctuation_stands_alone_as_in_the_wikitext_corpora(line: str, written: str) -> None:
    assert script.spaced(line) == written


def test_a_corpus_page_has_its_title_between_equals_signs_and_a_paragraph_a_line() -> None:
    assert script.as_corpus("Title", "One.\n\nTwo.") == " = Title = \n One . \n Two . \n"
    assert script.as_corpus("", "One.") == " One . \n"


def test_every_other_story_is_broken_into_lines_as_a_book_is() -> None:
    story = "a long and winding sentence of a story " * 5
    plain, broken = script.written([("", story), ("", story)], script.STORIES)
    assert plain == f"{story}\n\n"
    assert max(map(len, broken.splitlines())) <= 70
    assert broken.split() == plain.split()
    assert list(script.written([("", story)] * 2, "medquad")) == [f"{story}\n\n"] * 2
