"""What a report says of its recording beside what was replayed: when it was, what it lost, which maps are not exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from mapprobe import vocabulary
from mapprobe.analysis.certainty import Apart, apart
from mapprobe.analysis.retention import bounds, not_watched
from mapprobe.recording.inputs import Inputs
from mapprobe.recording.session import LAST_MOMENT, Session, Span
from mapprobe.recording.tables.result import Replayed
from mapprobe.vocabulary import Inexact, MapState

OF_THE_START = "nothing was done to it in the recording: its figures are those of the census of the start"
"""Why a map is not exact that nothing was done to, where no census was taken of the end."""


@dataclass(frozen=True, slots=True)
class About:
    """What of a recording is neither events nor inputs of a replay.

    Attributes
    ----------
    recording, inexact, bounds, apart
        As of `overview.Overview`.
    """

    span: Span
    recording: dict[str, object]
    inexact: dict[str, int]
    bounds: dict[str, tuple[int, int | None]]
    apart: Apart


def about(session: Session, event_count: int, inputs: Inputs, replayed: Replayed, until_ns: int | None) -> About:
    """Return what is known of a recording as it stood at a time.

    Parameters
    ----------
    event_count
        Events that are there, fewer than were recorded if it was cut off.
    until_ns
        The replay was up to here [ns since the start of the recording]; None: of all of it.
    """
    counts = np.bincount(np.asarray(replayed.maps["inexact"]), minlength=1).tolist()
    words = vocabulary.INEXACT_REASONS | ({} if inputs.end else {Inexact.UNTOUCHED: OF_THE_START})
    reasons = {words[Inexact(code)]: n for code, n in enumerate(counts) if code and n}
    row, gaps = session.row, inputs.gaps
    started_ns, last_ns = row["started_ns"], pc.max(replayed.maps["last_ns"]).as_py() or row["started_ns"]
    first_ns = pc.min(replayed.maps["created_ns"]).as_py() or started_ns
    if inputs.start:  # what the process had then is the first that is known of it
        first_ns = inputs.start.started_ns
    ended_ns = max(row["ended_ns"] or 0, last_ns) if until_ns is None else started_ns + until_ns
    missing = None if row["ended"] is None else session.events - event_count
    if until_ns is not None:  # what is missing came later
        missing, gaps = 0, gaps.filter(pc.less_equal(gaps["from_ns"], ended_ns))
    recording = session.document() | {"events": event_count} | not_watched(gaps, started_ns, ended_ns)
    if until_ns is None and was_gone(session, inputs):
        recording |= {"process_ended": True}
    moments = started_ns, min(first_ns, ended_ns), min(last_ns, ended_ns), ended_ns
    span = Span(*(min(moment, LAST_MOMENT) for moment in moments))
    unsure = bounds(replayed, inputs.points, gaps, missing), apart(replayed, *_uncollected(inputs, replayed, until_ns))
    return About(span, recording, reasons, *unsure)


def was_gone(session: Session, inputs: Inputs) -> bool:
    """True if the process ended by itself before anything of its end could be read."""
    was_read = inputs.end is not None or pc.any(inputs.snapshot_maps["at_end"], min_count=0).as_py()
    return session.row["ended_by"] == "exit" and not was_read


def _uncollected(inputs: Inputs, replayed: Replayed, until_ns: int | None) -> tuple[int, int]:
    """Return what dead maps take by the census of the end [bytes], and how many of them no event was about."""
    if inputs.end is None or until_ns is not None:
        return 0, 0
    rows = inputs.end.rows
    dead = rows.filter(pc.equal(rows["state"], str(MapState.DEAD)))
    unseen = pc.invert(pc.is_in(dead["map_addr"], replayed.maps["map_addr"].combine_chunks()))
    taken = pc.sum(dead["allocated_bytes"], min_count=0).as_py()
    return int(taken), int(pc.sum(unseen, min_count=0).as_py())
