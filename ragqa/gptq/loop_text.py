"""Writes functions of counted loops in LLVM's language, and the words their lines are made of.

Pure: no torch, no llvmlite.
"""

from collections.abc import Iterator
from contextlib import contextmanager

LANES = 8
"""Floats of one vector where the layout does not set it; LLVM splits or joins them for the processor."""


class Function:
    """The text of one function: lines in turn, loops that count, blocks to branch to.

    `block` is the label of the block being written, as phi nodes name it.
    """

    def __init__(self, name: str, arguments: str) -> None:
        self._lines = [f"define void @{name}({arguments}) {{", "entry:"]
        self.block = "entry"

    def write(self, *text: str) -> None:
        """Append lines to the current block."""
        self._lines += [f"  {line.strip()}" for one in text for line in one.strip().splitlines()]

    def begin(self, label: str) -> None:
        """Begin a block; the one before must have branched."""
        self._lines.append(f"{label}:")
        self.block = label

    @contextmanager
    def counted(
        self, name: str, first: str, last: str, step: int = 1, carried: tuple[tuple[str, str, str], ...] = ()
    ) -> Iterator[None]:
        """A loop over %name from `first`, by `step`, while it is below `last`; run at least once.

        What is written inside is its body. carried: (name, type, first value) of what one round hands to the
        next: %name at its beginning, and the body gives %name.next.
        """
        before, label = self.block, f"{name}.loop"
        self.write(f"br label %{label}")
        self.begin(label)
        place = len(self._lines)
        yield
        values = ((name, "i64", first), *carried)
        self._lines[place:place] = [
            f"  %{one} = phi {kind} [{start}, %{before}], [%{one}.next, %{self.block}]"
            for one, kind, start in values
        ]
        self.write(
            f"%{name}.next = add i64 %{name}, {step}",
            f"%{name}.more = icmp ult i64 %{name}.next, {last}",
            f"br i1 %{name}.more, label %{label}, label %{name}.done",
        )
        self.begin(f"{name}.done")

    def text(self) -> str:
        """The whole function, returning here."""
        return "\n".join([*self._lines, "  ret void", "}"])


def load(value: str, kind: str, base: str, offset: str, element: str, align: int) -> tuple[str, str]:
    """%value of `kind`, from `offset` elements of type `element` behind the pointer `base`."""
    return (
        f"%{value}.at = getelementptr {element}, ptr {base}, i64 {offset}",
        f"%{value} = load {kind}, ptr %{value}.at, align {align}",
    )


def widened(kind: str, number: int, lanes: int = LANES) -> list[str]:
    """%w0, the bits of floats of `kind`, to %f0."""
    floats, bits = f"<{lanes} x float>", f"<{lanes} x i32>"
    if kind == "half":
        return [
            f"%h{number} = bitcast <{lanes} x i16> %w{number} to <{lanes} x half>",
            f"%f{number} = fpext <{lanes} x half> %h{number} to {floats}",
        ]
    return [
        f"%z{number} = zext <{lanes} x i16> %w{number} to {bits}",
        f"%b{number} = shl {bits} %z{number}, {same('i32', lanes, 16)}",
        f"%f{number} = bitcast {bits} %b{number} to {floats}",
    ]


def rounded_to_bfloat(lanes: int) -> list[str]:
    """%wide, finite, to the bits of bfloat in %narrow, halves to even.

    LLVM's own conversion is a call into a library that is not there where the processor has no instruction.
    """
    bits = f"<{lanes} x i32>"
    return [
        f"%bits = bitcast <{lanes} x float> %wide to {bits}",
        f"%upper = lshr {bits} %bits, {same('i32', lanes, 16)}",
        f"%odd = and {bits} %upper, {same('i32', lanes, 1)}",
        f"%up = add {bits} %odd, {same('i32', lanes, 0x7FFF)}",
        f"%rounded = add {bits} %bits, %up",
        f"%kept = lshr {bits} %rounded, {same('i32', lanes, 16)}",
        f"%narrow = trunc {bits} %kept to <{lanes} x i16>",
    ]


def spread(name: str, kind: str, value: str, lanes: int) -> tuple[str, str]:
    """%name.all, a vector with `value` of type `kind` in every lane."""
    vector = f"<{lanes} x {kind}>"
    return (
        f"%{name}.one = insertelement {vector} poison, {kind} {value}, i32 0",
        f"%{name}.all = shufflevector {vector} %{name}.one, {vector} poison, <{lanes} x i32> zeroinitializer",
    )


def same(kind: str, lanes: int, value: float) -> str:
    """A vector constant with one value in every lane."""
    return "<" + ", ".join([f"{kind} {value!r}"] * lanes) + ">"


def order_of(places: "list[int] | range") -> str:
    """The mask of a shufflevector."""
    return f"<{len(places)} x i32> <" + ", ".join(f"i32 {place}" for place in places) + ">"
