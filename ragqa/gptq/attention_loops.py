"""The text of the compiled loops of attention for one token, in LLVM's language. Pure: no torch, no llvmlite.

Keys and values lie as bfloat, (heads, capacity, size), `stride` numbers a head; size is a multiple of STEP.
"""

import struct

from ragqa.gptq.loop_text import Function, load, rounded_to_bfloat, same, spread, widened

STEP = 32
"""Numbers of a head taken at a time."""

_EIGHT = "<8 x float>"
_WIDE = f"<{STEP} x float>"
# 2^x for x in [-0.5, 0.5] as its Taylor series, ln(2)^n / n!: relative error below 2e-7.
_POWER = (1.0, 0.6931471806, 0.2402265070, 0.0555041087, 0.0096181291, 0.0013333558, 0.0001540353)


def attention_loops() -> str:
    """`turn`, `keep` and `attend`, and what they call."""
    return "\n".join(
        [
            f"declare {_EIGHT} @llvm.rint.v8f32({_EIGHT})",
            f"declare {_EIGHT} @llvm.maxnum.v8f32({_EIGHT}, {_EIGHT})",
            f"declare float @llvm.vector.reduce.fadd.v{STEP}f32(float, {_WIDE})",
            "declare float @llvm.maxnum.f32(float, float)",
            "declare float @llvm.sqrt.f32(float)",
            _turn(),
            _keep(),
            _attend(),
        ]
    )


def _turn() -> str:
    """turn(states, cosine, sine, first, last, half): rotate heads of 2 · half numbers in place.

    The first half of `sine` is negated, so that x · cosine + (x turned by half) · sine is the rotation.
    """
    function = Function(
        "turn",
        "ptr noalias %states, ptr noalias %cosine, ptr noalias %sine, i64 %first, i64 %last, i64 %half",
    )
    function.write("%size = shl i64 %half, 1")
    with function.counted("h", "%first", "%last"):
        function.write("%h.offset = mul i64 %h, %size")
        with function.counted("k", "0", "%half", 8):
            function.write(
                "%k.half = add i64 %k, %half",
                "%low.offset = add i64 %h.offset, %k",
                "%high.offset = add i64 %h.offset, %k.half",
            )
            for side, offset in (("low", "%k"), ("high", "%k.half")):
                function.write(
                    *load(side, _EIGHT, "%states", f"%{side}.offset", "float", 4),
                    *load(f"cosine.{side}", _EIGHT, "%cosine", offset, "float", 4),
                    *load(f"sine.{side}", _EIGHT, "%sine", offset, "float", 4),
                )
            for side, other in (("low", "high"), ("high", "low")):
                function.write(
                    f"%own.{side} = fmul contract {_EIGHT} %{side}, %cosine.{side}",
                    f"%cross.{side} = fmul contract {_EIGHT} %{other}, %sine.{side}",
                    f"%turned.{side} = fadd contract {_EIGHT} %own.{side}, %cross.{side}",
                    f"store {_EIGHT} %turned.{side}, ptr %{side}.at, align 4",
                )
    return function.text()


def _keep() -> str:
    """keep(states, cache, first, last, size, stride): heads of `size` floats to the cache, as bfloat."""
    function = Function(
        "keep",
        "ptr noalias %states, ptr noalias %cache, i64 %first, i64 %last, i64 %size, i64 %stride",
    )
    with function.counted("h", "%first", "%last"):
        function.write("%from = mul i64 %h, %size", "%to = mul i64 %h, %stride")
        with function.counted("k", "0", "%size", STEP):
            function.write(
                "%from.k = add i64 %from, %k",
                "%to.k = add i64 %to, %k",
                *load("wide", _WIDE, "%states", "%from.k", "float", 4),
                *rounded_to_bfloat(STEP),
                "%to.at = getelementptr i16, ptr %cache, i64 %to.k",
                f"store <{STEP} x i16> %narrow, ptr %to.at, align 2",
            )
    return function.text()


def _attend() -> str:
    """attend(queries, keys, values, mixed, weights, first, last, sharing, size, stride, begin, end, room).

    For each query head: softmax over positions begin … end of its products with the keys, and the values'
    mean under it. `sharing` heads have the same keys. `weights` has `room` floats a head, a multiple of 8
    that holds all positions.
    """
    function = Function(
        "attend",
        "ptr noalias %queries, ptr noalias %keys, ptr noalias %values, ptr noalias %mixed, "
        "ptr noalias %weights, i64 %first, i64 %last, i64 %sharing, i64 %size, i64 %stride, i64 %begin, "
        "i64 %end, i64 %room",
    )
    function.write("""
        %size.float = uitofp i64 %size to float
        %root = call float @llvm.sqrt.f32(float %size.float)
        %scale = fdiv float 1.0, %root
        %count = sub i64 %end, %begin
        %ceiling = add i64 %count, 7
        %padded = and i64 %ceiling, -8
        %begin.offset = mul i64 %begin, %size""")
    with function.counted("h", "%first", "%last"):
        function.write("""
            %group = udiv i64 %h, %sharing
            %group.offset = mul i64 %group, %stride
            %past = add i64 %group.offset, %begin.offset
            %head.keys = getelementptr i16, ptr %keys, i64 %past
            %head.values = getelementptr i16, ptr %values, i64 %past
            %h.offset = mul i64 %h, %size
            %query = getelementptr float, ptr %queries, i64 %h.offset
            %row.offset = mul i64 %h, %room
            %row = getelementptr float, ptr %weights, i64 %row.offset""")
        _score(function)
        _fill(function)
        _weigh(function)
        _mix(function)
    return function.text()


def _score(function: Function) -> None:
    """The products of the head's query with its keys to %row, the greatest to %most.next."""
    with function.counted("t", "0", "%count", carried=(("most", "float", _number(-3e38)),)):
        function.write("%t.offset = mul i64 %t, %size")
        with function.counted("k", "0", "%size", STEP, (("sum", _WIDE, "zeroinitializer"),)):
            function.write(
                *load("query.part", _WIDE, "%query", "%k", "float", 4),
                "%key.offset = add i64 %t.offset, %k",
                *load("w0", f"<{STEP} x i16>", "%head.keys", "%key.offset", "i16", 2),
                *widened("bfloat", 0, STEP),
                f"%times = fmul contract {_WIDE} %query.part, %f0",
                f"%sum.next = fadd contract {_WIDE} %sum, %times",
            )
        function.write(f"""
            %whole = call reassoc float @llvm.vector.reduce.fadd.v{STEP}f32(float 0.0, {_WIDE} %sum.next)
            %scaled = fmul float %whole, %scale
            %row.at = getelementptr float, ptr %row, i64 %t
            store float %scaled, ptr %row.at, align 4
            %most.next = call float @llvm.maxnum.f32(float %most, float %scaled)""")


def _fill(function: Function) -> None:
    """What lies between the last position and the next multiple of 8 gets no weight."""
    function.write(
        "%ragged = icmp ult i64 %count, %padded", "br i1 %ragged, label %ragged.end, label %filled"
    )
    function.begin("ragged.end")
    with function.counted("u", "%count", "%padded"):
        function.write("%fill.at = getelementptr float, ptr %row, i64 %u")
        function.write(f"store float {_number(-3e38)}, ptr %fill.at, align 4")
    function.write("br label %filled")
    function.begin("filled")


def _weigh(function: Function) -> None:
    """exp(score - greatest) in %row, and one over their sum as %share.all."""
    function.write(*spread("most", "float", "%most.next", 8))
    with function.counted("e", "0", "%padded", 8, (("total", _EIGHT, "zeroinitializer"),)):
        function.write(
            *load("scores", _EIGHT, "%row", "%e", "float", 4),
            *_exponential(),
            f"store {_EIGHT} %exponential, ptr %scores.at, align 4",
            f"%total.next = fadd {_EIGHT} %total, %exponential",
        )
    function.write(
        f"%all = call reassoc float @llvm.vector.reduce.fadd.v8f32(float 0.0, {_EIGHT} %total.next)",
        "%share = fdiv float 1.0, %all",
        *spread("share", "float", "%share", STEP),
    )


def _mix(function: Function) -> None:
    """The mean of the head's values under its weights, to its place in `mixed`."""
    with function.counted("j", "0", "%size", STEP):
        with function.counted("v", "0", "%count", carried=(("mean", _WIDE, "zeroinitializer"),)):
            function.write(
                *load("weight", "float", "%row", "%v", "float", 4),
                *spread("weight", "float", "%weight", STEP),
                "%v.offset = mul i64 %v, %size",
                "%value.offset = add i64 %v.offset, %j",
                *load("w1", f"<{STEP} x i16>", "%head.values", "%value.offset", "i16", 2),
                *widened("bfloat", 1, STEP),
                f"%weighted = fmul contract {_WIDE} %weight.all, %f1",
                f"%mean.next = fadd contract {_WIDE} %mean, %weighted",
            )
        function.write(f"""
            %mixed.part = fmul {_WIDE} %mean.next, %share.all
            %mixed.offset = add i64 %h.offset, %j
            %mixed.at = getelementptr float, ptr %mixed, i64 %mixed.offset
            store {_WIDE} %mixed.part, ptr %mixed.at, align 4""")


def _exponential() -> list[str]:
    """%scores to %exponential = exp(scores - most): 2 to a whole power by its bits, the rest by a series."""
    text = [
        f"%below = fsub {_EIGHT} %scores, %most.all",
        f"%kept = call {_EIGHT} @llvm.maxnum.v8f32({_EIGHT} %below, {_EIGHT} {_all(-87.0)})",
        f"%binary = fmul {_EIGHT} %kept, {_all(1.4426950409)}",
        f"%nearest = call {_EIGHT} @llvm.rint.v8f32({_EIGHT} %binary)",
        f"%rest = fsub {_EIGHT} %binary, %nearest",
        f"%p{len(_POWER) - 1} = fadd {_EIGHT} {_all(_POWER[-1])}, {_all(-0.0)}",
    ]
    for place in range(len(_POWER) - 2, -1, -1):
        text += [
            f"%r{place} = fmul contract {_EIGHT} %p{place + 1}, %rest",
            f"%p{place} = fadd contract {_EIGHT} %r{place}, {_all(_POWER[place])}",
        ]
    return [
        *text,
        f"%exponent = fptosi {_EIGHT} %nearest to <8 x i32>",
        f"%biased = add <8 x i32> %exponent, {same('i32', 8, 127)}",
        f"%bits = shl <8 x i32> %biased, {same('i32', 8, 23)}",
        f"%two = bitcast <8 x i32> %bits to {_EIGHT}",
        f"%exponential = fmul {_EIGHT} %p0, %two",
    ]


def _number(value: float) -> str:
    """A float constant: LLVM takes those that are no short decimals as the bits of a double."""
    (rounded,) = struct.unpack("<f", struct.pack("<f", value))
    return f"0x{struct.unpack('<Q', struct.pack('<d', rounded))[0]:016X}"


def _all(value: float) -> str:
    return "<" + ", ".join([f"float {_number(value)}"] * 8) + ">"
