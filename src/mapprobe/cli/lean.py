"""How commands take less memory and start sooner: without pandas where they can, and without pyarrow's own pool."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from importlib.abc import MetaPathFinder

MMAP_THRESHOLD = -3
"""mallopt(3)"""
LARGE_ARRAY = 1 << 20
"""Bytes: from there on memory is the system's, and its pages are made as they are written."""


class _NoPandas(MetaPathFinder):
    """Finds that pandas is not there."""

    def find_spec(self, name: str, *_: object) -> None:
        """Refuse pandas, and leave every other module to the other finders."""
        if name == "pandas":
            raise ImportError(name)


def give_memory_back() -> None:
    """Have arrays take their memory from the system, and give it back when they are free.

    pyarrow's own pool keeps 100 MB. The C library keeps what is freed below a limit that rises with each array that
    is freed: a report of a million maps would have 300 MB more.
    """
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())
    with suppress(AttributeError):  # a C library that has no such limit
        library = ctypes.CDLL(None)
        library.mallopt(MMAP_THRESHOLD, LARGE_ARRAY)
        library.malloc_trim(0)


def leave_pandas_out() -> None:
    """Have this process do without pandas, which takes 50 MB and 0.2 s; for commands that make no data frame.

    pyarrow loads pandas when it makes its first array, and goes on without where there is none.
    """
    if "pandas" not in sys.modules:
        sys.meta_path.insert(0, _NoPandas())


def leave_pandas_for_later() -> None:
    """Have pyarrow make its first array without pandas; whoever makes a data frame loads pandas all the same."""
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(finder)
