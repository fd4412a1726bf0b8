"""A trace of counter tracks for ui.perfetto.dev: what the top maps and sites held over time.

Perfetto's protobuf format, of which this writes a handful of messages. Under the process stand the total, each of the
top sites and maps, and `other`, each with a counter of live entries, one of allocated slots and one of retained bytes,
and an instant wherever it grew or was cleared::

    Trace.packet (1)*   TracePacket: timestamp 8, sequence 10, track_event 11, track_descriptor 60
    TrackDescriptor     uuid 1, name 2, process 3 {pid 1, process_name 6}, parent_uuid 5, counter 8 {unit 3}
    TrackEvent          type 9, track_uuid 11, name 23, counter_value 30

proto: perfetto/protos/perfetto/trace/perfetto_trace.proto
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from mapprobe.overview import Overview
from mapprobe.stepping import MEASURES
from mapprobe.timeline import GROUPINGS, OTHER, TOTAL

COUNT, SIZE_BYTES = 2, 3
INSTANT, COUNTER = 3, 4
SEQUENCE = 1
COUNTERS = (("live_slots", COUNT), ("slots", COUNT), ("retained_bytes", SIZE_BYTES))
MARKS = (("growths", "growth"), ("clears", "clear"))
PROCESS = 1
"""The uuid of the process's track; those of the others follow."""


def write(overview: Overview, out: BinaryIO) -> None:
    """Write the trace; times are nanoseconds since the start of the recording."""
    recording = overview.recording
    pid, name = int(str(recording["pid"])), str(recording["binary"])
    process = _number(1, pid) + _text(6, name)
    out.write(_packet(_message(60, _number(1, PROCESS) + _message(3, process))))
    uuid = PROCESS + 1
    for group, amounts in _groups(overview):
        for packet in _tracks(uuid, group, amounts, overview.timeline.at_ns.tolist()):
            out.write(packet)
        uuid += 1 + len(COUNTERS)


def _groups(overview: Overview) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
    """Yield a name and `MEASURES` at each point of all that has tracks, ``(points, MEASURES)``."""
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
    yield _packet(_message(60, _number(1, uuid) + _text(2, name) + _number(5, PROCESS)))
    for n, (measure, unit) in enumerate(COUNTERS, start=1):
        about = _number(1, uuid + n) + _text(2, f"{name}: {measure}") + _number(5, uuid)
        yield _packet(_message(60, about + _message(8, _number(3, unit))))
        for when, value in zip(at_ns, amounts[:, MEASURES.index(measure)].tolist(), strict=True):
            event = _number(9, COUNTER) + _number(11, uuid + n) + _number(30, value)
            yield _packet(_number(8, when) + _message(11, event))
    for measure, mark in MARKS:
        more = np.diff(amounts[:, MEASURES.index(measure)], prepend=0)
        for row in np.flatnonzero(more > 0).tolist():
            said = mark if more[row] == 1 else f"{more[row]} {measure}"
            event = _number(9, INSTANT) + _number(11, uuid) + _text(23, said)
            yield _packet(_number(8, at_ns[row]) + _message(11, event))


def _packet(fields: bytes) -> bytes:
    return _message(1, _number(10, SEQUENCE) + fields)


def _number(field: int, value: int) -> bytes:
    """Return a field of a number, 0 or more."""
    return _varint(field << 3) + _varint(value)


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode("utf-8", "replace"))


def _message(field: int, fields: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(fields)) + fields


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
