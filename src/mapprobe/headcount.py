"""`mapprobe.census`: a PID in, a recording of all maps that the process has out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mapprobe.kernels import keep_kernels

if TYPE_CHECKING:
    from mapprobe.recording import Recording


def census(
    target: int, folder: str | Path | None = None, *, freeze: bool = False, references: bool = True, force: bool = False
) -> Recording:
    """Find every map of a running process, and return that as a recording.

    Parameters
    ----------
    target
        Its PID.
    folder
        Where the recording is kept; None: as long as the recording itself is.
    freeze
        Stop the process while it is read (SIGSTOP), and let it go on.
    references
        Look whether anything refers to a map: what nothing refers to is dead.
    force
        Overwrite a recording that is there.

    Raises
    ------
    TargetError, BinaryError, RecordingError
        If the process, its binary or the folder is not fit for it.
    """
    keep_kernels()
    from mapprobe.enumerator import Enumerator

    with Enumerator(target) as enumerator:
        return enumerator.take(folder, freeze=freeze, references=references, force=force)
