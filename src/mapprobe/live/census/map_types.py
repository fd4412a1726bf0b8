"""The types that a map may have, from the allocator, from bucket sizes, and from the hashes of its keys.

The type is exact if the call that grew the map names it, or if the object that
refers to the map does. If the allocator keeps the type of the map's array, the
type is exact unless another map type has the same key and element. Otherwise
each shape of the binary with a bucket size that fits is a candidate, and a
candidate is dropped if its hash of the keys in a bucket is not the hash that
the runtime stored. Keys are only hashed, and not kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mapprobe.arrays import I64, U64, Flags, distinct_rows
from mapprobe.errors import MapprobeError
from mapprobe.go.facts import KIND_STRING
from mapprobe.go.keyhash import KeyHasher
from mapprobe.go.types import MapType
from mapprobe.live.census.arrays import NO_SHAPE
from mapprobe.live.census.census import Census
from mapprobe.live.census.layouts import NO_TYPE, Layouts, Shape
from mapprobe.live.memory import Memory
from mapprobe.live.snapshot.entry_hashes import MIN_TOP_HASH
from mapprobe.vocabulary import Implementation, Naming

SLOTS, CONTROL_BYTES = 8, 8
MAPS_AT_ONCE = 1 << 15
KEYS = 3
"""Most keys of a map that are hashed: with three, a wrong type fits by chance once in two million."""
MOST_CANDIDATES = 512
MOST_BYTES = np.uint64(1 << 47)
"""A longer string than a process has addresses."""


@dataclass(frozen=True, slots=True)
class Names:
    """The types of maps; one row a map.

    Attributes
    ----------
    candidates
        Row of `tuples`: the types that the map may have.
    naming
        How sure the type is (`Naming`).
    tuples
        Tuples of map types.
    """

    candidates: I64
    naming: npt.NDArray[np.uint8]
    tuples: list[tuple[MapType, ...]]


def name_maps(memory: Memory, layouts: Layouts, census: Census, hasher: KeyHasher | None, seen_as: I64) -> Names:
    """Return the types that the maps of a census may have.

    Parameters
    ----------
    hasher
        Hashes keys as the process does; None if the process's hash key is not known.
    seen_as
        For each map the type that was passed by the call that grew it, or that its holder has for it, as an address in
        the binary; `NO_TYPE` if not known.
    """
    counted = census.counted
    first, number = distinct_rows([counted.shape, counted.sizes]) if len(counted.shape) else _no_rows()
    tuples = [_candidates(layouts, census, int(row)) for row in first.tolist()]
    candidates = number.astype(np.int64)
    if hasher is not None:
        for n in range(len(first)):
            if len(tuples[n]) > 1:
                rows = np.flatnonzero((number == n) & (counted.sample != 0))
                _narrow(memory, layouts, census, hasher, rows, (candidates, tuples))
    named = [tuple(of for shape in shapes for of in layouts.shapes[shape].map_types) for shapes in tuples]
    is_kept = (counted.shape != NO_SHAPE) | _settle(layouts, seen_as, candidates, tuples, named)
    how_many = np.array([len(t) for t in named] + [0], np.int64)[candidates]
    is_named = np.array([bool(t) and bool(t[0].type_addr) for t in named] + [False])
    naming = np.where(how_many > 1, Naming.CANDIDATES, np.where(is_kept, Naming.EXACT, Naming.ONLY))
    naming = np.where(is_named[candidates], naming, Naming.NOT_KNOWN)
    return Names(candidates, naming.astype(np.uint8), named)


def taken_in_frames(layouts: Layouts, census: Census, names: Names) -> I64:
    """Return the bytes of each map's buckets, given its type, which alone shows the size of a bucket in a frame."""
    places, counted = census.headers.places, census.counted
    array = counted.array[places.header]
    is_in_frame = (counted.buckets[places.header] == 1) & (array >= places.top) & (array < places.high)
    in_frame = places.header[is_in_frame]
    kinds = [{(of.bucket_bytes, of.bucket_has_pointers) for of in types} for types in names.tuples]
    rows = in_frame[np.array([len(kind) == 1 for kind in kinds] + [False])[names.candidates[in_frame]]]
    taken = counted.allocated.copy()
    if len(rows):
        used, which = np.unique(names.candidates[rows], return_inverse=True)
        sizes = [next(iter(kinds[number])) for number in used.tolist()]
        taken[rows] = np.array([layouts.placed(*size)[0] for size in sizes], np.int64)[which]
    return taken


def _settle(
    layouts: Layouts,
    seen_as: I64,
    candidates: I64,
    tuples: list[tuple[int, ...]],
    named: list[tuple[MapType, ...]],
) -> Flags:
    """Take the type in `seen_as` for each map if its shape fits; return which maps got their type so."""
    is_settled = np.zeros(len(seen_as), np.bool_)
    rows = np.flatnonzero(seen_as != NO_TYPE)
    if not len(rows):
        return is_settled
    first, number = distinct_rows([seen_as[rows], candidates[rows]])
    for n, row in enumerate(rows[first].tolist()):
        vaddr = int(seen_as[row])
        if layouts.of_map_type(vaddr) in tuples[candidates[row]]:
            theirs = rows[number == n]
            is_settled[theirs] = True
            named.append((layouts.map_type(vaddr),))
            candidates[theirs] = len(named) - 1
    return is_settled


def _no_rows() -> tuple[I64, I64]:
    return np.empty(0, np.int64), np.empty(0, np.int64)


def _candidates(layouts: Layouts, census: Census, row: int) -> tuple[int, ...]:
    """Return the shapes that the map of a row may have by the sizes of its objects."""
    shape = int(census.counted.shape[row])
    if shape != NO_SHAPE:
        return (shape,)
    sizes = census.sets.sets[int(census.counted.sizes[row])]
    return tuple(sorted(number for size in sizes for number in layouts.of_size(*size)))[:MOST_CANDIDATES]


def _narrow(
    memory: Memory,
    layouts: Layouts,
    census: Census,
    hasher: KeyHasher,
    rows: I64,
    choices: tuple[I64, list[tuple[int, ...]]],
) -> None:
    """Drop the shapes whose hashes don't fit; a map with fewer shapes gets a new tuple.

    Parameters
    ----------
    rows
        Maps that have the same tuple of shapes.
    choices
        The number of each map's tuple, and all tuples of shapes; both are changed.
    """
    candidates, tuples = choices
    for start in range(0, len(rows), MAPS_AT_ONCE):
        part = rows[start : start + MAPS_AT_ONCE]
        shapes = tuples[candidates[part[0]]]
        fits = np.ones((len(part), len(shapes)), np.bool_)
        longest = max(layouts.shapes[shape].map_type.bucket_bytes for shape in shapes)
        raw, known = _read_samples(memory, census.counted.sample[part], longest)
        seeds = _seeds(layouts.implementation, census.headers.words[part])
        found_with, alone = census.counted.sample_bytes[part], census.counted.buckets[part] == 1
        known_of = dict[tuple[int, int, int], Flags]()
        for n, shape in enumerate(shapes):
            of = layouts.shapes[shape].map_type
            # places and hashes of keys do not depend on the element type, only on these
            like = layouts.key_type(of), of.slot_bytes, of.bucket_bytes
            if like not in known_of:
                # with another bucket size the sample is not the start of a bucket
                looked = np.flatnonzero(known & (alone | (found_with == of.bucket_bytes)))
                known_of[like] = np.ones(len(part), np.bool_)
                known_of[like][looked] = _fits(layouts, layouts.shapes[shape], hasher, raw[looked], seeds[looked])
            fits[:, n] = known_of[like]
        fits[~fits.any(axis=1)] = True  # the map was written during the read: nothing is known of its keys
        packed = np.packbits(fits, axis=1)
        packed = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)
        first, number = distinct_rows(list(packed.T))
        numbers = []
        for row in first.tolist():
            numbers.append(len(tuples))
            tuples.append(tuple(shape for shape, is_fit in zip(shapes, fits[row].tolist(), strict=True) if is_fit))
        candidates[part] = np.array(numbers, np.int64)[number]


def _read_samples(memory: Memory, addrs: U64, length: int) -> tuple[npt.NDArray[np.uint8], Flags]:
    """Return `length` bytes or more from each address on, ``(addrs, bytes)``; they may reach into the next object."""
    words, known = memory.words(addrs, -(-length // 8))
    return words.view(np.uint8), known


def _seeds(implementation: Implementation, words: U64) -> U64:
    """Return the seed of each header."""
    found: U64 = words[:, 1] >> np.uint64(32) if implementation is Implementation.CLASSIC else words[:, 1]
    return found


def _fits(layouts: Layouts, shape: Shape, hasher: KeyHasher, raw: npt.NDArray[np.uint8], seeds: U64) -> Flags:
    """Return which buckets may be of a shape: the hashes of their keys equal the control bytes."""
    fits = np.ones(len(raw), np.bool_)
    of = shape.map_type
    if of.indirect_key or not of.type_addr or not of.key_bytes or not len(raw):
        return fits
    is_classic = layouts.implementation is Implementation.CLASSIC
    control = raw[:, :CONTROL_BYTES]
    is_live = control >= MIN_TOP_HASH if is_classic else control < 0x80
    apart = of.key_bytes if is_classic else of.slot_bytes
    which = np.cumsum(is_live, axis=1)
    row, slot = np.nonzero(is_live & (which <= KEYS))
    keys = raw[row[:, None], CONTROL_BYTES + slot[:, None] * apart + np.arange(of.key_bytes)]
    try:
        hashes, known = hasher.hashes(layouts.key_type(of), keys, seeds[row])
    except MapprobeError:
        return fits
    expected = control[row, slot].astype(np.uint64)
    top = hashes >> np.uint64(56)
    top = np.where(top < MIN_TOP_HASH, top + MIN_TOP_HASH, top)
    is_its = (top if is_classic else hashes & np.uint64(0x7F)) == expected
    is_out = np.where(known, ~is_its, of.key_kind == KIND_STRING and _is_no_string(keys, hasher.longest))
    fits[row[is_out]] = False
    return fits


def _is_no_string(keys: npt.NDArray[np.uint8], longest: int) -> Flags:
    """Return which of the keys that could not be read are no strings; strings longer than `longest` are not read."""
    length = np.ascontiguousarray(keys).view(np.uint64).reshape(-1, 2)[:, 1]
    found: Flags = (length <= longest) | (length > MOST_BYTES)
    return found
