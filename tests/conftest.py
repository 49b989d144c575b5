"""A small real index, made once by the real ingest, and the program as a child process."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PAPERS = {
    "leave.md": """---
title: Annual leave
author: Ines Okafor
date: 2024-03-01
url: https://intranet.example/leave
---
# Annual leave

Every employee has 28 days of paid leave a year. Up to five days may be carried over until 31 March of the
next year.

## Sick leave

A doctor's note is needed from the fourth day of illness.
""",
    "pumps.txt": """Pump maintenance

The bilge pump is serviced every 250 hours. The impeller is replaced after 1,000 hours of operation. Never run
the pump dry for more than 30 seconds.
""",
    "prices.csv": "product,price EUR,warranty\nSeal kit,48.50,12 months\nImpeller,129.00,24 months\n",
    "visit.html": """<html><head><title>Visiting the yard</title>
<meta name='author' content='Per Lindqvist'></head><body><h1>Visiting the yard</h1>
<p>Visitors wear hard hats in hall two. The gate opens at 07:30.</p></body></html>
""",
}

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four small documents."""
    folder = tmp_path_factory.mktemp("work") / "papers"
    folder.mkdir()
    for name, text in PAPERS.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def index_path(papers: Path) -> Path:
    """An index of the four documents."""
    from ingest.pipeline import IngestOptions, ingest_paths

    path = papers.parent / ".ragqa"
    report = ingest_paths([papers], path, IngestOptions(workers=0))
    assert report.added == len(PAPERS)
    return path


@pytest.fixture(scope="session")
def ragqa() -> Run:
    """Runs `ragqa ARGUMENTS` in a folder and gives back its exit code, stdout and stderr."""

    def run(*arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ragqa", *map(str, arguments)],
            cwd=cwd,
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parent.parent),
                "OMP_NUM_THREADS": "1",
                **environment,
            },
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=300,
        )

    return run
