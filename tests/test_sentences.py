"""Sentences: where they end in prose, lists, tables, other scripts, and in hostile text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.sentences import sentence_spans


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    "expected",
    [
        ['He said "I am here."', "Then he left."],
        ["He said “Go!” and left.", "(It was late.)", "They slept."],
        ["See No. 4 and e.g. this one.", "Dr. Smith paid $3.50 on Jan. 5.", "It was 4.5 percent."],
        ["The law , it refers .", "The court said no .", '" Yes , " he said .', "He left ."],
        ['He said " No . "', "Then he left ."],
        ["Born in the U.S.", "He moved.", "J. R. R. Tolkien wrote it."],
        ["It has 40.[1][2]", "The next one."],
        ["1. Do this.", "2. Do that."],
        ["Wait ... what?", "Well...", "Maybe."],
        ["Who?!", "Me.", '"Why?" she asked.'],
        ["See Sec. 2.1 for it.", "The end"],
    ],
)
def test_english_sentences_end_where_a_reader_ends_them(expected: list[str]) -> None:
    assert sentences(" ".join(expected)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("これは文です。次の文です！本当？はい。", ["これは文です。", "次の文です！", "本当？", "はい。"]),
        ("彼は「本当？」と言った。終わり。", ["彼は「本当？」と言った。", "終わり。"]),
        ("यह वाक्य है। दूसरा वाक्य।", ["यह वाक्य है।", "दूसरा वाक्य।"]),
        ("Heading\n\nThe text goes\non here. And here.", ["Heading", "The text goes\non here.", "And here."]),
        ("Buy:\n- milk\n- eggs,\n  fresh\n3) salt", ["Buy:", "- milk", "- eggs,\n  fresh", "3) salt"]),
        ("# Title\nText here\ngoes on", ["# Title", "Text here\ngoes on"]),
        ("Name\tAge\nA. B. Li\t4.5. Yes\nafter", ["Name\tAge", "A. B. Li\t4.5. Yes", "after"]),
        ("\tIndented prose\ngoes on.", ["Indented prose\ngoes on."]),
        ("written by\nA. Smith in\n1998. It sold.", ["written by\nA. Smith in\n1998.", "It sold."]),
        ("one\r\ntwo\r\n\r\nthree\fpage", ["one\r\ntwo", "three", "page"]),
        ("", []),
        (" \n\t ", []),
        ("...", ["..."]),
    ],
)
def test_scripts_lists_and_tables(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


TEXTS = st.one_of(
    st.text(st.characters()),
    st.text(st.sampled_from(list('aB1.!? "\n\t()[]”。-#\r\f…')), max_size=120),
)


@settings(max_examples=400, deadline=None)
@given(TEXTS)
def test_every_visible_character_is_in_exactly_one_trimmed_sentence(text: str) -> None:
    position = 0
    for start, end in sentence_spans(text):
        assert position <= start < end <= len(text)
        assert not text[position:start].strip()
        assert text[start:end] == text[start:end].strip()
        position = end
    assert not text[position:].strip()


@settings(max_examples=200, deadline=None)
@given(TEXTS, TEXTS)
def test_a_blank_line_always_ends_a_sentence(before: str, after: str) -> None:
    both = sentences(before.rstrip("\r") + "\n\n" + after)
    assert all("\n\n" not in sentence for sentence in both if "\n\n" not in before + after)
    assert both[: len(sentences(before.rstrip("\r")))] == sentences(before.rstrip("\r"))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "piece",
    [
        *(
            "word ",
            "a",
            ".",
            "a.",
            "a. ",
            "A. ",
            "am 3. ",
            "bzw. ",
            '"',
            "(",
            "\n",
            " ",
            ". ",
            "!?",
            ".)",
            '."',
            '. " ',
            "。",
            "1.",
        ),
        *("\t", "[1]", "a\n", "- a\n", "a\tb\n", ".[1]", ". )", "1. ", "\n \n", 'a . " ', "A. )", "。」と"),
    ],
)
def test_a_hundred_thousand_characters_of_anything_take_linear_time(piece: str) -> None:
    """Quadratic work on these took minutes; the suite's own time limit is the judge."""
    text = piece * (100_000 // len(piece))
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


@pytest.mark.parametrize(
    "expected",
    [
        ["Die Frist endet am 3. Oktober 2024 um Mitternacht.", "Danach gilt sie nicht."],
        ["Am 4. Mai beginnt sie.", "Vom 1. August bis 30. November ist zu.", "Sie endet am\n2. April."],
        ["Das gilt für Kunden bzw. Lieferanten.", "Rabatte z.B. Skonto sind frei, d.h. Händler zahlen."],
        ["Mme. Dupont est venue.", "Le rapport de Mme. Durand est long."],
        ["El Sr. González y la Sra. Pérez viven aquí.", "Vino ayer."],
        ["Цена 5 тыс. рублей в год.", "Около 10 тыс.", "Это много."],
        ["Sopimus päättyy 3. lokakuuta 2024.", "Smlouva končí 3. října.", "Det er den 4. mai."],
        ["There were 3.", "August was wet.", "The level was 12.", "May we go?", "I am 3.", "April came."],
    ],
)
def test_days_before_months_and_abbreviations_of_other_languages_end_nothing(expected: list[str]) -> None:
    assert sentences(" ".join(expected)) == expected


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("The eight public holidays. Part-time staff have the same.", 2),
        ("It was cold. Ten men came. He met Bond. She left.", 4),
        ("Prof. Smith and Capt. Jones spoke. Then Messrs. Low and High did.", 2),
    ],
)
def test_a_plain_word_is_no_abbreviation(text: str, parts: int) -> None:
    assert len(sentence_spans(text)) == parts


@pytest.mark.parametrize(
    "lines",
    [
        ("06:55 Gate opened, forklift 2 checked", "07:20 Six packs of oak, bay 1", "08:05 Sleepers, bay 3"),
        ("18:02 Card 4471 entered,\nseen by the guard", "18:05 Card 4471 left"),
        ("06:55 Gate opened and forklift 2 released at\n07:10 by Ann", "07:20 Closed"),
        (
            "Night log",
            "[2024-03-05 18:02:11] disk full",
            "[2024-03-05 18:02:15] paged Ann,\nno answer",
            "19:00 up",
        ),
        ("9.30 AM Coffee", "10.15 AM Opening", "11.45 AM Tea"),
        ("Mar  5 18:02:11 host up", "Mar  5 18:02:12 host down"),
        ("2024-03-05T18:02:11+01:00 host up", "2024-03-05T18:02:12+01:00 host down"),
        ("[18:02] <ann> the pump is off", "[18:03] <bob> on again"),
        ("05/03/2024 18:02 | door opened", "05/03/2024 18:04 | door closed"),
    ],
)
def test_entries_of_a_log_are_apart(lines: tuple[str, ...]) -> None:
    text = "\n".join(lines)
    assert tuple(text[start:end] for start, end in sentence_spans(text)) == lines


@pytest.mark.parametrize(
    "text",
    [
        "We met at\n10:30 in the hall and left when\nthe bell rang at\n11:15 or so.",
        "The pump was replaced on\n2024-03-07 and the seal on\n2024-04-11 by the contractor.",
        "The hall opens from 9:00 until\n17:00 on weekdays and from 10:00 until\n14:00 on Saturdays.",
        "Trains leave at 06:10, 07:10,\n08:10 and 09:10 on weekdays, at\n09:40 and 10:40 on others.",
        "It was closed at noon.\f10:30 is the first visit and\n11:30 the last",
    ],
)
def test_a_wrapped_line_may_start_with_a_time(text: str) -> None:
    assert len(sentence_spans(text)) == text.count("\f") + 1


@pytest.mark.parametrize(
    "lines",
    [
        ("Working press.   6.2 bar", "Test press.      9.3 bar", "Relief press.    7.0 bar"),
        ("Max. pressure: 16 bar", "Min. temp.: -20 °C", "Max. temp.: 120 °C", "Weight: 3.4 kg"),
        ("Kick-off: 3 May 2024", "Design freeze: 14 June 2024", "Delivery: Q3/2024"),
    ],
)
def test_a_label_and_its_value_stay_together_and_apart_from_the_next(lines: tuple[str, ...]) -> None:
    text = "\n".join(lines)
    assert tuple(text[start:end] for start, end in sentence_spans(text)) == lines


@pytest.mark.parametrize(
    "text",
    [
        "The max. flow is 3 litres a second and the min. flow 1 litre.",
        "Max. flow (litres): 180; Price (EUR): 2,340",
        "He went to the\nstore: milk and\nbread were sold.",
        "He sold, in the\nOld Store: milk and bread.",
    ],
)
def test_an_abbreviation_of_data_sheets_or_a_colon_in_prose_ends_nothing(text: str) -> None:
    assert sentence_spans(text) == ((0, len(text)),)


def test_a_sentence_that_ends_in_such_an_abbreviation_ends() -> None:
    text = "Set it to the max. Then wait."
    assert [text[start:end] for start, end in sentence_spans(text)] == ["Set it to the max.", "Then wait."]


def test_wide_gaps_in_prose_part_sentences_as_narrow_ones_do() -> None:
    parts = ("The mill was built in 1850.", "It burned down in 1901.", "A new one was built in 1910.")
    text = "   ".join(parts)
    assert tuple(text[start:end] for start, end in sentence_spans(text)) == parts


@pytest.mark.parametrize(
    "text",
    [
        "Throughput at saturation was\n4.1 million requests per second.",
        "It was cold in the hall at platform\n12.",
        "An improvement of\n2.5 dB was seen between 4.1 and\n4.8 GHz, and it rose with each\n9.9 mm.",
        "CLAUSE 15. REDELIVERY. The Vessel shall be redelivered at a port in the North Sea.",
        "Clause 18. Assignment and Sub-Charter. The Charterers shall not sub-charter the Vessel.",
        "7. TERMINATION. Either party may end it.",
    ],
)
def test_a_number_at_a_line_start_or_in_a_title_cuts_no_sentence(text: str) -> None:
    assert sentences(text) == [text]


def test_the_numbers_of_headings_count_no_lines_of_the_text_below() -> None:
    text = "4.2 Results\n\nThroughput at saturation was\n4.1 million requests per second."
    assert sentences(text) == text.split("\n\n")


@pytest.mark.parametrize(
    "lines",
    [
        ["We will not pay for:", "3.1 loss by war;", "3.2 loss by fire."],
        ["Scope", "1. milk", "2. eggs"],
        ["Contents", "4.1 Setup", "4.2 Results"],
        ["It ends here.", "4.1 Setup"],
    ],
)
def test_numbers_that_count_items_or_follow_an_end_start_sentences(lines: list[str]) -> None:
    assert sentences("\n".join(lines)) == lines
