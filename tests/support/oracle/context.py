"""What the oracle's replay needs from a recording, as arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe.arrays import I64
from mapprobe.recording.inputs import Inputs
from mapprobe.recording.sites import SHAPE
from mapprobe.vocabulary import EventKind, Implementation, Inexact
from support.oracle.columns import NOWHERE
from support.oracle.ledger import Context

LAYOUT = (
    "key_kind", "key_bytes", "elem_bytes", "slot_bytes", "bucket_bytes", "bucket_has_pointers", "indirect_key",
    "indirect_elem", "key_has_pointers", "elem_has_pointers", "key_reflexive",
)  # fmt: skip


def context_of(inputs: Inputs) -> Context:
    """Return what the oracle needs of it."""
    unseen = Inexact.EXACT if inputs.knows_entries else Inexact.GROWTH_ONLY
    filled = Inexact.BEFORE_RECORDING if inputs.attached else Inexact.OUT_OF_SIGHT
    return Context(
        is_swiss=np.array([inputs.implementation is Implementation.SWISS]),
        bucket_bytes=_int64(inputs.types["bucket_bytes"]),
        has_pointers=_int64(inputs.types["bucket_has_pointers"].cast(pa.int8())),
        layout_of=_numbered(inputs.types.select(list(LAYOUT))),
        is_indirect=_is_indirect(inputs.types),
        may_meet=np.array(inputs.types["keys_may_meet"], np.bool_),
        name_of=np.where(_is_shape(inputs.types), NOWHERE, _numbered(inputs.types.select(["key", "elem"]))),
        prunes=_prunes(inputs.points),
        site_of=np.asarray(inputs.sites.site_of_stack, np.uint32),
        sees_growths=np.array([EventKind.GROW in inputs.points["kind"].to_pylist()]),
        why=np.array([unseen, filled], np.int64),
    )


def _int64(column: pa.ChunkedArray) -> I64:
    return np.array(column, np.int64)


def _numbered(table: pa.Table) -> I64:
    """Return a number of each row, the same for equal ones."""
    rows = list(zip(*table.to_pydict().values(), strict=True))
    numbers = {row: number for number, row in enumerate(dict.fromkeys(rows))}
    return np.array([numbers[row] for row in rows], np.int64)


def _is_indirect(types: pa.Table) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = np.array(pc.or_(types["indirect_key"], types["indirect_elem"]))
    return found


def _is_shape(types: pa.Table) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = np.array(pc.match_substring(types["name"], SHAPE))
    return found


def _prunes(points: pa.Table) -> npt.NDArray[np.bool_]:
    prunes = np.zeros(256, np.bool_)
    prunes[np.array(points["point"], np.int64)] = np.array(points["prunes_tombstones"])
    return prunes
