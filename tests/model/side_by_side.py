"""One map in the kernels and the same one in the reference: each operation is done to both and must come out equal."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from mapprobe import schema
from mapprobe.model import classic, sizes, swiss
from mapprobe.model.check import check_classic, check_swiss
from mapprobe.model.state import (
    ARRAY,
    BUCKET_BYTES,
    COUNT,
    EVACUATED,
    FLAGS,
    GROWTH_LEFT,
    HAS_POINTERS,
    INDEX,
    LOCAL_DEPTH,
    LOG2,
    OVERFLOW_COUNT,
    USED,
    State,
    enlarged,
    new_state,
)
from mapprobe.schema import Implementation
from reference import Bucket, ClassicMap, Key, SwissMap

KINDS = ("main", "preallocated", "heap")


class SideBySide:
    """Map 0 of a state beside its reference."""

    model: ModuleType
    state: State
    reference: ClassicMap | SwissMap

    @property
    def type(self) -> tuple[int, int]:
        """Bucket bytes, and whether buckets hold pointers."""
        row = self.state.maps[0]
        return int(row[BUCKET_BYTES]), int(row[HAS_POINTERS])

    def make_room(self) -> None:
        while not self.model.has_room(self.state, 0):
            self.state = enlarged(self.state)

    def insert(self, key: Key, stack: int, prunes: bool = True) -> None:
        self.make_room()
        done = self.model.insert(self.state, 0, np.uint64(key[0]), np.uint64(key[1]), stack, prunes)
        args = (key, stack, prunes) if isinstance(self.reference, SwissMap) else (key, stack)
        inserted, growths = self.reference.insert(*args)
        assert done == 2 * growths + inserted

    def delete(self, key: Key, stack: int) -> None:
        self.make_room()
        inserter = self.model.delete(self.state, 0, np.uint64(key[0]), np.uint64(key[1]), stack)
        expected = self.reference.delete(key, stack)
        assert inserter == (-1 if expected is None else expected)

    def clear(self, stack: int) -> None:
        self.make_room()
        self.model.clear(self.state, 0, stack)
        self.reference.clear(stack)

    def buckets(self) -> tuple[np.ndarray, np.ndarray]:
        """Return bucket ids and parts as the kernels list them."""
        count = self.model.count_buckets(self.state, 0)
        buckets, parts = np.empty(count, np.uint32), np.empty(count, np.uint32)
        assert self.model.list_buckets(self.state, 0, buckets, parts) == count
        return buckets, parts

    def assert_equal(self) -> None:
        """Hold the kernels' map to the reference, slot by slot."""
        buckets, parts = self.buckets()
        expected = self.reference.listed()
        assert parts.tolist() == [part for _, part in expected]
        for bucket, (reference, _) in zip(buckets.tolist(), expected, strict=True):
            assert image(self.state, bucket, self.model) == expected_image(reference)
        self.assert_headers_equal()

    def assert_headers_equal(self) -> None:
        raise NotImplementedError


class ClassicSideBySide(SideBySide):
    model = classic

    def __init__(self, release: tuple[int, int], hint: int, bucket_bytes: int = 144, has_pointers: int = 0) -> None:
        self.state = new_state(Implementation.CLASSIC, release)
        while not classic.has_room_to_create(self.state, 0, hint, bucket_bytes):
            self.state = enlarged(self.state)
        classic.create(self.state, 0, hint, bucket_bytes, has_pointers, 1)
        preallocated = {
            log2: sizes.array_buckets(self.state.rules, bucket_bytes, has_pointers, log2) - (1 << log2)
            for log2 in range(4, 20)
        }
        self.reference = ClassicMap(release, hint, preallocated, 1)

    def assert_headers_equal(self) -> None:
        row, expected = self.state.maps[0], self.reference
        assert (row[COUNT], row[LOG2], row[OVERFLOW_COUNT]) == (expected.count, expected.B, expected.noverflow)
        header = {
            "count": expected.count,
            "array_is_nil": expected.buckets is None,
            "is_growing": expected.oldbuckets is not None,
            "flags": 8 if expected.same_size_grow else 0,
            "log2_size": expected.B,
            "overflow_count": expected.noverflow,
            "directory_length": 0,
            "evacuated": expected.nevacuate,
        }
        assert classic.agrees(self.state, 0, *header.values())
        assert expected.oldbuckets is None or row[EVACUATED] == expected.nevacuate

    def check(self) -> None:
        check_classic(self.state, 0)


class SwissSideBySide(SideBySide):
    model = swiss

    def __init__(self, release: tuple[int, int], hint: int, bucket_bytes: int = 136, has_pointers: int = 0) -> None:
        self.state = new_state(Implementation.SWISS, release)
        while not swiss.has_room_to_create(self.state, 0, hint, bucket_bytes):
            self.state = enlarged(self.state)
        swiss.create(self.state, 0, hint, bucket_bytes, has_pointers, 1)
        self.reference = SwissMap(release, hint, 1)

    def assert_headers_equal(self) -> None:
        row, expected = self.state.maps[0], self.reference
        assert (row[COUNT], row[LOG2], row[FLAGS]) == (
            expected.used,
            expected.global_depth,
            int(expected.tombstone_possible),
        )
        header = (expected.used, not expected.directory and expected.small is None, False, row[FLAGS])
        assert swiss.agrees(self.state, 0, *header, expected.global_depth, 0, len(expected.directory), 0)
        slots = range(row[ARRAY], row[ARRAY] + len(expected.directory))
        ids = {table: int(self.state.directory[n]) for n, table in zip(slots, expected.directory, strict=True)}
        assert [int(self.state.directory[n]) for n in slots] == [ids[table] for table in expected.directory]
        for table, n in ids.items():
            columns = self.state.tables[n, [USED, GROWTH_LEFT, LOCAL_DEPTH, INDEX]].tolist()
            assert columns == [table.used, table.growth_left, table.local_depth, table.index]

    def check(self) -> None:
        check_swiss(self.state, 0)


def image(state: State, bucket: int, model: ModuleType) -> list[object]:
    """Return all that the kernels say of a bucket."""
    live = int(model.live_mask(state.control[bucket])).to_bytes(8, "little")
    hashes, key_types = state.hashes[bucket].tolist(), state.key_types[bucket].tolist()
    return [
        int(state.control[bucket]),
        [(hashes[j], key_types[j]) if live[j] else None for j in range(8)],
        state.insert_stacks[bucket].tolist(),
        state.delete_stacks[bucket].tolist(),
        state.bucket_stacks[bucket].tolist(),
        KINDS[state.bucket_kinds[bucket]],
    ]


def expected_image(bucket: Bucket) -> list[object]:
    """Return the same of a bucket of the reference."""

    def stacks(*values: int | None) -> list[int]:
        return [schema.NONE if value is None else value for value in values]

    return [
        int.from_bytes(bucket.control, "little"),
        bucket.keys,
        stacks(*bucket.inserted_by),
        stacks(*bucket.deleted_by),
        stacks(bucket.grown_by, bucket.last_insert, bucket.last_delete),
        bucket.kind,
    ]
