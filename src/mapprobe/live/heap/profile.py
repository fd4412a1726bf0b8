"""The stacks that allocated arrays, from samples of the memory profile: they show who grew a map before the recording.

About one allocation in 512 KiB is sampled, so nearly every large array is. A
program that doesn't link the memory profile has no samples.

go: runtime/mheap.go specialprofile, runtime/mprof.go bucket [1.18..1.27]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapprobe.arrays import I64, U64
from mapprobe.go.facts import PROFILE_STACK, PROFILE_STACK_LENGTH, SpanFacts
from mapprobe.live.heap.spans import NOWHERE, Spans
from mapprobe.live.memory import HIGHEST, Memory

MOST_SPECIALS = 1 << 13
"""Most specials of one span that are read; the rest of the chain is left out."""
MOST_LOOKED_AT = 1 << 24
"""Most specials of all spans together that are read."""
DEEPEST_STACK = 1024
SPECIAL_WORDS = 4
NO_STACK = 0
LOOKED_AT = 16


@dataclass(frozen=True, slots=True)
class Samples:
    """The objects of a heap whose allocation the profile has sampled; one row each.

    Attributes
    ----------
    base
        Address of the object, ascending.
    bucket
        Address of the profile's bucket, which has the stack.
    """

    base: U64
    bucket: U64


@dataclass(frozen=True, slots=True)
class Origins:
    """The stacks that allocated arrays.

    Attributes
    ----------
    stack
        For each array the row of its stack in `stacks` plus 1; 0 if the array was not sampled.
    stacks
        Return addresses in the process, innermost first.
    """

    stack: I64
    stacks: list[list[int]]


def read_samples(memory: Memory, spans: Spans, facts: SpanFacts) -> Samples:
    """Return the sampled objects of a heap."""
    rows = np.flatnonzero(spans.specials)
    addr = spans.specials[rows]
    bases, buckets = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    mask = np.uint64((1 << 8 * facts.special_offset_bytes) - 1)
    kept, looked_at = np.zeros(len(addr), np.uint64), 0
    for depth in range(MOST_SPECIALS):
        # a chain that meets a special twice is a circle (detected as in `census.classic`)
        going = addr != kept
        rows, addr, kept = rows[going], addr[going], kept[going]
        looked_at += len(rows)
        if not len(rows) or looked_at > MOST_LOOKED_AT:
            break
        if depth & (depth + 1) == 0:
            kept = addr
        words, known = memory.words(addr, SPECIAL_WORDS)
        rows, words, kept = rows[known], words[known], kept[known]
        kind = words[:, facts.special_kind // 8] >> np.uint64(8 * (facts.special_kind % 8)) & np.uint64(255)
        offset = words[:, facts.special_offset // 8] & mask
        inside = offset < spans.end[rows] - spans.start[rows]
        inside &= words[:, facts.profile_bucket // 8] < np.uint64(HIGHEST)
        hit = np.flatnonzero((kind == np.uint64(facts.profile_kind)) & inside)
        offset, size = offset[hit], spans.object_bytes[rows[hit]]
        bases.append(spans.start[rows[hit]] + offset // size * size)
        buckets.append(words[hit, facts.profile_bucket // 8])
        going = words[:, 0] != 0
        rows, addr, kept = rows[going], words[going, 0], kept[going]
    base, bucket = np.concatenate(bases), np.concatenate(buckets)
    order = np.argsort(base)
    return Samples(base[order], bucket[order])


def find_origins(memory: Memory, spans: Spans, samples: Samples, arrays: U64) -> Origins:
    """Return the stacks that allocated some arrays.

    Parameters
    ----------
    arrays
        An address in each array, 0 for none.
    """
    stack = np.full(len(arrays), NO_STACK, np.int64)
    row, offset = spans.find(arrays)
    base = arrays - offset.astype(np.uint64)
    hit = np.flatnonzero((row != NOWHERE) & (spans.specials[row] != 0))
    hit = hit[np.isin(base[hit], samples.base)]
    buckets, which = np.unique(samples.bucket[np.searchsorted(samples.base, base[hit])], return_inverse=True)
    found = [_stack(memory, int(addr)) for addr in buckets.tolist()]
    is_kept = np.array([bool(pcs) for pcs in found], np.int64)
    stack[hit] = (np.cumsum(is_kept) * is_kept)[which]
    return Origins(stack, [pcs for pcs in found if pcs])


def some_stacks(memory: Memory, samples: Samples) -> list[list[int]]:
    """Return the stacks of some sampled objects, arrays or not."""
    return stacks_of(memory, np.unique(samples.bucket)[:LOOKED_AT])


def stacks_of(memory: Memory, buckets: U64) -> list[list[int]]:
    """Return the stack of each bucket of the profile: return addresses, innermost first; empty if it can't be read."""
    return [_stack(memory, int(addr)) for addr in buckets.tolist()]


def _stack(memory: Memory, bucket: int) -> list[int]:
    """Return the return addresses of a bucket of the memory profile; empty if there is no bucket."""
    length, known = memory.words(np.array([bucket + PROFILE_STACK_LENGTH], np.uint64))
    count = int(length[0, 0])
    if not known[0] or not 0 < count <= DEEPEST_STACK:
        return []
    words, known = memory.words(np.array([bucket + PROFILE_STACK], np.uint64), count)
    found: list[int] = words[0].tolist() if known[0] else []
    return found
