"""Sources to office and book formats: docx, odt, epub, rtf (pandoc), pptx, xlsx."""

import os
import re
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pypandoc
from docx import Document
from openpyxl import Workbook
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter
from pptx import Presentation
from pptx.util import Inches, Pt
from source import Block, Source


def moment(source: Source) -> datetime:
    """Nine in the morning, UTC, of the document's date."""
    return datetime.fromisoformat(source.date).replace(hour=9, tzinfo=UTC)


def write_pandoc(source: Source, target: Path) -> None:
    """docx, odt and epub; pandoc takes every time stamp from SOURCE_DATE_EPOCH."""
    os.environ["SOURCE_DATE_EPOCH"] = str(int(moment(source).timestamp()))
    extra = [f"--metadata=identifier:{source.properties['url']}", "--metadata=lang:en-GB", "--standalone"]
    pypandoc.convert_file(
        str(source.path), target.suffix[1:], format="markdown", outputfile=str(target), extra_args=extra
    )
    if target.suffix == ".docx":
        set_word_properties(source, target)
    settle_zip(target)


def set_word_properties(source: Source, target: Path) -> None:
    document = Document(str(target))
    properties = document.core_properties
    properties.author = properties.last_modified_by = source.properties["author"]
    properties.created = properties.modified = moment(source).replace(tzinfo=None)
    properties.title = source.properties["title"]
    properties.identifier = source.properties["url"]
    section = document.sections[0]
    section.footer.paragraphs[0].text = f"Merrow Buoyworks Ltd, {source.date}"
    document.save(str(target))


def write_rtf(source: Source, target: Path) -> None:
    """RTF with an `info` group, which pandoc does not write."""
    rtf = pypandoc.convert_file(str(source.path), "rtf", format="markdown", extra_args=["--standalone"])
    # pandoc writes "\u8217'", and reading it again loses a letter; a space and "?" read well everywhere.
    rtf = re.sub(r"(\\u-?\d+)'", r"\1 ?", rtf)
    when = moment(source)
    created = rf"\yr{when.year}\mo{when.month}\dy{when.day}\hr9"
    info = (
        rf"{{\info{{\title {source.properties['title']}}}{{\author {source.properties['author']}}}"
        rf"{{\doccomm {source.properties['url']}}}{{\creatim{created}}}}}"
    )
    head, start, rest = rtf.partition("{\\colortbl")
    target.write_text(head + info + start + rest, encoding="ascii")


def write_slides(source: Source, target: Path) -> None:
    """One slide for each `##`; bullets, a table; a paragraph after `Notes:` becomes speaker notes."""
    deck = Presentation()
    properties = deck.core_properties
    properties.author = properties.last_modified_by = source.properties["author"]
    properties.title = source.properties["title"]
    properties.identifier = source.properties["url"]
    properties.created = properties.modified = moment(source).replace(tzinfo=None)
    cover = deck.slides.add_slide(deck.slide_layouts[0])
    cover.shapes.title.text = source.properties["title"]
    cover.placeholders[1].text = f"{source.properties['author']}\n{source.date}"
    slide = cover
    for block in source.blocks:
        if block.kind == "heading":
            slide = deck.slides.add_slide(deck.slide_layouts[1])
            slide.shapes.title.text = block.text
        else:
            fill_slide(slide, block)
    deck.save(str(target))
    settle_zip(target)


def fill_slide(slide, block: Block) -> None:
    if block.kind == "table":
        table_slide(slide, block)
    elif block.text.startswith("Notes: "):
        slide.notes_slide.notes_text_frame.text = block.text.removeprefix("Notes: ")
    else:
        frame = slide.placeholders[1].text_frame
        paragraph = frame.paragraphs[0] if not frame.text else frame.add_paragraph()
        paragraph.text = block.text


def table_slide(slide, block: Block) -> None:
    slide.placeholders[1].element.getparent().remove(slide.placeholders[1].element)
    box = (Inches(0.5), Inches(1.7), Inches(9), Inches(3))
    shape = slide.shapes.add_table(len(block.rows), len(block.rows[0]), *box)
    for number, row in enumerate(block.rows):
        for column, text in enumerate(row):
            cell = shape.table.cell(number, column)
            cell.text = text
            cell.text_frame.paragraphs[0].font.size = Pt(14)


def write_workbook(source: Source, target: Path) -> None:
    """One sheet for each `##` and its table; whole and decimal numbers become number cells."""
    book = Workbook()
    book.remove(book.active)
    properties = book.properties
    properties.creator = properties.lastModifiedBy = source.properties["author"]
    properties.title = source.properties["title"]
    properties.identifier = source.properties["url"]
    properties.created = moment(source).replace(tzinfo=None)
    sheet = None
    for block in source.blocks:
        if block.kind == "heading":
            sheet = book.create_sheet(block.text)
        elif block.kind == "table":
            fill_sheet(sheet, block)
    book.save(str(target))
    settle_zip(target)


def fill_sheet(sheet, block: Block) -> None:
    for row in block.rows:
        sheet.append([number_or_text(cell) for cell in row])
    for cell in sheet[1]:
        cell.font = Font(bold=True)
    sheet.freeze_panes = "A2"
    for column in range(len(block.rows[0])):
        longest = max(len(row[column]) for row in block.rows)
        sheet.column_dimensions[get_column_letter(column + 1)].width = min(longest + 2, 60)


def number_or_text(text: str) -> int | float | str | None:
    if not text:
        return None
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    return float(text) if re.fullmatch(r"-?\d+\.\d+", text) else text


def settle_zip(target: Path) -> None:
    """Write the archive again with fixed times, `modified` equal to `created`: same text, same bytes."""
    with zipfile.ZipFile(target) as archive:
        members = [(entry, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(target, "w") as archive:
        for entry, content in members:
            if entry.filename == "docProps/core.xml":
                content = same_times(content.decode("utf-8")).encode("utf-8")
            settled = zipfile.ZipInfo(entry.filename, (1980, 1, 1, 0, 0, 0))
            settled.compress_type = entry.compress_type
            archive.writestr(settled, content)


def same_times(core: str) -> str:
    created = re.search(r"<dcterms:created[^>]*>([^<]*)<", core)
    if created is None:
        return core
    return re.sub(r"(<dcterms:modified[^>]*>)[^<]*<", rf"\g<1>{created[1]}<", core)
