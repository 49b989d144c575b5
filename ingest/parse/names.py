"""Names of members as labels: hostile ones lose what could act. Pure; a label is never a path."""

import re
from collections.abc import Sequence

SEPARATOR = "!/"
_INVALID = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
_LONGEST = 255


def member_names(outer: str, names: Sequence[str]) -> list[str]:
    """A label for each name, all different, those inside `outer` behind it and `!/`."""
    taken: set[str] = set()
    labels = []
    for name in names:
        label = plain = member_label(name)
        count = 1
        while label in taken:
            count += 1
            label = f"{plain} ({count})"
        taken.add(label)
        labels.append(f"{outer}{SEPARATOR}{label}" if outer else label)
    return labels


def member_label(name: str) -> str:
    """`folder/b.md` for `/x/../folder\\b.md`: no empty, `.` or `..` part, no control character, no `!/`."""
    name = _INVALID.sub("\ufffd", name.replace("\\", "/"))
    parts = [part.strip() for part in name.split("/")]
    kept = [part for part in parts if part not in ("", ".", "..")]
    label = "/".join(kept).replace(SEPARATOR, "!_/")
    if len(label) > _LONGEST:
        label = label[-_LONGEST:].lstrip("/")
    return label or "unnamed"
