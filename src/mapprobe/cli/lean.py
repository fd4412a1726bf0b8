"""Let commands take less memory and start sooner: without pandas where possible, and without pyarrow's own pool."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from importlib.abc import MetaPathFinder

MMAP_THRESHOLD = -3
"""The number of M_MMAP_THRESHOLD. mallopt(3)"""
LARGE_ARRAY = 1 << 20
"""Bytes from which on the C library maps an array of its own, and returns it to the system when it is freed."""


class _NoPandas(MetaPathFinder):
    """Makes pandas look as if it were not installed."""

    def find_spec(self, name: str, *_: object) -> None:
        """Refuse pandas, and leave every other module to the other finders."""
        if name == "pandas":
            raise ImportError(name)


def give_memory_back() -> None:
    """Make arrays take their memory from the system, and give it back when they are freed.

    pyarrow's own pool keeps 100 MB. The C library keeps freed arrays below a limit that rises with each freed array,
    which would be 300 MB more for a report of a million maps.
    """
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())
    with suppress(AttributeError):  # C libraries without mallopt and malloc_trim
        library = ctypes.CDLL(None)
        library.mallopt(MMAP_THRESHOLD, LARGE_ARRAY)
        library.malloc_trim(0)


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
