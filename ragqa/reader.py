"""A small model that reads question and passage together: does an answer stand here, in which sentence?

Cosine and word overlap cannot tell a passage about the subject from one that answers. This is
all-MiniLM-L6-v2 tuned to do so by `benchmarks/reader_train.py`; `ragqa/assets/reader.md` says on what and how
well. It knows no index and no document but the windows it is given, and their text is only ever text to it:
the marks of its own format are set by place, never read from a text.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.embed import WordVectors, inference_session, word_pieces, word_vectors

WEIGHTS_SHA256 = "e0dfbf6648f307800a9223e5de642341063eabfced7b0bdf75818a2294cb15ad"
MAX_TOKENS = 256
QUESTION_TOKENS = 48
TITLE_TOKENS = 24
START, END = 101, 102
"""[CLS] and [SEP] of the vocabulary."""
FORM_LETTERS = 5
UNMATCHED, MATCHED, ASKED_AND_THERE, ASKED_ALONE = range(4)
"""What is known of a token before it is read: nothing; that the question has it too; of the question's own
that the passage has it, or lacks it."""
PLAIN_WORDS = frozenset(
    """
    a about after again all also am among an and any are as at be because been before being below
    between both but by can could did do does doing down during each either even few for from further
    had has have having he her here hers him his how however i if in into is it its itself just may me
    might more most much must my of off on once one only or other our out over own per same shall she
    should since so some such than that the their them then there these they this those through to too
    under until up upon us very was we were what when where whether which while who whom whose why will
    with within would you your
    """.split()  # noqa: SIM905  # a list of quoted words could not be read
)
"""Words too plain for their presence to say anything. The weights were trained with these."""
REMEMBERED = 64
"""Readings kept: a question's windows are read to choose its blocks, and again to judge what is packed."""
OUTSIDE = -1
"""The sentence of a token that is in none."""
MINIMUM = -20.0
"""Log-odds of a sentence that was not read."""
ANSWERS = -2.0
"""Least log-odds of a sentence's best token for its words to be an answer."""
BESIDE = 3.0
"""By how much other tokens of the same answer may fall short of the best one."""

WORD = re.compile(r"[^\W_]+(?:[.,’'-][^\W_]+)*")

Scores = NDArray[np.float32]
Forms = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Window:
    """A passage as it is read: the title or heading trail above it, and its sentences in order."""

    title: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Word:
    """A word that was read: where it stands in its sentence, its log-odds of being part of the answer."""

    start: int
    end: int
    odds: float


@dataclass(frozen=True, slots=True)
class Reading:
    """Log-odds that the answer stands in the window, and in each of its sentences (MINIMUM: not read).

    `answers` are the words of each sentence that look like the answer itself, in order; none where it has
    no such words. `words` are all of each sentence, as spaces part them.
    """

    answerable: float
    sentences: tuple[float, ...]
    answers: tuple[tuple[str, ...], ...] = ()
    words: tuple[tuple[Word, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """Token ids of a question beside a window, their segments, and each token's sentence."""

    ids: tuple[int, ...]
    segments: tuple[int, ...]
    sentences: tuple[int, ...]


def layout(question: Sequence[int], title: Sequence[int], sentences: Sequence[Sequence[int]]) -> Layout:
    """[CLS] question [SEP] title, sentences [SEP], at most MAX_TOKENS ids; what does not fit is left out."""
    asked = [START, *question[:QUESTION_TOKENS], END]
    named = title[:TITLE_TOKENS]
    room = MAX_TOKENS - len(asked) - len(named) - 1
    body = [(token, number) for number, tokens in enumerate(sentences) for token in tokens][:room]
    ids = (*asked, *named, *(token for token, _ in body), END)
    owners = (*([OUTSIDE] * (len(asked) + len(named))), *(number for _, number in body), OUTSIDE)
    return Layout(ids, (*([0] * len(asked)), *([1] * (len(ids) - len(asked)))), owners)


def forms_of(tokens: Sequence[str]) -> Forms:
    """A number for each piece of the vocabulary, the same for those that start alike; 0 for plain words."""
    numbers: dict[str, int] = {"": 0}
    out = np.zeros(len(tokens), np.int64)
    for place, token in enumerate(tokens):
        letters = token.removeprefix("##")
        plain = (
            not letters.isalnum() or letters in PLAIN_WORDS or (len(letters) < 3 and not letters.isdigit())
        )
        out[place] = 0 if plain else numbers.setdefault(letters[:FORM_LETTERS], len(numbers))
    return out


def matches(placed: Layout, forms: Forms) -> Forms:
    """For each token UNMATCHED, MATCHED, ASKED_AND_THERE or ASKED_ALONE, by the forms of the vocabulary."""
    mine, asked = forms[np.array(placed.ids)], np.array(placed.segments) == 0
    there = np.where(np.isin(mine, mine[~asked]), ASKED_AND_THERE, ASKED_ALONE)
    sought = np.where(np.isin(mine, mine[asked]), MATCHED, UNMATCHED)
    found: Forms = np.where(mine == 0, UNMATCHED, np.where(asked, there, sought))
    return found


class Reader:
    """Reads windows for a question. A second and 50 MB to load; about 0.3 ms a token on one core."""

    def __init__(self, session: Any, tokenizer: Any, words: WordVectors) -> None:
        self._session, self._tokenizer, self._words = session, tokenizer, words
        size = tokenizer.get_vocab_size()
        self._forms = forms_of([tokenizer.id_to_token(number) for number in range(size)])
        self._known: dict[tuple[str, Window], Reading] = {}

    @classmethod
    def load(cls, weights: Path | None = None, sha256: str = WEIGHTS_SHA256) -> "Reader":
        """The reader of the package, or that of another file.

        Raises EmbedderError where the weights are missing or not the ones expected.
        """
        path = weights or Path(str(resources.files("ragqa") / "assets" / "reader.onnx"))
        tokenizer = word_pieces()
        # "[SEP]" in a document is five letters in brackets, not the end of the passage.
        tokenizer._tokenizer.encode_special_tokens = True
        return cls(inference_session(path, sha256), tokenizer, word_vectors())

    def read(self, question: str, windows: Sequence[Window]) -> list[Reading]:
        """A reading of each window, in their order. Windows do not influence each other.

        A window is read up to MAX_TOKENS tokens, question and title included. A sentence that is cut off
        there is judged by what was read of it.
        """
        asked = self._encode([question])[0]
        for window in windows:
            if (question, window) not in self._known:
                self._known[question, window] = self._read(asked, window)
        found = [self._known[question, window] for window in windows]
        for oldest in list(self._known)[:-REMEMBERED]:
            del self._known[oldest]
        return found

    def _read(self, asked: list[int], window: Window) -> Reading:
        title, *sentences = self._pieces([window.title, *window.sentences])
        placed = layout(asked, title.ids, [one.ids for one in sentences])
        # One at a time: int8 steps are sized by what is read together, so company would change the scores.
        feed = {
            "words": self._words.of(np.array([placed.ids], np.int64)),
            "segments": np.array([placed.segments], np.int64),
            "matches": matches(placed, self._forms)[None],
        }
        tokens, none = self._session.run(["tokens", "none"], feed)
        odds = (tokens - none)[0]
        owner = np.asarray(placed.sentences)
        answers = tuple(
            answer_words(text, odds[owner == number], one.offsets)
            for number, (text, one) in enumerate(zip(window.sentences, sentences, strict=True))
        )
        words = tuple(
            words_of(text, odds[owner == number], one.offsets)
            for number, (text, one) in enumerate(zip(window.sentences, sentences, strict=True))
        )
        return replace(reading(odds, placed.sentences, len(window.sentences)), answers=answers, words=words)

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [one.ids for one in self._pieces(texts)]

    def _pieces(self, texts: Sequence[str]) -> list[Any]:
        """Ids and offsets of each text's tokens."""
        # Lone surrogates are no text to the tokenizer; a question from a command line can hold them.
        sound = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        found: list[Any] = self._tokenizer.encode_batch(sound, add_special_tokens=False)
        return found


def reading(odds: Scores, owners: Sequence[int], count: int) -> Reading:
    """The log of the summed odds of a sentence's tokens, for each of `count` sentences, and of all."""
    owner = np.asarray(owners)
    sentences = tuple(log_sum(odds[owner == number]) for number in range(count))
    return Reading(log_sum(odds[owner != OUTSIDE]), sentences)


def answer_words(text: str, odds: Scores, offsets: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    """The whole words of a sentence whose tokens have odds near its best token's; none where that is too low.

    `offsets` are those of the sentence's tokens, of which the first len(odds) were read.
    """
    if not len(odds) or odds.max() < ANSWERS:
        return ()
    least = odds.max() - BESIDE
    near = [span for span, one in zip(offsets, odds, strict=False) if one >= least]
    return tuple(
        match.group()
        for match in WORD.finditer(text)
        if any(start < match.end() and match.start() < end for start, end in near)
    )


def words_of(text: str, odds: Scores, offsets: Sequence[tuple[int, int]]) -> tuple[Word, ...]:
    """The words of a sentence that were read, each with the log of its tokens' summed odds.

    `offsets` are those of the sentence's tokens, of which the first len(odds) were read.
    """
    owned: dict[tuple[int, int], list[float]] = {}
    spans = [match.span() for match in re.finditer(r"\S+", text)]
    ends = [end for _, end in spans]
    for (start, _), one in zip(offsets, odds, strict=False):
        place = bisect_right(ends, start)
        if place < len(spans):
            owned.setdefault(spans[place], []).append(float(one))
    return tuple(Word(*span, log_sum(np.asarray(found, np.float32))) for span, found in owned.items())


def log_sum(odds: Scores) -> float:
    """log of the sum of exp(odds), at least MINIMUM; MINIMUM of nothing."""
    if not len(odds):
        return MINIMUM
    top = float(odds.max())
    return max(MINIMUM, top + float(np.log(np.exp(odds - top).sum())))
