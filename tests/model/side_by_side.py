"""One map in the kernels and the same one in the reference: each operation is done to both and must come out equal."""

from __future__ import annotations

from dataclasses import dataclass
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

Release = tuple[int, int]
Type = tuple[int, int, int]

KINDS = ("main", "preallocated", "heap")


@dataclass
class Shared:
    """The state of all maps that stand in one, and how many they are."""

    state: State
    maps: int = 0


class SideBySide:
    """Map `m` of a state beside its reference; `beside` is another map of the same state."""

    model: ModuleType
    reference: ClassicMap | SwissMap

    def __init__(self, implementation: Implementation, release: Release, type: Type, beside: SideBySide | None) -> None:
        self.shared = beside.shared if beside else Shared(new_state(implementation, release))
        self.m = self.shared.maps
        self.shared.maps += 1
        hint, bucket_bytes, has_pointers = type
        while not self.model.has_room_to_create(self.state, self.m, hint, bucket_bytes):
            self.shared.state = enlarged(self.state)
        self.model.create(self.state, self.m, hint, bucket_bytes, has_pointers, 1)

    @property
    def state(self) -> State:
        """The arrays of the kernels."""
        return self.shared.state

    @property
    def type(self) -> tuple[int, int]:
        """Bucket bytes, and whether buckets hold pointers."""
        row = self.state.maps[self.m]
        return int(row[BUCKET_BYTES]), int(row[HAS_POINTERS])

    def forget(self) -> None:
        self.model.forget(self.state, self.m)

    def make_room(self) -> None:
        while not self.model.has_room(self.state, self.m):
            self.shared.state = enlarged(self.state)

    def insert(self, key: Key, stack: int, prunes: bool = True) -> None:
        self.make_room()
        done = self.model.insert(self.state, self.m, np.uint64(key[0]), np.uint64(key[1]), stack, prunes)
        args = (key, stack, prunes) if isinstance(self.reference, SwissMap) else (key, stack)
        inserted, growths = self.reference.insert(*args)
        assert done == 2 * growths + inserted

    def delete(self, key: Key, stack: int) -> None:
        self.make_room()
        inserter = self.model.delete(self.state, self.m, np.uint64(key[0]), np.uint64(key[1]), stack)
        expected = self.reference.delete(key, stack)
        assert inserter == (-1 if expected is None else expected)

    def clear(self, stack: int) -> None:
        self.make_room()
        self.model.clear(self.state, self.m, stack)
        self.reference.clear(stack)

    def buckets(self) -> tuple[np.ndarray, np.ndarray]:
        """Return bucket ids and parts as the kernels list them."""
        count = self.model.count_buckets(self.state, self.m)
        buckets, parts = np.empty(count, np.uint32), np.empty(count, np.uint32)
        assert self.model.list_buckets(self.state, self.m, buckets, parts) == count
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

    def __init__(
        self,
        release: Release,
        hint: int,
        bucket_bytes: int = 144,
        has_pointers: int = 0,
        beside: SideBySide | None = None,
    ) -> None:
        super().__init__(Implementation.CLASSIC, release, (hint, bucket_bytes, has_pointers), beside)
        preallocated = {
            log2: sizes.array_buckets(self.state.rules, bucket_bytes, has_pointers, log2) - (1 << log2)
            for log2 in range(4, 20)
        }
        self.reference = ClassicMap(release, hint, preallocated, 1)

    def assert_headers_equal(self) -> None:
        row, expected = self.state.maps[self.m], self.reference
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
        assert classic.agrees(self.state, self.m, *header.values())
        assert expected.oldbuckets is None or row[EVACUATED] == expected.nevacuate

    def check(self) -> None:
        check_classic(self.state, self.m)


class SwissSideBySide(SideBySide):
    model = swiss

    def __init__(
        self,
        release: Release,
        hint: int,
        bucket_bytes: int = 136,
        has_pointers: int = 0,
        beside: SideBySide | None = None,
    ) -> None:
        super().__init__(Implementation.SWISS, release, (hint, bucket_bytes, has_pointers), beside)
        self.reference = SwissMap(release, hint, 1)

    def assert_headers_equal(self) -> None:
        row, expected = self.state.maps[self.m], self.reference
        assert (row[COUNT], row[LOG2], row[FLAGS]) == (
            expected.used,
            expected.global_depth,
            int(expected.tombstone_possible),
        )
        header = (expected.used, not expected.directory and expected.small is None, False, row[FLAGS])
        assert swiss.agrees(self.state, self.m, *header, expected.global_depth, 0, len(expected.directory), 0)
        slots = range(row[ARRAY], row[ARRAY] + len(expected.directory))
        ids = {table: int(self.state.directory[n]) for n, table in zip(slots, expected.directory, strict=True)}
        assert [int(self.state.directory[n]) for n in slots] == [ids[table] for table in expected.directory]
        for table, n in ids.items():
            columns = self.state.tables[n, [USED, GROWTH_LEFT, LOCAL_DEPTH, INDEX]].tolist()
            assert columns == [table.used, table.growth_left, table.local_depth, table.index]

    def check(self) -> None:
        check_swiss(self.state, self.m)


def image(state: State, bucket: int, model: ModuleType) -> list[object]:
    """Return all that the kernels say of a bucket."""
    live = int(model.live_mask(state.control[bucket])).to_bytes(8, "little")
    hashes, key_types = state.hashes[bucket].tolist(), state.key_types[bucket].tolist()
    return [
        int(state.control[bucket]),
        [(hashes[j], key_types[j]) if live[j] else None for j in range(8)],
        state.insert_stacks[bucket].tolist(),
        [None if live[j] else stack for j, stack in enumerate(state.delete_stacks[bucket].tolist())],
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
        [None if key else stack for key, stack in zip(bucket.keys, stacks(*bucket.deleted_by), strict=True)],
        stacks(bucket.grown_by, bucket.last_insert, bucket.last_delete),
        bucket.kind,
    ]
