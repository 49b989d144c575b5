"""Members of archives and mails: clean names, bounded in number and size, no file written."""

import hashlib
from email.message import EmailMessage
from pathlib import Path

import pytest

from ingest.chunk import chunk_document
from ingest.parse import Limits, parse_file
from ingest.types import Document, Problem
from tests.parse_documents import check_promises, kinds, zip_bytes


def members(path: Path) -> dict[str, "Document | Problem"]:
    found = parse_file(path)
    assert len({member.name for member in found}) == len(found)
    return {member.name: member.outcome for member in found}


def document_of(outcome: "Document | Problem") -> Document:
    assert isinstance(outcome, Document), outcome
    return outcome


def test_zip_members_have_clean_names_and_no_file_is_written(tmp_path: Path) -> None:
    names = [
        "a/b.md",
        "../../etc/evil.md",
        "/abs.md",
        "c:\\win\\x.md",
        "bell\x07\x1b[1m.md",
        "..",
        "in!/side.md",
        "a/b.md",
    ]
    path = tmp_path / "box" / "a.zip"
    path.parent.mkdir()
    path.write_bytes(zip_bytes([(name, b"# Title\n\nWords.") for name in names]))
    found = members(path)
    assert list(found) == [
        "a/b.md",
        "etc/evil.md",
        "abs.md",
        "c:/win/x.md",
        "bell\ufffd\ufffd[1m.md",
        "unnamed",
        "in!_/side.md",
        "a/b.md (2)",
    ]
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]
    assert document_of(found["a/b.md"]).id == hashlib.sha256(b"# Title\n\nWords.").hexdigest()


def test_what_is_not_read_in_a_folder_is_not_read_in_an_archive(tmp_path: Path) -> None:
    left_out = ["x/.env", ".git/config.md", "a\\.ssh\\b.md", "node_modules/c/d.md", "~$e.docx", "f.md~"]
    path = tmp_path / "a.zip"
    path.write_bytes(zip_bytes([(name, b"Words.") for name in (*left_out, "./g.md", "h.i.md")]))
    assert list(members(path)) == ["g.md", "h.i.md"]


def test_containers_in_containers_are_bounded(tmp_path: Path) -> None:
    data = b"# Deep\n\nWords."
    name = "deep.md"
    for level in range(5):
        data, name = zip_bytes([(name, data), (f"at{level}.txt", b"here")]), f"z{level}.zip"
    path = tmp_path / "deep.zip"
    path.write_bytes(data)
    found = members(path)
    assert document_of(found["z3.zip!/z2.zip!/at2.txt"]).text == "here"
    problem = found["z3.zip!/z2.zip!/z1.zip"]
    assert isinstance(problem, Problem)
    assert problem.code == "too_large"


def test_members_are_bounded_in_number_and_size(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    path.write_bytes(zip_bytes([(f"{n}.txt", b"words " * 200) for n in range(50)]))
    many = parse_file(path, Limits(max_members=10))
    assert [isinstance(m.outcome, Document) for m in many] == [True] * 10 + [False]
    large = parse_file(path, Limits(max_unpacked_bytes=5000))
    assert isinstance(large[-1].outcome, Problem)
    assert large[-1].outcome.code == "too_large"
    assert len(large) == 5


def mail_bytes(subject: str = "Buoy adrift", attach: bool = True) -> bytes:
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = "Ada <ada@example.com>"
    message["To"] = "grace@example.com"
    message["Date"] = "Thu, 19 Sep 2024 08:15:00 +0200"
    message["Message-ID"] = "<1@example.com>"
    message.set_content("The buoy is adrift.\n\nSend the boat.\n")
    if attach:
        message.add_attachment(b"# Log\n\nWind 7.", maintype="text", subtype="markdown", filename="../log.md")
    return message.as_bytes()


def test_a_mail_and_its_attachments_are_members(tmp_path: Path) -> None:
    path = tmp_path / "adrift.eml"
    path.write_bytes(mail_bytes())
    found = members(path)
    assert list(found) == ["", "log.md"]
    mail = document_of(found[""])
    check_promises(mail)
    assert kinds(mail) == [
        ("heading", "Buoy adrift"),
        (
            "paragraph",
            "From: Ada <ada@example.com>\nTo: grace@example.com\nDate: Thu, 19 Sep 2024 08:15:00 +0200",
        ),
        ("paragraph", "The buoy is adrift."),
        ("paragraph", "Send the boat."),
    ]
    assert dict(mail.metadata) == {
        "title": "Buoy adrift",
        "author": "Ada <ada@example.com>",
        "date": "2024-09-19T08:15:00+02:00",
        "from": "Ada <ada@example.com>",
        "to": "grace@example.com",
        "subject": "Buoy adrift",
        "message-id": "<1@example.com>",
    }
    assert document_of(found["log.md"]).title == "Log"


def test_quoted_words_are_a_section_of_whoever_wrote_them(tmp_path: Path) -> None:
    body = """Dear Tom,
We cannot accept that. Deliver on 10 June.

On Wed, 15 May 2024 at 10:03, Tom Askew
<tom@example.com> wrote:

> It is delivered on 3 June
> at gate A.
>
> NOTES ON GATES
>
> Gate B is closed.

> On 2 May 2024, Ann Lee wrote:
>> It is wanted in June.
> Thanks, Ann.
Thanks, and see you there. This one:
is not a quotation.

> Nobody is named.
"""
    path = tmp_path / "a.eml"
    path.write_bytes(f"Subject: Delivery\nFrom: Eve\n\n{body}".replace("\n", "\r\n").encode())
    mail = document_of(members(path)[""])
    check_promises(mail)
    tom, ann = (
        "On Wed, 15 May 2024 at 10:03, Tom Askew <tom@example.com> wrote:",
        "On 2 May 2024, Ann Lee wrote:",
    )
    found = [(chunk.section[1:], mail.text[chunk.start : chunk.end]) for chunk in chunk_document(mail)]
    assert [(section, text.split("\n\n")[-1]) for section, text in found] == [
        ((), "Dear Tom,\nWe cannot accept that. Deliver on 10 June."),
        ((tom,), "It is delivered on 3 June\nat gate A."),
        ((tom, "NOTES ON GATES"), "Gate B is closed."),
        ((tom, "NOTES ON GATES", ann), "It is wanted in June."),
        ((tom, "NOTES ON GATES"), "Thanks, Ann."),
        ((), "> Nobody is named."),
    ]
    assert "Thanks, and see you there. This one:\nis not a quotation." in found[-1][1]


def test_a_quoted_question_stays_with_its_answer_and_an_own_line_names_nobody(tmp_path: Path) -> None:
    path = tmp_path / "a.eml"
    inline = "On Sun, 2 Jun 2024, Tom wrote:\n> What is the travel budget?\n\nIt is 900 euros.\n"
    own = "\nThe deadline is 5 May. As to your other point:\n> It is too early.\n\nIt is not.\n"
    path.write_text(f"From: Ann\nSubject: Budget\n\n{inline}{own}")
    document = document_of(members(path)[""])
    assert [element for element in document.elements if element.kind == "heading"][1:] == []
    assert "> What is the travel budget?" in document.text


def test_a_mail_without_a_subject_is_titled_by_its_sender(tmp_path: Path) -> None:
    path = tmp_path / "a.eml"
    path.write_bytes(b"From: Eve\n\nYes.\n\nOn 2 May 2024, Ann wrote:\n> Is it so?\n")
    assert document_of(members(path)[""]).title == "Eve"


def test_an_mbox_gives_a_member_a_mail(tmp_path: Path) -> None:
    path = tmp_path / "mail.mbox"
    mails = [mail_bytes("One", attach=False), mail_bytes("Two"), mail_bytes("Three", attach=False)]
    path.write_bytes(b"".join(b"From ada Thu Sep 19 08:15:00 2024\n" + mail + b"\n\n" for mail in mails))
    found = members(path)
    assert list(found) == ["1", "2", "2!/log.md", "3"]
    assert [document_of(found[name]).title for name in "123"] == ["One", "Two", "Three"]


def test_an_html_mail_is_read_as_a_page(tmp_path: Path) -> None:
    message = EmailMessage()
    message["Subject"] = "Rates"
    message.set_content("plain words")
    message.add_alternative(
        "<p>Rich <b>words</b></p><table><tr><th>A<th>B<tr><td>1<td>2</table>", subtype="html"
    )
    path = tmp_path / "a.eml"
    path.write_bytes(message.as_bytes())
    document = document_of(members(path)[""])
    assert ("paragraph", "Rich words") in kinds(document)
    assert ("table_header", "A\tB") in kinds(document)
    assert "plain" not in document.text


def test_text_that_is_enclosed_is_a_member_and_each_body_is_said(tmp_path: Path) -> None:
    message = EmailMessage()
    message["Subject"] = "Moorings"
    message.set_content("The list is enclosed.")
    message.add_alternative("<p>The list is <b>enclosed</b>.</p>", subtype="html")
    message.make_mixed()
    for words, subtype, name in (
        ("Berth 4 is free.", "plain", "list.txt"),
        ("<p>Berth 5 is not.</p>", "html", "more.html"),
        ("<p>See you in <b>May</b>.</p>", "html", None),
        ("Sent to all members.", "plain", None),
    ):
        part = EmailMessage()
        part.set_content(words, subtype=subtype, disposition="inline", filename=name)
        message.attach(part)
    path = tmp_path / "a.eml"
    path.write_bytes(message.as_bytes())
    found = members(path)
    assert list(found) == ["", "list.txt", "more.html"]
    said = ["Moorings", "The list is enclosed.", "See you in May.", "Sent to all members."]
    assert [text for _, text in kinds(document_of(found[""]))] == said
    assert document_of(found["list.txt"]).text == "Berth 4 is free."


def test_a_mail_that_says_latin_1_may_hold_the_signs_of_windows(tmp_path: Path) -> None:
    path = tmp_path / "a.eml"
    head = b"Subject: Fee\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\n"
    path.write_bytes(head + b"The tenant\x92s fee is 5 \x80.\n")
    assert document_of(members(path)[""]).text.endswith("The tenant’s fee is 5 €.")


@pytest.mark.parametrize("first", ["From ada Thu Sep 19 08:15:00 2024", "From ada"])
def test_a_sentence_in_a_mailbox_starts_no_mail(tmp_path: Path, first: str) -> None:
    path = tmp_path / "mail.mbox"
    body = "It is one month.\n\nFrom here on the notice is two months.\n\n"
    path.write_bytes(f"{first}\nSubject: Notice\n\n{body if '08' in first else ''}".encode() * 2)
    found = members(path)
    assert list(found) == ["1", "2"]
    assert ("two months" in document_of(found["2"]).text) is ("08" in first)


def plain_mail(body: str) -> bytes:
    message = EmailMessage()
    message["Subject"] = "Buoy adrift"
    message["From"] = "Ada <ada@example.com>"
    message.set_content(body)
    return message.as_bytes()


def test_a_lone_line_in_capitals_at_the_top_heads_no_mail(tmp_path: Path) -> None:
    """It says how to take the mail; as a section it would stand above matters that it does not name."""
    path = tmp_path / "marked.eml"
    for body in ("WITHOUT PREJUDICE\n\nDear Tom,\n\nWe pay.\n", "Dear Tom,\n\nPLEASE NOTE\n\nWe pay.\n"):
        path.write_bytes(plain_mail(body))
        mail = document_of(members(path)[""])
        check_promises(mail)
        assert {chunk.section for chunk in chunk_document(mail)} == {("Buoy adrift",)}
        assert mail.text.endswith(body.strip())


def test_a_mail_written_in_sections_has_them_below_its_subject(tmp_path: Path) -> None:
    path = tmp_path / "sections.eml"
    path.write_bytes(plain_mail("URGENT\n\nHi all,\n\nCOSTS\n\nThey rise.\n\nDATES\n\nIn May.\n"))
    mail = document_of(members(path)[""])
    found = {mail.text[one.start : one.end]: one.section for one in chunk_document(mail)}
    assert found["COSTS\n\nThey rise."] == ("Buoy adrift", "COSTS")
    assert found["DATES\n\nIn May."] == ("Buoy adrift", "DATES")
    assert ("Buoy adrift", "URGENT") not in found.values()
