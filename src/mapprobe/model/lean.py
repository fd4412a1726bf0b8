"""The arrays of a replay as its innermost loop sees them: with rows of known length, without an end to count back from.

To numba the length of a row is a variable that is loaded and multiplied with, and any index may be negative, which
costs three instructions at each use. Told otherwise, the loop that applies events is a third shorter.
"""

from __future__ import annotations

from typing import Any

from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from mapprobe.model.state import State, inlined


def _shaped(typing_context: Any, array: Any, columns: Any, row_bytes: Any, column_bytes: Any) -> Any:
    """Return an array of whose shape the compiler knows all but the first length, which it takes for 0.

    What an index has to be corrected by is 0 then: it must not be negative. Nor can `len` be asked for. Only for
    kernels without reference counts: it does not count itself.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = context.make_array(signature.args[0])(context, builder, arguments[0])
        word = context.get_value_type(types.intp)
        shape = [0, columns.literal_value][: array.ndim]
        strides = [row_bytes.literal_value, column_bytes.literal_value][: array.ndim]
        value.shape = cgutils.pack_array(builder, [word(n) for n in shape])  # type: ignore[no-untyped-call]
        value.strides = cgutils.pack_array(builder, [word(n) for n in strides])  # type: ignore[no-untyped-call]
        return value._getvalue()

    if not all(isinstance(n, types.IntegerLiteral) for n in (columns, row_bytes, column_bytes)):
        return None
    return array(array, columns, row_bytes, column_bytes), generate


def _as_it_is(array: Any, columns: int, row_bytes: int, column_bytes: int) -> Any:
    return array


shaped: Any = _as_it_is if config.DISABLE_JIT else intrinsic(prefer_literal=True)(_shaped)  # type: ignore[attr-defined]


@inlined
def lean(state: State) -> State:
    """Return the same state in lean arrays."""
    return State(
        maps=shaped(state.maps, 16, 128, 8),
        rows=shaped(state.rows, 16, 128, 8),
        control=shaped(state.control, 1, 128, 8),
        hashes=shaped(state.hashes, 8, 128, 8),
        key_types=shaped(state.key_types, 8, 64, 8),
        insert_stacks=shaped(state.insert_stacks, 8, 128, 4),
        delete_stacks=shaped(state.delete_stacks, 8, 128, 8),
        bucket_stacks=shaped(state.bucket_stacks, 3, 128, 4),
        bucket_kinds=shaped(state.bucket_kinds, 1, 128, 1),
        next_bucket=shaped(state.next_bucket, 1, 128, 4),
        listed=shaped(state.listed, 1, 4, 4),
        listed_parts=shaped(state.listed_parts, 1, 4, 4),
        tables=shaped(state.tables, 8, 64, 8),
        directory=shaped(state.directory, 1, 4, 4),
        free=shaped(state.free, 1, 8, 8),
        tops=shaped(state.tops, 1, 8, 8),
        rules=shaped(state.rules, 1, 8, 8),
    )
