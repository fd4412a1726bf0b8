"""A trace of counter tracks for ui.perfetto.dev: what the top maps and sites held over time.

The process has a track for the total, for each of the top sites and maps, and for `other`. Each track has counters of
live entries, allocated slots and retained bytes, and an instant for each growth and clear. If the heap was recorded,
the parts of the memory have counters, and each mark (a collection, a forced return, a changed limit) is an instant.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from mapprobe.analysis.overview import Overview
from mapprobe.analysis.timeline import GROUPINGS, OTHER, TOTAL
from mapprobe.replay.stepping import MEASURES
from mapprobe.report.heap_columns import columns
from mapprobe.report.profiles.messages import message_classes

# perfetto protos/perfetto/trace/perfetto_trace.proto: the fields of each message that are written here; * is repeated
MESSAGES = {
    "Trace": "packet=1:TracePacket*",
    "TracePacket": "timestamp=8:uint64 trusted_packet_sequence_id=10:uint32 track_event=11:TrackEvent "
    "track_descriptor=60:TrackDescriptor",
    "TrackDescriptor": "uuid=1:uint64 name=2:string process=3:ProcessDescriptor parent_uuid=5:uint64 "
    "counter=8:CounterDescriptor",
    "ProcessDescriptor": "pid=1:int32 process_name=6:string",
    "CounterDescriptor": "unit=3:int32",
    "TrackEvent": "type=9:int32 track_uuid=11:uint64 name=23:string counter_value=30:int64",
}
COUNT, SIZE_BYTES = 2, 3
INSTANT, COUNTER = 3, 4
SEQUENCE = 1
COUNTERS = (("live_slots", COUNT), ("slots", COUNT), ("retained_bytes", SIZE_BYTES))
MARKS = (("growths", "growth"), ("clears", "clear"))
MEMORY = "memory of the process"
PROCESS = 1
"""The uuid of the process's track; other tracks have the following numbers."""


def write(overview: Overview, out: BinaryIO, heap: dict[str, Any] | str = "") -> None:
    """Write the trace; times are nanoseconds since the start of the recording.

    Parameters
    ----------
    heap
        The document mapprobe.heap/1, or the reason why there is none.
    """
    recording = overview.recording
    process = {"pid": int(str(recording["pid"])), "process_name": str(recording["binary"])}
    out.write(_packet(track_descriptor={"uuid": PROCESS, "process": process}))
    uuid = PROCESS + 1
    for group, amounts in _groups(overview):
        for packet in _tracks(uuid, group, amounts, overview.timeline.at_ns.tolist()):
            out.write(packet)
        uuid += 1 + len(COUNTERS)
    if not isinstance(heap, str):
        for packet in _memory(uuid, heap):
            out.write(packet)


def _groups(overview: Overview) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
    """Yield for each track its name and its `MEASURES` at each point, ``(points, MEASURES)``."""
    line = overview.timeline
    yield TOTAL, line.total
    for by in GROUPINGS:
        series = line.series[by]
        for n, name in enumerate(series.names()):
            yield f"{by} {name}", series.amounts[:, n]
        if series.others:
            yield f"{by} {OTHER} ({series.others} more)", line.other(by)


def _tracks(uuid: int, name: str, amounts: npt.NDArray[np.int64], at_ns: list[int]) -> Iterator[bytes]:
    """Yield the packets of one group: a track of instants, and its counters below it."""
    yield _packet(track_descriptor={"uuid": uuid, "name": name, "parent_uuid": PROCESS})
    for track, (measure, unit) in enumerate(COUNTERS, start=uuid + 1):
        about = {"uuid": track, "name": f"{name}: {measure}", "parent_uuid": uuid, "counter": {"unit": unit}}
        yield _packet(track_descriptor=about)
        for when, value in zip(at_ns, amounts[:, MEASURES.index(measure)].tolist(), strict=True):
            yield _packet(timestamp=when, track_event={"type": COUNTER, "track_uuid": track, "counter_value": value})
    for measure, mark in MARKS:
        more = np.diff(amounts[:, MEASURES.index(measure)], prepend=0)
        for row in np.flatnonzero(more > 0).tolist():
            said = mark if more[row] == 1 else f"{more[row]} {measure}"
            yield _packet(timestamp=at_ns[row], track_event={"type": INSTANT, "track_uuid": uuid, "name": said})


def _memory(uuid: int, heap: dict[str, Any]) -> Iterator[bytes]:
    """Yield the packets of the process's memory: a track of marks, and below it a counter for each part."""
    yield _packet(track_descriptor={"uuid": uuid, "name": MEMORY, "parent_uuid": PROCESS})
    amounts = columns(heap)
    at_ns = amounts.pop("time_ns")
    for track, (name, values) in enumerate(amounts.items(), start=uuid + 1):
        about = {"uuid": track, "name": f"{MEMORY}: {name}", "parent_uuid": uuid, "counter": {"unit": SIZE_BYTES}}
        yield _packet(track_descriptor=about)
        for when, value in zip(at_ns, values, strict=True):
            if value is not None:
                event = {"type": COUNTER, "track_uuid": track, "counter_value": value}
                yield _packet(timestamp=when, track_event=event)
    for mark in heap["marks"]:
        said = {"type": INSTANT, "track_uuid": uuid, "name": mark["says"]}
        yield _packet(timestamp=mark["time_ns"], track_event=said)


def _packet(**fields: Any) -> bytes:
    """Return a trace with one packet; concatenated traces are one trace."""
    trace = _trace_class()(packet=[{"trusted_packet_sequence_id": SEQUENCE, **fields}])
    return bytes(trace.SerializeToString(deterministic=True))


@cache
def _trace_class() -> Any:
    return message_classes("perfetto.protos", "proto2", MESSAGES)["Trace"]
