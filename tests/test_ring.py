import mmap
import os

import numpy as np
import pytest

from mapprobe.ring import BUSY, DISCARD, PAGE, Ring, complete_events, event_dtype, record_dtype

EVENT = event_dtype(2)
RECORD = record_dtype(EVENT)


def records(lengths: list[int]) -> np.ndarray:
    out = np.zeros(len(lengths), RECORD)
    out["length"] = lengths
    out["event"]["hash"] = np.arange(len(lengths))
    return out


def test_record_is_header_and_event_in_whole_words():
    assert RECORD.itemsize == 8 + EVENT.itemsize
    assert EVENT.itemsize % 8 == 0


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


def test_drain_returns_what_was_produced_and_gives_the_room_back(fake):
    with Ring(fake.fd, fake.size, EVENT) as ring:
        fake.produce(0, records([EVENT.itemsize] * 3))

        assert ring.drain()["hash"].tolist() == [0, 1, 2]
        assert fake.consumed() == 3 * RECORD.itemsize
        assert len(ring.drain()) == 0


def test_records_that_wrap_around_the_end_come_out_whole(fake):
    with Ring(fake.fd, fake.size, EVENT) as ring:
        per_round = 20
        start = 0
        for _ in range(10):
            fake.produce(start, records([EVENT.itemsize] * per_round))
            start += per_round * RECORD.itemsize

            assert ring.drain()["hash"].tolist() == list(range(per_round))
