"""Recordings of very many maps and call sites: one made by hand, repeated with other addresses and sites.

Made by columns: a million maps as Python objects would take longer than what is tested.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from mapprobe.recording.inputs import Inputs
from mapprobe.recording.packing import MOST_ROWS, pack
from mapprobe.recording.sites import resolve
from mapprobe.recording.tables import schema
from mapprobe.vocabulary import Implementation
from support.recordings import SESSIONS, STACKS, TYPES, Recording, spread, table_of

MAPS_EACH = 10
APART = 1 << 24
"""Bytes between a map and itself the next time; the recording that is repeated has fewer."""
MOVED = ("map_addr", "seed", "array_addr", "old_array_addr")
CALLERS = 1000


@dataclass(frozen=True, slots=True)
class Multitude:
    """A recording, so many times over, by so many call sites in turn."""

    one: Recording
    times: int
    stacks: pa.Table
    frames: pa.Table

    @property
    def event_count(self) -> int:
        """How many events there are."""
        return len(self.one.events) * self.times

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the events, packed."""
        once = table_of(schema.EVENTS, self.one.events)
        columns = {name: np.asarray(once[name].combine_chunks()) for name in once.column_names}
        for start in range(0, self.times, each := MOST_ROWS // len(once)):
            copies = np.arange(start, min(start + each, self.times), dtype=np.uint64)
            copy = np.repeat(copies, len(once))
            tiled = {name: np.tile(column, len(copies)) for name, column in columns.items()}
            for name in MOVED:
                tiled[name] = np.where(tiled[name] == 0, 0, tiled[name] + copy * np.uint64(APART))
            tiled["time_ns"] += copy * np.uint64(self.one.now)
            tiled["stack_id"] = 1 + (tiled["stack_id"] - 1 + copy * np.uint64(STACKS - 1)) % (len(self.stacks) - 1)
            yield pack(tiled)

    def inputs(self) -> Inputs:
        """Return all that is not events."""
        return replace(self.one.inputs(), sites=resolve(self.stacks, self.frames))

    def tables(self) -> dict[str, pa.Table]:
        """Return what a profile is made from beside the replay."""
        return {"stacks": self.stacks, "frames": self.frames, "types": TYPES}


def multitude(maps: int, sites: int) -> Multitude:
    """Return a recording of so many maps, made, filled, drained and cleared by so many call sites."""
    one = small_maps()
    assert len({made.address for made in one.maps}) == len(one.maps) == MAPS_EACH
    return Multitude(one, maps // MAPS_EACH, *_tables_of_stacks(sites))


def small_maps() -> Recording:
    """Return a recording of `MAPS_EACH` maps: most have an entry or two, one has grown, one was cleared."""
    recording = Recording(Implementation.SWISS)
    for n in range(MAPS_EACH - 2):
        made = recording.create(stack=n % (STACKS - 1) + 1, type_id=SESSIONS if n % 2 else 0)
        made.insert(n, stack=n % (STACKS - 1) + 1)
        if n % 3 == 0:
            made.delete(n, stack=STACKS - 1)
    grown, cleared = recording.create(stack=1), recording.create(stack=2)
    grown.insert(*spread(12), stack=1)
    grown.delete(*spread(9), stack=3)
    cleared.insert(*spread(2), stack=2)
    cleared.clear(stack=4)
    return recording


def _tables_of_stacks(sites: int) -> tuple[pa.Table, pa.Table]:
    """Return a stack for each site but the first, which is that of what was not recorded."""
    pcs = [[]] + [[n, sites + n % CALLERS + 1, 2 * sites + CALLERS] for n in range(1, sites)]
    stacks = pa.table({"stack_id": pa.array(range(sites), pa.uint32()), "pcs": pa.array(pcs, pa.list_(pa.uint64()))})
    names = {n: f"example.com/shop/part{n % 100}.(*Cache).Store{n}" for n in range(1, sites)}
    names |= {sites + n: f"main.caller{n}" for n in range(1, CALLERS + 1)} | {2 * sites + CALLERS: "main.main"}
    frames = {
        "pc": list(names),
        "depth": [0] * len(names),
        "function": list(names.values()),
        "file": ["/src/example.com/shop/cache.go"] * len(names),
        "line": [n % 900 for n in names],
        "inlined": [False] * len(names),
    }
    return stacks, pa.table(frames, schema=schema.FRAMES.schema)
