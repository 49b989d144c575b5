"""Sources to PDF with fpdf2: one or two columns, tables, outline, running header and page numbers."""

import re
from datetime import UTC, datetime
from pathlib import Path

from fpdf import FPDF
from source import Block, Source

FONT = "Helvetica"
SIZES = {1: 17, 2: 13, 3: 11}
PAPERS = {"A4": (210.0, 297.0), "A5": (148.0, 210.0)}  # width and height in millimetres


class Paper(FPDF):
    """A page with the document's title above and `Page n of m` below."""

    def __init__(self, source: Source) -> None:
        properties = source.properties
        super().__init__(format=PAPERS[properties.get("paper", "A4")])
        self.running_title = properties["title"]
        self.core_fonts_encoding = "windows-1252"
        self.set_title(properties["title"])
        self.set_author(properties["author"])
        self.set_subject(properties["url"])
        self.set_creator("data/make/build.py")
        self.set_creation_date(datetime.fromisoformat(source.date).replace(hour=9, tzinfo=UTC))
        self.set_margins(20, 22)
        self.set_auto_page_break(auto=True, margin=20)

    def header(self) -> None:
        self.set_y(10)
        self.set_font(FONT, "I", 8)
        self.cell(0, 5, f"Merrow Buoyworks Ltd - {self.running_title}", align="R")
        self.set_y(22)

    def footer(self) -> None:
        self.set_y(-14)
        self.set_font(FONT, "", 8)
        self.cell(0, 5, f"Page {self.page_no()} of {{nb}}", align="C")


def write_pdf(source: Source, target: Path) -> None:
    """Write `source` to `target`; `layout: columns` and `break: section` in the front matter are heeded."""
    paper = Paper(source)
    paper.add_page()
    title_block(paper, source)
    if source.properties.get("layout") == "columns":
        write_columns(paper, source.blocks)
    else:
        for number, block in enumerate(source.blocks):
            opens = block.kind == "heading" and number > 0 and source.blocks[number - 1].kind != "heading"
            if opens and block.depth <= 2 and source.properties.get("break") == "section":
                paper.add_page()
            write_block(paper, block)
    paper.output(str(target))


def title_block(paper: Paper, source: Source) -> None:
    paper.set_font(FONT, "B", 20)
    paper.multi_cell(0, 9, source.properties["title"], align="L", new_x="LMARGIN", new_y="NEXT")
    paper.set_font(FONT, "", 10)
    line = f"{source.properties['author']}, {source.date}"
    paper.multi_cell(0, 6, line, align="L", new_x="LMARGIN", new_y="NEXT")
    paper.ln(4)


def write_block(paper: Paper, block: Block) -> None:
    if block.kind == "heading":
        write_heading(paper, block)
    elif block.kind == "table":
        write_table(paper, block)
    else:
        paper.set_font(FONT, "", 10)
        mark = "\u2022 " if block.kind == "bullet" else ""
        paper.multi_cell(0, 5, mark + plain(block.text), align="L", new_x="LMARGIN", new_y="NEXT")
        paper.ln(2 if block.kind == "paragraph" else 1)


def write_heading(paper: Paper, block: Block) -> None:
    paper.ln(3)
    if paper.will_page_break(25):
        paper.add_page()
    paper.start_section(block.text, level=block.depth - 1)
    paper.set_font(FONT, "B", SIZES[block.depth])
    paper.multi_cell(0, 7, block.text, align="L", new_x="LMARGIN", new_y="NEXT")
    paper.ln(1)


def write_table(paper: Paper, block: Block) -> None:
    paper.set_font(FONT, "", 9)
    longest = [max(len(row[n]) for row in block.rows) for n in range(len(block.rows[0]))]
    widths = tuple(min(max(length, 10), 44) for length in longest)
    with paper.table(block.rows, col_widths=widths, text_align="LEFT", line_height=5, padding=1):
        pass
    paper.ln(4)


def write_columns(paper: Paper, blocks: tuple[Block, ...]) -> None:
    """Two justified columns; words are hyphenated at the places marked `&shy;` in the source."""
    with paper.text_columns(ncols=2, gutter=8, text_align="J") as columns:
        for block in blocks:
            heading = block.kind == "heading"
            paper.set_font(FONT, "B" if heading else "", 12 if heading else 10.5)
            align, above = ("L", 2) if heading else ("J", 0)
            with columns.paragraph(text_align=align, bottom_margin=2, top_margin=above) as paragraph:
                paragraph.write(plain(block.text))


def plain(text: str) -> str:
    """`text` without Markdown emphasis, soft hyphens as characters."""
    return re.sub(r"\*+|`", "", text).replace("&shy;", "\u00ad")
