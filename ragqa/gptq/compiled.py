"""Loops over packed weights, compiled for this processor when first used. Knows no layer and no model.

LLVM (through llvmlite) compiles nine small functions in about 0.2 s; nothing is written to disk. They read
the bytes of torch's int4 layout (`ragqa.gptq.tiles`) as they lie, so that one copy of the weights serves all.
Where llvmlite or the layout is missing, `compiled_loops` gives None, and torch's operators do the work.
"""

import ctypes
import functools
import itertools
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from ragqa.gptq.attention_loops import STEP
from ragqa.gptq.dense_loops import HEAD_STEP
from ragqa.gptq.int4 import TileLayout, learn_layout
from ragqa.gptq.loops import all_loops
from ragqa.gptq.tiles import TiledWeights

logger = logging.getLogger(__name__)

ALONE = 2_000_000
"""Weights that one thread reads before a second one pays: 0.1 ms of work against 0.03 to hand it over."""

KINDS = {torch.float16: "half", torch.bfloat16: "bfloat", torch.float32: "float"}
"""LLVM's names of the types that tables and targets may have."""


class Loops:
    """The compiled functions of one layout. All tensors are contiguous and on the CPU."""

    def __init__(self, layout: TileLayout) -> None:
        self._engine = _compile(all_loops(layout.rows))
        self._rows = layout.rows
        self._prepare = self._function("prepare", pointers=4, numbers=2)
        self._product = self._function("product", pointers=6, numbers=4)
        self._dequantize = {
            kind: self._function(f"dequantize_{KINDS[kind]}", pointers=4, numbers=5)
            for kind in (torch.float32, torch.bfloat16)
        }
        self._head = {
            kind: self._function(f"head_{KINDS[kind]}", pointers=3, numbers=3)
            for kind in (torch.float16, torch.bfloat16)
        }

        self._turn = self._function("turn", pointers=3, numbers=3)
        self._keep = self._function("keep", pointers=2, numbers=4)
        self._attend = self._function("attend", pointers=5, numbers=8)

    def _function(self, name: str, pointers: int, numbers: int) -> Callable[..., None]:
        kinds = [ctypes.c_void_p] * pointers + [ctypes.c_int64] * numbers
        return ctypes.CFUNCTYPE(None, *kinds)(self._engine.get_function_address(name))

    def multiply(self, inputs: Tensor, weights: TiledWeights) -> Tensor:
        """inputs (rows, columns) fp32, in the model's order -> (rows, outputs) fp32."""
        rows, columns = inputs.shape
        tiles, groups, _ = weights.scales.shape
        size, outputs = weights.group_size, weights.outputs
        product = torch.empty(rows, outputs)
        scratch = torch.empty(columns + groups)
        ordered, sums = scratch.data_ptr(), scratch.data_ptr() + 4 * columns
        order = None if weights.order is None else weights.order.data_ptr()
        source, target = inputs.data_ptr(), product.data_ptr()
        for row in range(rows):
            self._prepare(source + 4 * columns * row, order, ordered, sums, groups, size)
            parts = (ordered, sums, *_pointers(weights), target + 4 * outputs * row)
            _spread(self._product, parts, (groups, size), tiles, outputs * columns)
        return product

    def dequantize_into(self, target: Tensor, weights: TiledWeights) -> None:
        """Fill target (inputs, outputs), fp32 or bf16, with the transposed weight, columns as they lie."""
        tiles, groups, _ = weights.scales.shape
        numbers = (groups, weights.group_size, weights.outputs)
        parts = (*_pointers(weights), target.data_ptr())
        _spread(self._dequantize[target.dtype], parts, numbers, tiles, target.numel())

    def serves_cache(self, keys: Tensor) -> bool:
        """Whether `attend` takes this cache."""
        return keys.dtype == torch.bfloat16 and keys.device.type == "cpu" and keys.shape[2] % STEP == 0

    def attend(
        self, mixed: Tensor, tables: tuple[Tensor, Tensor], keys: Tensor, values: Tensor, begin: int, end: int
    ) -> Tensor:
        """Attention of the token at position end - 1 over positions begin … end -> (1, heads * size) fp32.

        mixed fp32 (heads + 2 * shared, size): its queries, keys and values, rotated here in place by
        `tables`, cosines and sines of `size` numbers, half the sines negated. keys, values bf16 (shared,
        capacity, size): the token's own are written to them first.
        """
        shared, capacity, size = keys.shape
        heads, stride, row = mixed.shape[0] - 2 * shared, capacity * size, (end - 1) * size
        states, room = mixed.data_ptr(), -(-(end - begin) // 8) * 8
        self._turn(states, *(table.data_ptr() for table in tables), 0, heads + shared, size // 2)
        own = states + 4 * heads * size
        self._keep(own, keys.data_ptr() + 2 * row, 0, shared, size, stride)
        self._keep(own + 4 * shared * size, values.data_ptr() + 2 * row, 0, shared, size, stride)
        attended, weights = torch.empty(1, heads * size), torch.empty(heads, room)
        parts = (states, *(one.data_ptr() for one in (keys, values, attended, weights)))
        numbers = (heads // shared, size, stride, begin, end, room)
        _spread(self._attend, parts, numbers, heads, 2 * heads * size * (end - begin))
        return attended

    def serves_head(self, table: Tensor) -> bool:
        """Whether `score` takes this table."""
        return table.dtype in self._head and table.shape[1] % HEAD_STEP == 0 and table.is_contiguous()

    def score(self, hidden: Tensor, table: Tensor) -> Tensor:
        """hidden (width,) fp32, table (tokens, width) -> fp32 (tokens,); every product and sum in fp32."""
        logits = torch.empty(table.shape[0])
        parts = (hidden.data_ptr(), table.data_ptr(), logits.data_ptr())
        _spread(self._head[table.dtype], parts, (table.shape[1],), table.shape[0], table.numel())
        return logits


@functools.cache
def compiled_loops() -> Loops | None:
    """The loops of this process, compiled on the first call; None where they cannot be."""
    layout = learn_layout()
    if layout is None or layout.order != tuple(range(layout.rows)):
        return None
    try:
        return Loops(layout)
    except ImportError:
        logger.info("llvmlite is not installed: decoding uses torch's int4 kernel, which is slower.")
    except RuntimeError as error:
        logger.warning("LLVM could not compile the loops over packed weights, torch's are used: %s", error)
    return None


def _compile(text: str) -> Any:
    """The engine that holds the functions of `text`; they live as long as it does."""
    from llvmlite import binding  # type: ignore[import-untyped]

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    features = binding.get_host_cpu_features()
    if "f16c" in features and not features["f16c"]:
        raise RuntimeError("this processor does not convert half floats")
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=features.flatten(), opt=3
    )
    module = binding.parse_assembly(text)
    module.verify()
    passes = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(speed_level=2))
    passes.getModulePassManager().run(module, passes)
    engine = binding.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="ragqa-loops")


def _spread(
    loop: Callable[..., None],
    pointers: tuple[int, ...],
    numbers: tuple[int, ...],
    count: int,
    weights: int,
) -> None:
    """Run loop(*pointers, first, last, *numbers) over 0 … count, on as many of torch's threads as pay."""
    threads = 1 if weights < 2 * ALONE else min(torch.get_num_threads(), weights // ALONE, count)
    if threads == 1:
        loop(*pointers, 0, count, *numbers)
        return
    borders = [count * part // threads for part in range(threads + 1)]
    others = [
        _pool().submit(loop, *pointers, first, last, *numbers)
        for first, last in itertools.pairwise(borders[1:])
    ]
    loop(*pointers, 0, borders[1], *numbers)
    for one in others:
        one.result()


def _pointers(weights: TiledWeights) -> tuple[int, int, int]:
    return weights.codes.data_ptr(), weights.scales.data_ptr(), weights.zeros.data_ptr()
