"""How commands take less memory and start sooner: without pandas where they can, and without pyarrow's own pool."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder


class _NoPandas(MetaPathFinder):
    """Finds that pandas is not there."""

    def find_spec(self, name: str, *_: object) -> None:
        """Refuse pandas, and leave every other module to the other finders."""
        if name == "pandas":
            raise ImportError(name)


def give_memory_back() -> None:
    """Have pyarrow take its memory from the C library, and give it back when it is free: its own pool keeps 100 MB."""
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())


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
