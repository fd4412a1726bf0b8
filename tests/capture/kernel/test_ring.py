import mmap
import os

import numpy as np
import pytest

from mapprobe.capture.kernel.ring import (
    BUSY,
    DISCARD,
    DRAINED_AT_ONCE,
    EVENT,
    PAGE,
    RECORD_BYTES,
    WORDS,
    Events,
    Ring,
    complete_events,
)
from mapprobe.errors import HostError

HASH = 1 + EVENT.fields["hash"][1] // 8


def records(lengths: list[int]) -> np.ndarray:
    out = np.zeros((len(lengths), 1 + WORDS), np.uint64)
    out[:, 0] = lengths
    out[:, HASH] = np.arange(len(lengths))
    return out


def test_record_is_header_and_event_in_whole_words():
    assert RECORD_BYTES == 8 + EVENT.itemsize == 8 * (1 + WORDS)


def test_a_column_is_the_field_of_each_event():
    draw = np.random.default_rng(1)
    rows = np.frombuffer(draw.bytes(5 * EVENT.itemsize), EVENT)

    events = Events.of(rows)

    for name in set(EVENT.names) - {"unused"}:
        assert np.array_equal(events[name].T, rows[name])


def test_events_are_taken_cut_and_joined_by_rows():
    rows = np.zeros(10, EVENT)
    rows["tid"] = np.arange(10)
    events = Events.of(rows)

    assert events.take(np.array([7, 2]))["tid"].tolist() == [7, 2]
    assert events.part(8, 20)["tid"].tolist() == [8, 9]
    assert Events.joined([events.part(0, 2), events.part(5, 6)])["tid"].tolist() == [0, 1, 5]


def test_more_records_than_are_drained_at_once_come_out_in_order():
    count = 2 * DRAINED_AT_ONCE + 3

    events, used = complete_events(records([EVENT.itemsize] * count))

    assert used == count
    assert events["hash"].tolist() == list(range(count))


def test_events_before_the_first_busy_record_are_taken():
    size = EVENT.itemsize

    events, used = complete_events(records([size, size, size | int(BUSY), size]))

    assert used == 2
    assert events["hash"].tolist() == [0, 1]


def test_discarded_records_are_used_up_but_give_no_event():
    size = EVENT.itemsize

    events, used = complete_events(records([size, size | int(DISCARD), size]))

    assert used == 3
    assert events["hash"].tolist() == [0, 2]


class FakeRing:
    """The memory of a BPF ring in a plain file: positions, then the data mapped twice."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * PAGE + 2 * size)
        self.memory = mmap.mmap(self.fd, 2 * PAGE + 2 * size)

    def produce(self, start: int, rows: np.ndarray) -> None:
        raw = rows.tobytes()
        for n, byte in enumerate(raw):
            place = (start + n) % self.size
            self.memory[2 * PAGE + place] = byte
            self.memory[2 * PAGE + self.size + place] = byte
        self.memory[PAGE : PAGE + 8] = (start + len(raw)).to_bytes(8, "little")

    def consumed(self) -> int:
        return int.from_bytes(self.memory[:8], "little")


@pytest.fixture
def fake():
    ring = FakeRing(PAGE)
    yield ring
    ring.memory.close()
    os.close(ring.fd)


def drained(ring: Ring) -> list[int]:
    return [number for events in ring.drain() for number in events["hash"].tolist()]


def test_events_are_drained_a_few_at_a_time_up_to_the_first_busy_record(monkeypatch):
    monkeypatch.setattr("mapprobe.capture.kernel.ring.DRAINED_AT_ONCE", 4)
    fake = FakeRing(PAGE)
    size = EVENT.itemsize
    with Ring(fake.fd, fake.size) as ring:
        fake.produce(0, records([size] * 9 + [size | int(BUSY)] + [size] * 2))

        assert [len(events) for events in ring.drain()] == [4, 4, 1]
        assert fake.consumed() == 9 * RECORD_BYTES
        assert drained(ring) == []


def test_a_ring_that_can_not_be_mapped_is_one_line(tmp_path):
    descriptor = os.open(tmp_path, os.O_RDONLY)  # a folder can't be mapped
    with pytest.raises(HostError, match="can't be mapped"), Ring(descriptor, PAGE):
        pass
    os.close(descriptor)


def test_drain_returns_what_was_produced_and_gives_the_room_back(fake):
    with Ring(fake.fd, fake.size) as ring:
        fake.produce(0, records([EVENT.itemsize] * 3))

        assert drained(ring) == [0, 1, 2]
        assert fake.consumed() == 3 * RECORD_BYTES
        assert drained(ring) == []


def test_records_that_wrap_around_the_end_come_out_whole(fake):
    with Ring(fake.fd, fake.size) as ring:
        per_round = 20
        start = 0
        for _ in range(10):
            fake.produce(start, records([EVENT.itemsize] * per_round))
            start += per_round * RECORD_BYTES

            assert drained(ring) == list(range(per_round))
