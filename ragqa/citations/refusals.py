"""Whether an answer says that it has no answer. Pure.

The forms are few on purpose: a refusal that is missed here is still judged by the check.
"""

import re
from collections.abc import Sequence

from ingest.sentences import sentence_spans
from ragqa.types import REFUSAL, ContextBlock

_GIVEN = r"(?:provided|given|supplied|available|above)"
_PAPERS = r"(?:contexts?|documents?|texts?|passages?|excerpts?|input text|context blocks?)"
_ANY_PAPERS = r"(?:information|input|articles?|sources?|materials?|data|references?)"
# "The data do not show …" may be what a document says; "the provided data do not show …" is about documents.
_CONTEXT = (
    rf"(?:(?:the|this|these|any|my|your|our) )?(?:(?:{_GIVEN} )?{_PAPERS}(?: {_GIVEN}| i have)?"
    rf"|{_GIVEN} {_ANY_PAPERS}|{_ANY_PAPERS} {_GIVEN})"
)
_SAYS = (
    r"(?:contain|provide|mention|specify|include|state|say|give|answer|offer|discuss|indicate|address|have|"
    r"explain|describe|cover|tell|hold|list|reveal|detail|define|identify|clarify)s?"
)
_FOUND = (
    r"(?:mentioned|stated|specified|provided|given|found|available|included|contained|answered|indicated|"
    r"addressed|discussed|explained|described|covered|listed|clear|known|determined|there|present|possible)"
)
_IS_NOT = r"(?:is not|isn't|was not|wasn't|are not|aren't|were not|weren't|cannot be|can't be|could not be)"
_ABOUT = r"(?:about|on|of|regarding|available|provided|given|found|in|to|for|as to)"
_REFUSALS = tuple(
    re.compile(pattern)
    for pattern in (
        r"i (?:do not|don't|cannot|can't|could not|couldn't) (?:know|find|tell|say|answer|determine)\b.*",
        r"i(?:'m| am) (?:not sure|unsure|not able|unable|not certain)\b.*",
        r"i (?:have|found) no (?:information|answer|mention|idea|way)\b.*",
        r"i (?:do not|don't) have (?:enough|sufficient|any|the|that|access|information)\b.*",
        rf"{_CONTEXT} (?:does not|doesn't|do not|don't|did not|didn't) (?:\w+ly )?{_SAYS}\b.*",
        rf"{_CONTEXT} (?:contains?|provides?|gives?|has|have|makes?|offers?) no\b.*",
        rf"(?:there is |there's |there are |there was )?(?:no|not enough|not any|insufficient) (?:\w+ )?"
        rf"(?:information|mention|answer|details?)(?: (?:is |was )?{_ABOUT}\b.*)?",
        rf"there (?:is|are) (?:no|not enough) (?:\w+ )?(?:data|reference|evidence|indication)\b.* {_CONTEXT}",
        rf".{{0,120}}\b{_IS_NOT} (?:\w+ly )?{_FOUND} (?:in|by|from|within) {_CONTEXT}.{{0,40}}",
        rf"(?:it|this|that|the answer|the question|this question|the information)(?: \w+){{0,3}} {_IS_NOT} "
        rf"(?:\w+ly )?{_FOUND}",
        r"(?:it is |it's )?(?:not possible|impossible|unable|not able) to (?:answer|determine|say|know)\b.*",
        rf"(?:not|no answer|nothing) (?:{_FOUND} )?(?:in|by|from|within) {_CONTEXT}.{{0,40}}",
        rf"not (?:{_FOUND}|enough information|answerable)",
        r"n/?a|unknown|unanswerable|no answer|no idea|don't know|no information|no source.{0,40}",
    )
)
_EXCUSES = re.compile(
    r"^(?:(?:i'm |i am )?(?:very )?sorry|unfortunately|i apologi[sz]e|apologies|however|but|"
    r"based on [^,.]{1,60}|as an ai(?: language)?(?: model)?|according to [^,.]{1,60}|from [^,.]{1,60}|"
    r"hello|hi)[,.;:\s]+"
    r"(?:but |that )?"
)
_AFTER_REFUSAL = re.compile(
    r"(?:if you|please|could you|can you|let me|therefore|thus|feel free|is there|would you)\b.*",
    re.DOTALL,
)


def refuses(answer: str, blocks: Sequence[ContextBlock]) -> bool:
    """Whether the whole answer says that the documents do not answer; a quoted sentence never does."""
    said = [_plain(answer[start:end]) for start, end in sentence_spans(answer)]
    if not said:
        return False
    texts = (
        [_plain(block.text) for block in blocks] if any(_is_refusal(sentence) for sentence in said) else []
    )
    refusing = [_is_refusal(s) and not any(stands_in(s, text) for text in texts) for s in said]
    return refusing[0] and all(
        refused or _AFTER_REFUSAL.fullmatch(s) for refused, s in zip(refusing, said, strict=True)
    )


def _is_refusal(sentence: str) -> bool:
    while (shorter := _EXCUSES.sub("", sentence, count=1)) != sentence and shorter:
        sentence = shorter
    sorry = re.fullmatch(r"(?:i'm |i am )?(?:very )?sorry|unfortunately|i apologi[sz]e.{0,40}", sentence)
    return bool(sorry) or sentence == _plain(REFUSAL) or any(p.fullmatch(sentence) for p in _REFUSALS)


def _plain(text: str) -> str:
    return " ".join(text.replace("’", "'").casefold().split()).strip(" .!*\"'")


def stands_in(value: str, text: str) -> bool:
    """Whether the value occurs with no letter, digit or path beside it."""
    at = text.find(value)
    while at >= 0:
        before, after = text[at - 1 : at] if at else "", text[at + len(value) : at + len(value) + 1]
        if not (
            before.isalnum() or after.isalnum() or before in ("/", "-", "_", "\\") or after in ("-", "_")
        ):
            return True
        at = text.find(value, at + 1)
    return False
