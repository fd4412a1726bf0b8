"""How full the buckets of a map are: equal to the reference, and to memory that was read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from mapprobe.analysis.occupancy import Occupancy, Source, occupancies
from mapprobe.replay.replay import Replay
from support.drawn import recordings
from support.recordings import RecordedMap, Recording, filled, spread


def of_maps(recording: Recording, until_ns: int | None = None) -> list[Occupancy]:
    replay, inputs = Replay(recording.inputs()), recording.inputs()
    for batch in recording.batches():
        replay.feed(batch)
    replay.close(until_ns)
    return occupancies(replay, inputs, np.arange(replay.map_count), is_end=until_ns is None)


def in_reference(made: RecordedMap) -> list[tuple[int, int]]:
    """Return live and dead slots of each bucket."""
    buckets = [bucket for bucket, _ in made.reference.listed()]
    live = [sum(key is not None for key in bucket.keys) for bucket in buckets]
    used = [sum(by is not None for by in bucket.inserted_by) for bucket in buckets]
    return [(here, ever - here) for here, ever in zip(live, used, strict=True)]


def in_occupancy(found: Occupancy) -> list[tuple[int, int]]:
    return list(zip(found.live.tolist(), found.dead.tolist(), strict=True))


@settings(max_examples=20, deadline=None)
@given(recording=recordings())
def test_buckets_are_as_full_as_in_the_reference(recording: Recording) -> None:
    living = {made.address: made for made in recording.maps}.values()
    found = [in_occupancy(one) for one in of_maps(recording) if one.source is Source.REPLAY]

    assert sorted(found) == sorted(in_reference(made) for made in living)


def test_a_histogram_counts_every_bucket(recording: Recording) -> None:
    made = filled(recording, 100)
    made.delete(*spread(60))
    (found,) = of_maps(recording)

    assert sum(found.histogram()) == made.slots()["buckets"]
    assert sum(n * buckets for n, buckets in enumerate(found.histogram())) == 40


@pytest.fixture
def read(recording: Recording) -> RecordedMap:
    """Give a map that lost events and was read at the end."""
    made = filled(recording, 100)
    with recording.losing_events():
        made.delete(*spread(60))
    made.read()
    return made


def test_a_map_that_was_read_is_as_its_memory_showed_it(recording: Recording, read: RecordedMap) -> None:
    (found,) = of_maps(recording)

    assert found.source is Source.MEMORY
    assert found.live.tolist() == [live for live, _ in in_reference(read)]


def test_of_a_report_at_a_time_the_end_does_not_count(recording: Recording, read: RecordedMap) -> None:
    (found,) = of_maps(recording, until_ns=recording.now)

    assert (found.source, int(found.live.sum())) == (Source.EARLIER, 100)


def test_a_map_that_died_has_no_buckets(recording: Recording) -> None:
    filled(recording, 100).skip("freed", died=True)
    (found,) = of_maps(recording)

    assert (len(found.live), sum(found.histogram())) == (0, 0)
