"""What a report says about its recording: when it was made, which events it lost, how many maps are not exact."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe import vocabulary
from mapprobe.analysis.certainty import Apart, apart
from mapprobe.analysis.retention import totals
from mapprobe.recording.inputs import Inputs
from mapprobe.recording.session import LAST_MOMENT, Left, Session, Span
from mapprobe.recording.tables.result import Replayed
from mapprobe.replay.last_read import read_at_end
from mapprobe.vocabulary import NOT_WATCHED, EventKind, Inexact, MapState


@dataclass(frozen=True, slots=True)
class About:
    """Facts about a recording that are neither events nor inputs of a replay.

    Attributes
    ----------
    recording, inexact, bounds, apart
        As in `overview.Overview`.
    """

    span: Span
    recording: dict[str, object]
    inexact: dict[str, int]
    bounds: dict[str, tuple[int, int | None]]
    apart: Apart


def about(session: Session, left: Left, inputs: Inputs, replayed: Replayed, until_ns: int | None) -> About:
    """Return what is known of a recording as it stood at a time.

    Parameters
    ----------
    left
        The events that are there, fewer than were recorded if the recording is damaged.
    until_ns
        The time up to which events were replayed [ns since the start of the recording]; None: to its end.
    """
    counts = np.bincount(np.asarray(replayed.maps["inexact"]), minlength=1).tolist()
    reasons = {vocabulary.INEXACT_REASONS[Inexact(code)]: n for code, n in enumerate(counts) if code and n}
    row, gaps = session.row, inputs.gaps
    started_ns, last_ns = row["started_ns"], pc.max(replayed.maps["last_ns"]).as_py() or row["started_ns"]
    first_ns = pc.min(replayed.maps["created_ns"]).as_py() or started_ns
    if inputs.start:  # the census of the start is the first thing that is known about the process
        first_ns = inputs.start.started_ns
    ended_ns = max(row["ended_ns"] or 0, last_ns) if until_ns is None else started_ns + until_ns
    missing = None if row["ended"] is None else session.events - left.events
    if until_ns is not None:  # events are missing at the end only, after this time
        missing, gaps = 0, gaps.filter(pc.less_equal(gaps["from_ns"], ended_ns))
    recording = session.document(left) | not_watched(gaps, started_ns, ended_ns)
    if until_ns is None and was_gone(session, inputs):
        recording |= {"process_ended": True}
    moments = started_ns, min(first_ns, ended_ns), min(last_ns, ended_ns), ended_ns
    span = Span(*(min(moment, LAST_MOMENT) for moment in moments))
    unsure = bounds(replayed, inputs.points, gaps, missing), apart(replayed, *_uncollected(inputs, replayed, until_ns))
    return About(span, recording, reasons, *unsure)


def was_gone(session: Session, inputs: Inputs) -> bool:
    """True if the process ended by itself before its memory could be read at the end."""
    was_read = inputs.end is not None or len(read_at_end(inputs)) > 0
    return session.row["ended_by"] == "exit" and not was_read


def _uncollected(inputs: Inputs, replayed: Replayed, until_ns: int | None) -> tuple[int, int]:
    """Return the bytes of dead maps in the census of the end, and how many of these maps had no event."""
    if inputs.end is None or until_ns is not None:
        return 0, 0
    rows = inputs.end.rows
    dead = rows.filter(pc.equal(rows["state"], str(MapState.DEAD)))
    unseen = pc.invert(pc.is_in(dead["map_addr"], replayed.maps["map_addr"].combine_chunks()))
    taken = pc.sum(dead["allocated_bytes"], min_count=0).as_py()
    return int(taken), int(pc.sum(unseen, min_count=0).as_py())


def bounds(
    replayed: Replayed, points: pa.Table, gaps: pa.Table, missing: int | None = 0
) -> dict[str, tuple[int, int | None]]:
    """Return the least and the most count of each operation that may have been lost; None: any number.

    A lost event may have been any operation, and perhaps the only one of its map. It may also be why a recorded
    operation on the map, or on a clone of the map, was taken for another one (an insert for an update). The effect of
    a map's last operation is not known if no later header was seen. A clone inserts as many entries as the original
    map has, a number that is not known if events of the original were lost. A recorded clear is always a clear.

    Parameters
    ----------
    points, gaps
        `schema.POINTS` and `schema.GAPS`.
    missing
        Events that were recorded, but are missing from the recording; None: an unknown number.
    """
    kinds = dict(zip(points["point"].to_pylist(), points["kind"].to_pylist(), strict=True))
    lost: Counter[int | None] = Counter()
    for point, count in zip(gaps["point"].to_pylist(), gaps["lost"].to_pylist(), strict=True):
        lost[kinds.get(point)] += count
    misses = lost.total() - lost[EventKind.EXIT] - lost[EventKind.OVERFLOW]
    unknown = missing is None or NOT_WATCHED in gaps["reason"].to_pylist()
    if not (unknown or missing or misses):
        return {}
    found, seen = totals(replayed), set(kinds.values())
    misses += missing or 0
    inexact = np.asarray(replayed.maps["inexact"]) != 0
    blurred = misses + 2 * int(np.count_nonzero(inexact))
    slack: dict[str, tuple[int, int | None]] = {"maps": (misses, misses), "growths": (misses, None)}
    slack["clears"] = 0, lost[EventKind.CLEAR] + lost[None] + (missing or 0)
    if EventKind.ASSIGN in seen:
        slack |= dict.fromkeys(("inserts", "updates", "deletes"), (blurred, blurred))
    if lost[EventKind.CLONE] or pc.sum(points["hits"].filter(pc.equal(points["kind"], EventKind.CLONE))).as_py():
        slack["inserts"] = blurred + int(np.asarray(replayed.maps["inserts"]).astype(np.int64)[inexact].sum()), None
    return {
        name: (max(0, found[name] - fewer), None if unknown or more is None else found[name] + more)
        for name, (fewer, more) in slack.items()
        if unknown or fewer or more != 0
    }


def not_watched(gaps: pa.Table, started_ns: int, ended_ns: int) -> dict[str, list[list[float]]]:
    """Return ``not_watched``: the times in which not everything was watched [s since the start]; empty if none."""
    chosen = gaps.filter(pc.equal(gaps["reason"], NOT_WATCHED))
    spans = sorted(set(zip(chosen["from_ns"].to_pylist(), chosen["to_ns"].to_pylist(), strict=True)))
    joined: list[list[int]] = []
    for start, end in spans:  # gaps of several points may overlap
        if joined and start < joined[-1][1]:
            joined[-1][1] = max(end, joined[-1][1])
        else:
            joined.append([start, end])
    found = [[(start - started_ns) / 1e9, (min(end, ended_ns) - started_ns) / 1e9] for start, end in joined]
    return {"not_watched": found} if found else {}
