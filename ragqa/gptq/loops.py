"""The text of the compiled loops in LLVM's language. Pure: no torch, no llvmlite.

A weight lies in tiles of `rows` outputs. Of each column of a tile there are rows / 2 bytes: byte i holds the
code of row i in its low half and of row i + rows / 2 in its high one. Scales (half) and zeros (i8) are
(tiles, groups, rows). All loops run at least once, over tiles or rows `first` … `last`.
"""

from ragqa.gptq.attention_loops import attention_loops
from ragqa.gptq.dense_loops import head_loop
from ragqa.gptq.loop_text import LANES, Function, load, order_of, rounded_to_bfloat, same, spread


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
    function = Function(
        "prepare",
        "ptr noalias %inputs, ptr noalias %order, ptr noalias %ordered, ptr noalias %sums, i64 %groups, "
        "i64 %size",
    )
    function.write("%straight = icmp eq ptr %order, null")
    with function.counted("g", "0", "%groups"):
        function.write("%base = mul i64 %g, %size")
        with function.counted("k", "0", "%size", carried=(("sum", "float", "0.0"),)):
            function.write("%place = add i64 %base, %k", "br i1 %straight, label %known, label %lookup")
            column = function.block
            function.begin("lookup")
            function.write(*load("found", "i64", "%order", "%place", "i64", 8), "br label %known")
            function.begin("known")
            function.write(
                f"%from = phi i64 [%place, %{column}], [%found, %lookup]",
                *load("input", "float", "%inputs", "%from", "float", 4),
                "%ordered.at = getelementptr float, ptr %ordered, i64 %place",
                "store float %input, ptr %ordered.at, align 4",
                "%sum.next = fadd reassoc float %sum, %input",
            )
        function.write("%sum.at = getelementptr float, ptr %sums, i64 %g")
        function.write("store float %sum.next, ptr %sum.at, align 4")
    return function.text()


def product_loop(rows: int) -> str:
    """product(ordered, sums, codes, scales, zeros, target, first, last, groups, size), target[row] fp32.

    Two columns of a tile are one vector of rows / 4 integers of eight codes each. The codes of one place are
    masked out, turned to float where they are and multiplied: code · 16^place, and 16^place is divided out at
    the end of the group. No shift, no unpacking of bytes: 3 instructions for 8 weights with AVX2. Then
    Σ (code - zero) · x · scale is taken as (Σ code · x - zero · Σ x) · scale.
    """
    lanes, whole, fused = rows // 4, f"<{rows} x float>", f"@llvm.fmuladd.v{rows}f32"
    function = Function(
        "product",
        "ptr noalias %ordered, ptr noalias %sums, ptr noalias %codes, ptr noalias %scales, "
        "ptr noalias %zeros, ptr noalias %target, i64 %first, i64 %last, i64 %groups, i64 %size",
    )
    function.write("%columns = mul i64 %groups, %size", f"%tile.bytes = mul i64 %columns, {rows // 2}")
    sums = tuple((f"a{i}", f"<{lanes} x float>", "zeroinitializer") for i in range(8))
    with function.counted("t", "%first", "%last"):
        function.write("%tile.offset = mul i64 %t, %tile.bytes")
        function.write("%tile.codes = getelementptr i8, ptr %codes, i64 %tile.offset")
        with function.counted("g", "0", "%groups", carried=(("total", whole, "zeroinitializer"),)):
            function.write(f"""
                %g.column = mul i64 %g, %size
                %group.inputs = getelementptr float, ptr %ordered, i64 %g.column
                %group.offset = mul i64 %g.column, {rows // 2}
                %group.codes = getelementptr i8, ptr %tile.codes, i64 %group.offset""")
            with function.counted("k", "0", "%size", 2, sums):
                function.write(*_two_columns(rows))
            function.write(*_rows_in_order(rows), *_constants(rows))
            function.write(*load("sum", "float", "%sums", "%g", "float", 4))
            function.write("%minus = fneg float %sum", *spread("minus", "float", "%minus", rows))
            function.write(f"""
                %centred = call {whole} {fused}({whole} %zero, {whole} %minus.all, {whole} %part)
                %total.next = call {whole} {fused}({whole} %centred, {whole} %scale, {whole} %total)""")
        function.write(f"""
            %t.row = mul i64 %t, {rows}
            %target.at = getelementptr float, ptr %target, i64 %t.row
            store {whole} %total.next, ptr %target.at, align 4""")
    return function.text()


def _two_columns(rows: int) -> list[str]:
    """Columns %k and %k + 1 of a tile, code by code, added to %a0 … %a7."""
    lanes = rows // 4
    one, bits = f"<{lanes} x float>", f"<{lanes} x i32>"
    pair = order_of([0] * (lanes // 2) + [1] * (lanes // 2))
    text = [
        f"%k.offset = mul i64 %k, {rows // 2}",
        *load("codes.pair", bits, "%group.codes", "%k.offset", "i8", 1),
        *load("input.pair", "<2 x float>", "%group.inputs", "%k", "float", 4),
        f"%input = shufflevector <2 x float> %input.pair, <2 x float> poison, {pair}",
    ]
    for i in range(8):
        text += [
            f"%q{i} = lshr {bits} %codes.pair, {same('i32', lanes, 28)}"
            if i == 7  # the last place has the sign bit
            else f"%q{i} = and {bits} %codes.pair, {same('i32', lanes, 15 << 4 * i)}",
            f"%f{i} = sitofp {bits} %q{i} to {one}",
            f"%a{i}.next = call {one} @llvm.fmuladd.v{lanes}f32({one} %f{i}, {one} %input, {one} %a{i})",
        ]
    return text


def _rows_in_order(rows: int) -> list[str]:
    """%a0.next … %a7.next (place, with two columns side by side) to %part, the tile's rows in order."""
    lanes, half = rows // 4, rows // 8
    one, part = f"<{lanes} x float>", f"<{half} x float>"
    text = []
    for i in range(8):
        undo = 1.0 if i == 7 else 2.0 ** (-4 * i)
        text += [
            f"%even{i} = shufflevector {one} %a{i}.next, {one} poison, {order_of(range(half))}",
            f"%odd{i} = shufflevector {one} %a{i}.next, {one} poison, {order_of(range(half, lanes))}",
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
        *load("scale.half", f"<{rows} x half>", "%scales", "%constant", "half", 2),
        f"%scale = fpext <{rows} x half> %scale.half to <{rows} x float>",
        *load("zero.byte", f"<{rows} x i8>", "%zeros", "%constant", "i8", 1),
        f"%zero = uitofp <{rows} x i8> %zero.byte to <{rows} x float>",
    ]


def dequantize_loop(rows: int, kind: str) -> str:
    """dequantize_KIND(codes, scales, zeros, target, first, last, groups, size, stride).

    Column k of row r of the weight goes to target[k · stride + r], rounded once from (code - zero) · scale in
    fp32.
    """
    half, whole = f"<{rows // 2} x i8>", f"<{rows} x float>"
    value, held = ("%wide", "float") if kind == "float" else ("%narrow", "i16")
    function = Function(
        f"dequantize_{kind}",
        "ptr noalias %codes, ptr noalias %scales, ptr noalias %zeros, ptr noalias %target, i64 %first, "
        "i64 %last, i64 %groups, i64 %size, i64 %stride",
    )
    function.write("%columns = mul i64 %groups, %size")
    with function.counted("t", "%first", "%last"):
        function.write("%tile.column = mul i64 %t, %columns", f"%tile.row = mul i64 %t, {rows}")
        with function.counted("g", "0", "%groups"):
            function.write(*_constants(rows), "%g.column = mul i64 %g, %size")
            with function.counted("k", "0", "%size"):
                function.write(
                    "%column = add i64 %g.column, %k",
                    "%place = add i64 %tile.column, %column",
                    f"%offset = mul i64 %place, {rows // 2}",
                    *load("codes.byte", half, "%codes", "%offset", "i8", 1),
                    f"%low = and {half} %codes.byte, {same('i8', rows // 2, 15)}",
                    f"%high = lshr {half} %codes.byte, {same('i8', rows // 2, 4)}",
                    f"%both = shufflevector {half} %low, {half} %high, {order_of(range(rows))}",
                    f"%code = uitofp <{rows} x i8> %both to {whole}",
                    f"%centred = fsub {whole} %code, %zero",
                    f"%wide = fmul {whole} %centred, %scale",
                    *([] if kind == "float" else rounded_to_bfloat(rows)),
                    "%line = mul i64 %column, %stride",
                    "%to = add i64 %line, %tile.row",
                    f"%target.at = getelementptr {held}, ptr %target, i64 %to",
                    f"store <{rows} x {held}> {value}, ptr %target.at, align 2",
                )
    return function.text()
