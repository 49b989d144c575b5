"""The text of the compiled loops in LLVM's language. Pure: no torch, no llvmlite.

A weight lies in tiles of `rows` outputs. Of each column of a tile there are rows / 2 bytes: byte i holds the
code of row i in its low half and of row i + rows / 2 in its high one. Scales (half) and zeros (i8) are
(tiles, groups, rows). All loops run at least once, over tiles or rows `first` … `last`.
"""

from ragqa.gptq.attention_loops import attention_loops
from ragqa.gptq.dense_loops import LANES, head_loop, lines, order_of, rounded_to_bfloat, same


def all_loops(rows: int) -> str:
    """One module with every loop for tiles of `rows` outputs."""
    quarter, whole, head = f"<{rows // 4} x float>", f"<{rows} x float>", f"<{LANES} x float>"
    declared = [
        f"declare {quarter} @llvm.fmuladd.v{rows // 4}f32({quarter}, {quarter}, {quarter})",
        f"declare {whole} @llvm.fmuladd.v{rows}f32({whole}, {whole}, {whole})",
        f"declare float @llvm.vector.reduce.fadd.v{LANES}f32(float, {head})",
    ]
    dequantizing = [dequantize_loop(rows, kind) for kind in ("float", "bfloat")]
    heads = [head_loop(kind) for kind in ("half", "bfloat")]
    once = [prepare_loop(), product_loop(rows), attention_loops()]
    return "\n".join([*declared, *once, *dequantizing, *heads])


def prepare_loop() -> str:
    """prepare(inputs, order, ordered, sums, groups, size): inputs in the weight's order, and sums by group.

    A null `order` is in order.
    """
    return """
define void @prepare(ptr noalias %inputs, ptr noalias %order, ptr noalias %ordered, ptr noalias %sums,
                     i64 %groups, i64 %size) {
entry:
  %straight = icmp eq ptr %order, null
  br label %group
group:
  %g = phi i64 [0, %entry], [%g.next, %group.end]
  %base = mul i64 %g, %size
  br label %column
column:
  %k = phi i64 [0, %group], [%k.next, %column.end]
  %sum = phi float [0.0, %group], [%sum.next, %column.end]
  %place = add i64 %base, %k
  br i1 %straight, label %column.end, label %lookup
lookup:
  %order.at = getelementptr i64, ptr %order, i64 %place
  %found = load i64, ptr %order.at, align 8
  br label %column.end
column.end:
  %from = phi i64 [%place, %column], [%found, %lookup]
  %input.at = getelementptr float, ptr %inputs, i64 %from
  %input = load float, ptr %input.at, align 4
  %ordered.at = getelementptr float, ptr %ordered, i64 %place
  store float %input, ptr %ordered.at, align 4
  %sum.next = fadd reassoc float %sum, %input
  %k.next = add i64 %k, 1
  %k.more = icmp ult i64 %k.next, %size
  br i1 %k.more, label %column, label %group.end
group.end:
  %sum.at = getelementptr float, ptr %sums, i64 %g
  store float %sum.next, ptr %sum.at, align 4
  %g.next = add i64 %g, 1
  %g.more = icmp ult i64 %g.next, %groups
  br i1 %g.more, label %group, label %done
done:
  ret void
}"""


def product_loop(rows: int) -> str:
    """product(ordered, sums, codes, scales, zeros, target, first, last, groups, size), target[row] fp32.

    Two columns of a tile are one vector of rows / 4 integers of eight codes each. The codes of one place are
    masked out, turned to float where they are and multiplied: code · 16^place, and 16^place is divided out at
    the end of the group. No shift, no unpacking of bytes: 3 instructions for 8 weights with AVX2. Then
    Σ (code - zero) · x · scale is taken as (Σ code · x - zero · Σ x) · scale.
    """
    lanes = rows // 4
    pair = order_of([0] * (lanes // 2) + [1] * (lanes // 2))
    one, bits, whole = f"<{lanes} x float>", f"<{lanes} x i32>", f"<{rows} x float>"
    phis = [f"%a{i} = phi {one} [zeroinitializer, %group], [%n{i}, %column]" for i in range(8)]
    steps = []
    for i in range(8):
        steps += [
            f"%q{i} = lshr {bits} %codes.pair, {same('i32', lanes, 28)}"
            if i == 7  # the last place has the sign bit
            else f"%q{i} = and {bits} %codes.pair, {same('i32', lanes, 15 << 4 * i)}",
            f"%f{i} = sitofp {bits} %q{i} to {one}",
            f"%n{i} = call {one} @llvm.fmuladd.v{lanes}f32({one} %f{i}, {one} %input, {one} %a{i})",
        ]
    return f"""
define void @product(ptr noalias %ordered, ptr noalias %sums, ptr noalias %codes, ptr noalias %scales,
                     ptr noalias %zeros, ptr noalias %target, i64 %first, i64 %last,
                     i64 %groups, i64 %size) {{
entry:
  %columns = mul i64 %groups, %size
  %tile.bytes = mul i64 %columns, {rows // 2}
  br label %tile
tile:
  %t = phi i64 [%first, %entry], [%t.next, %tile.end]
  %tile.offset = mul i64 %t, %tile.bytes
  %tile.codes = getelementptr i8, ptr %codes, i64 %tile.offset
  br label %group
group:
  %g = phi i64 [0, %tile], [%g.next, %group.end]
  %total = phi {whole} [zeroinitializer, %tile], [%total.next, %group.end]
  %g.column = mul i64 %g, %size
  %group.inputs = getelementptr float, ptr %ordered, i64 %g.column
  %group.offset = mul i64 %g.column, {rows // 2}
  %group.codes = getelementptr i8, ptr %tile.codes, i64 %group.offset
  br label %column
column:
  %k = phi i64 [0, %group], [%k.next, %column]
  {lines(phis)}
  %k.offset = mul i64 %k, {rows // 2}
  %codes.at = getelementptr i8, ptr %group.codes, i64 %k.offset
  %codes.pair = load {bits}, ptr %codes.at, align 1
  %input.at = getelementptr float, ptr %group.inputs, i64 %k
  %input.pair = load <2 x float>, ptr %input.at, align 4
  %input = shufflevector <2 x float> %input.pair, <2 x float> poison, {pair}
  {lines(steps)}
  %k.next = add i64 %k, 2
  %k.more = icmp ult i64 %k.next, %size
  br i1 %k.more, label %column, label %group.end
group.end:
  {lines(_rows_in_order(rows))}
  {lines(_constants(rows))}
  %sum.at = getelementptr float, ptr %sums, i64 %g
  %sum = load float, ptr %sum.at, align 4
  %minus = fneg float %sum
  %minus.one = insertelement {whole} poison, float %minus, i32 0
  %minus.all = shufflevector {whole} %minus.one, {whole} poison, {order_of([0] * rows)}
  %centred = call {whole} @llvm.fmuladd.v{rows}f32({whole} %zero, {whole} %minus.all, {whole} %part)
  %total.next = call {whole} @llvm.fmuladd.v{rows}f32({whole} %centred, {whole} %scale, {whole} %total)
  %g.next = add i64 %g, 1
  %g.more = icmp ult i64 %g.next, %groups
  br i1 %g.more, label %group, label %tile.end
tile.end:
  %t.row = mul i64 %t, {rows}
  %target.at = getelementptr float, ptr %target, i64 %t.row
  store {whole} %total.next, ptr %target.at, align 4
  %t.next = add i64 %t, 1
  %t.more = icmp ult i64 %t.next, %last
  br i1 %t.more, label %tile, label %done
done:
  ret void
}}"""


def _rows_in_order(rows: int) -> list[str]:
    """%n0 … %n7 (place, with two columns side by side) to %part, the tile's rows in order."""
    lanes, half = rows // 4, rows // 8
    one, part = f"<{lanes} x float>", f"<{half} x float>"
    text = []
    for i in range(8):
        undo = 1.0 if i == 7 else 2.0 ** (-4 * i)
        text += [
            f"%even{i} = shufflevector {one} %n{i}, {one} poison, {order_of(range(half))}",
            f"%odd{i} = shufflevector {one} %n{i}, {one} poison, {order_of(range(half, lanes))}",
            f"%both{i} = fadd {part} %even{i}, %odd{i}",
            f"%j0.{i} = fmul {part} %both{i}, {same('float', half, undo)}",
        ]
    # Place 2j is byte j's low half, 2j + 1 its high one; byte j of integer i belongs to rows 4i + j.
    names, size = [f"%j0.{i}" for i in (0, 2, 4, 6, 1, 3, 5, 7)], half
    for level in (1, 2, 3):
        joined = [f"%j{level}.{i}" for i in range(len(names) // 2)]
        for name, left, right in zip(joined, names[::2], names[1::2], strict=True):
            kind = f"<{size} x float>"
            text.append(f"{name} = shufflevector {kind} {left}, {kind} {right}, {order_of(range(2 * size))}")
        names, size = joined, 2 * size
    places = [0] * rows
    for high in range(2):
        for byte in range(4):
            for integer in range(half):
                places[high * rows // 2 + 4 * integer + byte] = (high * 4 + byte) * half + integer
    whole = f"<{rows} x float>"
    return [*text, f"%part = shufflevector {whole} {names[0]}, {whole} poison, {order_of(places)}"]


def _constants(rows: int) -> list[str]:
    """%scale and %zero of tile %t, group %g, as floats."""
    return [
        "%t.groups = mul i64 %t, %groups",
        "%t.group = add i64 %t.groups, %g",
        f"%constant = mul i64 %t.group, {rows}",
        "%scale.at = getelementptr half, ptr %scales, i64 %constant",
        f"%scale.half = load <{rows} x half>, ptr %scale.at, align 2",
        f"%scale = fpext <{rows} x half> %scale.half to <{rows} x float>",
        "%zero.at = getelementptr i8, ptr %zeros, i64 %constant",
        f"%zero.byte = load <{rows} x i8>, ptr %zero.at, align 1",
        f"%zero = uitofp <{rows} x i8> %zero.byte to <{rows} x float>",
    ]


def dequantize_loop(rows: int, kind: str) -> str:
    """dequantize_KIND(codes, scales, zeros, target, first, last, groups, size, stride).

    Column k of row r of the weight goes to target[k · stride + r], rounded once from (code - zero) · scale in
    fp32.
    """
    half, whole = rows // 2, f"<{rows} x float>"
    value, held = ("%wide", "float") if kind == "float" else ("%narrow", "i16")
    rounding = [] if kind == "float" else rounded_to_bfloat(rows)
    return f"""
define void @dequantize_{kind}(ptr noalias %codes, ptr noalias %scales, ptr noalias %zeros,
                               ptr noalias %target, i64 %first, i64 %last,
                               i64 %groups, i64 %size, i64 %stride) {{
entry:
  %columns = mul i64 %groups, %size
  br label %tile
tile:
  %t = phi i64 [%first, %entry], [%t.next, %tile.end]
  %tile.column = mul i64 %t, %columns
  %tile.row = mul i64 %t, {rows}
  br label %group
group:
  %g = phi i64 [0, %tile], [%g.next, %group.end]
  {lines(_constants(rows))}
  %g.column = mul i64 %g, %size
  br label %column
column:
  %k = phi i64 [0, %group], [%k.next, %column]
  %at = add i64 %g.column, %k
  %place = add i64 %tile.column, %at
  %offset = mul i64 %place, {half}
  %codes.at = getelementptr i8, ptr %codes, i64 %offset
  %codes.byte = load <{half} x i8>, ptr %codes.at, align 1
  %low = and <{half} x i8> %codes.byte, {same("i8", half, 15)}
  %high = lshr <{half} x i8> %codes.byte, {same("i8", half, 4)}
  %both = shufflevector <{half} x i8> %low, <{half} x i8> %high, {order_of(range(rows))}
  %code = uitofp <{rows} x i8> %both to {whole}
  %centred = fsub {whole} %code, %zero
  %wide = fmul {whole} %centred, %scale
  {lines(rounding)}
  %line = mul i64 %at, %stride
  %to = add i64 %line, %tile.row
  %target.at = getelementptr {held}, ptr %target, i64 %to
  store <{rows} x {held}> {value}, ptr %target.at, align 2
  %k.next = add i64 %k, 1
  %k.more = icmp ult i64 %k.next, %size
  br i1 %k.more, label %column, label %group.end
group.end:
  %g.next = add i64 %g, 1
  %g.more = icmp ult i64 %g.next, %groups
  br i1 %g.more, label %group, label %tile.end
tile.end:
  %t.next = add i64 %t, 1
  %t.more = icmp ult i64 %t.next, %last
  br i1 %t.more, label %tile, label %done
done:
  ret void
}}"""
