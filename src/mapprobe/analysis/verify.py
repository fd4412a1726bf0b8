"""Compare the replayed maps with the process memory read at the end of the recording, bucket by bucket.

A map's memory shows the map after all events before its read began. So the
replay for this comparison leaves out the map's later events. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe import _core, vocabulary
from mapprobe.model.core import DEAD, MODELLED, NOWHERE
from mapprobe.recording.inputs import Inputs
from mapprobe.recording.narrow import kept
from mapprobe.replay.closing import headers_of, words_of
from mapprobe.replay.last_read import before_reads
from mapprobe.replay.measured import Images
from mapprobe.replay.replay import Replay
from mapprobe.vocabulary import Inexact

SCHEMA = "mapprobe.verify/1"
MOST_MISMATCHES = 1000
DIED = "it died: the collector has freed it, and its memory may hold something else"


def verify(
    events: Iterable[pa.RecordBatch], inputs: Inputs, progress: Callable[[int], None] | None = None
) -> dict[str, object]:
    """Compare every map that was read with its replayed state.

    Returns
    -------
    The document ``mapprobe.verify/1``: the number of maps, of checked maps and of equal headers, the number
    of compared and of equal buckets, which maps were skipped and why, and the first `MOST_MISMATCHES`
    differences.
    """
    at_end = kept(inputs.snapshot_maps, inputs.snapshot_maps["at_end"])
    read = kept(at_end, pc.is_null(at_end["skipped"]))
    replay = Replay(inputs)
    for batch in before_reads(events, read):
        replay.feed(batch)
        if progress:
            progress(batch.num_rows)
    replay.close(memory_is_right=False)
    return Comparison(replay, read, at_end, inputs).document()


class Comparison:
    """The comparison of the maps of one replay with their images, and its counts."""

    def __init__(self, replay: Replay, read: pa.Table, at_end: pa.Table, inputs: Inputs) -> None:
        self._replay, self._world = replay, replay.world
        self._maps, self._facts = replay.world.maps, replay.world.facts
        self._addrs = np.array(read["map_addr"], np.uint64)
        self._headers = headers_of(read)
        self._images = Images(inputs.snapshot_buckets)
        self._places = self._images.find(self._addrs, np.array(read["time_ns"], np.uint64))
        self.checked = self.headers_equal = self.buckets = self.buckets_equal = 0
        unread = at_end.select(["map_addr", "skipped"]).filter(pc.is_valid(at_end["skipped"]))
        self.skipped = [
            {"map": hex(addr), "why": DIED if self._is_dead(addr) else why}
            for addr, why in zip(unread["map_addr"].to_pylist(), unread["skipped"].to_pylist(), strict=True)
        ]
        self.mismatches: list[dict[str, object]] = []

    def document(self) -> dict[str, object]:
        """Compare all maps, and return the document ``mapprobe.verify/1``."""
        for row in range(len(self._addrs)):
            addr = int(self._addrs[row])
            m = self._world.find(addr)
            if why := self._why_not(m):
                self.skipped.append({"map": hex(addr), "why": why})
            else:
                self._compare(row, addr, m)
        self._skip_unread()
        return {
            "schema": SCHEMA,
            "maps": self.checked + len(self.skipped),
            "checked": self.checked,
            "headers_equal": self.headers_equal,
            "buckets": self.buckets,
            "buckets_equal": self.buckets_equal,
            "skipped": self.skipped,
            "mismatches": self.mismatches,
        }

    def _is_dead(self, addr: int) -> bool:
        m = self._world.find(addr)
        return m != NOWHERE and bool(self._maps["state"][m] & DEAD)

    def _why_not(self, m: int) -> str:
        if m == NOWHERE:
            return "it was made after its memory was read"
        state = self._maps["state"][m]
        if state & DEAD:
            return DIED
        return "" if state & MODELLED else vocabulary.INEXACT_REASONS[Inexact(int(self._facts["inexact"][m]))]

    def _compare(self, row: int, addr: int, m: int) -> None:
        world = self._world
        self.checked += 1
        if _core.agrees(world.handle, m, words_of(self._headers, row)):
            self.headers_equal += 1
        else:
            found = {name: int(self._headers[name][row]) for name in ("count", "log2_size", "flags")}
            self._mismatch(addr, None, {"count": int(self._maps["count"][m])}, found)
        expected_control, expected_part = self._replay.buckets_of(m)
        control, part = self._images.image(int(self._places[row]))
        self.buckets += max(len(control), len(expected_control))
        shared = min(len(control), len(expected_control))
        equal = (control[:shared] == expected_control[:shared]) & (part[:shared] == expected_part[:shared])
        self.buckets_equal += int(np.count_nonzero(equal))
        for bucket in np.flatnonzero(~equal).tolist():
            modelled, read = f"{int(expected_control[bucket]):016x}", f"{int(control[bucket]):016x}"
            if expected_part[bucket] != part[bucket]:
                modelled, read = f"{modelled} in part {expected_part[bucket]}", f"{read} in part {part[bucket]}"
            self._mismatch(addr, bucket, modelled, read)
        if len(control) != len(expected_control):
            self._mismatch(addr, shared, f"{len(expected_control)} buckets", f"{len(control)} buckets")

    def _skip_unread(self) -> None:
        """Skip the living maps whose memory was not read: maps on goroutine stacks, and all maps if none was read."""
        world = self._world
        skipped = np.array([int(s["map"], 16) for s in self.skipped], np.uint64)
        known = np.unique(np.concatenate([skipped, self._addrs]))
        is_living = ~world.is_in_state(DEAD) & (self._maps["type"] >= 0)
        addrs, keys = self._facts["addr"][is_living], self._facts["key"][is_living]
        is_unread = (keys != addrs) | ~np.isin(addrs, known)
        for addr, key in zip(addrs[is_unread].tolist(), keys[is_unread].tolist(), strict=True):
            where = "it stands on a goroutine's stack, which moves" if key != addr else "its memory was not read"
            self.skipped.append({"map": hex(addr), "why": where})

    def _mismatch(self, addr: int, bucket: int | None, expected: object, found: object) -> None:
        if len(self.mismatches) < MOST_MISMATCHES:
            self.mismatches.append({"map": hex(addr), "bucket": bucket, "expected": expected, "found": found})
