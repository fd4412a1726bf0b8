"""What keeps a command that reads a process small."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder


class _NoPandas(MetaPathFinder):
    """Finds that pandas is not there."""

    def find_spec(self, name: str, *_: object) -> None:
        """Refuse pandas, and leave every other module to the other finders."""
        if name == "pandas":
            raise ImportError(name)


def leave_pandas_out() -> None:
    """Have this process do without pandas, which takes 50 MB and 0.2 s; for commands that make no data frame.

    pyarrow loads pandas when it makes its first array, and goes on without where there is none.
    """
    if "pandas" not in sys.modules:
        sys.meta_path.insert(0, _NoPandas())
