"""The tables beside the events of recordings made by hand: types of maps, probe points, stacks and their sites."""

from __future__ import annotations

import pyarrow as pa

from mapprobe.recording.sites import Sites, resolve
from mapprobe.recording.tables import schema
from mapprobe.vocabulary import EventKind

STACKS = 10
INTS, SESSIONS, NAMED_INTS, PLACES, CONTEXTS, NEVER_WRITTEN = 0, 1, 2, 3, 4, -1
BUCKET_BYTES = (144, 208, 144, 208, 208)
HAS_POINTERS = (False, True, False, False, True)
ZEROS = {pa.string(): "", pa.bool_(): False}
PLAIN_INSERT, PRUNING_INSERT = 0, 1
POINT_OF = {kind: kind + 1 for kind in EventKind}


def table_of(table: schema.Table, rows: list[dict[str, object]]) -> pa.Table:
    """Return the rows under the table's schema; what a row does not say is 0, False, '' or null."""
    blank = {c.name: None if c.nullable else ZEROS.get(c.type, 0) for c in table.columns}
    return pa.Table.from_pylist([blank | row for row in rows], schema=table.schema)


OF_INTS = {"key": "int", "elem": "int", "bucket_bytes": 144, "key_reflexive": True}
OF_SESSIONS = {
    "key": "string", "elem": "*main.Session", "bucket_bytes": 208, "bucket_has_pointers": True, "key_reflexive": True,
}  # fmt: skip
TYPES = table_of(
    schema.TYPES,
    [
        {"type_id": INTS, "name": "map[int]int"} | OF_INTS,
        {"type_id": SESSIONS, "name": "map[string]*main.Session"} | OF_SESSIONS,
        {"type_id": NAMED_INTS, "name": "main.Ints"} | OF_INTS,
        {"type_id": PLACES, "name": "map[main.place]int", "bucket_bytes": 208},
        {
            "type_id": CONTEXTS,
            "name": "map[struct { key interface {} }]int",
            "key": "struct { key interface {} }",
            "elem": "int",
            "bucket_bytes": 208,
            "bucket_has_pointers": True,
            "keys_may_meet": True,
        },
    ],
)
POINTS = table_of(
    schema.POINTS,
    [
        {"point": PLAIN_INSERT, "kind": EventKind.ASSIGN},
        {"point": PRUNING_INSERT, "kind": EventKind.ASSIGN, "prunes_tombstones": True},
        *({"point": point, "kind": kind} for kind, point in POINT_OF.items() if kind != EventKind.ASSIGN),
    ],
)


def tables_of_stacks() -> tuple[pa.Table, pa.Table]:
    """Return stacks and frames: stacks 1 and 2 are of main.site1, 3 and 4 of main.site2, and so on to main.site5."""
    pcs = [[]] + [[n, 100] for n in range(1, STACKS)]
    frames = [{"pc": n, "function": f"main.site{(n + 1) // 2}", "file": "site.go", "line": 7} for n in range(1, STACKS)]
    frames += [{"pc": 100, "function": "main.main", "file": "main.go", "line": 1}]
    stacks = pa.table({"stack_id": pa.array(range(STACKS), pa.uint32()), "pcs": pa.array(pcs, pa.list_(pa.uint64()))})
    return stacks, table_of(schema.FRAMES, frames)


def sites_of_stacks() -> Sites:
    """Return the sites of `tables_of_stacks`."""
    return resolve(*tables_of_stacks())
