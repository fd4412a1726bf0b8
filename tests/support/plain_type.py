"""A map type without special properties, made by hand."""

from __future__ import annotations

from mapprobe.go.types import MapType

MAP_TYPE = MapType(
    0, "map[int]int", "int", "int", 2, 8, 8, 16, 144, False, False, False, key_has_pointers=False,
    elem_has_pointers=False,
    key_reflexive=True,
)  # fmt: skip
