"""The world of a recording before its first event: the core gets the facts of types, stacks and points."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe.model.core import Rows, Setting, World, row_type
from mapprobe.model.rules import rules_of
from mapprobe.recording.inputs import Inputs
from mapprobe.recording.sites import SHAPE
from mapprobe.vocabulary import EventKind, Implementation, Inexact

ANY_NAME = -1
"""The name number of a shape type, which stands for types of any name."""
LAYOUT = (
    "key_kind", "key_bytes", "elem_bytes", "slot_bytes", "bucket_bytes", "bucket_has_pointers", "indirect_key",
    "indirect_elem", "key_has_pointers", "elem_has_pointers", "key_reflexive",
)  # fmt: skip


def world_of(inputs: Inputs) -> World:
    """Return a world without maps, which knows the recording's types, stacks and points."""
    unseen = Inexact.EXACT if inputs.knows_entries else Inexact.GROWTH_ONLY
    filled = Inexact.BEFORE_RECORDING if inputs.attached else Inexact.OUT_OF_SIGHT
    setting = Setting(
        is_swiss=inputs.implementation is Implementation.SWISS,
        rules=rules_of(inputs.implementation, inputs.go_release),
        types=type_facts(inputs.types),
        site_of=np.asarray(inputs.sites.site_of_stack, np.uint32),
        sites=len(inputs.sites.table),
        prunes=_prunes(inputs.points),
        sees_growths=EventKind.GROW in inputs.points["kind"].to_pylist(),
        why=(unseen, filled),
    )
    return World(setting)


def type_facts(types: pa.Table) -> Rows:
    """Return the facts that the core needs of each map type, ``(types,)``.

    Map types with equal layouts have one ``layout`` number. Map types whose keys and whose elements have equal names
    have one ``name`` number: code may access a map of a defined type by the type without a name. A shape type stands
    for every type of its layout.
    """
    facts = np.zeros(len(types), row_type("types_in"))
    facts["bucket_bytes"] = np.array(types["bucket_bytes"], np.uint64)
    facts["has_pointers"] = np.array(types["bucket_has_pointers"], np.bool_)
    facts["layout"] = _numbered(types.select(list(LAYOUT)))
    facts["name"] = np.where(_is_shape(types), ANY_NAME, _numbered(types.select(["key", "elem"])))
    facts["is_indirect"] = np.array(pc.or_(types["indirect_key"], types["indirect_elem"]), np.bool_)
    facts["may_meet"] = np.array(types["keys_may_meet"], np.bool_)
    return facts


def _numbered(table: pa.Table) -> npt.NDArray[np.int32]:
    """Number the rows of a table; equal rows have one number."""
    rows = list(zip(*table.to_pydict().values(), strict=True))
    numbers = {row: number for number, row in enumerate(dict.fromkeys(rows))}
    return np.array([numbers[row] for row in rows], np.int32)


def _is_shape(types: pa.Table) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = np.array(pc.match_substring(types["name"], SHAPE))
    return found


def _prunes(points: pa.Table) -> npt.NDArray[np.bool_]:
    prunes = np.zeros(256, np.bool_)
    prunes[np.array(points["point"], np.int64)] = np.array(points["prunes_tombstones"])
    return prunes
