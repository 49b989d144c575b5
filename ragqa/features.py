"""What there is to see of a sentence beside a question, as numbers. Pure: numpy in, numbers out.

Word overlap, embedding similarity, the passage's rank and whether the sentence holds the kind of thing that
was asked for. Negation is left out on purpose: in annotated question sets it gives unanswerable questions
away, in people's questions it does not.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ragqa.kinds import SENTENCE_ENDS, held_columns, kind_of

Numbers = NDArray[np.float64]

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
STOP_WORDS = frozenset(
    """
    a about all also an and any are as at be been being but by can could describe did do does
    explain for from give had has have he her his how i if in into is it its list many may me might
    much my name not of on or our please she should show so some such tell than that the their them
    then there these they this those to us was we were what when where which who whom whose why will
    with would you your
    """.split()  # noqa: SIM905  # a list of 90 quoted words is no easier to read
)
MAY = re.compile(r"(?<=[\w,:;] )May\b|\bMay(?=\s*(?:\d|[:,;|]|$))")
"""The month: inside a sentence, or with a number or a cell's end behind it."""
PRONOUN = re.compile(r"^(?:he|she|it|they|this|that|these|those|his|her|its|their)\b", re.IGNORECASE)

FEATURES = (
    "cosine",
    "cosine_before",
    "cosine_after",
    "cosine_block",
    "overlap",
    "overlap_near",
    "overlap_block",
    "overlap_title",
    "pairs",
    "bm25",
    "block_gap",
    "block_place",
    "held_time",
    "held_count",
    "held_place",
    "held_person",
    "held_cause",
    "held_manner",
    "held_meaning",
    "held_thing",
    "lacks_kind",
    "new_words",
    "length",
    "fragment",
    "asks",
    "pronoun",
    "first",
    "place",
    "row",
    "open_end",
)

CONFIDENCE_FEATURES = (
    *(f"best_{name}" for name in FEATURES),
    "top_score",
    "lead_on_second",
    "lead_on_fifth",
    "spread",
    "top_cosine",
    "top_cosines",
    "cosine_of_best",
    "top_overlap",
    "top_overlap_near",
    "top_overlap_block",
    "question_words",
    "no_kind",
)


@dataclass(frozen=True, slots=True)
class Passage:
    """A block as the features see it: its sentences in order, its title and headings, its score.

    `leads` are the headings nearest above each sentence within the block, `rows` whether it is a table's row;
    both may be left out.
    """

    sentences: tuple[str, ...]
    heading: str
    score: float
    leads: tuple[str, ...] = ()
    rows: tuple[bool, ...] = ()


@lru_cache(maxsize=20_000)
def content_words(text: str) -> tuple[str, ...]:
    """The stems of a text's words in order, those without content left out.

    "IT", "US" and "WHO" among other words are names, and kept as they are written; so is the month of May.
    """
    words = WORD.findall(text)
    shouts = text.isupper() and len(words) > 3
    month = "May" in words and MAY.search(text) is not None
    return tuple(
        stem(word.lower()) if word.lower() not in STOP_WORDS else word
        for word in words
        if word.lower() not in STOP_WORDS
        or (len(word) > 1 and word.isupper() and not shouts)
        or (word == "May" and month)
    )


def stem(word: str) -> str:
    """A word without its commonest English endings, enough to join `answers`, `answered` and `answering`."""
    word = word.removesuffix("'s").removesuffix("’s")
    for ending, least in (
        ("ingly", 8),
        ("ings", 7),
        ("ing", 6),
        ("edly", 7),
        ("ied", 5),
        ("ies", 5),
        ("ed", 5),
    ):
        if word.endswith(ending) and len(word) >= least:
            word = word.removesuffix(ending) + ("y" if ending in ("ied", "ies") else "")
            break
    else:
        word = word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word
    return word[:-1] if word.endswith("e") and len(word) > 4 else word


def rarity(passages: Sequence[Passage], words: Sequence[str]) -> dict[str, float]:
    """The weight of each word: log((N + 1) / (n + 0.5)) over the sentences of the passages."""
    sentences = [frozenset(content_words(text)) for passage in passages for text in passage.sentences]
    count = Counter(word for sentence in sentences for word in sentence.intersection(words))
    return {word: math.log((len(sentences) + 1) / (count[word] + 0.5)) for word in words}


def share(words: frozenset[str], wanted: dict[str, float]) -> float:
    """The share of the wanted words' weight that `words` holds."""
    total = sum(wanted.values())
    return sum(weight for word, weight in wanted.items() if word in words) / total if total > 0 else 0.0


def lexical_scores(question: str, passages: Sequence[Passage]) -> list[list[float]]:
    """For each sentence of each passage the share of the question's words in it, rare words counting more."""
    wanted = rarity(passages, content_words(question))
    return [
        [share(frozenset(content_words(text)), wanted) for text in passage.sentences] for passage in passages
    ]


def features(question: str, passages: Sequence[Passage], cosines: Sequence[Sequence[float]]) -> Numbers:
    """One row a sentence, one column for each of FEATURES, passages in order.

    `cosines` holds the similarity of question and sentence, NaN for a sentence that was not embedded.
    Passages come best first.
    """
    asked = content_words(question)
    wanted = rarity(passages, asked)
    pairs = frozenset(pairwise(asked))
    kind = kind_of(question)
    lengths = [len(content_words(text)) for passage in passages for text in passage.sentences]
    mean_length = max(1.0, sum(lengths) / max(1, len(lengths)))
    best = max((passage.score for passage in passages), default=0.0)
    rows = []
    for place, (passage, similar) in enumerate(zip(passages, cosines, strict=True)):
        seen = np.asarray(similar, dtype=np.float64)
        known = np.nan_to_num(seen, nan=0.0)
        top = float(np.nanmax(seen)) if np.isfinite(seen).any() else 0.0
        stems = [content_words(text) for text in passage.sentences]
        heading = frozenset(content_words(passage.heading))
        whole = share(heading.union(*stems, *map(content_words, passage.leads)), wanted)
        in_title = share(heading, wanted)
        for number, text in enumerate(passage.sentences):
            words = frozenset(stems[number])
            lead = frozenset(content_words(passage.leads[number])) if passage.leads else frozenset()
            row = bool(passage.rows) and passage.rows[number]
            before = frozenset(stems[number - 1]) if number else frozenset()
            rows.append(
                [
                    known[number],
                    known[number - 1] if number else top,
                    known[number + 1] if number + 1 < len(known) else 0.0,
                    top,
                    share(words, wanted),
                    share(words | before | heading | lead, wanted),
                    whole,
                    in_title,
                    shared_pairs(pairs, stems[number]),
                    bm25(stems[number], wanted, mean_length),
                    passage.score - best,
                    1 / (1 + place),
                    *held_columns(kind, text),
                    math.log1p(len(words - set(asked))),
                    math.log1p(len(stems[number])),
                    float(len(stems[number]) < 4),
                    float(text.rstrip().endswith("?")),
                    float(bool(PRONOUN.match(text))),
                    float(number == 0),
                    number / len(passage.sentences),
                    float(row),
                    float(not row and not text.endswith(SENTENCE_ENDS)),
                ]
            )
    return np.asarray(rows, dtype=np.float64).reshape(-1, len(FEATURES))


def shared_pairs(pairs: frozenset[tuple[str, str]], words: Sequence[str]) -> float:
    """The share of the question's pairs of neighbouring words that stand side by side in the sentence."""
    if not pairs:
        return 0.0
    return len(pairs.intersection(pairwise(words))) / len(pairs)


def bm25(words: Sequence[str], wanted: dict[str, float], mean_length: float) -> float:
    """Okapi BM25 of a sentence (k1 1.2, b 0.75), a tenth of it so that it is of the others' size."""
    count = Counter(word for word in words if word in wanted)
    norm = 1.2 * (0.25 + 0.75 * len(words) / mean_length)
    return 0.1 * sum(wanted[word] * n * 2.2 / (n + norm) for word, n in count.items())


def confidence_features(question: str, rows: Numbers, scores: Numbers) -> Numbers:
    """What says whether the best sentences answer at all, shape (len(CONFIDENCE_FEATURES),).

    `rows` and `scores` are those of all sentences, best first.
    """
    top = scores[0]
    shares = np.exp(scores - top)
    shares /= shares.sum()
    cosines = np.sort(rows[:, FEATURES.index("cosine")])[::-1]
    held = [rows[:, FEATURES.index(name)].max() for name in ("overlap", "overlap_near", "overlap_block")]
    whole = [
        top,
        top - scores[min(1, len(scores) - 1)],
        top - scores[min(4, len(scores) - 1)],
        -float((shares * np.log(shares + 1e-12)).sum()),
        cosines[0],
        cosines[:3].mean(),
        rows[:3, FEATURES.index("cosine")].mean(),
        *held,
        len(content_words(question)),
        float(kind_of(question) is None),
    ]
    return np.concatenate([rows[0], np.asarray(whole, dtype=np.float64)])
