"""The text of the compiled loops of attention for one token, in LLVM's language. Pure: no torch, no llvmlite.

Keys and values lie as bfloat, (heads, capacity, size), `stride` numbers a head; size is a multiple of STEP.
"""

import struct

from ragqa.gptq.dense_loops import lines, rounded_to_bfloat, same, widened

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
    text = []
    for name, table in (("cosine", "%cosine"), ("sine", "%sine")):
        text += [
            f"%{name}.at = getelementptr float, ptr {table}, i64 %k",
            f"%{name}.low = load {_EIGHT}, ptr %{name}.at, align 4",
            f"%{name}.on = getelementptr float, ptr {table}, i64 %k.half",
            f"%{name}.high = load {_EIGHT}, ptr %{name}.on, align 4",
        ]
    for side, other in (("low", "high"), ("high", "low")):
        text += [
            f"%own.{side} = fmul contract {_EIGHT} %{side}, %cosine.{side}",
            f"%cross.{side} = fmul contract {_EIGHT} %{other}, %sine.{side}",
            f"%turned.{side} = fadd contract {_EIGHT} %own.{side}, %cross.{side}",
        ]
    return f"""
define void @turn(ptr noalias %states, ptr noalias %cosine, ptr noalias %sine, i64 %first, i64 %last,
                  i64 %half) {{
entry:
  %size = shl i64 %half, 1
  br label %head
head:
  %h = phi i64 [%first, %entry], [%h.next, %head.end]
  %h.offset = mul i64 %h, %size
  br label %step
step:
  %k = phi i64 [0, %head], [%k.next, %step]
  %k.half = add i64 %k, %half
  %low.offset = add i64 %h.offset, %k
  %high.offset = add i64 %h.offset, %k.half
  %low.at = getelementptr float, ptr %states, i64 %low.offset
  %high.at = getelementptr float, ptr %states, i64 %high.offset
  %low = load {_EIGHT}, ptr %low.at, align 4
  %high = load {_EIGHT}, ptr %high.at, align 4
  {lines(text)}
  store {_EIGHT} %turned.low, ptr %low.at, align 4
  store {_EIGHT} %turned.high, ptr %high.at, align 4
  %k.next = add i64 %k, 8
  %k.more = icmp ult i64 %k.next, %half
  br i1 %k.more, label %step, label %head.end
head.end:
  %h.next = add i64 %h, 1
  %h.more = icmp ult i64 %h.next, %last
  br i1 %h.more, label %head, label %done
done:
  ret void
}}"""


def _keep() -> str:
    """keep(states, cache, first, last, size, stride): heads of `size` floats to the cache, as bfloat."""
    return f"""
define void @keep(ptr noalias %states, ptr noalias %cache, i64 %first, i64 %last, i64 %size, i64 %stride) {{
entry:
  br label %head
head:
  %h = phi i64 [%first, %entry], [%h.next, %head.end]
  %from = mul i64 %h, %size
  %to = mul i64 %h, %stride
  br label %step
step:
  %k = phi i64 [0, %head], [%k.next, %step]
  %from.k = add i64 %from, %k
  %to.k = add i64 %to, %k
  %from.at = getelementptr float, ptr %states, i64 %from.k
  %wide = load {_WIDE}, ptr %from.at, align 4
  {lines(rounded_to_bfloat(STEP))}
  %to.at = getelementptr i16, ptr %cache, i64 %to.k
  store <{STEP} x i16> %narrow, ptr %to.at, align 2
  %k.next = add i64 %k, {STEP}
  %k.more = icmp ult i64 %k.next, %size
  br i1 %k.more, label %step, label %head.end
head.end:
  %h.next = add i64 %h, 1
  %h.more = icmp ult i64 %h.next, %last
  br i1 %h.more, label %head, label %done
done:
  ret void
}}"""


def _attend() -> str:
    """attend(queries, keys, values, mixed, weights, first, last, sharing, size, stride, begin, end, room).

    For each query head: softmax over positions begin … end of its products with the keys, and the values'
    mean under it. `sharing` heads have the same keys. `weights` has `room` floats a head, a multiple of 8
    that holds all positions.
    """
    return f"""
define void @attend(ptr noalias %queries, ptr noalias %keys, ptr noalias %values, ptr noalias %mixed,
                    ptr noalias %weights, i64 %first, i64 %last, i64 %sharing, i64 %size, i64 %stride,
                    i64 %begin, i64 %end, i64 %room) {{
entry:
  %size.float = uitofp i64 %size to float
  %root = call float @llvm.sqrt.f32(float %size.float)
  %scale = fdiv float 1.0, %root
  %count = sub i64 %end, %begin
  br label %head
head:
  %h = phi i64 [%first, %entry], [%h.next, %head.end]
  %group = udiv i64 %h, %sharing
  %group.offset = mul i64 %group, %stride
  %begin.offset = mul i64 %begin, %size
  %past = add i64 %group.offset, %begin.offset
  %head.keys = getelementptr i16, ptr %keys, i64 %past
  %head.values = getelementptr i16, ptr %values, i64 %past
  %h.offset = mul i64 %h, %size
  %query = getelementptr float, ptr %queries, i64 %h.offset
  %row.offset = mul i64 %h, %room
  %row = getelementptr float, ptr %weights, i64 %row.offset
  br label %score
score:
  %t = phi i64 [0, %head], [%t.next, %score.end]
  %most = phi float [{_number(-3e38)}, %head], [%most.next, %score.end]
  %t.offset = mul i64 %t, %size
  br label %product
product:
  %k = phi i64 [0, %score], [%k.next, %product]
  %sum = phi {_WIDE} [zeroinitializer, %score], [%sum.next, %product]
  %query.at = getelementptr float, ptr %query, i64 %k
  %query.part = load {_WIDE}, ptr %query.at, align 4
  %key.offset = add i64 %t.offset, %k
  %key.at = getelementptr i16, ptr %head.keys, i64 %key.offset
  %w0 = load <{STEP} x i16>, ptr %key.at, align 2
  {lines(widened("bfloat", 0, STEP))}
  %times = fmul contract {_WIDE} %query.part, %f0
  %sum.next = fadd contract {_WIDE} %sum, %times
  %k.next = add i64 %k, {STEP}
  %k.more = icmp ult i64 %k.next, %size
  br i1 %k.more, label %product, label %score.end
score.end:
  %whole = call reassoc float @llvm.vector.reduce.fadd.v{STEP}f32(float 0.0, {_WIDE} %sum.next)
  %scaled = fmul float %whole, %scale
  %row.at = getelementptr float, ptr %row, i64 %t
  store float %scaled, ptr %row.at, align 4
  %most.next = call float @llvm.maxnum.f32(float %most, float %scaled)
  %t.next = add i64 %t, 1
  %t.more = icmp ult i64 %t.next, %count
  br i1 %t.more, label %score, label %fill.start
fill.start:
  %ceiling = add i64 %count, 7
  %padded = and i64 %ceiling, -8
  %ragged = icmp ult i64 %count, %padded
  br i1 %ragged, label %fill, label %power.start
fill:
  %u = phi i64 [%count, %fill.start], [%u.next, %fill]
  %fill.at = getelementptr float, ptr %row, i64 %u
  store float {_number(-3e38)}, ptr %fill.at, align 4
  %u.next = add i64 %u, 1
  %u.more = icmp ult i64 %u.next, %padded
  br i1 %u.more, label %fill, label %power.start
power.start:
  %most.one = insertelement {_EIGHT} poison, float %most.next, i32 0
  %most.all = shufflevector {_EIGHT} %most.one, {_EIGHT} poison, <8 x i32> zeroinitializer
  br label %power
power:
  %e = phi i64 [0, %power.start], [%e.next, %power]
  %total = phi {_EIGHT} [zeroinitializer, %power.start], [%total.next, %power]
  %power.at = getelementptr float, ptr %row, i64 %e
  %scores = load {_EIGHT}, ptr %power.at, align 4
  {lines(_exponential())}
  store {_EIGHT} %exponential, ptr %power.at, align 4
  %total.next = fadd {_EIGHT} %total, %exponential
  %e.next = add i64 %e, 8
  %e.more = icmp ult i64 %e.next, %padded
  br i1 %e.more, label %power, label %mix.start
mix.start:
  %all = call reassoc float @llvm.vector.reduce.fadd.v8f32(float 0.0, {_EIGHT} %total.next)
  %share = fdiv float 1.0, %all
  %share.one = insertelement {_WIDE} poison, float %share, i32 0
  %share.all = shufflevector {_WIDE} %share.one, {_WIDE} poison, <{STEP} x i32> zeroinitializer
  br label %mix
mix:
  %j = phi i64 [0, %mix.start], [%j.next, %mix.end]
  br label %value
value:
  %v = phi i64 [0, %mix], [%v.next, %value]
  %mean = phi {_WIDE} [zeroinitializer, %mix], [%mean.next, %value]
  %weight.at = getelementptr float, ptr %row, i64 %v
  %weight = load float, ptr %weight.at, align 4
  %weight.one = insertelement {_WIDE} poison, float %weight, i32 0
  %weight.all = shufflevector {_WIDE} %weight.one, {_WIDE} poison, <{STEP} x i32> zeroinitializer
  %v.offset = mul i64 %v, %size
  %value.offset = add i64 %v.offset, %j
  %value.at = getelementptr i16, ptr %head.values, i64 %value.offset
  %w1 = load <{STEP} x i16>, ptr %value.at, align 2
  {lines(widened("bfloat", 1, STEP))}
  %weighted = fmul contract {_WIDE} %weight.all, %f1
  %mean.next = fadd contract {_WIDE} %mean, %weighted
  %v.next = add i64 %v, 1
  %v.more = icmp ult i64 %v.next, %count
  br i1 %v.more, label %value, label %mix.end
mix.end:
  %mixed.part = fmul {_WIDE} %mean.next, %share.all
  %mixed.offset = add i64 %h.offset, %j
  %mixed.at = getelementptr float, ptr %mixed, i64 %mixed.offset
  store {_WIDE} %mixed.part, ptr %mixed.at, align 4
  %j.next = add i64 %j, {STEP}
  %j.more = icmp ult i64 %j.next, %size
  br i1 %j.more, label %mix, label %head.end
head.end:
  %h.next = add i64 %h, 1
  %h.more = icmp ult i64 %h.next, %last
  br i1 %h.more, label %head, label %done
done:
  ret void
}}"""


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
