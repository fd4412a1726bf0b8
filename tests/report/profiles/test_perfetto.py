"""Counter tracks as Perfetto's own messages read them.

Perfetto's trace processor is a binary that its Python package fetches from the network when it is first used; no
package of PyPI, npm or Debian 12 was found that carries it, so the tests do not run it.
"""

from __future__ import annotations

import io
from collections import Counter

import pytest
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import CounterDescriptor, Trace, TrackEvent

from mapprobe.analysis.overview import Overview
from mapprobe.replay.stepping import MEASURES
from mapprobe.report.profiles.perfetto import MEMORY, write
from support.heaps import LIMIT, MIB, RSS, heap_of
from support.samples import HOSTILE, named, overview_of, shop


@pytest.fixture(scope="module")
def seen() -> Overview:
    return overview_of(shop(), top=2)


def traced(overview: Overview, heap: dict | str = "") -> Trace:
    out = io.BytesIO()
    write(overview, out, heap)
    trace = Trace()
    trace.ParseFromString(out.getvalue())
    return trace


def tracks(trace: Trace) -> dict[str, int]:
    """Return the uuid of each named track."""
    found = [packet.track_descriptor for packet in trace.packet if packet.HasField("track_descriptor")]
    assert len({track.uuid for track in found}) == len(found)
    return {track.name: track.uuid for track in found}


def counted(trace: Trace, name: str) -> list[tuple[int, int]]:
    """Return time and value of each point of a counter."""
    uuid = tracks(trace)[name]
    return [
        (packet.timestamp, packet.track_event.counter_value)
        for packet in trace.packet
        if packet.track_event.track_uuid == uuid and packet.track_event.type == TrackEvent.TYPE_COUNTER
    ]


@pytest.mark.parametrize("measure", ["live_slots", "slots", "retained_bytes"])
def test_a_counter_is_the_timeline(seen: Overview, measure: str) -> None:
    column = MEASURES.index(measure)
    expected = zip(seen.timeline.at_ns.tolist(), seen.timeline.total[:, column].tolist(), strict=True)
    assert counted(traced(seen), f"total: {measure}") == list(expected)


def test_the_last_point_is_the_report(seen: Overview) -> None:
    assert counted(traced(seen), "total: retained_bytes")[-1][1] == seen.totals["retained_bytes"]


@pytest.mark.parametrize("by", ["site", "map"])
def test_the_top_and_all_others_have_tracks(seen: Overview, by: str) -> None:
    series = seen.timeline.series[by]
    expected = [f"{by} {name}" for name in series.names()]
    expected += [f"{by} other ({series.others} more)"] if series.others else []

    assert [name for name in tracks(traced(seen)) if name.startswith(f"{by} ") and ": " not in name] == expected


def test_bytes_are_bytes_and_entries_are_counts(seen: Overview) -> None:
    units = Counter(
        packet.track_descriptor.counter.unit
        for packet in traced(seen).packet
        if packet.track_descriptor.HasField("counter")
    )

    assert units[CounterDescriptor.UNIT_COUNT] == 2 * units[CounterDescriptor.UNIT_SIZE_BYTES] > 0
    assert set(units) == {CounterDescriptor.UNIT_COUNT, CounterDescriptor.UNIT_SIZE_BYTES}


def test_growths_and_clears_are_instants(seen: Overview) -> None:
    said = [name for _, name in instants(traced(seen), "total")]

    assert said.count("clear") == seen.totals["clears"] == 1
    counts = [1 if name == "growth" else int(name.split()[0]) for name in said if "growth" in name]
    assert sum(counts) == seen.totals["growths"]


def instants(trace: Trace, name: str) -> list[tuple[int, str]]:
    """Return time and name of each instant of a track."""
    uuid = tracks(trace)[name]
    return [
        (packet.timestamp, packet.track_event.name)
        for packet in trace.packet
        if packet.track_event.track_uuid == uuid and packet.track_event.type == TrackEvent.TYPE_INSTANT
    ]


def test_parts_of_the_memory_are_counters(seen: Overview) -> None:
    heap = heap_of(seen)
    trace = traced(seen, heap)

    for name in ("rss_bytes", "live_bytes", "retained_bytes", "other_heap_bytes", "free_bytes", "rest_bytes"):
        assert counted(trace, f"{MEMORY}: {name}") == [(row["time_ns"], row[name]) for row in heap["timeline"]]
    assert counted(trace, f"{MEMORY}: rss_bytes")[-1][1] == RSS
    assert len(tracks(trace)) == len(tracks(traced(seen))) + 1 + len(heap["timeline"][0]) - 1


def test_goal_and_limit_have_values_where_there_are_any(seen: Overview) -> None:
    trace = traced(seen, heap_of(seen, samples=9))

    assert [value for _, value in counted(trace, f"{MEMORY}: goal_bytes")] == [80 * MIB] * 5
    assert [value for _, value in counted(trace, f"{MEMORY}: memory_limit_bytes")] == [LIMIT] * 4


def test_marks_of_the_heap_are_instants(seen: Overview) -> None:
    heap = heap_of(seen, collections=4)

    found = instants(traced(seen, heap), MEMORY)
    assert found == [(mark["time_ns"], mark["says"]) for mark in heap["marks"]]
    assert len(found) == 4 + 1 + 2


@pytest.mark.parametrize("has_heap", [False, True])
def test_every_track_belongs_to_the_process(seen: Overview, has_heap: bool) -> None:
    trace = traced(seen, heap_of(seen) if has_heap else "not recorded")
    descriptors = [p.track_descriptor for p in trace.packet if p.HasField("track_descriptor")]
    process, *others = descriptors
    uuids = {track.uuid for track in descriptors}

    assert (process.process.pid, process.process.process_name) == (4711, "/srv/shop")
    assert all(track.parent_uuid in uuids for track in others)


def test_names_are_kept_as_they_are() -> None:
    assert any(HOSTILE in name for name in tracks(traced(overview_of(named(shop(), HOSTILE)))))
