"""The project itself: its wheel, its light start, its documented commands."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEAVY = {
    "torch",
    "transformers",
    "chromadb",
    "unstructured",
    "onnxruntime",
    "langchain",
    "pypdfium2",
    "numpy",
    "rich",
}


def test_the_wheel_holds_the_two_packages_and_nothing_else(tmp_path: Path) -> None:
    # Else files that have gone since an earlier build would come out of its folder.
    (tmp_path / "setup.cfg").write_text(f"[build]\nbuild_base = {tmp_path / 'build'}\n")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, ROOT]
    environment = {**os.environ, "DIST_EXTRA_CONFIG": str(tmp_path / "setup.cfg")}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    (wheel,) = tmp_path.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {
        str(path.relative_to(ROOT))
        for package in ("ragqa", "ingest")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == expected


def test_help_imports_nothing_heavy() -> None:
    program = """
import sys
import tomllib
sys.argv = ["ragqa", "--help"]
try:
    import ragqa.cli
    ragqa.cli.main()
except SystemExit:
    print(" ".join(sorted(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stderr.split()}
    assert "Cited answers" in done.stdout
    assert not loaded & HEAVY


def test_the_program_tells_the_version_of_the_package() -> None:
    done = subprocess.run([sys.executable, "-m", "ragqa", "--version"], capture_output=True, text=True)
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert (done.returncode, done.stdout) == (0, f"ragqa {declared}\n")


def test_every_command_is_documented_as_it_stands() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "make_cli.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_each_outside_library_is_imported_in_one_place() -> None:
    homes = {"chromadb": 1, "pypdfium2": 1, "onnxruntime": 1, "nupunkt": 1, "pebble": 1, "filelock": 1}
    for library, most in homes.items():
        importers = [
            path.relative_to(ROOT)
            for package in ("ragqa", "ingest")
            for path in (ROOT / package).rglob("*.py")
            if any(
                line.strip().startswith((f"import {library}", f"from {library}"))
                for line in path.read_text(encoding="utf-8").splitlines()
            )
        ]
        assert len(importers) == most, (library, importers)
