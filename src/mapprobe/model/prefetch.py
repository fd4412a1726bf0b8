"""Ask the processor for the cache lines that an operation some events ahead will touch.

A replay knows its future, which the program did not: an operation on a large
map waits for three lines that depend on each other, so they are asked for in
three steps, each when the one before has come. Hints only: nothing here
changes a state, and what a hint was wrong about costs one line.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from mapprobe.model.classic import main_bucket
from mapprobe.model.control import SEVEN
from mapprobe.model.directory import is_small, table_of
from mapprobe.model.evacuation import is_growing, old_log2
from mapprobe.model.state import ARRAY, FIRST_GROUP, LOG2_GROUPS, NOWHERE, OLD_ARRAY, State, inlined, int64

WORDS_A_LINE = 8
READ, KEEP, DATA = 0, 3, 1
"""Operands of LLVM's prefetch: what for, how near, which cache."""


def prefetch(array: np.ndarray[Any, Any], row: int, column: int) -> None:
    """Ask for the line of ``array[row, column]``, or ``array[row]`` if it has one dimension; uncompiled nothing."""


@intrinsic
def _prefetch(typing_context: Any, array: Any, row: Any, column: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = context.make_array(signature.args[0])(context, builder, arguments[0])
        index = list(arguments[1 : 1 + signature.args[0].ndim])
        address = cgutils.get_item_pointer(  # type: ignore[no-untyped-call]
            context, builder, signature.args[0], value, index, wraparound=False
        )
        byte = ir.IntType(8).as_pointer()
        word = ir.IntType(32)
        function = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            builder.module, ir.FunctionType(ir.VoidType(), [byte, word, word, word]), "llvm.prefetch.p0i8"
        )
        builder.call(function, [builder.bitcast(address, byte), *(word(n) for n in (READ, KEEP, DATA))])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), generate


@overload(prefetch)
def _(array: Any, row: Any, column: Any) -> Any:
    def compiled(array: Any, row: Any, column: Any) -> Any:
        _prefetch(array, row, column)  # type: ignore[call-arg]

    return compiled


@inlined
def prefetch_bucket(state: State, bucket: int) -> None:
    """Ask for both lines of a bucket."""
    prefetch(state.rows, bucket, 0)
    prefetch(state.rows, bucket, WORDS_A_LINE)


@inlined
def prefetch_classic(state: State, m: int, hash: np.uint64) -> None:
    """Ask for the main bucket of a hash in map `m`, and for the old one that may have to be evacuated first."""
    row = state.maps[m]
    if row[ARRAY] == NOWHERE:
        return
    home = main_bucket(state, m, hash)
    prefetch_bucket(state, row[ARRAY] + home)
    if is_growing(state, m):
        prefetch_bucket(state, row[OLD_ARRAY] + (home & ((1 << old_log2(state, m)) - 1)))


@inlined
def prefetch_table(state: State, m: int, hash: np.uint64) -> None:
    """Ask for the table of a hash in map `m`; of a small map for its one group."""
    if not is_small(state, m):
        prefetch(state.tables, table_of(state, m, hash), 0)
    elif state.maps[m, ARRAY] != NOWHERE:
        prefetch_bucket(state, state.maps[m, ARRAY])


@inlined
def prefetch_group(state: State, m: int, hash: np.uint64) -> None:
    """Ask for the first group of a hash in map `m`, whose table was asked for before."""
    if is_small(state, m):
        return
    table = state.tables[table_of(state, m, hash)]
    mask = (1 << table[LOG2_GROUPS]) - 1
    offset = int64(hash >> SEVEN) & mask
    prefetch_bucket(state, table[FIRST_GROUP] + offset)
    prefetch(state.rows, table[FIRST_GROUP] + ((offset + 1) & mask), 0)  # where a probe goes next
