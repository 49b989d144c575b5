"""Word, spreadsheets, slides and separated values: words in order, headings, lists, tables, metadata."""

import io
import zipfile
from datetime import date, datetime
from functools import partial
from pathlib import Path

import pytest

from ingest.chunk import chunk_document
from tests.parse_documents import check_promises, kinds, write_and_parse


@pytest.fixture
def read(tmp_path: Path):
    return partial(write_and_parse, tmp_path)


def test_docx(read) -> None:
    import docx

    made = docx.Document()
    made.core_properties.title = "Offshore safety"
    made.core_properties.author = "R. Vane"
    made.core_properties.created = datetime(2024, 3, 4, 9, 0)  # noqa: DTZ001  as office files hold it
    made.add_heading("Boarding", level=1)
    made.add_paragraph("Wear the harness.")
    made.add_heading("Weather", level=2)
    made.add_paragraph("Check wind", style="List Bullet")
    made.add_paragraph("Check waves", style="List Bullet")
    table = made.add_table(rows=3, cols=2)
    for row, cells in zip(
        table.rows, [("Wave", "Rule"), ("1.5 m", "go\nslow"), ("2.5 m", "stay")], strict=True
    ):
        for cell, words in zip(row.cells, cells, strict=True):
            cell.text = words
    buffer = io.BytesIO()
    made.save(buffer)
    document = read("safety.docx", buffer.getvalue())
    check_promises(document)
    assert kinds(document) == [
        ("heading", "Boarding"),
        ("paragraph", "Wear the harness."),
        ("heading", "Weather"),
        ("list_item", "• Check wind"),
        ("list_item", "• Check waves"),
        ("table_header", "Wave\tRule"),
        ("table_row", "1.5 m\tgo slow"),
        ("table_row", "2.5 m\tstay"),
    ]
    assert [e.depth for e in document.elements if e.kind == "heading"] == [1, 2]
    found = dict(document.metadata)
    assert (found["title"], found["author"]) == ("Offshore safety", "R. Vane")
    assert found["date"] == found["created"] == "2024-03-04T09:00:00+00:00"
    assert "modified" not in found  # the template's own, of 2013


def test_a_raised_number_of_a_docx_stays_apart_from_the_one_before(read) -> None:
    import docx

    made = docx.Document()
    paragraph = made.add_paragraph("It rose to 19")
    for words, raised in (
        ("2", True),
        (" percent of 5 m", False),
        ("3", True),
        (" on the 4", False),
        ("th", True),
    ):
        paragraph.add_run(words).font.superscript = raised or None
    buffer = io.BytesIO()
    made.save(buffer)
    assert read("a.docx", buffer.getvalue()).text == "It rose to 19² percent of 5 m3 on the 4th"


CHANGED = """
<w:p><w:r><w:t xml:space="preserve">The notice period is </w:t></w:r>
<w:del w:id="1" w:author="a"><w:r><w:delText>one month</w:delText></w:r></w:del>
<w:ins w:id="2" w:author="a"><w:r><w:t>three months</w:t></w:r></w:ins>
<w:r><w:t xml:space="preserve"> from delivery.</w:t></w:r></w:p>
<w:p><w:pPr><w:rPr><w:ins w:id="3" w:author="a"/></w:rPr></w:pPr>
<w:ins w:id="4" w:author="a"><w:r><w:t>An inserted paragraph.</w:t></w:r></w:ins></w:p>
<w:p><w:moveFrom w:id="5" w:author="a"><w:r><w:t>Gone from here.</w:t></w:r></w:moveFrom>
<w:moveTo w:id="6" w:author="a"><w:r><w:t>Come to here.</w:t></w:r></w:moveTo></w:p>
<w:p><w:r><w:t xml:space="preserve">On </w:t></w:r>
<w:fldSimple w:instr="DATE"><w:r><w:t>3 May</w:t></w:r></w:fldSimple>
<w:r><w:t xml:space="preserve"> in </w:t></w:r>
<w:smartTag w:uri="u" w:element="e"><w:smartTagPr/><w:r><w:t>Oslo</w:t></w:r></w:smartTag>
<w:r><w:t xml:space="preserve">, signed by </w:t></w:r>
<w:sdt><w:sdtPr/><w:sdtContent><w:ins w:id="7" w:author="a"><w:r><w:t>Maria Holm</w:t></w:r></w:ins>
</w:sdtContent></w:sdt></w:p>
<w:sdt><w:sdtContent><w:p><w:r><w:t>The deposit is 900 euros.</w:t></w:r></w:p></w:sdtContent></w:sdt>
<w:sdt><w:sdtPr><w:docPartObj><w:docPartGallery w:val="Table of Contents"/></w:docPartObj></w:sdtPr>
<w:sdtContent><w:p><w:r><w:t>Contents</w:t></w:r></w:p></w:sdtContent></w:sdt>
<w:sdt><w:sdtPr><w:showingPlcHdr/></w:sdtPr>
<w:sdtContent><w:p><w:r><w:t>Click to enter text.</w:t></w:r></w:p></w:sdtContent></w:sdt>
<w:tbl><w:tblPr/><w:tblGrid><w:gridCol/><w:gridCol/></w:tblGrid>
<w:tr><w:tc><w:p><w:r><w:t>Chair</w:t></w:r></w:p></w:tc>
<w:sdt><w:sdtContent><w:tc><w:p><w:ins w:id="8" w:author="a"><w:r><w:t>45 euros</w:t></w:r></w:ins></w:p>
</w:tc></w:sdtContent></w:sdt></w:tr></w:tbl>
"""


def test_a_docx_says_what_it_says_once_its_changes_are_accepted(read) -> None:
    import docx
    from docx.oxml import parse_xml
    from docx.oxml.ns import nsdecls

    made = docx.Document()
    for element in parse_xml(f"<w:body {nsdecls('w')}>{CHANGED}</w:body>"):
        made.element.body.insert(-1, element)
    footer = made.sections[0].footer.paragraphs[0]._p
    footer.append(parse_xml(f"<w:ins {nsdecls('w')} w:id='9'><w:r><w:t>Contract 77</w:t></w:r></w:ins>"))
    buffer = io.BytesIO()
    made.save(buffer)
    document = read("agreement.docx", buffer.getvalue())
    check_promises(document)
    assert [text for _, text in kinds(document)] == [
        "The notice period is three months from delivery.",
        "An inserted paragraph.",
        "Come to here.",
        "On 3 May in Oslo, signed by Maria Holm",
        "The deposit is 900 euros.",
        "Chair\t45 euros",
        "Contract 77",
    ]


def test_xlsx_shows_sheets_headers_and_values_as_cells_do(read) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Prices 2025"
    sheet.append(["Price list"])
    sheet.append(["Part", "Price", "Share", "From"])
    sheet.append(["Anode", 1200.0, 0.125, date(2025, 1, 2)])
    sheet.append(["Big\nbuoy", 0.1 + 0.2, 1, datetime(2025, 1, 2, 3, 4)])  # noqa: DTZ001  as cells hold it
    for row in (3, 4):
        sheet.cell(row, 3).number_format = "0.0%"
    book.create_sheet("Empty")
    book.create_sheet("Other").append(["only", "row"])
    buffer = io.BytesIO()
    book.save(buffer)
    document = read("prices.xlsx", buffer.getvalue())
    check_promises(document)
    assert kinds(document) == [
        ("heading", "Prices 2025"),
        ("paragraph", "Price list"),
        ("table_header", "Part\tPrice\tShare\tFrom"),
        ("table_row", "Anode\t1200\t12.5%\t2025-01-02"),
        ("table_row", "Big buoy\t0.3\t100.0%\t2025-01-02 03:04:00"),
        ("heading", "Other"),
        ("table_row", "only\trow"),
    ]


SALES = (("Region", "Quarter", "Sales"), ("North", "Q1", "5"), ("", "Q2", "6"), ("South", "Q1", "7"))
SALES_IN_FULL = [
    ("table_header", "Region\tQuarter\tSales"),
    ("table_row", "North\tQ1\t5"),
    ("table_row", "North\tQ2\t6"),
    ("table_row", "South\tQ1\t7"),
]


def test_a_merged_cell_of_a_workbook_stands_in_each_of_its_rows(read) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    for row in (("Sales of all regions",), (), *SALES):
        book.active.append([cell or None for cell in row])
    for merged in ("A1:C2", "A4:A5", "A6:A9"):
        book.active.merge_cells(merged)
    book.active["A10"] = "Prose"
    buffer = io.BytesIO()
    book.save(buffer)
    assert kinds(read("a.xlsx", buffer.getvalue())) == [
        ("heading", "Sheet"),
        ("table_row", "Sales of all regions"),
        *SALES_IN_FULL,
        ("table_row", "Prose"),
    ]


def test_a_merged_cell_of_a_docx_stands_in_each_of_its_rows(read) -> None:
    import docx

    made = docx.Document()
    table = made.add_table(rows=len(SALES), cols=3)
    for row, cells in zip(table.rows, SALES, strict=True):
        for cell, words in zip(row.cells, cells, strict=True):
            cell.text = words
    table.cell(1, 0).merge(table.cell(2, 0))
    buffer = io.BytesIO()
    made.save(buffer)
    assert kinds(read("a.docx", buffer.getvalue())) == SALES_IN_FULL


def test_a_workbook_is_named_by_its_properties_or_its_file_and_no_program_wrote_it(read) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = "Complaints"
    book.active.append(["only", "row"])
    for title, shown in ((None, "log-2024"), ("Complaint log", "Complaint log")):
        book.properties.title = title
        buffer = io.BytesIO()
        book.save(buffer)
        document = read("log-2024.xlsx", buffer.getvalue())
        assert document.title == shown
        assert kinds(document)[0] == ("heading", "Complaints")
        assert "author" not in dict(document.metadata)  # "openpyxl"


def test_pptx_pages_are_slides(read) -> None:
    import pptx

    show = pptx.Presentation()
    for title, words in (("Strategy", "Grow north."), ("Risks", "Ice on the tether.")):
        slide = show.slides.add_slide(show.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = words
    buffer = io.BytesIO()
    show.save(buffer)
    document = read("strategy.pptx", buffer.getvalue())
    check_promises(document)
    assert document.pages == 2
    assert "date" not in dict(document.metadata)  # the template's own, of 2013
    assert [(e.page, document.text[e.start : e.end]) for e in document.elements] == [
        (1, "Strategy"),
        (1, "Grow north."),
        (2, "Risks"),
        (2, "Ice on the tether."),
    ]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", 'Part,Price\n"Anode, zinc",4.50\nBuoy,"1\n2"\n'),
        ("a.csv", 'Part;Price\n"Anode, zinc";4.50\nBuoy;"1\n2"\n'),
        ("a.csv", 'Part,Price\n"Anode, zinc","4.50"\nBuoy,"1\n2"\n'),
        ("a.tsv", 'Part\tPrice\nAnode, zinc\t4.50\nBuoy\t"1\n2"\n'),
    ],
)
def test_separated_values_are_rows(read, name: str, data: str) -> None:
    assert kinds(read(name, data)) == [
        ("table_header", "Part\tPrice"),
        ("table_row", "Anode, zinc\t4.50"),
        ("table_row", "Buoy\t1 2"),
    ]


@pytest.mark.parametrize(
    "data",
    [
        'colour,cities\nred,"Leeds; York; Hull"\nblue,"Oslo; Bergen; Moss"\n',
        "colour,cities\nred,Leeds; York; Hull\nblue,Oslo; Bergen; Moss\n",
        'colour;cities\nred;"Leeds; York; Hull"\nblue;"Oslo; Bergen; Moss"\n',
    ],
)
def test_separators_in_quotes_or_missing_in_the_header_part_no_cells(read, data: str) -> None:
    assert kinds(read("a.csv", data)) == [
        ("table_header", "colour\tcities"),
        ("table_row", "red\tLeeds; York; Hull"),
        ("table_row", "blue\tOslo; Bergen; Moss"),
    ]


def test_a_title_above_separated_values_holds_no_separator(read) -> None:
    document = read("a.csv", "Ages of 2024\n\nname;age\nAnn;31\nBob;42\n")
    assert ("table_row", "Ann\t31") in kinds(document)


@pytest.mark.parametrize(
    ("value", "number_format", "shown"),
    [
        (0.125, "0.0%", "12.5%"),
        (12.5, r"0.0\%", "12.5%"),
        (12.5, 'General" %"', "12.5%"),
        (0.125, "0.0%_);(0.0%)", "12.5%"),
        (0.19, "0.00 %", "19.00%"),
        (0.25, "[Red][>0.1]0%", "25%"),
        (5, '0" % of it"', "5"),
        (5, "0;-0%", "5"),
    ],
)
def test_a_share_is_shown_as_its_cell_shows_it(read, value: float, number_format: str, shown: str) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["Tax", value])
    book.active["B1"].number_format = number_format
    buffer = io.BytesIO()
    book.save(buffer)
    assert kinds(read("a.xlsx", buffer.getvalue()))[1] == ("table_row", f"Tax\t{shown}")


def test_titles_alone_are_headings_of_slides_and_notes_stand_below_their_slide(read) -> None:
    import pptx

    show = pptx.Presentation()
    titled, untitled = (show.slides.add_slide(show.slide_layouts[number]) for number in (1, 6))
    titled.shapes.title.text = "Decisions"
    titled.placeholders[1].text = "No variant of the pump\nIt stays in production until the end of 2026"
    titled.notes_slide.notes_text_frame.text = "Sales wanted one.\nThe board refused."
    untitled.shapes.add_textbox(0, 0, 99, 99).text_frame.text = "Move to the north"
    buffer = io.BytesIO()
    show.save(buffer)
    document = read("review.pptx", buffer.getvalue())
    check_promises(document)
    assert kinds(document) == [
        ("heading", "Decisions"),
        ("paragraph", "No variant of the pump"),
        ("paragraph", "It stays in production until the end of 2026"),
        ("heading", "Notes"),
        ("paragraph", "Sales wanted one."),
        ("paragraph", "The board refused."),
        ("paragraph", "Move to the north"),
    ]
    assert [(one.page, one.section) for one in chunk_document(document)] == [
        (1, ("Decisions",)),
        (1, ("Decisions", "Notes")),
        (2, ()),
    ]


def test_a_chart_stands_on_its_slide(read) -> None:
    import pptx
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE

    show = pptx.Presentation()
    first, second = (show.slides.add_slide(show.slide_layouts[5]) for _ in range(2))
    first.shapes.title.text, second.shapes.title.text = "Sales", "Costs"
    chart = CategoryChartData()
    chart.categories = ["2023", "2024"]
    chart.add_series("Pumps", (12, 7))
    first.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 0, 99, 99, chart)
    buffer = io.BytesIO()
    show.save(buffer)
    document = read("review.pptx", buffer.getvalue())
    check_promises(document)
    (pumps,) = (one for one in chunk_document(document) if "Pumps" in document.text[one.start : one.end])
    assert (pumps.page, pumps.page_end, pumps.section) == (1, 1, ("Sales",))


def test_notes_of_a_docx_stand_below_no_heading(read) -> None:
    import docx

    made = docx.Document()
    made.add_heading("Overtime", level=1)
    made.add_paragraph("It is paid at 1.5 times the rate.")
    made.add_heading("Forms", level=1)
    made.add_paragraph("They are blue.")
    buffer = io.BytesIO()
    made.save(buffer)
    names = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    note = "<w:footnote w:id='2'><w:p><w:r><w:t>Not for apprentices.</w:t></w:r></w:p></w:footnote>"
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("word/footnotes.xml", f"<w:footnotes {names}>{note}</w:footnotes>")
    document = read("terms.docx", buffer.getvalue())
    check_promises(document)
    last = chunk_document(document)[-1]
    assert (document.text[last.start : last.end], last.section) == ("Not for apprentices.", ())


def test_an_item_that_a_docx_counts_has_no_other_mark(read) -> None:
    import docx
    from docx.oxml import parse_xml
    from docx.oxml.ns import nsdecls

    made = docx.Document()
    levels = "".join(
        f'<w:lvl w:ilvl="{n}"><w:start w:val="1"/><w:numFmt w:val="decimal"/>'
        f'<w:lvlText w:val="{shown}"/></w:lvl>'
        for n, shown in enumerate(("%1.", "%1.%2"))
    )
    numbering = made.part.numbering_part.element
    numbering.insert(
        0, parse_xml(f'<w:abstractNum {nsdecls("w")} w:abstractNumId="77">{levels}</w:abstractNum>')
    )
    numbering.append(parse_xml(f'<w:num {nsdecls("w")} w:numId="78"><w:abstractNumId w:val="77"/></w:num>'))
    for level, words in enumerate(("Term", "The term is three years.")):
        properties = made.add_paragraph(words)._p.get_or_add_pPr()
        mark = f'<w:numPr {nsdecls("w")}><w:ilvl w:val="{level}"/><w:numId w:val="78"/></w:numPr>'
        properties.append(parse_xml(mark))
    buffer = io.BytesIO()
    made.save(buffer)
    assert kinds(read("lease.docx", buffer.getvalue())) == [
        ("list_item", "1. Term"),
        ("list_item", "1.1 The term is three years."),
    ]
