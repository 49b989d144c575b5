"""The text of the compiled loops over plain tables, in LLVM's language, and the words such text is made of.

Pure: no torch, no llvmlite.
"""

HEAD_STEP = 32
"""Columns of the output head taken at a time."""

LANES = 8
"""Floats of one vector where the layout does not set it; LLVM splits or joins them for the processor."""


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


def head_loop(kind: str) -> str:
    """head_KIND(hidden, table, logits, first, last, width): one dot product a row, widened as it is read."""
    one, names = f"<{LANES} x float>", range(HEAD_STEP // LANES)
    phis = [f"%a{i} = phi {one} [zeroinitializer, %row], [%n{i}, %column]" for i in names]
    steps = []
    for i in names:
        steps += [
            f"%k{i} = add i64 %k, {LANES * i}",
            f"%hidden.at{i} = getelementptr float, ptr %hidden, i64 %k{i}",
            f"%x{i} = load {one}, ptr %hidden.at{i}, align 4",
            f"%table.at{i} = getelementptr i16, ptr %row.at, i64 %k{i}",
            f"%w{i} = load <{LANES} x i16>, ptr %table.at{i}, align 2",
            *widened(kind, i),
            f"%p{i} = fmul contract {one} %f{i}, %x{i}",
            f"%n{i} = fadd contract {one} %a{i}, %p{i}",
        ]
    return f"""
define void @head_{kind}(ptr noalias %hidden, ptr noalias %table, ptr noalias %logits,
                         i64 %first, i64 %last, i64 %width) {{
entry:
  br label %row
row:
  %r = phi i64 [%first, %entry], [%r.next, %row.end]
  %row.offset = mul i64 %r, %width
  %row.at = getelementptr i16, ptr %table, i64 %row.offset
  br label %column
column:
  %k = phi i64 [0, %row], [%k.next, %column]
  {lines(phis)}
  {lines(steps)}
  %k.next = add i64 %k, {HEAD_STEP}
  %k.more = icmp ult i64 %k.next, %width
  br i1 %k.more, label %column, label %row.end
row.end:
  %s0 = fadd {one} %n0, %n1
  %s1 = fadd {one} %n2, %n3
  %s2 = fadd {one} %s0, %s1
  %sum = call reassoc float @llvm.vector.reduce.fadd.v{LANES}f32(float 0.0, {one} %s2)
  %logit.at = getelementptr float, ptr %logits, i64 %r
  store float %sum, ptr %logit.at, align 4
  %r.next = add i64 %r, 1
  %r.more = icmp ult i64 %r.next, %last
  br i1 %r.more, label %row, label %done
done:
  ret void
}}"""


def rounded_to_bfloat(rows: int) -> list[str]:
    """%wide, finite, to the bits of bfloat in %narrow, halves to even.

    LLVM's own conversion is a call into a library that is not there where the processor has no instruction.
    """
    bits = f"<{rows} x i32>"
    return [
        f"%bits = bitcast <{rows} x float> %wide to {bits}",
        f"%upper = lshr {bits} %bits, {same('i32', rows, 16)}",
        f"%odd = and {bits} %upper, {same('i32', rows, 1)}",
        f"%up = add {bits} %odd, {same('i32', rows, 0x7FFF)}",
        f"%rounded = add {bits} %bits, %up",
        f"%kept = lshr {bits} %rounded, {same('i32', rows, 16)}",
        f"%narrow = trunc {bits} %kept to <{rows} x i16>",
    ]


def lines(single: list[str]) -> str:
    return "\n  ".join(single)


def same(kind: str, lanes: int, value: float) -> str:
    """A vector constant with one value in every lane."""
    return "<" + ", ".join([f"{kind} {value!r}"] * lanes) + ">"


def order_of(places: "list[int] | range") -> str:
    """The mask of a shufflevector."""
    return f"<{len(places)} x i32> <" + ", ".join(f"i32 {place}" for place in places) + ">"
