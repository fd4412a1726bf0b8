"""How full each bucket of a map is at the end of a replay: slots that hold an entry, and slots that held one.

Pure: the arrays of a replay and of maps read from memory in, arrays out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe import vocabulary
from mapprobe.arrays import U8, U64
from mapprobe.model.core import DEAD, MODELLED
from mapprobe.recording.inputs import Inputs
from mapprobe.replay.measured import Images, live_slots
from mapprobe.replay.replay import Replay

SLOTS = 8


class Source(StrEnum):
    """The source of what is known about a map's buckets."""

    REPLAY = "replay"
    MEMORY = "memory"
    """The memory read at the end: it shows which slots hold an entry, not which slots held one before."""
    EARLIER = "earlier"
    """The last known state: since then the map was neither followed nor read."""
    NOWHERE = "nowhere"
    """Nothing is known: the map died, or was never seen."""


@dataclass(frozen=True, slots=True)
class Occupancy:
    """The buckets of one map, in the order of `model` (BUCKET_ORDER).

    Attributes
    ----------
    live, dead
        Slots of each bucket that hold an entry, and slots that held one; the rest of the 8 are virgin. ``(buckets,)``.
    part
        `schema.SNAPSHOT_BUCKETS`: classic main, overflow, old, old overflow; Swiss ordinal of the table.
    """

    source: Source
    live: U8
    dead: U8
    part: npt.NDArray[np.uint32]

    def histogram(self) -> list[int]:
        """Return the number of buckets with 0, 1, ... 8 live slots; these sum to all buckets."""
        counts: list[int] = np.bincount(self.live, minlength=SLOTS + 1).tolist()
        return counts


UNSEEN = Occupancy(Source.NOWHERE, np.zeros(0, np.uint8), np.zeros(0, np.uint8), np.zeros(0, np.uint32))


def occupancies(replay: Replay, inputs: Inputs, map_ids: npt.NDArray[np.int64], *, is_end: bool) -> list[Occupancy]:
    """Return how full the buckets of some maps are, once `replay` is closed.

    Parameters
    ----------
    map_ids
        Rows of `schema.MAPS`.
    is_end
        True if the replay covers the whole recording, so that memory read at the end counts.
    """
    # a census finds maps that have no event
    seen = map_ids[map_ids < replay.map_count]
    read = _read_at_end(replay, inputs, seen) if is_end else {}
    return [_of_map(replay, m, read.get(m)) if m < replay.map_count else UNSEEN for m in map_ids.tolist()]


def _of_map(replay: Replay, m: int, read: tuple[U64, npt.NDArray[np.uint32]] | None) -> Occupancy:
    world = replay.world
    state = int(world.maps["state"][m])
    buckets, parts = world.buckets_of(m)
    is_followed = state & MODELLED != 0
    if state & DEAD or not (len(buckets) or is_followed or read is not None):
        return UNSEEN
    if read is not None and not is_followed:
        control, part = read
        live = live_slots(control, world.is_swiss).sum(axis=1)
        return Occupancy(Source.MEMORY, live.astype(np.uint8), np.zeros(len(live), np.uint8), part)
    is_live = live_slots(world.buckets["control"][buckets], world.is_swiss)
    held_one = world.buckets["insert_stacks"][buckets] != vocabulary.NONE
    live, dead = is_live.sum(axis=1), (held_one & ~is_live).sum(axis=1)
    source = Source.REPLAY if is_followed else Source.EARLIER
    return Occupancy(source, live.astype(np.uint8), dead.astype(np.uint8), parts)


def _read_at_end(
    replay: Replay, inputs: Inputs, map_ids: npt.NDArray[np.int64]
) -> dict[int, tuple[U64, npt.NDArray[np.uint32]]]:
    """Return control words and parts of the buckets of those maps whose memory was read at the end."""
    facts = replay.world.facts[map_ids]
    addrs = pa.array(np.ascontiguousarray(facts["addr"]), pa.uint64())
    maps, buckets = (
        table.filter(pc.is_in(table["map_addr"], addrs)) for table in (inputs.snapshot_maps, inputs.snapshot_buckets)
    )
    maps = maps.filter(pc.and_(maps["at_end"], pc.is_null(maps["skipped"])))
    images = Images(buckets)
    last = dict(zip(maps["map_addr"].to_pylist(), maps["time_ns"].to_pylist(), strict=True))
    found = {}
    for m, addr, created_ns in zip(map_ids.tolist(), facts["addr"].tolist(), facts["created_ns"].tolist(), strict=True):
        if last.get(addr, -1) >= created_ns:
            found[m] = images.of(addr, last[addr])
    return found
