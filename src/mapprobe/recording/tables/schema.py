"""The tables of events, of what events refer to, and of a replay's result: names, types, units and meanings.

A recording is a folder of Arrow IPC stream files, one for each `Table` in
`RECORDED`; the result of a replay adds the tables in `REPLAYED`. The Arrow
schemas and docs/recording-format.md are made from these tables.
"""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from mapprobe.recording.tables.table import VERSION as VERSION
from mapprobe.recording.tables.table import Column as Column
from mapprobe.recording.tables.table import Like as Like
from mapprobe.recording.tables.table import Table as Table
from mapprobe.vocabulary import VIEWS

U8, U16, U32, U64 = pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()
I32, I64, F64, TEXT, BOOL = pa.int32(), pa.int64(), pa.float64(), pa.string(), pa.bool_()
SLOT_WORDS = pa.list_(U64, 8)

HEADER = (
    Column("count", U64, "entries before the operation (classic count, Swiss used)"),
    Column("seed", U64, "the map's hash seed"),
    Column("array_addr", U64, "classic buckets, Swiss dirPtr"),
    Column("old_array_addr", U64, "classic oldbuckets, 0 for Swiss"),
    Column("flags", U8, "classic flags; Swiss: bit 0 tombstonePossible"),
    Column("log2_size", U8, "classic B, Swiss globalDepth"),
    Column("overflow_count", U16, "classic noverflow, 0 for Swiss"),
    Column("directory_length", U32, "Swiss dirLen, 0 for classic and small maps"),
    Column("evacuated", U32, "classic nevacuate, 0 for Swiss"),
    Column("clear_seq", U32, "Swiss clearSeq (low 32 bits), 0 for classic"),
)
"""The words of a map's header: columns that events and snapshots share."""

EVENTS = Table(
    "events",
    "one operation that reached the key hasher, or one creation, clone, growth, overflow or clear",
    (
        Column("time_ns", U64, "time of the event on the kernel's monotonic clock", "ns"),
        Column("kind", U8, "EventKind"),
        Column("point", U8, "probe point that fired, row of `points`"),
        Column("map_addr", U64, "address of the map's header"),
        Column("stack_offset", U32, "header's distance from the top of the goroutine's stack; 0: on the heap", "bytes"),
        Column("type_id", I32, "row of `types`; -1 where the point does not see the type"),
        Column("hash", U64, "the runtime's hash of the key; CREATE: the size hint; CLONE: address of the original"),
        Column("key_type", U64, "dynamic type word of an interface key; UNEQUAL_KEY for a NaN; else 0"),
        *HEADER,
        Column("goid", U64, "goroutine"),
        Column("tid", U32, "thread"),
        Column("stack_id", U32, "row of `stacks`"),
        Column(
            "depth",
            U32,
            "distance from the top of the goroutine's stack to the frame of the operation; 0: not known",
            "bytes",
            default=0,
        ),
    ),
)

STACKS = Table(
    "stacks",
    "one distinct call stack; row 0 is empty and stands for what happened before the recording",
    (
        Column("stack_id", U32, "dense, in order of appearance"),
        Column("pcs", pa.list_(U64), "return addresses in the binary, innermost first"),
    ),
)

FRAMES = Table(
    "frames",
    "one logical frame of a return address, inlined calls expanded",
    (
        Column("pc", U64, "return address, as in `stacks`"),
        Column("depth", U8, "0 is the innermost"),
        Column("function", TEXT, "full name with package path"),
        Column("file", TEXT, "source file"),
        Column("line", U32, "line of the call"),
        Column("inlined", BOOL, "the compiler inlined this frame into the next"),
    ),
)

TYPES = Table(
    "types",
    "one map type",
    (
        Column("type_id", I32, "dense, in order of appearance"),
        Column("type_addr", U64, "address of the descriptor in the process, less the load bias"),
        Column("name", TEXT, "as Go prints it, e.g. map[string]*main.Session"),
        Column("key", TEXT, "key type"),
        Column("elem", TEXT, "element type"),
        Column("key_kind", U8, "reflect.Kind of the key"),
        Column("key_bytes", U64, "size of a key", "bytes"),
        Column("elem_bytes", U64, "size of an element", "bytes"),
        Column("slot_bytes", U64, "size of one slot in its bucket", "bytes"),
        Column("bucket_bytes", U64, "size of a classic bucket or a Swiss group", "bytes"),
        Column("bucket_has_pointers", BOOL, "the collector scans buckets"),
        Column("indirect_key", BOOL, "keys are stored outside their slot (over 128 bytes)"),
        Column("indirect_elem", BOOL, "elements are stored outside their slot (over 128 bytes)"),
        Column("key_has_pointers", BOOL, "the collector scans keys"),
        Column("elem_has_pointers", BOOL, "the collector scans elements"),
        Column("key_reflexive", BOOL, "every key is equal to itself: it has no floating-point number or interface"),
        Column(
            "keys_may_meet", BOOL, "different keys may have one hash: a part of a key is an interface", default=False
        ),
    ),
)

POINTS = Table(
    "points",
    "one probe point that was attached",
    (
        Column("point", U8, "dense"),
        Column("kind", U8, "EventKind, or HeapKind, that it reports"),
        Column("function", TEXT, "the runtime's function"),
        Column("vaddr", U64, "address in the binary"),
        Column("file_offset", U64, "where the uprobe sits", "bytes"),
        Column("instruction", TEXT, "the probed instruction"),
        Column("cost", TEXT, "emulated or stepped"),
        Column("prunes_tombstones", BOOL, "Swiss: this insert prunes tombstones before it grows"),
        Column("hits", U64, "events that the point sent (0 in the rows written at the start)"),
        Column("lost", U64, "events that the point could not send"),
    ),
)

GAPS = Table(
    "gaps",
    "one interval in which a point lost events, or was not watched",
    (
        Column("from_ns", U64, "start of the interval: up to here nothing was lost", "ns"),
        Column("to_ns", U64, "end of the interval: the loss was noticed, or the point was watched again", "ns"),
        Column("point", U8, "probe point"),
        Column("cpu", U16, "CPU that lost the events; 0 if the point was not watched"),
        Column("reason", TEXT, "ring full; memory fault (a page was not in memory); too many stacks; not watched"),
        Column("lost", U64, "number of lost events; 0 if the point was not watched: nobody knows"),
    ),
)

SESSION = Table(
    "session",
    "the recording as a whole: one row is written at its start and one at its end; the last row is valid",
    (
        Column("pid", U32, "process"),
        Column("binary", TEXT, "path of the executable in the process's own view"),
        Column(
            "command",
            pa.list_(TEXT),
            "the command that was started, arguments if kept; empty: attached",
        ),
        Column("go_version", TEXT, "e.g. go1.27.3"),
        Column("build_id", TEXT, "Go build ID"),
        Column("module", TEXT, "main module or package path"),
        Column("implementation", TEXT, "classic or swiss"),
        Column("probes", TEXT, "ops, growth or light; census: nothing was probed"),
        Column("stack_depth", U8, "largest number of frames recorded of a stack"),
        Column("attached", BOOL, "the process ran before the recording began"),
        Column("started", TEXT, "start by the wall clock, ISO 8601"),
        Column("started_ns", U64, "start on the clock of the events", "ns"),
        Column("ended", TEXT, "end by the wall clock, ISO 8601; null in the first row", nullable=True),
        Column("ended_ns", U64, "end on the clock of the events", "ns", nullable=True),
        Column("ended_by", TEXT, "exit, duration, interrupt, terminate, size, census", nullable=True),
        Column("exit_status", I32, "exit status of the command; negative: killed by that signal", nullable=True),
        Column("events", U64, "number of events recorded"),
        Column("lost", U64, "number of events lost"),
        Column("max_overhead", F64, "limit of the share of its CPU time that probing may take", nullable=True),
        Column("cpu_ns", U64, "CPU time of the process while it was probed", "ns", nullable=True),
        Column("cost_ns", U64, "CPU time that probing took, an estimate (overhead.py)", "ns", nullable=True),
        Column("paused_ns", U64, "how long the process was stopped for the last read; null: not", "ns", nullable=True),
        Column("detached_ns", U64, "when probing ended to keep within max_overhead; else null", "ns", nullable=True),
        Column("host", TEXT, "kernel and machine"),
        Column("mapprobe", TEXT, "version that recorded"),
        Column("tables", pa.list_(TEXT), "all other tables; null in the first row", nullable=True),
        Column("table_rows", pa.list_(U64), "how many rows each of them has", nullable=True),
    ),
)

SNAPSHOT_MAPS = Table(
    "snapshot_maps",
    "one map read from the process's memory, or the reason why it was not read",
    (
        Column("map_addr", U64, "address of the header"),
        Column("type_id", I32, "row of `types`"),
        Column(
            "time_ns", U64, "start of the read: the map has the state after its earlier events; 0: never read", "ns"
        ),
        Column("at_end", BOOL, "read at the end of the recording; else when first seen, with entries in it"),
        Column("died", BOOL, "at `time_ns` the collector had freed the header"),
        Column("skipped", TEXT, "why the map was not read; null if it was", nullable=True),
        *HEADER,
    ),
)

SNAPSHOT_BUCKETS = Table(
    "snapshot_buckets",
    "one bucket of a snapshot, in the model's order",
    (
        Column("map_addr", U64, "address of the map's header"),
        Column("time_ns", U64, "`time_ns` of the snapshot in snapshot_maps", "ns"),
        Column("bucket", U32, "place in the order of `classic_list_buckets` or `swiss_list_buckets` (src/core)"),
        Column("control", U64, "eight control bytes: classic tophash, Swiss ctrl"),
        Column("part", U32, "classic: 0 main, 1 overflow, 2 old, 3 overflow of old; Swiss: ordinal of the table"),
        Column("home", U32, "classic: number of the chain's first bucket; Swiss: the table's first directory slot"),
        Column("hashes", SLOT_WORDS, "hash of the entry in each slot, 0 for no entry; null: not known", nullable=True),
        Column("key_types", SLOT_WORDS, "dynamic type word of each interface key; null: not known", nullable=True),
    ),
)

RECORDED = (EVENTS, STACKS, FRAMES, TYPES, POINTS, GAPS, SESSION, SNAPSHOT_MAPS, SNAPSHOT_BUCKETS)

OPERATIONS = (
    Column("growths", I64, "classic: hashGrow; Swiss: growth of a small map to a table, growth or split of a table"),
    Column("inserts", I64, "assignments to keys that the map did not have"),
    Column("updates", I64, "assignments to keys that the map had"),
    Column("deletes", I64, "deletes of keys that the map had"),
    Column("clears", I64, "clears of maps that were not empty"),
)
HOLDINGS = (
    Column("live_slots", I64, "slots that hold an entry"),
    Column("dead_slots", I64, "slots that hold no entry, but held one since their bucket was allocated"),
    Column("virgin_slots", I64, "slots that never held an entry"),
    Column("slots", I64, "live + dead + virgin"),
    Column("buckets", I64, "classic main, chained overflow and old unevacuated buckets; Swiss groups"),
    Column("retained_buckets", I64, "buckets of a live map without a live slot"),
    Column("allocated_bytes", I64, "all bucket memory, as the Go allocator charges it", "bytes"),
    Column("needed_bytes", I64, "allocated bytes of a fresh map made for the entries", "bytes"),
    Column("retained_bytes", I64, "max(0, allocated - needed)", "bytes"),
)
BOUNDS = (
    Column("least_retained_bytes", I64, "least that it retains; retained_bytes if that is known", "bytes"),
    Column("most_retained_bytes", I64, "most that it can retain; null: nobody knows", "bytes", nullable=True),
    Column("most_allocated_bytes", I64, "most that it can have allocated; null: nobody knows", "bytes", nullable=True),
)
"""Bounds of a map whose figures are not known; for a map of state unknown the figures themselves are 0."""
PEAK = Column("peak_live_slots", I64, "largest number of entries at one time")
MEASURES = ("maps", *(c.name for c in (*OPERATIONS, *HOLDINGS)), PEAK.name)
"""The integer columns of every row of a report, in their order."""

MAPS = Table(
    "maps",
    "one generation of one map",
    (
        Column("map_id", I32, "dense, in order of appearance"),
        Column("map_addr", U64, "address of the header when last seen"),
        Column("generation", I32, "n-th map at this address, from 1"),
        Column("type_id", I32, "row of `types`; -1: not known, as the map was never written"),
        Column("state", TEXT, "alive, dead or unknown"),
        Column("inexact", U8, "Inexact: why the map is not exact; 0 if it is"),
        Column("goid", U64, "goroutine whose stack has the header; 0: the map is on the heap"),
        Column("stack_offset", U32, "distance of the header from the top of the stack; 0: on the heap", "bytes"),
        Column("source", TEXT, "Source: where its figures come from"),
        Column("created_by", U32, "stack that made it, row of `stacks`; 0: made before the recording"),
        Column("created_ns", U64, "when the map was first seen", "ns"),
        Column("last_ns", U64, "time of its last event", "ns"),
        *OPERATIONS,
        *HOLDINGS,
        Column("never_used_slots", I64, "virgin slots that are known to be so; memory alone can't tell"),
        PEAK,
        *BOUNDS,
        Column("charged_to", U32, "stack that is charged for all; null: several (`charges`) or none", nullable=True),
        Column("origin", U32, "stack that replaces stack 0 among the charged ones (`sites.before`); 0: none"),
        Column("growth_origin", U32, "stack that replaces stack 0 in view growth: who grew the map before; 0: none"),
    ),
)

CHARGED_ONCE = (
    Column("live_slots", I64, "live slots whose entry the stack inserted"),
    Column("never_used_slots", I64, "virgin slots of buckets that the stack allocated"),
    Column("needed_bytes", I64, "share of the map's needed bytes, by live slots", "bytes"),
)
"""Columns of a charge that are equal in all views."""
CHARGED_BY_VIEW = (
    Column("dead_slots", I64, "dead slots"),
    Column("buckets", I64, "buckets"),
    Column("retained_buckets", I64, "buckets without a live slot"),
    Column("allocated_bytes", I64, "share of the map's allocated bytes, by slots", "bytes"),
    Column("retained_bytes", I64, "share of the map's retained bytes, by dead and virgin slots", "bytes"),
)
"""Columns of a charge that each view has for itself. Its virgin slots are `never_used_slots`; its slots are the sum."""

CHARGED = (
    Column("map_id", I32, "row of `maps`"),
    Column("stack_id", U32, "row of `stacks`; 0: not recorded, shown as `origin` or `growth_origin` of `maps`"),
    *CHARGED_ONCE,
    *(replace(c, name=f"{view}_{c.name}", doc=f"view {view}: {c.doc}") for view in VIEWS for c in CHARGED_BY_VIEW),
)

CHARGES = Table(
    "charges",
    "the charge of one map to one of several stacks; the charges of a map sum to its row in `maps`",
    CHARGED,
)

UNSETTLED = Table(
    "unsettled",
    "the charge of one map of state unknown to one of several stacks, if the map is alive",
    CHARGED,
)

STACK_OPERATIONS = Table(
    "stack_operations",
    "the operations of one stack on all maps",
    (
        Column("stack_id", U32, "row of `stacks`"),
        Column("maps", I64, "maps that the stack made"),
        *OPERATIONS,
        PEAK,
    ),
)

PEAKS = Table(
    "peaks",
    "the largest number of entries at one time of all maps, of one type, or of one call site",
    (
        Column("group", TEXT, "total, type or site"),
        Column("id", I32, "0, type_id, or site_id"),
        PEAK,
    ),
)

REPLAYED = (MAPS, CHARGES, STACK_OPERATIONS, PEAKS, UNSETTLED)
