"""Where compiled kernels stay, one place for each state of the sources."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

KERNEL_SOURCES = (
    "schema.py", "vocabulary.py", "columns.py", "ledger.py", "generations.py", "foresight.py", "operations.py",
    "charges.py", "model", "deaths.py", "localmaps.py", "assignment.py", "doubts.py",
)  # fmt: skip


def sources_digest(names: Sequence[str]) -> str:
    """Return a hash of the sources that replay is compiled from."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for name in names:
        for path in sorted((here / name).rglob("*.py")) if (here / name).is_dir() else [here / name]:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def keep_kernels() -> None:
    """Give compiled kernels a place to stay, one for each state of the sources.

    Numba itself only looks at the file that a kernel is in, not at those whose kernels it calls.
    """
    base = Path(os.environ.get("MAPPROBE_CACHE") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ["NUMBA_CACHE_DIR"] = str(base / "mapprobe" / "kernels" / sources_digest(KERNEL_SOURCES))


def is_compiled() -> bool:
    """True if kernels were compiled before, so that a replay starts at once."""
    keep_kernels()
    return Path(os.environ["NUMBA_CACHE_DIR"]).is_dir()
