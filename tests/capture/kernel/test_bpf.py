"""Raw system calls on BPF objects."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mapprobe.capture.kernel import bpf
from mapprobe.capture.kernel.bpf import Table, possible_cpus

MAP_CREATE = 0
HASH, ARRAY, PER_CPU_ARRAY = 1, 2, 6
NO_COMMAND = 4000


@pytest.fixture
def made() -> Iterator[Callable[..., Table]]:
    tables: list[Table] = []

    def make(kind: int, key_bytes: int, value_bytes: int, entries: int) -> Table:
        tables.append(Table(bpf.call(MAP_CREATE, struct.pack("<IIIII", kind, key_bytes, value_bytes, entries, 0))))
        return tables[-1]

    yield make
    for table in tables:
        table.close()


def test_what_the_kernel_refuses_is_an_error_with_its_reason() -> None:
    with pytest.raises(OSError, match="Invalid argument") as refused:
        bpf.call(NO_COMMAND, bytes(8))
    assert refused.value.errno in (errno.EINVAL, errno.EPERM)


@pytest.mark.parametrize(("text", "cpus"), [("0\n", 1), ("0-1\n", 2), ("0-3,8-11\n", 12), ("0-3,5\n", 6)])
def test_values_are_kept_up_to_the_last_possible_cpu(
    text: str, cpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "possible").write_text(text)
    monkeypatch.setattr(bpf, "POSSIBLE_CPUS", tmp_path / "possible")
    assert possible_cpus.__wrapped__() == cpus


@pytest.mark.system
def test_what_was_written_is_found(made: Callable[..., Table]) -> None:
    table = made(ARRAY, 4, 8, 3)
    table.update(2, struct.pack("<Q", 77))
    assert [struct.unpack("<Q", table.look_up(key))[0] for key in range(3)] == [0, 0, 77]


@pytest.mark.system
def test_a_key_that_is_not_there_is_a_key_error(made: Callable[..., Table]) -> None:
    table = made(HASH, 8, 24, 4)
    table.update(1 << 63, bytes(range(24)))
    assert table.look_up(1 << 63) == bytes(range(24))
    with pytest.raises(KeyError):
        table.look_up(5)


@pytest.mark.system
def test_a_closed_map_can_not_be_asked(made: Callable[..., Table]) -> None:
    table = made(ARRAY, 4, 8, 1)
    spare = os.dup(table.descriptor)
    table.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        table.look_up(0)
    os.dup2(spare, table.descriptor)  # the fixture closes it
    os.close(spare)


@pytest.mark.system
@pytest.mark.parametrize("count", [1, 5, 7])
@pytest.mark.parametrize("has_batches", [True, False])
def test_the_first_values_of_an_array_have_a_word_for_each_cpu(
    made: Callable[..., Table], monkeypatch: pytest.MonkeyPatch, count: int, has_batches: bool
) -> None:
    table = made(PER_CPU_ARRAY, 4, 8, 7)
    expected = np.arange(7 * possible_cpus(), dtype=np.uint64).reshape(7, -1)
    for key, words in enumerate(expected):
        table.update(key, words.tobytes())

    whole = bpf.call

    def without_batches(command: int, attributes: bytes | bytearray) -> int:
        if command == bpf.MAP_LOOKUP_BATCH:
            raise OSError(errno.EINVAL, "no batches")
        return whole(command, attributes)

    if not has_batches:
        monkeypatch.setattr(bpf, "call", without_batches)
    assert table.first(count).tolist() == expected[:count].tolist()
