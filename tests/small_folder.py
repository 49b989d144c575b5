"""Fixtures of a folder of four documents, and of where its index is to be."""

from pathlib import Path

import pytest

from tests.index_support import write


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    for name in ("one", "two", "sub/three", "sub/four"):
        write(folder / f"{name}.md", f"# About {name}\n\nalpha {name} beta.\n\nAnother line of {name}.\n")
    return folder


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return tmp_path / ".ragqa"
