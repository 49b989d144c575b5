"""Imports point down: each module may import only modules of a lower row."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent

# Top row first. A package stands for all of its modules unless they have a row of their own.
ROWS: tuple[tuple[str, ...], ...] = (
    ("ragqa.__main__",),
    ("ragqa.cli",),
    ("ragqa.cli.searching",),
    ("ragqa.cli.output", "ragqa.cli.options"),
    ("ragqa.doctor",),
    ("ragqa.evaluation",),
    ("ragqa.wiring", "ragqa.batch", "ragqa.models"),
    ("ragqa.terminal", "ragqa.contract"),
    ("ragqa.answering",),
    ("ragqa.langchain",),
    ("ragqa.narrowing",),
    ("ragqa.retriever",),
    ("ragqa.reranker",),
    ("ragqa.llm",),
    ("ragqa.gptq.finetune",),
    ("ragqa.gptq",),
    ("ragqa.llm.engine",),
    ("ragqa.judging",),
    ("ragqa.prompt", "ragqa.citations", "ragqa.fusion", "ragqa.selection", "ragqa.questions"),
    ("ragqa.fitted", "ragqa.precedence", "ragqa.completing"),
    ("ragqa.namesakes",),
    ("ragqa.opposites",),
    (
        "ragqa.windows",
        "ragqa.voices",
        "ragqa.proposals",
        "ragqa.named_rows",
        "ragqa.numbered_rows",
        "ragqa.amendments",
    ),
    ("ragqa.citations.checking", "ragqa.citations.replies"),
    ("ragqa.citations.alignment", "ragqa.citations.courtesies"),
    ("ragqa.citations.refusals", "ragqa.citations.quotes", "ragqa.citations.facts"),
    ("ragqa.candidates", "ragqa.forms"),
    ("ragqa.layouts",),
    ("ragqa.features", "ragqa.lists"),
    ("ragqa.tables", "ragqa.versions", "ragqa.kinds", "ragqa.copies"),
    ("ragqa.citations.measures", "ragqa.citations.words", "ragqa.reader"),
    ("ragqa.prompt.packing", "ragqa.prompt.metadata", "ragqa.prompt.grammar", "ragqa.prompt.defusing"),
    ("ragqa.types", "ragqa.settings", "ragqa.errors", "ragqa.cache", "ragqa"),
    ("ingest.pipeline",),
    ("ingest.index",),
    ("ingest.discover", "ingest.parse", "ingest.chunk", "ingest.embed", "ingest.catalogue", "ingest.vectors"),
    ("ingest.sentences", "ingest.types", "ingest.errors", "ingest.progress", "ingest"),
)


def row_of(module: str) -> int:
    """The row of a module: its own, else that of the nearest package that has one."""
    parts = module.split(".")
    for length in range(len(parts), 1 if len(parts) > 1 else 0, -1):
        name = ".".join(parts[:length])
        for number, row in enumerate(ROWS):
            if name in row:
                return number
    raise AssertionError(f"{module} has no row in tests/test_layers.py")


def modules() -> list[tuple[str, Path]]:
    found = []
    for package in ("ragqa", "ingest"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


def imported(path: Path, known: set[str]) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            base = node.module or ""
            names.update(
                f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base for alias in node.names
            )
    return {name for name in names if name.split(".")[0] in ("ragqa", "ingest")}


def test_no_module_imports_from_a_row_above_it() -> None:
    known = {name for name, _ in modules()}
    upward = []
    for module, path in modules():
        for name in imported(path, known):
            same_package = (
                name.rsplit(".", 1)[0] == module.rsplit(".", 1)[0]
                or module.startswith(name)
                or name.startswith(f"{module}.")  # a package's own modules are behind its face
            )
            if row_of(name) < row_of(module) or (row_of(name) == row_of(module) and not same_package):
                upward.append(f"{module} imports {name}")
    assert not upward, upward


def test_ingest_knows_nothing_of_ragqa() -> None:
    known = {name for name, _ in modules()}
    assert [
        m for m, p in modules() if m.startswith("ingest") for n in imported(p, known) if n.startswith("ragqa")
    ] == []
