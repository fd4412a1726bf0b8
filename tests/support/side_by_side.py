"""One map in the core and the same map in the reference: each operation is done to both, and both must be equal."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mapprobe import _core, vocabulary
from mapprobe.arrays import U32
from mapprobe.model.core import Rows, Setting, World, row_type
from mapprobe.model.rules import rules_of
from mapprobe.vocabulary import Implementation
from support.invariants import check_classic, check_swiss
from support.reference import Bucket, ClassicMap, Key, SwissMap

Release = tuple[int, int]
Type = tuple[int, int, int]

KINDS = ("main", "preallocated", "heap")
STACKS = 10
"""How many stacks a world of tests knows."""


def new_world(implementation: Implementation, release: Release) -> World:
    """Return a world without maps that knows no type."""
    setting = Setting(
        is_swiss=implementation is Implementation.SWISS,
        rules=rules_of(implementation, release),
        types=np.zeros(0, row_type("types_in")),
        site_of=np.zeros(STACKS, np.uint32),
        sites=1,
        prunes=np.zeros(256, np.bool_),
        sees_growths=False,
        why=(0, 0),
    )
    return World(setting)


class SideBySide:
    """Map `m` of a world beside its reference; `beside` is another map of the same world."""

    reference: ClassicMap | SwissMap

    def __init__(self, implementation: Implementation, release: Release, type: Type, beside: SideBySide | None) -> None:
        self.world = beside.world if beside else new_world(implementation, release)
        self.handle = self.world.handle
        self.m = self.world.map_count
        hint, bucket_bytes, has_pointers = type
        _core.create(self.handle, self.m, hint, bucket_bytes, has_pointers, 1)

    @property
    def row(self) -> np.void:
        """What every operation on the map touches."""
        row: np.void = self.world.maps[self.m]
        return row

    @property
    def shape(self) -> np.void:
        """What the map's model needs besides."""
        shape: np.void = self.world.shapes[self.m]
        return shape

    @property
    def chains(self) -> np.void:
        """What the model of a classic map needs besides."""
        chains: np.void = self.world.chains[self.m]
        return chains

    @property
    def type(self) -> tuple[int, int]:
        """Bucket bytes, and whether buckets hold pointers."""
        return int(self.shape["bucket_bytes"]), int(self.shape["has_pointers"])

    def forget(self) -> None:
        _core.forget(self.handle, self.m)

    def insert(self, key: Key, stack: int, prunes: bool = True) -> None:
        done = _core.insert(self.handle, self.m, *key, stack, prunes)
        args = (key, stack, prunes) if isinstance(self.reference, SwissMap) else (key, stack)
        inserted, growths = self.reference.insert(*args)
        assert done == 2 * growths + inserted

    def delete(self, key: Key, stack: int) -> None:
        inserter = _core.delete(self.handle, self.m, *key, stack)
        assert inserter == self.reference.delete(key, stack)

    def clear(self, stack: int) -> None:
        _core.clear(self.handle, self.m, stack)
        self.reference.clear(stack)

    def count_buckets(self) -> int:
        return _core.count_buckets(self.handle, self.m)

    def allocated_bytes(self) -> int:
        return _core.allocated_bytes(self.handle, self.m)

    def agrees(self, *header: int) -> bool:
        """True if the map is what a header says: its words in the order of `_core.agrees`."""
        return _core.agrees(self.handle, self.m, tuple(int(word) for word in header))

    def buckets(self) -> tuple[U32, U32]:
        """Return bucket numbers and parts as the core lists them."""
        return self.world.buckets_of(self.m)

    def listed(self) -> Rows:
        """Return the map's buckets in the order of `buckets`: copies of their rows."""
        listed: Rows = self.world.buckets[self.buckets()[0]]
        return listed

    def live_slots(self, bucket: int) -> list[bool]:
        """Return of each slot of a bucket whether it is live."""
        mask = _core.live_slots(self.handle, int(self.world.buckets["control"][bucket]))
        return [bool(mask >> slot & 1) for slot in range(8)]

    def assert_equal(self) -> None:
        """Hold the core's map to the reference, slot by slot."""
        buckets, parts = self.buckets()
        expected = self.reference.listed()
        assert parts.tolist() == [part for _, part in expected]
        rows, key_types = self.world.buckets[buckets], key_types_of(self.world)[buckets]
        for n, (reference, _) in enumerate(expected):
            assert image(self.world, rows[n], key_types[n]) == expected_image(reference)
        self.assert_headers_equal()

    def assert_headers_equal(self) -> None:
        raise NotImplementedError


class ClassicSideBySide(SideBySide):
    def __init__(
        self,
        release: Release,
        hint: int,
        bucket_bytes: int = 144,
        has_pointers: int = 0,
        beside: SideBySide | None = None,
    ) -> None:
        super().__init__(Implementation.CLASSIC, release, (hint, bucket_bytes, has_pointers), beside)
        self.rules = rules_of(Implementation.CLASSIC, release)
        preallocated = {
            log2: _core.array_buckets(self.rules, bucket_bytes, has_pointers, log2) - (1 << log2)
            for log2 in range(4, 20)
        }
        self.reference = ClassicMap(release, hint, preallocated, 1)

    def assert_headers_equal(self) -> None:
        row, expected = self.row, self.reference
        assert (row["count"], row["log2"], row["overflow_count"]) == (expected.count, expected.B, expected.noverflow)
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
        assert self.agrees(*header.values())
        assert expected.oldbuckets is None or self.chains["evacuated"] == expected.nevacuate

    def check(self) -> None:
        check_classic(self.world, self.m, self.rules)


class SwissSideBySide(SideBySide):
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

    def directory(self) -> list[int]:
        """Return the map's tables by directory slot."""
        first, length = int(self.row["array"]), len(self.reference.directory)
        slots: list[int] = self.world.directory[first : first + length].tolist()
        return slots

    def table(self, number: int) -> dict[str, int]:
        """Return the fields of a table."""
        row = self.world.rows("tables")[number]
        return {name: int(row[name]) for name in row.dtype.names}

    def assert_headers_equal(self) -> None:
        row, expected = self.row, self.reference
        assert (row["count"], row["log2"], row["flags"]) == (
            expected.used,
            expected.global_depth,
            int(expected.tombstone_possible),
        )
        header = (expected.used, not expected.directory and expected.small is None, False, row["flags"])
        assert self.agrees(*header, expected.global_depth, 0, len(expected.directory), 0)
        slots = self.directory() if expected.directory else []
        numbers = dict(zip(expected.directory, slots, strict=True))
        assert slots == [numbers[table] for table in expected.directory]
        for table, number in numbers.items():
            fields = [self.table(number)[name] for name in ("used", "growth_left", "local_depth", "index")]
            assert fields == [table.used, table.growth_left, table.local_depth, table.index]

    def check(self) -> None:
        check_swiss(self.world, self.m)


def key_types_of(world: World) -> npt.NDArray[np.uint64]:
    """Return the key types of the slots of each bucket."""
    key_types: npt.NDArray[np.uint64] = world.rows("keys")["key_types"]
    return key_types if world.handle.has_key_types else np.zeros_like(key_types)


def delete_stacks(row: np.void) -> list[int]:
    """Return of each slot of a bucket the stack that emptied it, if it is not live."""
    stacks: list[int] = (row["hashes"] & np.uint64(vocabulary.NONE)).tolist()
    return stacks


def image(world: World, row: np.void, key_types: npt.NDArray[np.uint64]) -> list[object]:
    """Return all that the core says of a bucket."""
    live = _core.live_slots(world.handle, int(row["control"]))
    keys = list(zip(row["hashes"].tolist(), key_types.tolist(), strict=True))
    return [
        int(row["control"]),
        [key if live >> j & 1 else None for j, key in enumerate(keys)],
        row["insert_stacks"].tolist(),
        [None if live >> j & 1 else stack for j, stack in enumerate(delete_stacks(row))],
        [int(row[name]) for name in ("grown_by", "last_insert", "last_delete")],
        KINDS[row["kind"]],
    ]


def expected_image(bucket: Bucket) -> list[object]:
    """Return the same of a bucket of the reference."""

    def stacks(*values: int | None) -> list[int]:
        return [vocabulary.NONE if value is None else value for value in values]

    return [
        int.from_bytes(bucket.control, "little"),
        bucket.keys,
        stacks(*bucket.inserted_by),
        [None if key else stack for key, stack in zip(bucket.keys, stacks(*bucket.deleted_by), strict=True)],
        stacks(bucket.grown_by, bucket.last_insert, bucket.last_delete),
        bucket.kind,
    ]
