"""Writes constraints.txt: the version of every package that ragqa and its extras bring, as installed here.

Run it in an environment whose tests pass. Build tools and packages that nobody depends on are left out.
"""

import re
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

TARGET = Path(__file__).parent.parent / "constraints.txt"
EXTRAS = ("gptq", "train", "plot", "dev")


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def closure() -> dict[str, str]:
    """Every package reached from ragqa, with its installed version."""
    versions: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [("ragqa", extra) for extra in ("", *EXTRAS)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for another platform or Python
        versions[canonical(name)] = found.version.split("+")[0]
        for line in found.requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(canonical(needed.name), wanted) for wanted in ("", *needed.extras)]
    versions.pop("ragqa")
    return versions


def main() -> None:
    lines = ["# Versions the tests ran with. Made by docs/make_constraints.py; ranges are in pyproject.toml."]
    lines += [f"{name}=={version}" for name, version in sorted(closure().items())]
    TARGET.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
