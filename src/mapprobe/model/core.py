"""The native core as replay calls it: the maps of one replay as named arrays, and the calls that change the maps.

`World` holds every map of one replay: the model's and the ledger's rows of each map (`src/core/core.h`), as structured
arrays; `_core.layouts` names their fields. An array is a view of the rows that are in use when it is asked for, so
writing to the array writes to the world.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mapprobe import _core
from mapprobe.arrays import I64, U32, Flags
from mapprobe.arrow import values
from mapprobe.errors import MapprobeError
from mapprobe.recording.packing import HALVED, STEP, common_columns, high_name, steps

Rows = npt.NDArray[np.void]

NOWHERE = -1
"""What `World.find` returns for a key that no map has."""

MODELLED, DEAD, GROWING, HAS_DIRECTORY, UNEQUAL = _core.codes()["state"].values()
"""Bits of ``World.maps["state"]``."""

OWN = (
    STEP, "header", "kind", "point", "hash", "count", "overflow_count", "evacuated", "goid", "stack_id", "depth",
)  # fmt: skip
"""Columns of a batch with one row an event, in the order in which `_core.Batch` takes them (py_batch.c)."""
COMMON = (
    "map_addr", "stack_offset", "type_id", "key_type", "seed", "array_addr", "old_array_addr", "flags", "log2_size",
    "directory_length", *(high_name(name) for name in HALVED),
)  # fmt: skip
"""Columns of a batch with one row a header, in the order in which `_core.Batch` takes them."""
OWN_TYPES = ("u4", "u4", "u1", "u1", "u8", "u4", "u2", "u4", "u4", "u4", "u4")
COMMON_TYPES = ("u8", "u4", "i4", "u8", "u8", "u8", "u8", "u1", "u1", "u4", "u4", "u4", "u4")
"""Dtypes of the columns `OWN` and `COMMON`, in their order."""
HALF = np.uint64(32)
"""Bits in each half of a column of 64 bits."""


@cache
def row_type(name: str) -> np.dtype[np.void]:
    """Return the dtype of one row of the world's array `name`, as the core lays it out."""
    row_bytes, fields = _core.layouts()[name]
    names, formats, offsets = zip(*fields, strict=True)
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": row_bytes})


@dataclass(frozen=True, slots=True)
class Setting:
    """What a world knows before its first event.

    Attributes
    ----------
    is_swiss
        Whether the maps are Swiss maps (Go 1.24 and later); else they are classic.
    rules
        Rules of the Go release, ``(5,)`` (`rules_of`).
    types
        What the core needs to know of each map type: rows of ``row_type("types_in")``, ``(types,)``.
    site_of
        Number of each stack's call site, ``(stacks,)``.
    sites
        How many call sites there are.
    prunes
        For each probe point: whether an insert there prunes tombstones, ``(256,)``.
    sees_growths
        Whether growths were recorded as events of their own.
    why
        Why a map is not exact when it is first seen (`vocabulary.Inexact`): the reason for every map, and the reason
        for a map that already has entries.
    """

    is_swiss: bool
    rules: I64
    types: Rows
    site_of: U32
    sites: int
    prunes: Flags
    sees_growths: bool
    why: tuple[int, int]


class World:
    """Every map of one replay.

    Raises
    ------
    MapprobeError
        If there is not enough memory for the world.
    """

    def __init__(self, setting: Setting) -> None:
        self.is_swiss = setting.is_swiss
        given = (
            setting.is_swiss, setting.rules, setting.types, setting.site_of, setting.sites, setting.prunes,
            setting.sees_growths,
        )  # fmt: skip
        try:
            self.handle = _core.World(*given, *setting.why)
        except MemoryError:
            raise out_of_memory() from None

    @property
    def map_count(self) -> int:
        """How many maps were seen; each generation at an address counts as a map."""
        return int(self.handle.map_count)

    def rows(self, name: str) -> Rows:
        """Return the rows in use of the array `name`, as a view (names: `_core.layouts`)."""
        return np.frombuffer(self.handle.view(name), row_type(name))

    @property
    def maps(self) -> Rows:
        """The fields of each map that every operation touches, ``(map_count,)``."""
        return self.rows("maps")

    @property
    def shapes(self) -> Rows:
        """The rest of each map's model, ``(map_count,)``."""
        return self.rows("shapes")

    @property
    def chains(self) -> Rows:
        """The rest of each classic map's model, ``(map_count,)``."""
        return self.rows("chains")

    @property
    def facts(self) -> Rows:
        """What the ledger compares with new headers of each map, ``(map_count,)``."""
        return self.rows("facts")

    @property
    def extras(self) -> Rows:
        """The rest of the ledger of each map, all 0 for most maps, ``(map_count,)``."""
        return self.rows("extras")

    @property
    def buckets(self) -> Rows:
        """Control bytes, hashes and stacks of each bucket, including buckets that no map uses, ``(bucket_top,)``."""
        return self.rows("buckets")

    @property
    def stacks(self) -> Rows:
        """How many operations of each kind each stack did, ``(stacks,)``."""
        return self.rows("stacks")

    @property
    def directory(self) -> U32:
        """The number of the Swiss table in each directory slot, ``(directory_top,)``."""
        return np.frombuffer(self.handle.view("directory"), np.uint32)

    def is_in_state(self, bits: int) -> Flags:
        """Return for each map whether its state has any of these bits, ``(map_count,)``."""
        found: Flags = self.maps["state"] & np.uint8(bits) != 0
        return found

    def apply(self, batch: _core.Batch, end: int) -> None:
        """Apply the events of a batch up to row `end`.

        Raises
        ------
        MapprobeError
            If there is not enough memory for the maps.
        """
        try:
            _core.apply(self.handle, batch, end)
        except MemoryError:
            raise out_of_memory() from None

    def find(self, key: int) -> int:
        """Return the number of the newest map with this key (`places.place_key`), NOWHERE if there is none."""
        found = _core.find(self.handle, int(key))
        return NOWHERE if found is None else found

    def buckets_of(self, m: int) -> tuple[U32, U32]:
        """Return the numbers and parts (`schema.SNAPSHOT_BUCKETS`) of map `m`'s buckets, ``(buckets,)`` each.

        The buckets are in the order of `classic_list_buckets` or `swiss_list_buckets` of the core.
        """
        count = _core.count_buckets(self.handle, m)
        buckets, parts = np.empty(count, np.uint32), np.empty(count, np.uint32)
        _core.list_buckets(self.handle, m, buckets, parts)
        return buckets, parts


def out_of_memory() -> MapprobeError:
    """Return the error for a recording whose maps need more memory than the machine has."""
    return MapprobeError("replay: the maps need more memory than this machine has: replay on a machine with more")


def batch_of(events: pa.RecordBatch) -> _core.Batch:
    """Return a batch of packed events in the form that `World.apply` takes, without a copy of its columns."""
    number, common = common_columns(events, COMMON)
    own = (number if name == "header" else values(events.column(name)) for name in OWN)
    return _core.Batch(tuple(own), tuple(common))


def batch_of_headers(columns: Mapping[str, npt.NDArray[Any]], length: int) -> _core.Batch:
    """Return a batch of `length` events in the form that `World.apply` takes; each event has its own header.

    Parameters
    ----------
    columns
        Any of the columns of `schema.EVENTS`, ``(length,)``; columns that are not given are 0.
    """
    number = np.arange(length, dtype=np.uint32)
    whole: dict[str, npt.NDArray[Any]] = {"header": number}
    for name in HALVED:
        column = np.zeros(length, np.uint64)
        if name == STEP and "time_ns" in columns:
            column = steps(np.asarray(columns["time_ns"], np.uint64))
        elif name in columns:
            column = np.asarray(columns[name], np.uint64)
        whole[name], whole[high_name(name)] = column.astype(np.uint32), (column >> HALF).astype(np.uint32)

    def chosen(names: Sequence[str], types: Sequence[str]) -> tuple[npt.NDArray[Any], ...]:
        found = (whole.get(name, columns.get(name, np.zeros(length))) for name in names)
        return tuple(np.ascontiguousarray(column, type) for column, type in zip(found, types, strict=True))

    return _core.Batch(chosen(OWN, OWN_TYPES), chosen(COMMON, COMMON_TYPES))
