"""A question set is read, halved by subject and drawn from; a line that cannot be read is named."""

import json
from pathlib import Path

import pytest

from ragqa.errors import QuestionFileError
from ragqa.evaluation.question_set import Question, read_questions, read_set
from ragqa.evaluation.suite import drawn, questions_of


def test_questions_of_one_article_fall_into_one_half(tmp_path: Path) -> None:
    """Answerable or not, whichever of its paragraphs they were asked of: else a half would know the other."""
    documents = [{"id": f"p{n}", "title": f"Article {n // 5}", "text": f"Text {n}."} for n in range(50)]
    questions: list[dict[str, object]] = [
        {"id": f"a{n}", "question": "?", "answers": ["x"], "gold_doc_ids": [f"p{n}"]} for n in range(50)
    ] + [
        {"id": f"u{n}", "question": "?", "answerable": False, "meta": {"nearest_doc": f"p{n}"}}
        for n in range(50)
    ]
    for name, records in (("documents", documents), ("questions", questions)):
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (tmp_path / f"{name}.jsonl").write_text(lines)
    questions_read = read_set(tmp_path).questions
    halves = [{one.subject for one in questions_of(questions_read, part)} for part in ("even", "odd")]
    assert halves[0]
    assert halves[1]
    assert not halves[0] & halves[1]
    assert halves[0] | halves[1] == {f"Article {n}" for n in range(10)}


def test_a_limit_draws_questions_from_all_over_the_set_and_keeps_their_order() -> None:
    questions = tuple(Question(f"q{n:03}", "?", (), (), (), answerable=True) for n in range(200))
    some = drawn(questions, 20)
    assert len(some) == 20
    assert list(some) == sorted(some, key=lambda one: one.id)
    assert some[-1].id > "q100"
    assert drawn(questions, 500) == drawn(questions, None) == questions


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 is not JSON"),
        ("[]", "line 2 is not a JSON object"),
        ('{"id": "a"}', "line 2 lacks question"),
        ('{"id": "q", "question": "?"}', "comes twice"),
        ('{"id": "a", "question": "?", "answerable": "false"}', "line 2: \"answerable\" is 'false'"),
        ('{"id": "a", "question": "?", "evidence": ["a"]}', 'line 2: "evidence" is no list of objects'),
        ('{"id": "a", "question": "?", "answers": {"a": 1}}', 'line 2: "answers" is no list of texts'),
        ('{"id": "a", "question": "?", "evidence": {"page0": "7"}}', "whole numbers"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text('{"id": "q", "question": "?"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(QuestionFileError, match=message):
        read_questions(path)


def test_one_text_is_a_list_of_one(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    line = {
        "id": 7, "question": "?", "answers": "a month", "gold_doc_ids": "a.md",
        "evidence": {"doc_id": "a.md", "quotes": "One month."},
    }  # fmt: skip
    path.write_text("\ufeff" + json.dumps(line), encoding="utf-8")
    (one,) = read_questions(path)
    assert (one.id, one.answers, one.gold) == ("7", ("a month",), ("a.md",))
    assert one.evidence[0].quotes == ("One month.",)


def test_a_missing_folder_is_an_error_for_people(tmp_path: Path) -> None:
    with pytest.raises(QuestionFileError, match=r"questions\.jsonl cannot be read"):
        read_set(tmp_path / "nowhere")


def test_pages_count_from_one_and_are_gold(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    evidence = [{"doc_id": "r#p4", "pdf": "r.pdf", "page0": 4, "quotes": ["x"]}]
    row = {"id": "a", "question": "?", "gold_doc_ids": ["r#p4"], "evidence": evidence}
    path.write_text(json.dumps(row), encoding="utf-8")
    (question,) = read_questions(path)
    assert question.gold == ("r.pdf#page=5",)
    assert question.answerable
