"""A recording as a user holds it: its events, its replay, its reports. Glue, no rules.

Whatever a command of the CLI does with a recording is one call here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe import schema, store
from mapprobe.errors import RecordingError
from mapprobe.frames import Library, frame_of
from mapprobe.kernels import KERNEL_SOURCES, keep_kernels, sources_digest
from mapprobe.packing import common_columns, unpack, values
from mapprobe.recorded import About, Session, Span
from mapprobe.schema import EventKind, Inexact, View

if TYPE_CHECKING:
    from mapprobe.inputs import Inputs
    from mapprobe.overview import Overview
    from mapprobe.replayed import Replayed
    from mapprobe.report.diff import Difference
    from mapprobe.report.profile import Profile
    from mapprobe.report.table import Report
    from mapprobe.selection import Choice

POINTS, TOP = 300, 10
"""Of a timeline, unless others are asked for."""
FINGERPRINT = "mapprobe.fingerprint"
LARGE = (schema.EVENTS, schema.SNAPSHOT_MAPS, schema.SNAPSHOT_BUCKETS)
"""Tables that are told from others by their size alone."""
FIRST_KIND, LAST_KIND = min(EventKind), max(EventKind)
LARGEST_BUCKET = 1 << 16
"""Bytes; Go's have 2064 at most: keys and elements over 128 bytes stand elsewhere."""
LAST_PART = 3
"""Of a classic map, however few buckets it has (`schema.SNAPSHOT_BUCKETS`)."""
RESULT_SOURCES = (
    *KERNEL_SOURCES, "packing.py", "replay.py", "context.py", "resync.py", "closing.py", "images.py", "inputs.py",
    "sites.py", "replayed.py", "recording.py", "store.py",
)  # fmt: skip
"""What a stored result was made by: with other sources it is outdated."""


def open(path: str | os.PathLike[str]) -> Recording:
    """Open the recording in a folder.

    Raises
    ------
    RecordingError
        If there is none that this version can read.
    """
    return Recording(Path(path))


class Recording:
    """One recording; tables are read when they are first needed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        rows = store.read_table(path, schema.SESSION).to_pylist()
        if not rows:
            raise RecordingError(str(path), "session.arrow is cut before its first batch: record again")
        self.session = Session(rows[-1])
        if not self.session.is_sound:
            raise self._damaged(schema.SESSION)

    def _damaged(self, table: schema.Table) -> RecordingError:
        """Return what to raise where a table holds what no recorder writes."""
        return RecordingError(str(self.path), f"{store.table_path(self.path, table).name} is damaged: record again")

    def __repr__(self) -> str:
        """Say what was recorded."""
        row = self.session.row
        return f"<Recording {self.path}: {row['binary']} ({row['go_version']}), {self.event_count:,} events>"

    def _repr_html_(self) -> str:
        """Say the same in a notebook, and what its sites retain if it was replayed: that may take a while."""
        from mapprobe.report.notebook import summary

        report = self.report_data() if self._is_replayed(self._fingerprint()) else None
        return summary(self.session.document() | {"events": self.event_count}, report)

    @cached_property
    def event_count(self) -> int:
        """How many events there are; of a recording that was cut off, how many are left."""
        return sum(batch.num_rows for batch in self._batches())

    @property
    def is_cut(self) -> bool:
        """True if events that the finished recording had are not there any more."""
        return self.session.row["ended"] is not None and self.event_count < self.session.events

    def table(self, table: schema.Table) -> pa.Table:
        """Return one of the recorded tables."""
        return store.read_table(self.path, table)

    def events(self, *, frame: Library | None = None) -> Any:
        """Return the events, batch by batch, as `schema.EVENTS`.

        Parameters
        ----------
        frame
            None: as a pyarrow.RecordBatchReader, which needs little memory; else all of them at once, as
            ``pandas``, ``polars`` or ``arrow``.
        """
        reader = pa.RecordBatchReader.from_batches(schema.EVENTS.schema, map(unpack, self._batches()))
        return reader if frame is None else frame_of(reader.read_all(), frame)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the batches of packed events up to the first that speaks of a stack, type or kind that isn't there."""
        stacks, types = len(self.table(schema.STACKS)), len(self.table(schema.TYPES))
        for batch in store.stored_batches(self.path, schema.EVENTS):
            _, (type_id,) = common_columns(batch, ("type_id",))
            if values(batch.column("stack_id")).max(initial=0) >= stacks:
                return
            if type_id.max(initial=-1) >= types or type_id.min(initial=-1) < -1:
                return
            kind = values(batch.column("kind"))
            if kind.min(initial=FIRST_KIND) < FIRST_KIND or kind.max(initial=FIRST_KIND) > LAST_KIND:
                return
            yield batch

    @cached_property
    def inputs(self) -> Inputs:
        """What a replay needs beside the events."""
        keep_kernels()
        from mapprobe.inputs import Inputs
        from mapprobe.sites import resolve

        points, stacks = self.table(schema.POINTS), self.table(schema.STACKS)
        if not len(stacks) or (self.is_cut and not self.event_count):
            why = f"none of its {self.session.events:,} events can be used: files of it are missing or damaged"
            raise RecordingError(str(self.path), f"{why}: record again")
        types, buckets = self.table(schema.TYPES), self.table(schema.SNAPSHOT_BUCKETS)
        if np.array(types["bucket_bytes"], np.uint64).max(initial=0) > LARGEST_BUCKET:
            raise self._damaged(schema.TYPES)
        if np.array(buckets["part"], np.uint64).max(initial=0) > max(LAST_PART, len(buckets)):
            raise self._damaged(schema.SNAPSHOT_BUCKETS)
        return Inputs(
            implementation=self.session.implementation,
            go_release=self.session.go_release,
            probes=self.session.row["probes"],
            attached=self.session.row["attached"],
            is_cut=self.is_cut,
            types=types,
            points=points,
            gaps=self.table(schema.GAPS),
            snapshot_maps=self.table(schema.SNAPSHOT_MAPS),
            snapshot_buckets=buckets,
            sites=resolve(stacks, self.table(schema.FRAMES)),
        )

    def replay(
        self, *, force: bool = False, until_ns: int | None = None, progress: Callable[[int], None] | None = None
    ) -> Replayed:
        """Replay the recording, and keep the result in it for the next time.

        Parameters
        ----------
        force
            Replay even if there is a result of these events.
        until_ns
            Replay only up to this moment of the recording [ns since its start]; such a result isn't kept.
        progress
            Is told the number of events after each batch.
        """
        keep_kernels()
        from mapprobe.replayed import Replayed

        fingerprint = self._fingerprint()
        if until_ns is None and not force and self._is_replayed(fingerprint):
            return Replayed(*(self.table(table) for table in schema.REPLAYED))
        from mapprobe.replay import replay

        until = None if until_ns is None else self.session.row["started_ns"] + until_ns
        result = replay(store.ahead(self._batches()), self.inputs, until, progress)
        if until_ns is None:
            tables = (result.maps, result.charges, result.stack_operations, result.peaks)
            for table, data in zip(schema.REPLAYED, tables, strict=True):
                store.write_table(self.path, table, data, {FINGERPRINT: fingerprint})
        return result

    def pack(self, progress: Callable[[int], None] | None = None) -> tuple[int, int]:
        """Compress the events further, to keep a recording; return what they took before and take now [bytes].

        Parameters
        ----------
        progress
            Is told the number of events after each batch.
        """
        return store.pack_events(self.path, progress)

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
    ) -> list[Report]:
        """Return a report for each view, of one replay; of some functions and packages only, if so chosen."""
        keep_kernels()
        from mapprobe.report.table import chosen
        from mapprobe.selection import select

        replayed, inputs = self.replay(until_ns=until_ns, progress=progress), self.inputs
        found = [self._report(replayed, by, view, until_ns) for view in views]
        if not choice:
            return found
        about = replayed, inputs.types, inputs.sites, choice
        return [chosen(report, select(report.rows, by, *about)) for report in found]

    def _report(self, replayed: Replayed, by: str, view: str, until_ns: int | None) -> Report:
        from mapprobe.report.table import Report
        from mapprobe.retention import aggregate, estimated, totals

        inputs = self.inputs
        rows = aggregate(replayed, inputs.types, inputs.sites, str(inputs.implementation), by, View(view))
        about = self._about(replayed, until_ns)
        unsure = about.inexact, about.bounds, estimated(replayed)
        return Report(about.recording, by, view, totals(replayed), rows, *unsure)

    def overview(
        self,
        view: str = "fill",
        until_ns: int | None = None,
        progress: Callable[[int], None] | None = None,
        *,
        points: int = POINTS,
        top: int = TOP,
    ) -> Overview:
        """Return what a page about the recording shows, for the writers of `mapprobe.report`.

        Parameters
        ----------
        until_ns, progress
            As of `replay`.
        points, top
            As of `timeline`.
        """
        keep_kernels()
        from mapprobe.overview import overview

        replayed, batches = self.replay(until_ns=until_ns), self._batches()
        about = self._about(replayed, until_ns)
        args = (about, View(view), until_ns is None, points, top, progress)
        return overview(batches, self.inputs, replayed, *args)

    def _about(self, replayed: Replayed, until_ns: int | None) -> About:
        """Return what is known of the recording beside what it replays to."""
        from mapprobe.retention import bounds, not_watched

        inexact = replayed.maps["inexact"].to_pylist()
        reasons = {schema.INEXACT_REASONS[Inexact(code)]: inexact.count(code) for code in sorted(set(inexact)) if code}
        row, gaps = self.session.row, self.inputs.gaps
        started_ns, last_ns = row["started_ns"], pc.max(replayed.maps["last_ns"]).as_py() or 0
        first_ns = pc.min(replayed.maps["created_ns"]).as_py() or started_ns
        ended_ns = max(row["ended_ns"] or 0, last_ns) if until_ns is None else started_ns + until_ns
        missing = None if row["ended"] is None else self.session.events - self.event_count
        if until_ns is not None:  # what is missing came later
            missing, gaps = 0, gaps.filter(pc.less_equal(gaps["from_ns"], ended_ns))
        recording = self.session.document() | {"events": self.event_count} | not_watched(gaps, started_ns, ended_ns)
        span = Span(started_ns, min(first_ns, ended_ns), min(last_ns, ended_ns), ended_ns)
        return About(span, recording, reasons, bounds(replayed, self.inputs.points, gaps, missing))

    def profile_data(
        self,
        view: str = "fill",
        until_ns: int | None = None,
        progress: Callable[[int], None] | None = None,
        top: int | None = None,
    ) -> Profile:
        """Return a profile for the writers of `mapprobe.report` that take one: `pprof`, `folded`, `speedscope`."""
        keep_kernels()
        from mapprobe.report.profile import MOST_SAMPLES, profile_of

        replayed = self.replay(until_ns=until_ns, progress=progress)
        tables = {table.name: self.table(table) for table in (schema.STACKS, schema.FRAMES, schema.TYPES)}
        recording = self.session.document() | {"events": self.event_count}
        return profile_of(recording, replayed, tables, View(view), top or MOST_SAMPLES)

    def difference(
        self,
        before: Recording,
        view: str = "fill",
        until_ns: tuple[int | None, int | None] = (None, None),
        progress: Callable[[int], None] | None = None,
    ) -> Difference:
        """Return what changed since another recording, or since an earlier time of this one.

        Parameters
        ----------
        until_ns
            The time in `before`, and in this one [ns since its start]; None: its end.
        """
        keep_kernels()
        from mapprobe.comparison import compare, site_charges
        from mapprobe.report.diff import Difference

        def side(recording: Recording, until: int | None) -> tuple[Report, pa.Table]:
            replayed, inputs = recording.replay(until_ns=until, progress=progress), recording.inputs
            charges = site_charges(replayed, inputs.types, inputs.sites, View(view))
            return recording._report(replayed, "type", view, until), charges

        (old, was), (new, is_now) = side(before, until_ns[0]), side(self, until_ns[1])
        is_same_build = self.session.row["build_id"] == before.session.row["build_id"] != ""
        return Difference(old, new, compare(was, is_now, is_same_build=is_same_build), until_ns)

    def retention(
        self, by: str = "site", view: str = "fill", until_ns: int | None = None, *, frame: Library = "pandas"
    ) -> Any:
        """Return the retention report as a data frame: keys, then `schema.MEASURES`.

        By site and by stack the column ``never_used_slots`` says how many of the virgin slots never held anything.

        Parameters
        ----------
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
            How many points of time (two at least), and how many sites or maps beside ``other`` and ``total``.
        """
        return frame_of(self.overview(view, until_ns, points=points, top=top).timeline.table(by), frame)

    def verify(self, progress: Callable[[int], None] | None = None) -> dict[str, object]:
        """Return the document mapprobe.verify/1: the replay held against the memory read at the end."""
        keep_kernels()
        from mapprobe.verify import verify

        return verify(self._batches(), self.inputs, progress)

    def _fingerprint(self) -> str:
        """Return what a stored result must have been made from: these tables by this code."""
        digest = hashlib.sha256(sources_digest(RESULT_SOURCES).encode())
        for table in schema.RECORDED:
            path = store.table_path(self.path, table)
            digest.update(f"{table.name} {path.stat().st_size if path.is_file() else None}".encode())
            if path.is_file() and table not in LARGE:
                digest.update(path.read_bytes())
        return digest.hexdigest()

    def _is_replayed(self, fingerprint: str) -> bool:
        return all(
            store.table_metadata(self.path, t).get(FINGERPRINT) == fingerprint and store.is_whole(self.path, t)
            for t in schema.REPLAYED
        )
