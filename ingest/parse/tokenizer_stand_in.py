"""A light stand-in for `unstructured.nlp.tokenize`, which loads spaCy and downloads a model from the network.

unstructured asks it whether a line could be prose; here every line can be, so that only the file's own markup
makes headings.
"""

import re
import sys
from types import ModuleType

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_WORD = re.compile(r"\w+|[^\w\s]")


def word_tokenize(text: str) -> list[str]:
    """Runs of letters and digits, and each other visible character."""
    return _WORD.findall(text)


def sent_tokenize(text: str) -> list[str]:
    """Sentences by their full stops. unstructured counts them; nupunkt took 40 % of a page's time."""
    return _SENTENCE_END.split(text)


def pos_tag(text: str) -> list[tuple[str, str]]:
    """Each word as a verb: the one tag that unstructured looks for, as the sign of prose."""
    return [(word, "VB") for word in word_tokenize(text)]


def stand_in() -> None:
    """Take the place of unstructured's module. Before unstructured is imported, else it is too late."""
    name = "unstructured.nlp.tokenize"
    if name in sys.modules:
        return
    module = ModuleType(name)
    for function in (word_tokenize, sent_tokenize, pos_tag):
        setattr(module, function.__name__, function)
    sys.modules[name] = module
