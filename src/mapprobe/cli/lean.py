"""Let commands take less memory and start sooner: without pandas where possible, and without pyarrow's own pool."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from importlib.abc import MetaPathFinder

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
"""The numbers of M_TRIM_THRESHOLD, M_MMAP_THRESHOLD and M_ARENA_MAX. mallopt(3)"""
LARGE_ARRAY = 1 << 20
"""Bytes from which on the C library maps an array of its own, and returns it to the system when it is freed."""
KEPT_BYTES = 4 << 20
"""Free memory that a recorder keeps [bytes]: the columns of a batch are made and freed again and again."""
POOL = "ARROW_DEFAULT_MEMORY_POOL"
"""The environment's variable that names the pool which pyarrow takes its memory from, read when pyarrow is loaded."""


class _NoPandas(MetaPathFinder):
    """Makes pandas look as if it were not installed."""

    def find_spec(self, name: str, *_: object) -> None:
        """Refuse pandas, and leave every other module to the other finders."""
        if name == "pandas":
            raise ImportError(name)


class _SystemPool(MetaPathFinder):
    """Has pyarrow, whenever it is loaded, take memory from the system: its own pool keeps 25 MB of a recorder's."""

    def find_spec(self, name: str, *_: object) -> None:
        """Choose the pool, and leave pyarrow to the other finders."""
        if name == "pyarrow":
            os.environ.setdefault(POOL, "system")


def keep_little() -> None:
    """Leave pandas out, and have this process keep little of what it has freed; for a command that runs long.

    The C library keeps what is freed below a limit that rises with each array that is freed, and has a heap for each
    thread.
    """
    leave_pandas_out()
    sys.meta_path.insert(0, _SystemPool())
    _set_allocator({ARENA_MAX: 1, MMAP_THRESHOLD: LARGE_ARRAY, TRIM_THRESHOLD: KEPT_BYTES})


def _set_allocator(options: dict[int, int]) -> None:
    with suppress(AttributeError):  # a C library that has no such options
        library = ctypes.CDLL(None)
        for name, value in options.items():
            library.mallopt(name, value)
        library.malloc_trim(0)


def give_memory_back() -> None:
    """Make arrays take their memory from the system, and give it back when they are freed.

    pyarrow's own pool keeps 100 MB. The C library keeps freed arrays below a limit that rises with each freed array,
    which would be 300 MB more for a report of a million maps.
    """
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())
    _set_allocator({MMAP_THRESHOLD: LARGE_ARRAY})


def leave_pandas_out() -> None:
    """Keep pandas out of this process, which saves 50 MB and 0.2 s; for commands that make no data frame.

    pyarrow loads pandas when it makes its first array, and works without pandas if it is not installed.
    """
    if "pandas" not in sys.modules:
        sys.meta_path.insert(0, _NoPandas())


def leave_pandas_for_later() -> None:
    """Let pyarrow make its first array without loading pandas; making a data frame still loads pandas."""
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(finder)
