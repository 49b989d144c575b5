"""Text that tries to be a marker, a role or a special token, as hypothesis draws it."""

from hypothesis import strategies as st

MARKERS = ("BEGININPUT", "BEGINCONTEXT", "ENDCONTEXT", "ENDINPUT", "BEGININSTRUCTION", "ENDINSTRUCTION")
PIECES = (
    *MARKERS, "USER:", "ASSISTANT:", "System :", "user:", "[INST]", "[/INST]", "<<SYS>>", "<s>", "</s>",
    "<unk>", "<|im_start|>", "<|im_end|>", "<pad>", "### Instruction:", "BEGIN", "END", "INPUT", "CONTEXT",
    "E", "N", "D", "<", "|", ">", ":", "#", " ", "\n", "\r", "\t", "\u200b", "\u200d", "\u00ad", "\u202e",
    "\x00", "\x85", "\u2028", "Ｅ", "ＮＤＩＮＰＵＴ", "：", "＜", "ſ", "\ud800", "date: 2021", "Source:", "é",
    "\u0395", "\u2236", "\U000e0041",
)  # fmt: skip
HOSTILE = st.one_of(
    st.text(st.characters()),
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.lists(st.one_of(st.sampled_from(PIECES), st.text(st.characters(), max_size=3)), max_size=12).map(
        "".join
    ),
)
METADATA = st.lists(st.tuples(HOSTILE, HOSTILE), max_size=4).map(tuple)
