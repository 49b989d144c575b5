"""Writes docs/cli.md from the commands' own --help; `--check` fails where the file differs."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

TARGET = Path(__file__).parent / "cli.md"
INTRODUCTION = """# The command line

Made from `--help` by `make docs`; a test holds it to the code. stdout carries data, stderr progress and
warnings. `--json` prints one JSON object (one a line where there are many), each with `"schema_version": 1`.

| exit | means |
|---|---|
| 0 | done |
| 1 | error |
| 2 | usage |
| 3 | part failed, the rest is done |
| 4 | no answer in the documents (only with `--fail-on-refusal`) |
| 5 | no index here |
| 6 | does not fit: index settings, or a batch output of another run |
| 7 | a check failed |
| 11 | locked by another process |
| 130 | interrupted |
"""


def commands() -> Iterator[tuple[str, ...]]:
    """Every command, groups before what is in them, in the order of the program."""
    from typer.main import get_command

    from ragqa.cli import app

    yield ()
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        yield (name,)
        for inner in getattr(command, "commands", {}):
            yield (name, inner)


def help_text(command: tuple[str, ...]) -> str:
    environment = {**os.environ, "COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "ragqa", *command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def page() -> str:
    parts = [
        f"## {' '.join(('ragqa', *command))}\n\n```text\n{help_text(command)}\n```\n"
        for command in commands()
    ]
    return "\n".join([INTRODUCTION, *parts])


def main() -> None:
    made = page()
    if "--check" not in sys.argv:
        TARGET.write_text(made, encoding="utf-8")
    elif not TARGET.exists() or TARGET.read_text(encoding="utf-8") != made:
        sys.exit("docs/cli.md does not match --help. Run: make docs")


if __name__ == "__main__":
    main()
