"""`Recording.heap`: what keeps the memory of a process, and what became of its bucket arrays.

Only recordings made with `record --heap` have it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from mapprobe import vocabulary
from mapprobe.api.frames import Library, frame_of
from mapprobe.errors import RecordingError
from mapprobe.recording import checks, stored_results
from mapprobe.recording.tables import schema
from mapprobe.recording.tables.census import CENSUS, SYNC_MAPS
from mapprobe.recording.tables.heap import ARRAYS, CYCLES, FIGURES, RESIDENCE, RETURNS, SPANS
from mapprobe.report.sync_maps import as_member
from mapprobe.vocabulary import Liveness, MapState, Part, View

if TYPE_CHECKING:
    from mapprobe.analysis.heap.lives import Collections
    from mapprobe.analysis.heap.map_types import Known
    from mapprobe.analysis.overview import Overview
    from mapprobe.recording.inputs import Inputs
    from mapprobe.recording.session import Session
    from mapprobe.recording.tables.result import Replayed
    from mapprobe.report.heap import HeapReport


class Source(Protocol):
    """The part of `recording.Recording` that this module uses."""

    path: Path
    session: Session

    @property
    def inputs(self) -> Inputs:
        """The inputs of a replay beside the events."""

    def table(self, table: schema.Table) -> pa.Table:
        """Return a table of the recording."""

    def replay(self) -> Replayed:
        """Return the result of a replay."""

    def overview(self, view: str, until_ns: int | None, progress: Callable[[int], None] | None) -> Overview:
        """Return the data of a page."""


GONE = "its memory was not read at the end: the process, or its recorder, was gone"
END_ONLY = "known for the end of the recording only, not for an earlier time"


def beside(recording: Source, overview: Overview) -> dict[str, object] | str:
    """Return the document mapprobe.heap/1 that belongs to an overview, or the reason why there is none."""
    if not _is_recorded(recording):
        from mapprobe.report.page.html import NOT_RECORDED

        return NOT_RECORDED
    if overview.at_ns is not None:
        return END_ONLY
    if not len(_at_end(recording)):
        return f"not known: {GONE}"
    return HeapView(recording).document(overview=overview)


def _is_recorded(recording: Source) -> bool:
    """True if the recording was made with --heap, even if the memory could not be read."""
    kinds = recording.table(schema.POINTS)["kind"]
    return bool(pc.any(pc.greater_equal(kinds, pa.scalar(min(vocabulary.HeapKind), pa.uint8()))).as_py())


def _at_end(recording: Source) -> pa.Table:
    return recording.table(RESIDENCE).filter(pc.field("at_end"))


class HeapView:
    """The memory of a recorded process.

    Raises
    ------
    RecordingError
        If the recording was made without --heap.
    """

    def __init__(self, recording: Source) -> None:
        self._recording = recording
        if not _is_recorded(recording):
            raise RecordingError(str(recording.path), "nothing of the heap is in it: record with --heap")

    def _repr_html_(self) -> str:
        """Show in a notebook who keeps the memory; only if the recording was replayed, as a replay may take long."""
        from mapprobe.report.heap import findings as rows
        from mapprobe.report.notebook import NOT_REPLAYED, findings

        path = self._recording.path
        if not stored_results.is_replayed(path, stored_results.fingerprint(path)):
            return f"<p>{NOT_REPLAYED}</p>"
        return findings(rows(self.data()))

    def _table(self, table: schema.Table) -> pa.Table:
        return checks.heap_table(self._recording.path, table)

    def document(
        self, view: str = "fill", progress: Callable[[int], None] | None = None, *, overview: Overview | None = None
    ) -> dict[str, object]:
        """Return the document mapprobe.heap/1 (see `data`)."""
        from mapprobe.report.heap import document

        return document(self.data(view, progress, overview=overview))

    def data(
        self, view: str = "fill", progress: Callable[[int], None] | None = None, *, overview: Overview | None = None
    ) -> HeapReport:
        """Return the data for the writers of `mapprobe.report.heap`.

        Parameters
        ----------
        overview
            The overview of the whole recording, if it is there already: its view is used then.

        Raises
        ------
        RecordingError
            If the memory was not read although the process had not ended, or if no figures were recorded.
        """
        from mapprobe.analysis.heap.findings import Heap, gone
        from mapprobe.analysis.heap.verdict import verdict
        from mapprobe.analysis.heap.waterfall import last_known, maps_of, waterfall
        from mapprobe.analysis.provenance import was_gone
        from mapprobe.report.heap import HeapReport

        recording = self._recording
        residence, was_cut = self._residence, recording.session.row["ended"] is None
        is_gone = residence is None and (was_cut or was_gone(recording.session, recording.inputs))
        if not len(self._table(FIGURES)) or (residence is None and not is_gone):
            raise RecordingError(str(recording.path), f"{GONE}: record again")
        seen = overview or recording.overview(view, None, progress)
        view, line = seen.view, seen.timeline
        replayed = recording.replay()
        maps = maps_of(replayed, self._known(View(view), replayed), self._dropped(), self._lives)
        figures = self._last_figures(self._ended_ns)
        if residence is None:
            fall = last_known(maps, figures)
            found = [gone(fall, fall.at_ns - recording.session.row["started_ns"])]
        else:
            fall = waterfall(maps, figures, residence)
            found = verdict(Heap(fall, figures, self._collections, recording.session.go_release))
        return HeapReport(
            recording=recording.session.document() | as_member(recording.table(SYNC_MAPS)),
            view=view,
            started_ns=recording.session.row["started_ns"],
            fall=fall,
            findings=found,
            figures=figures,
            samples=self._table(FIGURES),
            collections=self._collections,
            returns=self._table(RETURNS),
            lives=self._lives,
            line=line,
        )

    def arrays(self, *, frame: Library = "pandas") -> Any:
        """Return the life of each bucket array, as a data frame with `lives.LIVES` and the call site."""
        from mapprobe.recording.sites import columns_of

        lives, sites = self._lives.filter(pc.field("is_array")), self._recording.inputs.sites
        rows = pa.array(sites.site_of_stack).take(lives["stack_id"].combine_chunks())
        where = {name: column.take(rows) for name, column in columns_of(sites.table).items()}
        return frame_of(pa.table({name: lives[name] for name in lives.column_names} | where), frame)

    def large_objects(self, *, frame: Library = "pandas") -> Any:
        """Return the life of each object that has a span of its own, as a data frame with `lives.LIVES`."""
        return frame_of(self._lives.filter(pc.field("own_span")), frame)

    def figures(self, *, frame: Library = "pandas") -> Any:
        """Return the runtime's figures over time, as a data frame with `tables.heap.FIGURES`."""
        return frame_of(self._table(FIGURES), frame)

    def over_time(self, view: str = "fill", *, frame: Library = "pandas") -> Any:
        """Return the parts of the process's memory over time, as a data frame (`analysis.heap.over_time`)."""
        from mapprobe.analysis.heap.over_time import over_time

        line = self._recording.overview(view, None, None).timeline
        return frame_of(over_time(self._table(FIGURES), line, self._recording.session.row["started_ns"]), frame)

    def findings(self, view: str = "fill", *, frame: Library = "pandas") -> Any:
        """Return who keeps the memory as a data frame: one row for each part over 10 % of it, the largest first."""
        from mapprobe.report.heap import findings

        return frame_of(pa.Table.from_pylist(findings(self.data(view))), frame)

    def _known(self, view: View, replayed: Replayed) -> Known:
        """Return the facts about the recording beside its maps."""
        from mapprobe.analysis.heap.map_types import Known, Span, entries_by_type

        recording, row = self._recording, self._recording.session.row
        inputs = recording.inputs
        return Known(
            types=inputs.types,
            sites=inputs.sites,
            implementation=inputs.implementation,
            view=view,
            span=Span(row["started_ns"], self._ended_ns),
            start=entries_by_type(replayed.maps, inputs),
        )

    def _dropped(self) -> pa.Table | None:
        """Return the maps that nothing refers to at the end (`waterfall.maps_of`); None if no census looked."""
        census = self._recording.table(CENSUS).filter(pc.field("at_end"))
        looked = pc.is_in(census["liveness"], pa.array([Liveness.REFERRED_TO, Liveness.NOT_REFERRED_TO], pa.uint8()))
        if not pc.any(looked).as_py():
            return None
        dead = census.filter(pc.equal(census["state"], str(MapState.DEAD)))
        return dead.select(["map_addr", "allocated_bytes"])

    def _last_figures(self, read_ns: int) -> dict[str, int]:
        """Return the figures whose time is nearest to the time at which the pages were read."""
        rows = self._table(FIGURES)
        nearest = pc.sort_indices(pc.abs(pc.subtract(rows["time_ns"].cast(pa.int64()), read_ns)))[0].as_py()
        found: dict[str, int] = rows.slice(nearest, 1).to_pylist()[0]
        return found

    @property
    def _residence(self) -> pa.Table | None:
        """The pages of each part of the memory at the end; None if they were not read."""
        rows = self._table(RESIDENCE).filter(pc.field("at_end"))
        return rows if len(rows) == len(Part) else None

    @property
    def _ended_ns(self) -> int:
        """The time at which the last read began; few maps have later events (`last_read.before_end`)."""
        rows = self._residence
        found: int = (self._table(FIGURES)["time_ns"][-1] if rows is None else rows["time_ns"][0]).as_py()
        return found

    @cached_property
    def _collections(self) -> Collections:
        from mapprobe.analysis.heap.lives import collections_of

        return collections_of(self._table(CYCLES), self._table(FIGURES))

    @cached_property
    def _lives(self) -> pa.Table:
        from mapprobe.analysis.heap.lives import HeapTables, growths, lives, map_stacks

        recording = self._recording
        of_maps = map_stacks(recording.table(schema.STACKS), recording.table(schema.FRAMES))
        tables = HeapTables(*(self._table(table) for table in (SPANS, ARRAYS, RETURNS)))
        grown = growths(checks.batches(recording.path))
        before = recording.table(CENSUS).filter(~pc.field("at_end")).select(["array_addr", "map_addr"])
        return lives(tables, self._collections, grown, of_maps, before)
