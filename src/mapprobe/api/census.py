"""`mapprobe.census`: a PID in, a recording of all maps of the process out.

Such a recording has no events. `replay.from_census` turns its rows into the result that a
replay makes from events.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from mapprobe.api.recording import Recording
from mapprobe.capture.session_row import first_row, wall_clock
from mapprobe.errors import MapprobeError, RecordingError
from mapprobe.recording.folder import create
from mapprobe.recording.tables import schema
from mapprobe.recording.tables.census import CENSUS, CENSUS_ABOUT, SYNC_MAPS
from mapprobe.recording.writer import Writer
from mapprobe.vocabulary import PROBES

if TYPE_CHECKING:
    from mapprobe.analysis.census import Summary


def census(
    target: int, folder: str | Path | None = None, *, freeze: bool = False, references: bool = True, force: bool = False
) -> Recording:
    """Find every map of a running process, and return the maps as a recording without events.

    Parameters
    ----------
    target
        The PID.
    folder
        Where the recording is kept; None: in a temporary folder that is removed with the returned object.
    freeze
        Stop the process (SIGSTOP) while its memory is read, and let it go on after that.
    references
        Look for references to each map: a map that nothing refers to is dead.
    force
        Overwrite an existing recording.

    Raises
    ------
    TargetError, BinaryError, RecordingError
        If the process, its binary or the folder can't be used.
    """
    with Headcount(target) as headcount:
        return headcount.take(folder, freeze=freeze, references=references, force=force)


class Headcount:
    """Takes censuses of one process, each a recording of its own; a context manager.

    Raises
    ------
    TargetError, BinaryError
        If the process or its binary can't be used.
    """

    def __init__(self, target: int) -> None:
        from mapprobe.go.binary import GoBinary
        from mapprobe.go.pclntab import FunctionTable
        from mapprobe.go.types import TypeTable
        from mapprobe.live.census.reader import Enumerator
        from mapprobe.live.process import Process
        from mapprobe.live.refusal import refusal

        with ExitStack() as stack:
            self._process = process = stack.enter_context(Process(target))
            link, self._path = process.executable()
            try:
                self._binary = binary = stack.enter_context(GoBinary.open(link))
            except MapprobeError as error:
                raise refusal(process, error) from None
            bias = process.load_bias(binary.lowest_vaddr) if binary.is_pie else 0
            self._functions = FunctionTable(binary)
            self._enumerator = Enumerator(process, binary, self._functions, TypeTable(binary), bias)
            self._stack = stack.pop_all()

    def __enter__(self) -> Headcount:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the process and its binary."""
        self._stack.close()

    def resident_bytes(self) -> int:
        """Return the resident memory of the process: about as many bytes are read."""
        return self._process.resident_bytes()

    def take(
        self,
        folder: str | Path | None = None,
        *,
        freeze: bool = False,
        references: bool = True,
        force: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> Recording:
        """Take a census (see `census`); `progress` is called with the number of bytes of each read."""
        if folder is None:
            scratch = tempfile.mkdtemp(prefix="mapprobe-census-")
            with ExitStack() as undo:
                undo.callback(shutil.rmtree, scratch)
                recording = self._take(Path(scratch), freeze, references, progress)
                undo.pop_all()
            weakref.finalize(recording, shutil.rmtree, scratch, ignore_errors=True)
            return recording
        create(Path(folder), force=force)
        return self._take(Path(folder), freeze, references, progress)

    def _take(self, folder: Path, freeze: bool, references: bool, progress: Callable[[int], None] | None) -> Recording:
        from mapprobe.capture.census import write_census
        from mapprobe.recording.symbols import Interner

        row = first_row(self._process, self._path, self._binary, PROBES)
        taken = self._enumerator.read(freeze=freeze, references=references, progress=progress)
        ended_ns = taken.started_ns + taken.took_ns
        row |= {"started_ns": taken.started_ns, "ended": wall_clock(), "ended_ns": ended_ns, "ended_by": PROBES}
        with Writer(folder) as writer:
            write_census(taken, writer, Interner(writer, self._functions))
            writer.append(schema.SESSION, {name: [value] for name, value in (row | writer.contents()).items()})
        return Recording(folder)


def summary_of(recording: Recording, top: int | None = None) -> Summary:
    """Return the sums of a census.

    Parameters
    ----------
    top
        How many maps have a row of their own; None: all.

    Raises
    ------
    RecordingError
        If the recording is no census.
    """
    from mapprobe.analysis.census import summary
    from mapprobe.report.sync_maps import sum_up

    if recording.session.row["probes"] != PROBES:
        raise RecordingError(str(recording.path), "no census: 'mapprobe report' shows what it holds")
    about = recording.table(CENSUS_ABOUT).to_pylist()[0] | {"sync_maps": sum_up(recording.table(SYNC_MAPS))}
    inputs = recording.inputs
    rows = inputs.end.rows if inputs.end else recording.table(CENSUS)
    return summary(rows, about, inputs, top)
