"""Blocks of three documents, two of which say the same in part, and what replies to them come to."""

from ragqa.citations import check, parse_reply
from ragqa.types import Citation, ContextBlock, Metadata, Prompt, Sentence
from tests.blocks import make_block

BERRIES = (
    "In a shocking turn of events, blueberries are now green, but will be sticking with the same name. "
    "A box costs $5 since 1 March 2021. The farm was founded by Ada Lovelace in Cambridge."
)
LEAVE = (
    "Annual leave is 25 days. Up to five days may be carried over into the next year. "
    "Unused days may not be paid out. About 12 percent of 1,200 employees work abroad.\n"
    "Name\tAge\nGrace Hopper\t36\n\nThe office opens before nine."
)
COPY = "The minimum stay is 3 nights. Annual leave is 25 days."


def block(key: str, text: str, start: int, title: str, metadata: Metadata) -> ContextBlock:
    source = metadata[0][1]
    return make_block(source, text, start=start, key=key, document_id=key, title=title, metadata=metadata)


BLOCKS = (
    block("berries", BERRIES, 100, "Berries", (
        ("source", "news/berries.md"), ("date", "2021-01-01"), ("url", "https://web.site/123"),
    )),
    block("leave", LEAVE, 0, "Leave policy", (
        ("source", "leave.md"), ("date", "2020-05-05"), ("url", "https://web.site/9"), ("author", "Ann Lee"),
    )),
    block("copy", COPY, 7, "Hotel", (("source", "old/leave.md"), ("date", "2020-05-05"))),
)  # fmt: skip
DOCUMENTS = {b.key: " " * b.start + b.text for b in BLOCKS}


def prompt_of(question: str) -> Prompt:
    return Prompt(question, "", (), BLOCKS, (), 16_384)


def judged(raw: str, question: str = "?") -> tuple[tuple[Sentence, ...], tuple[Citation, ...]]:
    prompt = prompt_of(question)
    return check(parse_reply(raw, prompt), prompt)
