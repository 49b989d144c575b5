"""What is not read says why, and files made to exhaust the machine are skipped before they do."""

from pathlib import Path

import pytest

from ingest.parse import Limits, parse_file
from ingest.types import Problem
from tests.parse_documents import parsed, refused, zip_bytes


@pytest.mark.parametrize(
    ("name", "data", "status", "code"),
    [
        ("empty.txt", b"", "skipped", "empty"),
        ("blank.md", b" \n\n ", "skipped", "empty"),
        ("photo.jpg", b"\xff\xd8\xff\xe0" + b"\0" * 50, "skipped", "needs_ocr"),
        ("old.doc", b"random words", None, None),
        ("x.bin", bytes(range(256)) * 4, "skipped", "unsupported"),
        ("broken.docx", b"PK\x03\x04 broken", "failed", "parser_error"),
        ("broken.zip", b"PK\x03\x04 broken", "failed", "parser_error"),
        (
            "broken.xlsx",
            zip_bytes([("xl/workbook.xml", b"<nothing"), ("[Content_Types].xml", b"<Types/>")]),
            "failed",
            "parser_error",
        ),
    ],
)
def test_what_is_not_read_says_why(tmp_path: Path, name: str, data: bytes, status: str, code: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    if status is None:
        assert parsed(path).text == "random words"
        return
    problem = refused(path)
    assert (problem.status, problem.code) == (status, code)
    assert len(problem.message) > 15


def test_unreadable_files_are_failures(tmp_path: Path) -> None:
    assert refused(tmp_path / "missing.txt").code == "unreadable"
    assert refused(tmp_path).code == "unreadable"


def test_files_beyond_the_limit_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x" * 5000)
    (member,) = parse_file(path, Limits(max_bytes=1000))
    assert isinstance(member.outcome, Problem)
    assert member.outcome.code == "too_large"


def test_entities_that_grow_are_not_expanded(tmp_path: Path) -> None:
    levels = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    path = tmp_path / "laughs.xml"
    path.write_text(f'<!DOCTYPE a [<!ENTITY a0 "ha">{levels}]><a>&a9;</a>')
    assert refused(path).code in ("too_large", "parser_error", "empty")


@pytest.mark.parametrize("suffix", [".docx", ".xlsx", ".pptx"])
def test_packages_that_grow_are_skipped_before_they_are_read(tmp_path: Path, suffix: str) -> None:
    part = {".docx": "word/document.xml", ".xlsx": "xl/workbook.xml", ".pptx": "ppt/presentation.xml"}[suffix]
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(
        zip_bytes([(part, b"<a>" + b" " * (80 << 20) + b"</a>"), ("[Content_Types].xml", b"<a/>")])
    )
    assert path.stat().st_size < 200_000
    assert refused(path).code == "too_large"


def test_a_package_with_entities_fails(tmp_path: Path) -> None:
    body = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'
    path = tmp_path / "xxe.docx"
    path.write_bytes(zip_bytes([("word/document.xml", body), ("[Content_Types].xml", b"<a/>")]))
    assert refused(path).code == "parser_error"
