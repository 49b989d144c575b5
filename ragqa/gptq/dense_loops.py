"""The text of the compiled loops over plain tables, in LLVM's language. Pure: no torch, no llvmlite."""

from ragqa.gptq.loop_text import LANES, Function, load, widened

HEAD_STEP = 32
"""Columns of the output head taken at a time."""


def head_loop(kind: str) -> str:
    """head_KIND(hidden, table, logits, first, last, width): one dot product a row, widened as it is read."""
    one, parts = f"<{LANES} x float>", range(HEAD_STEP // LANES)
    function = Function(
        f"head_{kind}",
        "ptr noalias %hidden, ptr noalias %table, ptr noalias %logits, i64 %first, i64 %last, i64 %width",
    )
    sums = tuple((f"a{i}", one, "zeroinitializer") for i in parts)
    with function.counted("r", "%first", "%last"):
        function.write("%row.offset = mul i64 %r, %width")
        function.write("%row.at = getelementptr i16, ptr %table, i64 %row.offset")
        with function.counted("k", "0", "%width", HEAD_STEP, sums):
            for i in parts:
                function.write(
                    f"%k{i} = add i64 %k, {LANES * i}",
                    *load(f"x{i}", one, "%hidden", f"%k{i}", "float", 4),
                    *load(f"w{i}", f"<{LANES} x i16>", "%row.at", f"%k{i}", "i16", 2),
                    *widened(kind, i),
                    f"%p{i} = fmul contract {one} %f{i}, %x{i}",
                    f"%a{i}.next = fadd contract {one} %a{i}, %p{i}",
                )
        function.write(f"""
            %s0 = fadd {one} %a0.next, %a1.next
            %s1 = fadd {one} %a2.next, %a3.next
            %s2 = fadd {one} %s0, %s1
            %sum = call reassoc float @llvm.vector.reduce.fadd.v{LANES}f32(float 0.0, {one} %s2)
            %logit.at = getelementptr float, ptr %logits, i64 %r
            store float %sum, ptr %logit.at, align 4""")
    return function.text()
