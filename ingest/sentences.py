"""Where sentences begin and end. Pure; the one file that knows nupunkt.

nupunkt finds full stops that end English sentences; what it does not know is added around it: blank lines,
list items, headings and table rows, full stops of other scripts, quotation marks between spaces, note marks.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Protocol

Span = tuple[int, int]

# nupunkt takes quadratic time on long runs without white space ("!?" * 40,000: 9 s). No word is that
# long: such a run is hidden from it behind as many letters. After: 0.6 s for the worst 100,000 characters.
_LONG_RUN = re.compile(r"\S{200,}")
# 1. 1) (1) 1.2.3 a) (a) a. iv) § – but not "A. Smith" and not "1998. It", which wrapped lines start with.
_MARKER = re.compile(
    r"\s*(?:[-*+•‣◦▪▸●○■□·–—]\s|\(?\d{1,2}[.)]\s|\d{1,2}(?:\.\d{1,2})+\.?\s|\(?[a-z][.)]\s|\([A-Z]\)\s|[A-Z]\)\s"
    r"|\(?[ivx]{1,5}[.)]\s|#{1,6}\s|§)"
)
# Of these, what a wrapped line may start with as well: "on level\n4. It", "at\n4.1 million".
_NUMBER = re.compile(r"\s*(\d{1,2}(?:\.\d{1,2})*)\.?\s")
# "06:55 Gate opened", "[2024-03-05 18:02:11] login": entries of a log. One such line alone is wrapped prose.
_STAMP = re.compile(
    r"\s*[\[(]?(?:\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d)?)?|\d{1,2}[/.]\d{1,2}[/.]\d{2,4}(?: \d\d:\d\d)?"
    r"|(?:[A-Z][a-z]{2} {1,2}\d{1,2} )?\d{1,2}:\d\d(?::\d\d)?(?: ?[ap]\.?m)?|\d{1,2}\.\d\d ?(?:[ap]\.?m|h))"
    r"(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?[\])]?:?[ |–-]+[\[<(]?[^\W_]",
    re.IGNORECASE,
)
# Behind these a line goes on: "from 9:00 until" / "17:00 on weekdays".
_GOES_ON = re.compile(
    r"(?:[,–—-]|\b(?:a|after|and|at|before|between|by|for|from|in|of|on|or|since|than|the|till|to|until|with))\s*$",
    re.IGNORECASE,
)
_ENDED = re.compile(r"[.!?:;…।。！？][\s)\]\"'”’»*_]*$")
_LINE_END = re.compile("[\n\r\f\u2029]")
_HEADING = re.compile(r"\s*#{1,6}\s")
# A tab behind something: indentation is no table.
_TABLE_ROW = re.compile(r"\s*\S[^\t]*\t")
# "Test press.      9.3 bar" and "Design freeze: 14 June": label and value, a line each. One such line alone
# is wrapped or justified prose; of several that follow each other each ends with its line.
_LABELLED = re.compile(r"\s*\S.{0,60}?\S {3,}\S|\s*(?:[A-Z]|\d+[^\W\d])[^:\n]{0,40}: \S.{0,60}$")
_FOREIGN_STOP = re.compile(r"[。！？｡।॥۔؟]+[」』）〕】》〉”’\"')\]]*")
_NOTE_MARKS = re.compile(r"(?:\[\d{1,3}\])+")
_CLOSERS = re.compile(r"[)\]}”’»」』]+(?=\s|$)")
_ONLY_MARKER = re.compile(r"\s*\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,5})[.)]\s*")
# "CLAUSE 15. REDELIVERY. The Vessel shall …": a title in the line of its text says nothing alone.
_RUN_IN_TITLE = re.compile(
    r"(?:[A-Z]{4,}|Article|Clause|Section)\s+\d{1,3}(?:\.\d{1,2})*[.:]\s+"
    r"[A-Z][\w'’&/-]{0,30}(?:[ ,]{1,2}(?:and |of |or )?[A-Z][\w'’&/-]{0,30}){0,5}\.\s+"
    r"|\d{1,3}(?:\.\d{1,2})*\.\s+[A-Z]{2}[A-Z ,'’&/-]{0,60}\.\s+"
)
# nupunkt's abbreviations were learned from scanned legal texts: 2,396 of them are words of four letters and
# more, "cold", "century" and "Bond" among them. Behind such a word and before a capital a stop is a stop,
# unless the word is one of these.
_PLAIN_STOP = re.compile(r"(?<![^\W_])(?<![.'’-])([^\W\d_]{4,})\.\s+(?=[A-Z])")
_ABBREVIATIONS = frozenset(
    """
    abstr acad accel addl admin agric amer annu anon appl approx appt appx assn assoc asst attn atty
    auto autom bibl biol bldg blvd brig bros bull calif capt cent cert certif chap chem circ clin coeff
    coll comdr comm comp compl concl conf cong conn cons consol const constr contd contr coop corp corr
    cust dept depts diam dipl disc dist distr econ educ elec elem encl engl engr entomol envt eqns equiv
    esqr etal eval evid excl exec expt fahr figs foll freq geog geol geom govt hist hosp illus incl info
    inst instr insur intl introd invt isbn jour junr labs lang legis lieut litt math maths mech meds
    messrs meth metr mgmt micr mill minn misc mngr mont mtge mult natl natn neth neur nord norm nots
    novr numb obit occas octr okla oper orig paras pars path penn penna phil philos photo phys physiol
    plur polit poss prac pref prel prep pres prin priv prob proc prod prof profs prot prov psych publ
    pubs quar ques recd repl repr reps rept resp retd revd sched secs sect sects secy sept seqq sergt
    signor soci spec specs stat stats supp suppl supt surg syst tech techn temp tenn thes thurs topog
    torr trad trans transl treas tues ukas univ unpub vers vice viol viron vols wash weds wisc zool
    """.split()  # noqa: SIM905  # a list of quoted words could not be read
)
# Of data sheets. nupunkt ends a sentence behind them; in front of what is no capital none does.
_DATA_SHEET = re.compile(
    r"(?:^|\s)\(?(?:max|min|temp|press|approx|ca|nom|typ|avg|incl|excl|dia|diam|freq|qty|vol|wt|tel|ref|resp|tol"
    r"|тыс|млн|млрд)"
    r"\.\s+\Z",
    re.IGNORECASE,
)
# Of other languages, which nupunkt does not know: abbreviations, and days before German months. Of months
# that English has, too, a word must say that it is German: "There were 3. August was wet."
_UNENDED = re.compile(
    r"\b(?:bzw|z\.\s?B|d\.\s?h|Mme|Sra)\.\s++"
    r"|\b\d{1,2}\.\s++(?=(?:Januar|Jänner|Februar|Feber|März|Mai|Juni|Juli|Oktober|Dezember)\b)"
    r"|\b(?<!I )(?i:ab|am|bis|dem|den|der|des|seit|und|vom|zum)\s\d{1,2}\.\s++"
    r"(?=(?:April|August|September|November)\b)"
)
_SPACED_QUOTE = re.compile(r"([.!?] \")\s*\Z")


class _Tokenizer(Protocol):
    def span_tokenize(self, text: str) -> Iterable[Span]: ...


def sentence_spans(text: str) -> tuple[Span, ...]:
    """The half-open spans of the sentences of `text`, in order, trimmed of white space.

    Every character that is not white space lies in exactly one span. A blank line, a form feed and a
    paragraph separator end a sentence; a single line end does only beside a table row (a line with a tab),
    after a heading (`# …`), before a list marker, and before a time where a line beside it or
    the first of the paragraph starts with one, too. A number is a marker where a sentence has ended above it
    or its neighbour in counting starts a line of the paragraph too. Never raises; linear time for any text.
    """
    spans = [
        span
        for start, end in _segments(text)
        for part in _split_foreign(text, start, end)
        for span in _split_english(text, *part)
    ]
    return tuple(trimmed for span in spans if (trimmed := _trim(text, *span)) is not None)


def _segments(text: str) -> Iterator[Span]:
    """Spans between the line ends that end a sentence."""
    plain = text.replace("\r\n", " \n")
    lines, ends = _LINE_END.split(plain), _LINE_END.findall(plain)
    start = position = 0
    before = ""
    for line, counted, stamped in zip(lines, _counted(lines), _stamped(lines, ends), strict=True):
        paragraph = position > 0 and text[position - 1] in "\f\u2029"
        alone = _TABLE_ROW.match(line) or _TABLE_ROW.match(before) or _HEADING.match(before)
        alone = alone or (_LABELLED.match(line) and _LABELLED.match(before))
        if paragraph or alone or not line.strip() or stamped or _is_marked(line, before, counted):
            yield start, position
            start = position
        position += len(line) + 1
        before = line
    yield start, len(text)


def _counted(lines: list[str]) -> list[set[str]]:
    """For each line, the numbers that lines of its paragraph start with."""
    shared: list[set[str]] = [set()]
    for line in lines:
        shared.append(shared[-1] if line.strip() else set())
        if number := _NUMBER.match(line):
            shared[-1].add(number[1])
    return shared[1:]


def _stamped(lines: list[str], ends: list[str]) -> list[bool]:
    """For each line, whether it starts an entry of a log. `ends` are what ends each line but the last."""
    blank = [not line.strip() for line in lines]
    begins = [not n or blank[n - 1] or ends[n - 1] in "\f\u2029" for n in range(len(lines))]
    stamps = [
        _STAMP.match(line) is not None and (begins[number] or not _GOES_ON.search(lines[number - 1]))
        for number, line in enumerate(lines)
    ]
    out, log = [], False
    for number, stamp in enumerate(stamps):
        below = number + 1 < len(lines) and not begins[number + 1] and stamps[number + 1]
        if begins[number]:
            log = stamp
        elif stamp and (stamps[number - 1] or below):
            log = True
        out.append(stamp and log)
    return out


def _is_marked(line: str, before: str, counted: set[str]) -> bool:
    """Whether the line starts an item, and not with a number of the sentence that the line before began."""
    if not _MARKER.match(line):
        return False
    number = _NUMBER.match(line)
    if number is None or not before.strip() or _ENDED.search(before):
        return True
    outer, dot, last = number[1].rpartition(".")
    return any(f"{outer}{dot}{int(last) + step}" in counted for step in (-1, 1))


def _split_foreign(text: str, start: int, end: int) -> Iterator[Span]:
    """Split after the full stops that need no space behind them, as in Chinese, Japanese and Hindi."""
    for match in _FOREIGN_STOP.finditer(text, start, end):
        closed = match.group()[-1] not in "。！？｡।॥۔؟"
        if closed and text[match.end() : match.end() + 1] in ("と", "、", "の", ","):
            continue  # the sentence goes on behind its quotation
        yield start, match.end()
        start = match.end()
    yield start, end


def _split_english(text: str, start: int, end: int) -> Iterator[Span]:
    trimmed = _trim(text, start, end)
    if trimmed is None:
        return
    start, end = trimmed
    segment = text[start:end]
    if "\t" in segment and _TABLE_ROW.match(segment):
        yield trimmed
        return
    cuts = _repair(segment, _cuts(segment))
    yield from ((start + a, start + b) for a, b in pairwise([0, *cuts, len(segment)]))


def _cuts(segment: str) -> list[int]:
    """Where nupunkt starts a new sentence, and where it takes a plain word for an abbreviation."""
    if len(segment) < 3:
        return []
    masked = _LONG_RUN.sub(lambda run: "x" * len(run.group()), segment)
    found = {
        start
        for start, _ in _tokenizer().span_tokenize(masked)
        if 0 < start < len(segment) and not _goes_on(segment, start)
    }
    found -= {stop.end() for stop in _UNENDED.finditer(masked)}
    plain = (stop for stop in _PLAIN_STOP.finditer(masked) if stop[1].casefold() not in _ABBREVIATIONS)
    return sorted(found | {stop.end() for stop in plain})


def _goes_on(segment: str, cut: int) -> bool:
    """Whether a value stands behind its label, or a word behind an abbreviation of data sheets."""
    if segment[cut].isupper():
        return False
    gap = segment.endswith("   ", max(0, cut - 3), cut)
    return gap or _DATA_SHEET.search(segment, max(0, cut - 12), cut) is not None


def _repair(segment: str, cuts: list[int]) -> list[int]:
    """Move or drop the cuts that leave a quotation mark, a note mark or a list number on the wrong side."""
    title = _RUN_IN_TITLE.match(segment)
    below = title.end() if title else 0
    kept: list[int] = []
    quotes = counted = last = scanned = 0
    wordy = False
    for cut in cuts:
        moved = cut
        if notes := _NOTE_MARKS.match(segment, cut) if not segment[cut - 1].isspace() else None:
            moved = notes.end()
        elif closers := _CLOSERS.match(segment, cut):
            moved = closers.end()
        elif quote := _SPACED_QUOTE.search(segment, max(last, cut - 8), cut):
            quotes += segment.count('"', counted, quote.end(1) - 1)
            counted = quote.end(1) - 1
            moved = counted if quotes % 2 == 0 else cut  # an even number before it: this one opens
        wordy = wordy or any(map(str.isalnum, segment[scanned:moved]))
        scanned = max(scanned, moved)
        marker = moved - last < 12 and _ONLY_MARKER.fullmatch(segment, last, moved)
        if wordy and moved > max(last, below) and not marker:
            kept.append(moved)
            last = scanned = moved
            wordy = False
    if kept and not any(map(str.isalnum, segment[kept[-1] :])):
        kept.pop()
    return kept


def _trim(text: str, start: int, end: int) -> Span | None:
    piece = text[start:end]
    bare = piece.lstrip()
    if not bare:
        return None
    start += len(piece) - len(bare)
    return start, start + len(bare.rstrip())


@lru_cache(maxsize=1)
def _tokenizer() -> _Tokenizer:
    import nupunkt

    tokenizer: _Tokenizer = nupunkt.load("default")
    return tokenizer
