"""`Recording`: the events, the replay and the reports of a recording.

Each command of the CLI that works on a recording is one call of this module.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from mapprobe.analysis.provenance import About
from mapprobe.api.frames import Library, frame_of
from mapprobe.errors import RecordingError
from mapprobe.recording import archive, checks, files, stored_results
from mapprobe.recording.packing import unpack
from mapprobe.recording.tables import schema
from mapprobe.recording.tables.census import CENSUS, CENSUS_ABOUT, SYNC_MAPS
from mapprobe.vocabulary import PROBES, View

if TYPE_CHECKING:
    from mapprobe.analysis.budget import Limit
    from mapprobe.analysis.overview import Overview
    from mapprobe.analysis.profile import Profile
    from mapprobe.analysis.report import Report
    from mapprobe.analysis.selection import Choice
    from mapprobe.api.heap import HeapView
    from mapprobe.recording.inputs import Inputs
    from mapprobe.recording.session import Left
    from mapprobe.recording.tables.result import Replayed
    from mapprobe.report.budget import Checked
    from mapprobe.report.diff import Difference

POINTS, TOP = 300, 10
"""Points of a timeline, and its sites or maps, by default."""


def open(path: str | os.PathLike[str]) -> Recording:
    """Open the recording in a folder.

    Raises
    ------
    RecordingError
        If the folder is no recording that this version can read.
    """
    return Recording(Path(path))


class Recording:
    """One recording. Tables are read when they are first needed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tell: Callable[[str], object] = lambda line: None
        """Is told in a line what does not stop a report, but should be known."""
        self.session = checks.session(path)

    def __repr__(self) -> str:
        """Say what was recorded."""
        row = self.session.row
        return f"<Recording {self.path}: {row['binary']} ({row['go_version']}), {self.event_count:,} events>"

    def _repr_html_(self) -> str:
        """Show in a notebook what was recorded, and what sites retain if it was replayed (a replay may take long)."""
        from mapprobe.report.notebook import summary

        made_from = stored_results.fingerprint(self.path)
        report = self.report_data() if stored_results.is_replayed(self.path, made_from) else None
        return summary(self.session.document(self.left), report)

    @cached_property
    def left(self) -> Left:
        """What is left of the events, which are all read for this."""
        return checks.events_left(self.path)

    @property
    def event_count(self) -> int:
        """How many events there are; of a damaged recording, how many are left."""
        return self.left.events

    @property
    def faults(self) -> list[str]:
        """What is wrong with the recording, in words: it is unfinished, or events are damaged."""
        from mapprobe.report.certainty import faults_of

        return faults_of(self.session.document(self.left))

    def table(self, table: schema.Table) -> pa.Table:
        """Return one of the recorded tables."""
        return files.read_table(self.path, table)

    def events(self, *, frame: Library | None = None) -> Any:
        """Return the events with the columns of `schema.EVENTS`.

        Parameters
        ----------
        frame
            None: a pyarrow.RecordBatchReader, which needs little memory. ``pandas``, ``polars`` or ``arrow``: a data
            frame of all events.
        """
        reader = pa.RecordBatchReader.from_batches(schema.EVENTS.schema, map(unpack, checks.batches(self.path)))
        return reader if frame is None else frame_of(reader.read_all(), frame)

    @cached_property
    def heap(self) -> HeapView:
        """The memory of the process, if the recording was made with ``--heap``."""
        from mapprobe.api.heap import HeapView

        return HeapView(self)

    def heap_beside(self, overview: Overview) -> dict[str, object] | str:
        """Return the document mapprobe.heap/1 for the writers of an overview, or the reason why there is none."""
        from mapprobe.api.heap import beside

        return beside(self, overview)

    @cached_property
    def inputs(self) -> Inputs:
        """What a replay needs beside the events."""
        return checks.inputs(self.path, self.session, self.left)

    def replay(
        self, *, force: bool = False, until_ns: int | None = None, progress: Callable[[int], None] | None = None
    ) -> Replayed:
        """Replay the recording, and store the result in it for the next time.

        Parameters
        ----------
        force
            Replay even if a result of these events is stored.
        until_ns
            Replay only up to this time [ns since the start of the recording]; such a result isn't stored.
        progress
            Called after each batch with the batch's number of events.
        """
        fingerprint = stored_results.fingerprint(self.path)
        kept = stored_results.replayed(self.path, fingerprint) if until_ns is None and not force else None
        if kept:
            return kept
        result = self._replay_again(until_ns, progress)
        if until_ns is None:
            try:
                stored_results.keep(self.path, result, fingerprint)
            except RecordingError as error:
                self.tell(f"the result is not kept, and made again each time: {error}")
        return result.narrowed()

    def _replay_again(self, until_ns: int | None, progress: Callable[[int], None] | None) -> Replayed:
        started_ns, inputs = self.session.row["started_ns"], self.inputs
        if self.session.row["probes"] == PROBES:
            from mapprobe.replay.from_census import counted

            return counted(self.table(CENSUS), inputs, started_ns)
        from mapprobe.replay.balance import reconcile, reconcile_at
        from mapprobe.replay.replay import replay

        until = None if until_ns is None else started_ns + until_ns
        result = replay(files.ahead(self._before_end()), inputs, until, progress)
        return reconcile(result, inputs) if until is None else reconcile_at(result, self.replay(), inputs, until)

    def _before_end(self) -> Iterator[pa.RecordBatch]:
        """Yield the batches of packed events up to the end that reports show."""
        from mapprobe.replay.last_read import before_end

        return before_end(checks.batches(self.path), self.inputs)

    def pack(self, progress: Callable[[int], None] | None = None) -> tuple[int, int]:
        """Compress the events further, to keep or send the recording; return their bytes before and after.

        `progress` is called as by `replay`.
        """
        return archive.pack_events(self.path, progress)

    def report(self, by: str = "site", view: str = "fill", until_ns: int | None = None) -> dict[str, object]:
        """Return the document mapprobe.report/1."""
        from mapprobe.report.table import document

        return document(self.report_data(by, view, until_ns))

    def report_data(
        self,
        by: str = "site",
        view: str = "fill",
        until_ns: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Report:
        """Return a report for the writers of `mapprobe.report`."""
        return self.reports(by, (view,), until_ns, progress)[0]

    def reports(
        self,
        by: str,
        views: Sequence[str],
        until_ns: int | None = None,
        progress: Callable[[int], None] | None = None,
        choice: Choice | None = None,
        top: int | None = None,
    ) -> list[Report]:
        """Return a report for each view, all from one replay.

        Parameters
        ----------
        choice
            Functions and packages whose rows are shown; None: all rows.
        top
            How many maps have a row of their own in a report by map; None: all. Ignored with a choice.
        """
        from mapprobe.analysis.report import chosen
        from mapprobe.analysis.selection import select

        replayed, inputs = self.replay(until_ns=until_ns, progress=progress), self.inputs
        if not choice:
            return [self._report(replayed, by, view, until_ns, top) for view in views]
        found = [self._report(replayed, by, view, until_ns) for view in views]
        about = replayed, inputs.types, inputs.sites, choice
        return [chosen(report, select(report.rows, by, *about)) for report in found]

    def _report(self, replayed: Replayed, by: str, view: str, until_ns: int | None, top: int | None = None) -> Report:
        from mapprobe.analysis.map_rows import map_order, rest_of_maps
        from mapprobe.analysis.report import Other, Report, other_maps
        from mapprobe.analysis.retention import aggregate, by_map, totals

        inputs, others = self.inputs, tuple[Other, ...]()
        args = replayed, inputs.types, inputs.sites, str(inputs.implementation)
        if by == "map" and top is not None and len(replayed.maps) > top:
            order = map_order(replayed)
            rows, others = by_map(*args, order[:top]), (other_maps(rest_of_maps(replayed, order[top:])),)
        else:
            rows = aggregate(*args, by, View(view))
        about = self._about(replayed, until_ns)
        unsure = about.inexact, about.bounds, about.apart
        return Report(about.recording, by, view, totals(replayed), rows, *unsure, others, until_ns)

    def overview(
        self,
        view: str = "fill",
        until_ns: int | None = None,
        progress: Callable[[int], None] | None = None,
        *,
        points: int = POINTS,
        top: int = TOP,
    ) -> Overview:
        """Return the data of a page about the recording, for the writers of `mapprobe.report`.

        The parameters are those of `replay` and `timeline`.
        """
        from mapprobe.analysis.overview import Results, Shown, overview

        replayed = self.replay(until_ns=until_ns)
        results = Results(replayed, replayed if until_ns is None else self.replay())
        about, shown = self._about(replayed, until_ns), Shown(View(view), until_ns is None, points, top)
        return overview(self._before_end(), self.inputs, results, about, shown, progress)

    def _about(self, replayed: Replayed, until_ns: int | None) -> About:
        from mapprobe.analysis.provenance import about
        from mapprobe.report.sync_maps import as_member

        found = about(self.session, self.left, self.inputs, replayed, until_ns)
        if len(self.table(CENSUS_ABOUT)) and self.session.row["probes"] != PROBES:
            found.recording["census"] = self._censuses(is_end=until_ns is None)
        looked = self.table(CENSUS_ABOUT).filter(pc.field("at_end"))["references"].to_pylist()
        if until_ns is None and looked and not looked[-1]:
            found.recording["references"] = False
        found.recording.update(as_member(self.table(SYNC_MAPS)))
        return found

    def _censuses(self, *, is_end: bool) -> dict[str, dict[str, int]]:
        """Return the sums of the maps in the census of the start, and in the census of the end if `is_end`."""
        from mapprobe.replay.from_census import held

        taken = {"start": self.inputs.start} | ({"end": self.inputs.end} if is_end else {})
        return {name: held(found.rows, self.inputs) for name, found in taken.items() if found}

    def check(
        self,
        limits: str | os.PathLike[str] | Iterable[Limit | Mapping[str, Any]],
        view: str | None = None,
        until_ns: int | None = None,
    ) -> dict[str, object]:
        """Check call sites against limits, and return the document mapprobe.check/1.

        Parameters
        ----------
        limits
            The path of a TOML file, as for `mapprobe check --limits`, or limits: each a mapping with the keys of a
            ``[[limit]]`` in such a file, or a `budget.Limit`.
        view
            Who is charged; None: the view that the file names, else ``fill``.

        Raises
        ------
        MapprobeError
            If the file can't be read, there is no limit, or a limit has a key or a value that is not known.
        """
        from mapprobe.analysis.budget import limits_of
        from mapprobe.api.limits import limits as limits_in
        from mapprobe.report.budget import document

        their_view, held_to = limits_in(limits) if isinstance(limits, str | os.PathLike) else (None, limits_of(limits))
        return document(self.check_data(held_to, view or their_view or View.FILL, until_ns))

    def check_data(
        self,
        limits: Iterable[Limit],
        view: str = "fill",
        until_ns: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Checked:
        """Return the verdicts on limits (see `check`) for the writers of `mapprobe.report`: budget, junit, markdown."""
        from mapprobe.analysis.budget import beyond_known, judge
        from mapprobe.report.budget import Checked

        report = self.report_data("site", view, until_ns, progress)
        beyond = beyond_known(report.apart, report.rows)
        return Checked(report, [judge(limit, report.rows, beyond) for limit in limits])

    def profile_data(
        self,
        view: str = "fill",
        until_ns: int | None = None,
        progress: Callable[[int], None] | None = None,
        top: int | None = None,
    ) -> Profile:
        """Return a profile for the writers of `mapprobe.report` that take one: `pprof`, `folded`, `speedscope`."""
        from mapprobe.analysis.profile import MOST_SAMPLES, profile_of

        replayed = self.replay(until_ns=until_ns, progress=progress)
        tables = {table.name: self.table(table) for table in (schema.STACKS, schema.FRAMES, schema.TYPES)}
        recording = self.session.document(self.left)
        return profile_of(recording, replayed, tables, self.inputs.sites, View(view), top or MOST_SAMPLES)

    def difference(
        self,
        before: Recording,
        view: str = "fill",
        until_ns: tuple[int | None, int | None] = (None, None),
        progress: Callable[[int], None] | None = None,
    ) -> Difference:
        """Return the changes since another recording, or since an earlier time of this one.

        Parameters
        ----------
        until_ns
            The time in `before`, and the time in this recording [ns since the start]; None: the end.
        """
        from mapprobe.analysis.comparison import compare, site_charges
        from mapprobe.report.diff import Difference

        def side(recording: Recording, until: int | None) -> tuple[Report, pa.Table]:
            replayed, inputs = recording.replay(until_ns=until, progress=progress), recording.inputs
            charges = site_charges(replayed, inputs.types, inputs.sites, View(view))
            return recording._report(replayed, "type", view, until), charges

        (old, was), (new, is_now) = side(before, until_ns[0]), side(self, until_ns[1])
        is_same_build = self.session.row["build_id"] == before.session.row["build_id"] != ""
        return Difference(old, new, compare(was, is_now, is_same_build=is_same_build))

    def retention(
        self, by: str = "site", view: str = "fill", until_ns: int | None = None, *, frame: Library = "pandas"
    ) -> Any:
        """Return the retention report as a data frame: keys, then `schema.MEASURES`.

        By site and by stack ``never_used_slots`` counts the virgin slots that are known to have held no entry.

        Parameters
        ----------
        by, view
            As for `mapprobe report --by` and ``--view``.
        frame
            ``pandas``, ``polars`` or ``arrow``.
        """
        return frame_of(self.report_data(by, view, until_ns).rows, frame)

    def maps(self, until_ns: int | None = None, *, frame: Library = "pandas") -> Any:
        """Return one row for each generation of each map (see `retention`)."""
        return self.retention("map", until_ns=until_ns, frame=frame)

    def sites(self, view: str = "fill", until_ns: int | None = None, *, frame: Library = "pandas") -> Any:
        """Return one row for each call site that did or holds something (see `retention`)."""
        return self.retention("site", view, until_ns, frame=frame)

    def timeline(
        self,
        by: str = "site",
        view: str = "fill",
        until_ns: int | None = None,
        *,
        points: int = POINTS,
        top: int = TOP,
        frame: Library = "pandas",
    ) -> Any:
        """Return what the top sites or maps held over time, as a data frame (see `timeline.Timeline.table`).

        Parameters
        ----------
        by
            ``site`` or ``map``.
        points, top
            How many points of time (at least two), and how many sites or maps beside ``other`` and ``total``.
        """
        return frame_of(self.overview(view, until_ns, points=points, top=top).timeline.table(by), frame)

    def verify(self, progress: Callable[[int], None] | None = None) -> dict[str, object]:
        """Compare the replay with the memory read at the end, and return the document mapprobe.verify/1."""
        from mapprobe.analysis.verify import verify

        return verify(checks.batches(self.path), self.inputs, progress)
