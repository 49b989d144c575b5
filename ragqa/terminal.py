"""Answers for people: numbered citations, then source, page, date and quote, all passed through `printable`.

Text of documents is put on the terminal as text alone: no control character, no markup of its own.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from rich.console import Console, Group
from rich.padding import Padding
from rich.text import Text

from ingest.index import IndexStats, SourceRow
from ingest.pipeline import Report
from ragqa.types import Answer, Citation, ContextBlock, Hit, Sentence

WORD = re.compile(r"\w+")
MARK = re.compile(r"(?<![^\s\]).])\[(\d{1,3})\]")  # not that of `values[1]`
PIPE_WIDTH = 1 << 30
"""Columns of what is no terminal: indented text is cut at the width, and nothing may be lost in a pipe."""
VERDICT_NOTES = {"partial": "only partly supported", "unsupported": "not supported by the documents"}
REFUSAL_NOTES = {
    "nothing_retrieved": "Nothing like it was found.",
    "not_in_context": "Passages were found, but none that answers.",
    "unsupported": "An answer was written, but the documents do not support it.",
}


def printable(text: str) -> str:
    """The text with every control, format and surrogate character replaced: nothing acts on a terminal."""
    return "".join(
        char
        if char == "\n" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
        else (" " if char.isspace() else "\ufffd")
        for char in text
    )


def one_line(text: str) -> str:
    return " ".join(printable(text).split())


def console(*, stderr: bool = False) -> Console:
    """A console that wraps for a terminal and leaves lines whole for a pipe; no markup, no highlighting."""
    made = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not made.is_terminal:
        made.width = PIPE_WIDTH
    made.soft_wrap = not made.is_terminal
    return made


def answer_view(answer: Answer) -> Group:
    """The answer as it is shown: sentences with their citations' numbers, then each citation."""
    blocks = {block.key: block for block in answer.prompt.blocks} if answer.prompt else {}
    parts: list[Text | Padding] = [answer_text(answer)]
    for citation in answer.citations:
        citing = [sentence for sentence in answer.sentences if citation.id in sentence.citations]
        parts.append(Text(""))
        parts.append(citation_head(citation, blocks[citation.block_key]))
        parts.append(Padding(quote_text(citation, citing, answer.question), (0, 0, 0, 4), expand=False))
    return Group(*parts)


def answer_text(answer: Answer) -> Text:
    """The answer with `[n]` behind each cited sentence and a note behind each that is not supported."""
    if answer.refused:
        note = REFUSAL_NOTES[answer.refusal_reason or "not_in_context"]
        return Text(f"{answer.text} {note}", style="yellow")
    text = Text()
    end = 0
    for sentence in answer.sentences:
        # A document's own "[1]" must not pass for one of ours.
        text.append(MARK.sub(r"(\1)", printable(answer.text[end : sentence.end])))
        end = sentence.end
        marks = "".join(f"[{number}]" for number in sentence.citations)
        if marks:
            text.append(f" {marks}", style="cyan")
        doubt = VERDICT_NOTES.get(sentence.verdict)
        if doubt:
            missing = (
                f": {', '.join(one_line(item) for item in sentence.missing)}" if sentence.missing else ""
            )
            text.append(f" ({doubt}{missing})", style="red")
    text.append(MARK.sub(r"(\1)", printable(answer.text[end:])))
    return text


def citation_head(citation: Citation, block: ContextBlock) -> Text:
    """`[1] source, page 3 · Title › Section · 2024-01-01`."""
    head = Text()
    head.append(f"[{citation.id}] ", style="cyan")
    head.append(one_line(block.source), style="bold")
    head.append(f", {pages(citation.page, citation.page_end)}" if citation.page else "")
    metadata = dict(block.metadata)
    # A document's first heading is mostly its title.
    trail = dict.fromkeys(part for part in (block.title, *block.section) if part)
    details = [" › ".join(trail), _dated(metadata)]
    for shown in dict.fromkeys(one_line(detail) for detail in details if detail):
        head.append(f" · {shown}", style="dim")
    return head


def _dated(metadata: dict[str, str]) -> str:
    """The day of the document's date. One that is the file's own is called so: what it says may be older."""
    date = metadata.get("date", "")
    own = next((key for key in ("created", "modified") if date and metadata.get(key) == date), "")
    day = date.partition("T")[0]
    return f"file {own} {day}" if own else day


def pages(first: int, last: int | None) -> str:
    return f"pages {first}-{last}" if last and last != first else f"page {first}"


def quote_text(citation: Citation, citing: list[Sentence], question: str) -> Text:
    """The quote on one line, the words that carry the answer in bold."""
    words = {word for sentence in citing for word in content_words(sentence.text)} or set(
        content_words(question)
    )
    text = Text("“")
    quote = one_line(citation.quote)
    end = 0
    for match in WORD.finditer(quote):
        text.append(quote[end : match.start()])
        text.append(match.group(), style="bold" if match.group().lower() in words else "")
        end = match.end()
    text.append(quote[end:] + "”")
    return text


def content_words(text: str) -> Iterator[str]:
    """Words long enough to carry meaning, and everything with a digit."""
    return (
        word.lower() for word in WORD.findall(text) if len(word) > 3 or any(char.isdigit() for char in word)
    )


def hit_view(rank: int, hit: Hit) -> Group:
    """One retrieved chunk: rank, score, place, text."""
    head = Text(f"{rank:>3}  {hit.score:6.2f}  ")
    head.append(one_line(hit.source), style="bold")
    head.append(f", {pages(hit.page, hit.page_end)}" if hit.page else "")
    if hit.section:
        head.append(f" · {one_line(' › '.join(hit.section))}", style="dim")
    return Group(head, Padding(Text(one_line(hit.text)), (0, 0, 0, 5), expand=False))


def report_lines(report: Report) -> Iterator[str]:
    """What an ingest did, or would do to which file; then each file that gave no document, by code."""
    yield from (f"  {action:<8} {one_line(source)}" for action, source in report.planned)
    counts = ("added", "changed", "renamed", "removed", "unchanged")
    yield ", ".join(f"{getattr(report, name)} {name}" for name in counts) + f"; {report.chunks} chunks."
    for status, problems in (("failed", report.failed), ("skipped", report.skipped)):
        if problems:
            yield f"{len(problems)} {status}:"
        for problem in problems:
            yield f"  {problem.code:<13} {one_line(problem.source)}: {one_line(problem.message)}"


def source_line(row: SourceRow) -> str:
    """One line of `sources list`."""
    count, unit = (row.pages, "page") if row.pages else (row.characters or 0, "character")
    size = f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    state = "" if row.status == "ok" else f"  [{row.status}: {row.code}]"
    name = (row.document_id or "-" * 12)[:12]
    return f"{name}  {one_line(row.source)}  {one_line(row.title or '')}  {size}{state}"


def stats_lines(stats: IndexStats) -> Iterator[str]:
    """What `index stats` shows: one line a figure."""
    yield f"index       {one_line(stats.path)}, {stats.bytes / 2**20:.1f} MiB"
    settings = stats.settings
    yield f"made with   embedder {settings.embedder} ({settings.dimensions} dimensions), " + (
        f"chunking {settings.chunker_version}, schema {settings.schema_version}"
    )
    yield from (f"root        {one_line(root)}" for root in stats.roots)
    yield f"sources     {stats.sources}: " + ", ".join(f"{count} {name}" for name, count in stats.statuses)
    yield f"documents   {stats.documents}, {stats.characters} characters, {stats.chunks} chunks"
    hint = "; every vector is compared until `ragqa index repair` rebuilds it"
    yield f"collection  {stats.vectors}{hint if stats.vectors == 'damaged' else ''}"


def fit_lines(report: Any) -> Iterator[str]:
    """The parts of the memory a model needs, the ways to run it, and the setting of other runtimes."""
    yield f"{report.context} positions in {gibibytes(report.memory)}:"
    for name, size in (
        ("weights", report.weights),
        ("KV cache", report.kv_cache),
        ("activations", report.activations),
    ):
        yield f"  {name:<12} {gibibytes(size)}"
    for option in report.options:
        yield f"  {'fits' if option.fits else 'does not fit':<12} {gibibytes(option.bytes)}  {option.name}"
    yield f"  longest context with a 16-bit KV cache: {report.longest_context}"
    for runtime in report.runtimes:
        yield f"{runtime.runtime}: {runtime.setting}"


def gibibytes(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
