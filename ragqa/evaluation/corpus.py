"""A question set's documents as files for the ordinary ingest: what is measured is what people use."""

import filecmp
from collections.abc import Sequence
from html import escape
from pathlib import Path
from shutil import copy2

from ragqa.evaluation.question_set import QuestionSet, SetDocument


def write_corpus(question_set: QuestionSet, folder: Path) -> dict[str, str]:
    """Write each document of the set as a file in `folder`; the id of the set's document by file name.

    The files of a set of PDFs are copied under their own names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if question_set.pdfs is not None:
        return copy_files(sorted(question_set.pdfs.iterdir()), folder)
    places = {}
    for number, document in enumerate(question_set.documents, start=1):
        # Ids may hold any character; a number is a safe name on every file system.
        name = f"{number:06}.html"
        write_if_new(folder / name, page(document).encode("utf-8", "replace"))
        places[name] = document.id
    return places


def write_if_new(file: Path, data: bytes) -> None:
    """Leave a file that holds these bytes alone, so that ingest finds it unchanged."""
    if not file.is_file() or file.read_bytes() != data:
        file.write_bytes(data)


def copy_files(files: Sequence[Path], folder: Path) -> dict[str, str]:
    """The files in a folder that then holds no others; their names, as sources and as documents."""
    names = {file.name for file in files}
    for known in folder.iterdir():
        if known.name not in names:
            known.unlink()
    for file in files:
        copied = folder / file.name
        if not copied.exists() or not filecmp.cmp(file, copied):
            copy2(file, copied)  # with its time, by which the next comparison is quick
    return {file.name: file.name for file in files}


def page(document: SetDocument) -> str:
    """The document as HTML: its title, and a paragraph for each of its lines."""
    title = f"<title>{escape(document.title)}</title>" if document.title else ""
    lines = "\n".join(f"<p>{escape(line)}</p>" for line in document.text.split("\n") if line.strip())
    head = f'<meta charset="utf-8">{title}'
    return f"<!DOCTYPE html>\n<html><head>{head}</head>\n<body>\n{lines}\n</body></html>\n"
