"""Make the binary documents of `data/documents` from the written sources beside this file.

    pip install fpdf2==2.8.9 python-docx==1.2.0 python-pptx==1.0.2 openpyxl==3.1.5 pypandoc_binary==1.17
    python data/make/build.py [NAME…]

`sources/policies/handbook.epub.md` becomes `documents/policies/handbook.epub`. With a NAME only the documents
whose path holds it are made. All dates come from the sources, so a second run with the same versions writes
the same bytes.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from office import write_pandoc, write_rtf, write_slides, write_workbook
from pdf import write_pdf
from source import Source, read_source

HERE = Path(__file__).parent
WRITERS: dict[str, Callable[[Source, Path], None]] = {
    ".docx": write_pandoc,
    ".odt": write_pandoc,
    ".epub": write_pandoc,
    ".rtf": write_rtf,
    ".pptx": write_slides,
    ".xlsx": write_workbook,
    ".pdf": write_pdf,
}


def build(names: list[str]) -> None:
    """Write every document whose path holds one of `names`, or all of them."""
    for path in sorted((HERE / "sources").rglob("*.md")):
        relative = path.relative_to(HERE / "sources").with_suffix("")
        if names and not any(name in str(relative) for name in names):
            continue
        target = HERE.parent / "documents" / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        WRITERS[target.suffix](read_source(path), target)
        print(relative)


if __name__ == "__main__":
    build(sys.argv[1:])
