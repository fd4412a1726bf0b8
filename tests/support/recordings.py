"""Recordings made by hand, in memory: maps of `reference`, and the events that their operations would have sent.

::

    recording = Recording(Implementation.SWISS, (1, 27))
    sessions = recording.create(stack=1)
    sessions.insert(*spread(100), stack=2)
    sessions.delete(*spread(50), stack=3)
    replayed = recording.replay()
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe import vocabulary
from mapprobe.model.sizes import sizes_of
from mapprobe.recording.inputs import Inputs
from mapprobe.recording.packing import pack
from mapprobe.recording.tables import schema
from mapprobe.replay.charges import charged
from mapprobe.replay.replay import Replayed, replay
from mapprobe.vocabulary import EventKind, Implementation, Inexact, View
from support.reference import ClassicMap, SwissMap
from support.reference_clones import clone_classic, clone_swiss, hint_of
from support.tables import (
    BUCKET_BYTES,
    HAS_POINTERS,
    INTS,
    NEVER_WRITTEN,
    PLAIN_INSERT,
    POINT_OF,
    POINTS,
    PRUNING_INSERT,
    STACKS,
    TYPES,
    sites_of_stacks,
    table_of,
)

Release = tuple[int, int]

NEWEST = {Implementation.CLASSIC: (1, 23), Implementation.SWISS: (1, 27)}
SPREAD = 0x9E3779B97F4A7C15
FIRST_ADDRESS, APART = 0xC000010000, 0x1000
SAME_SIZE_GROW = 8
TWIN = 1 << 48
"""What the reference tells keys of one hash apart by; events do not have it."""


def spread(n: int, start: int = 0) -> list[int]:
    """Return `n` hashes that agree in little, as real ones do."""
    return [k * SPREAD % 2**64 for k in range(start, start + n)]


class Recording:
    """What one process did with its maps, as a recording of it would tell."""

    def __init__(
        self,
        implementation: Implementation,
        release: Release | None = None,
        probes: str = "ops",
        attached: bool = False,
        is_cut: bool = False,
    ) -> None:
        self.implementation, self.release = implementation, release or NEWEST[implementation]
        self.probes, self.attached, self.is_cut = probes, attached, is_cut
        self.sizes = sizes_of(implementation, self.release)
        self.sites = sites_of_stacks()
        self.maps: list[RecordedMap] = []
        self.done_by = [Counter[str]() for _ in range(STACKS)]
        self.events: list[dict[str, int]] = []
        self.gaps: list[dict[str, object]] = []
        self.snapshot_maps: list[dict[str, object]] = []
        self.snapshot_buckets: list[dict[str, object]] = []
        self.now = self.depth = 0
        self._addresses = FIRST_ADDRESS
        self._is_watched = True
        self._missed = Counter[int]()

    def create(
        self, hint: int = 0, *, stack: int = 1, type_id: int = INTS, at: RecordedMap | None = None, seen: bool = True
    ) -> RecordedMap:
        """Make a map, at the address of another that died, or out of sight of the probes."""
        made = RecordedMap(self, at.address if at else self.new_address(), hint, type_id, stack)
        self.maps.append(made)
        if seen:
            self.done_by[stack]["maps"] += 1
            self.send(made, EventKind.CREATE, {}, stack, hash=hint)
        return made

    def new_address(self) -> int:
        """Return an address, or another number, that was not there before."""
        self._addresses += APART
        return self._addresses

    @contextmanager
    def out_of_sight(self) -> Iterator[None]:
        """What is done meanwhile sends no event."""
        self._is_watched = False
        yield
        self._is_watched = True

    @contextmanager
    def losing_events(self) -> Iterator[None]:
        """What is done meanwhile is lost, and the recording knows how much."""
        start = self.now
        self._missed.clear()
        with self.out_of_sight():
            yield
        when = {"from_ns": start, "to_ns": self.now, "reason": "ring full"}
        self.gaps += [when | {"point": point, "lost": lost} for point, lost in (self._missed or {0: 1}).items()]

    @contextmanager
    def not_watching(self, *kinds: EventKind) -> Iterator[None]:
        """What is done meanwhile is not watched, and the recording says so of these kinds."""
        start = self.now
        with self.out_of_sight():
            yield
        when = {"from_ns": start, "to_ns": self.now, "reason": vocabulary.NOT_WATCHED, "lost": 0}
        self.gaps += [when | {"point": POINT_OF[kind]} for kind in kinds]

    def send(self, of: RecordedMap, kind: EventKind, header: dict[str, int], stack: int, **more: int) -> None:
        """Keep one event, if there is a probe that sees it."""
        self.now += 1
        is_probed = self.probes == "ops" or kind not in (EventKind.ASSIGN, EventKind.DELETE)
        about = {"time_ns": self.now, "kind": kind, "point": POINT_OF[kind], "type_id": of.type_id}
        where = {"map_addr": of.address, "stack_offset": of.stack_offset, "goid": of.goid, "stack_id": stack}
        event = about | where | {"depth": self.depth} | header | more
        if self._is_watched and is_probed:
            self.events.append(event)
        elif is_probed:
            self._missed[event["point"]] += 1

    def batches(self, *cuts: int) -> list[pa.RecordBatch]:
        """Return the events, packed, cut into batches before these rows."""
        events = table_of(schema.EVENTS, self.events).combine_chunks()
        ends = [*sorted(cuts), len(events)]
        starts = [0, *ends[:-1]]
        parts = (events.slice(start, end - start) for start, end in zip(starts, ends, strict=True))
        return [pack({name: part[name].combine_chunks() for name in part.column_names}) for part in parts]

    def points(self) -> pa.Table:
        """Return the points, with how often each was hit."""
        hits = Counter(event["point"] for event in self.events)
        return table_of(schema.POINTS, [row | {"hits": hits[row["point"]]} for row in POINTS.to_pylist()])

    def inputs(self) -> Inputs:
        """Return all that is not events."""
        return Inputs(
            implementation=self.implementation,
            go_release=self.release,
            probes=self.probes,
            attached=self.attached,
            is_cut=self.is_cut,
            types=TYPES,
            points=self.points(),
            gaps=table_of(schema.GAPS, self.gaps),
            snapshot_maps=table_of(schema.SNAPSHOT_MAPS, self.snapshot_maps),
            snapshot_buckets=table_of(schema.SNAPSHOT_BUCKETS, self.snapshot_buckets),
            sites=self.sites,
        )

    def replay(self, *cuts: int, until_ns: int | None = None) -> Replayed:
        """Replay it, its events packed, cut into batches before these rows."""
        return replay(self.batches(*cuts), self.inputs(), until_ns)

    def settled(self, *cuts: int, until_ns: int | None = None) -> Replayed:
        """Replay it, and let every map that replay does not know to be dead live at the end."""
        found = self.replay(*cuts, until_ns=until_ns)
        lives = pc.replace_with_mask(found.maps["state"].combine_chunks(), _are_unknown(found), pa.scalar("alive"))
        number = found.maps.column_names.index("state")
        return replace(found, maps=found.maps.set_column(number, found.maps.schema.field(number), lives))


def _are_unknown(found: Replayed) -> pa.Array:
    return pc.equal(found.maps["state"], "unknown").combine_chunks()


class RecordedMap:
    """One map: its reference, and who did what to it."""

    def __init__(self, recording: Recording, address: int, hint: int, type_id: int, stack: int) -> None:
        self.recording, self.address, self.type_id = recording, address, type_id
        self.stack_offset = self.goid = 0
        self.seed = recording.new_address()
        self.done = Counter[str]()
        self._addresses: dict[int, tuple[object, int]] = {}
        self.reference: ClassicMap | SwissMap
        if recording.implementation is Implementation.SWISS:
            self.reference = SwissMap(recording.release, hint, stack)
        else:
            bucket = BUCKET_BYTES[type_id], HAS_POINTERS[type_id]
            spare = {n: recording.sizes.array_buckets(*bucket, n) - (1 << n) for n in range(4, 16)}
            self.reference = ClassicMap(recording.release, hint, spare, stack)

    @property
    def count(self) -> int:
        """Entries."""
        return self.reference.used if isinstance(self.reference, SwissMap) else self.reference.count

    def header(self) -> dict[str, int]:
        """Return what stands in memory at the map's address."""
        of = self.reference
        if isinstance(of, SwissMap):
            return {
                "count": of.used,
                "seed": self.seed,
                "array_addr": self._address_of(of.directory or of.small),
                "flags": int(of.tombstone_possible),
                "log2_size": of.global_depth,
                "directory_length": len(of.directory),
            }
        return {
            "count": of.count,
            "seed": self.seed,
            "array_addr": self._address_of(of.buckets),
            "old_array_addr": self._address_of(of.oldbuckets),
            "flags": SAME_SIZE_GROW if of.same_size_grow else 0,
            "log2_size": of.B,
            "overflow_count": of.noverflow,
            "evacuated": of.nevacuate,
        }

    def insert(self, *hashes: int, stack: int = 1, key_type: int = 0, prunes: bool = True) -> None:
        """Assign to keys, there or not."""
        for h in hashes:
            header = self.header()
            args = ((h, key_type), stack, prunes) if isinstance(self.reference, SwissMap) else ((h, key_type), stack)
            inserted, growths = self.reference.insert(*args)
            point = PRUNING_INSERT if prunes else PLAIN_INSERT
            self._send(EventKind.ASSIGN, header, stack, hash=h, key_type=key_type % TWIN, point=point)
            for _ in range(growths):
                self._send(EventKind.GROW, header, stack, type_id=NEVER_WRITTEN)
            self._count(stack, "inserts" if inserted else "updates", 1)
            self._count(stack, "growths", growths)
            self.done["peak_live_slots"] = max(self.done["peak_live_slots"], self.count)

    def delete(self, *hashes: int, stack: int = 1, key_type: int = 0) -> None:
        """Delete keys, there or not; of an empty map none is hashed."""
        for h in hashes:
            if self.count:
                self._send(EventKind.DELETE, self.header(), stack, hash=h, key_type=key_type % TWIN)
                self._count(stack, "deletes", int(self.reference.delete((h, key_type), stack) is not None))
                self._reseed_if_empty()

    def clear(self, stack: int = 1) -> None:
        """Clear the map; one without entries and tombstones has nothing to clear."""
        if self.count or (self.header()["flags"] and isinstance(self.reference, SwissMap)):
            self._send(EventKind.CLEAR, self.header(), stack)
            self._count(stack, "clears", 1)
            self.reference.clear(stack)
            self._reseed_if_empty()

    def clone(self, stack: int = 1) -> RecordedMap:
        """Copy the map as maps.Clone does; a classic copy is made like any map before it is filled."""
        recording, of = self.recording, self.reference
        hint = hint_of(of, recording.release) if isinstance(of, ClassicMap) else 0
        made = recording.create(hint, stack=stack, type_id=self.type_id, seen=isinstance(of, ClassicMap))
        made.seed = self.seed
        assigned: list[tuple[int, int]] = []
        if isinstance(of, SwissMap):
            made.reference = clone_swiss(of, stack)
            recording.done_by[stack]["maps"] += 1
        elif isinstance(made.reference, ClassicMap):
            assigned = clone_classic(of, made.reference, stack)
        recording.send(made, EventKind.CLONE, {}, stack, hash=self.address)
        made._count(stack, "inserts", made.count)
        made.done["peak_live_slots"] = made.count
        for key_hash, key_type in assigned:
            made.insert(key_hash, stack=stack, key_type=key_type)
        return made

    def move(self, by: int) -> None:
        """Copy the stack that the map stands on, its first bucket with it, to another place."""
        self.address += by
        self._addresses = {key: (array, address + by) for key, (array, address) in self._addresses.items()}

    def read(self) -> None:
        """Read the map's memory at the end of the recording."""
        self.recording.now += 1
        when = {"map_addr": self.address, "time_ns": self.recording.now}
        self.recording.snapshot_maps.append(when | {"type_id": self.type_id, "at_end": True} | self.header())
        self.recording.snapshot_buckets += [
            when | {"bucket": n, "control": int.from_bytes(bucket.control, "little"), "part": part}
            for n, (bucket, part) in enumerate(self.reference.listed())
        ]

    def look(self) -> None:
        """Read the map's memory, with the hashes of its entries, while the recording goes on."""
        self.recording.now += 1
        when = {"map_addr": self.address, "time_ns": self.recording.now}
        self.recording.snapshot_maps.append(when | {"type_id": self.type_id, "at_end": False} | self.header())
        home, homes = self.reference.homes(), []
        for n, (bucket, part) in enumerate(self.reference.listed()):
            homes.append(next(home) if part in (0, 2) or isinstance(self.reference, SwissMap) else homes[-1])
            keys = [key or (0, 0) for key in bucket.keys]
            self.recording.snapshot_buckets.append(
                when
                | {"bucket": n, "control": int.from_bytes(bucket.control, "little"), "part": part, "home": homes[-1]}
                | {"hashes": [h for h, _ in keys], "key_types": [t % TWIN for _, t in keys]}
            )

    def skip(self, why: str, *, died: bool = False) -> None:
        """Look at the map at the end of the recording, and do not read it."""
        self.recording.now += 1
        about = {"map_addr": self.address, "time_ns": self.recording.now, "type_id": self.type_id, "at_end": True}
        self.recording.snapshot_maps.append(about | {"died": died, "skipped": why} | self.header())

    def slots(self) -> dict[str, int]:
        """Return what the map holds, in slots and buckets."""
        buckets = [bucket for bucket, _ in self.reference.listed()]
        live = [sum(key is not None for key in bucket.keys) for bucket in buckets]
        virgin = [by is None for bucket in buckets for by in bucket.inserted_by]
        return {
            "live_slots": sum(live),
            "dead_slots": 8 * len(buckets) - sum(live) - sum(virgin),
            "virgin_slots": sum(virgin),
            "slots": 8 * len(buckets),
            "buckets": len(buckets),
            "retained_buckets": live.count(0),
        }

    def _send(self, kind: EventKind, header: dict[str, int], stack: int, **more: int) -> None:
        self.recording.send(self, kind, header, stack, **more)

    def _count(self, stack: int, what: str, n: int) -> None:
        self.done[what] += n
        self.recording.done_by[stack][what] += n

    def _reseed_if_empty(self) -> None:
        if not self.count:
            self.seed = self.recording.new_address()

    def _address_of(self, array: object) -> int:
        """Return where an array stands: the same as long as it is the same array."""
        if array is None:
            return 0
        if id(array) not in self._addresses:
            self._addresses[id(array)] = (array, self.recording.new_address())
        return self._addresses[id(array)][1]


def charges_of(replayed: Replayed, view: View) -> list[dict[str, int]]:
    """Return what each map charges to each stack in a view: ``map_id``, ``stack_id`` and `schema.HOLDINGS`."""
    found = charged(replayed, view)
    names = [column.name for column in schema.HOLDINGS]
    columns = [found.map_id, found.stack_id, *map(found.column, names)]
    keys = ["map_id", "stack_id", *names]
    return [dict(zip(keys, row, strict=True)) for row in np.stack(columns, axis=1).tolist()]


def rows(replayed: Replayed) -> list[dict[str, object]]:
    """Return what was found of each map."""
    return replayed.maps.to_pylist()


def column(replayed: Replayed, name: str) -> list[object]:
    """Return one figure of each map."""
    return replayed.maps[name].to_pylist()


def why(recording: Recording, until_ns: int | None = None) -> list[Inexact]:
    """Return of each map why it is not exact."""
    return [Inexact(code) for code in column(recording.replay(until_ns=until_ns), "inexact")]


def filled(recording: Recording, n: int = 20, **how: object) -> RecordedMap:
    """Make a map with so many entries."""
    made = recording.create(**how)
    made.insert(*spread(n))
    return made
