"""Tables as the data frames of the library that a user works with."""

from __future__ import annotations

from typing import Any, Literal

import pyarrow as pa

from mapprobe.errors import MapprobeError

Library = Literal["pandas", "polars", "arrow"]


def frame_of(table: pa.Table, library: Library) -> Any:
    """Return a table as a data frame.

    Parameters
    ----------
    library
        ``pandas``, ``polars`` (which mapprobe does not install) or ``arrow``.

    Raises
    ------
    MapprobeError
        If polars is asked for and not installed.
    ValueError
        If `library` is none of the three.
    """
    match library:
        case "pandas":
            return table.to_pandas()
        case "polars":
            return _polars().from_arrow(table)
        case "arrow":
            return table
    raise ValueError(f"frame must be pandas, polars or arrow, not {library!r}")


def _polars() -> Any:
    try:
        import polars
    except ImportError:
        raise MapprobeError("polars: not installed: pip install polars") from None
    return polars
