"""The limits of a budget, from the file that a user gives."""

from __future__ import annotations

import os
from pathlib import Path

from mapprobe.analysis.budget import Limit, read_limits
from mapprobe.errors import MapprobeError
from mapprobe.vocabulary import View


def limits(path: str | os.PathLike[str]) -> tuple[View | None, list[Limit]]:
    """Return the view (None: the file names none) and the limits of a TOML file.

    Raises
    ------
    MapprobeError
        If the file can't be read, or has a key or a value that is not known.
    """
    try:
        return read_limits(Path(path).read_text("utf-8"), str(path))
    except OSError as error:
        raise MapprobeError(f"limits {path}: {error.strerror or error}: give a TOML file") from None
    except UnicodeDecodeError:
        raise MapprobeError(f"limits {path}: no text: give a TOML file") from None
