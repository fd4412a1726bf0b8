"""What keeps commands small."""

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
    """Have pyarrow make arrays without pandas, which takes 50 MB and 0.2 s that no recorder and no table has a use for.

    At its first array pyarrow tries to load pandas, once. Where that failed it goes on without, and loads pandas all
    the same for whoever asks for a data frame.
    """
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(finder)
