"""Every table mapprobe writes or hands out: names, types, units, meaning, once.

A recording is a folder of Arrow IPC stream files, one per `Table` in
`RECORDED`; the result of a replay adds those in `REPLAYED`. The Arrow
schemas derive from this module.
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
"""A map's header, as columns: the same in events and in snapshots."""

EVENTS = Table(
    "events",
    "one operation that reached the key hasher, or one creation, clone, growth, overflow or clear",
    (
        Column("time_ns", U64, "when, on the kernel's monotonic clock", "ns"),
        Column("kind", U8, "EventKind"),
        Column("point", U8, "probe point that fired, row of `points`"),
        Column("map_addr", U64, "address of the map's header"),
        Column("stack_offset", U32, "distance from the top of the goroutine's stack; 0: not on a stack", "bytes"),
        Column("type_id", I32, "row of `types`; -1 where the point does not see the type"),
        Column("hash", U64, "the runtime's hash of the key; of CREATE the size hint, of CLONE the original's address"),
        Column("key_type", U64, "dynamic type word of an interface key; UNEQUAL_KEY of a NaN; else 0"),
        *HEADER,
        Column("goid", U64, "goroutine"),
        Column("tid", U32, "thread"),
        Column("stack_id", U32, "row of `stacks`"),
        Column(
            "depth",
            U32,
            "from the top of the goroutine's stack to the frame that did it; 0: not known",
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
        Column("slot_bytes", U64, "what one slot takes in its bucket", "bytes"),
        Column("bucket_bytes", U64, "classic bucket, Swiss group", "bytes"),
        Column("bucket_has_pointers", BOOL, "the collector scans buckets"),
        Column("indirect_key", BOOL, "keys stand outside their slot (over 128 bytes)"),
        Column("indirect_elem", BOOL, "elements stand outside their slot (over 128 bytes)"),
        Column("key_has_pointers", BOOL, "the collector scans keys"),
        Column("elem_has_pointers", BOOL, "the collector scans elements"),
        Column("key_reflexive", BOOL, "a key is equal to itself: there is no floating-point number or interface in it"),
        Column(
            "keys_may_meet", BOOL, "keys that differ may have one hash: a part of them is an interface", default=False
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
        Column("instruction", TEXT, "what stands there"),
        Column("cost", TEXT, "emulated or stepped"),
        Column("prunes_tombstones", BOOL, "Swiss: this insert prunes tombstones before it grows"),
        Column("hits", U64, "events it sent (0 in the rows written at the start)"),
        Column("lost", U64, "events it could not send"),
    ),
)

GAPS = Table(
    "gaps",
    "one interval in which events were lost, or a point not watched",
    (
        Column("from_ns", U64, "last moment nothing was lost before", "ns"),
        Column("to_ns", U64, "first moment the loss was seen, or the point was watched again", "ns"),
        Column("point", U8, "probe point"),
        Column("cpu", U16, "CPU that lost them; 0 where they were not watched"),
        Column("reason", TEXT, "ring full; memory fault: a page that was not there; too many stacks; not watched"),
        Column("lost", U64, "how many; 0 where they were not watched: nobody knows"),
    ),
)

SESSION = Table(
    "session",
    "the recording itself: a row at its start and one at its end; the last one holds",
    (
        Column("pid", U32, "process"),
        Column("binary", TEXT, "path of the executable in the process's own view"),
        Column("command", pa.list_(TEXT), "what mapprobe started; empty when it attached"),
        Column("go_version", TEXT, "e.g. go1.27.3"),
        Column("build_id", TEXT, "Go build ID"),
        Column("module", TEXT, "main module or package path"),
        Column("implementation", TEXT, "classic or swiss"),
        Column("probes", TEXT, "ops, growth or light; census: nothing was probed"),
        Column("stack_depth", U8, "frames recorded at most"),
        Column("attached", BOOL, "the process ran before the recording began"),
        Column("started", TEXT, "wall clock, ISO 8601"),
        Column("started_ns", U64, "the same moment on the clock of the events", "ns"),
        Column("ended", TEXT, "wall clock, ISO 8601; null in the first row", nullable=True),
        Column("ended_ns", U64, "the same on the clock of the events", "ns", nullable=True),
        Column("ended_by", TEXT, "exit, duration, interrupt, terminate, size, census", nullable=True),
        Column("exit_status", I32, "of the command; negative: killed by that signal", nullable=True),
        Column("events", U64, "recorded"),
        Column("lost", U64, "not recorded"),
        Column("max_overhead", F64, "share of its CPU time that probing might take", nullable=True),
        Column("cpu_ns", U64, "CPU time of the process while it was probed", "ns", nullable=True),
        Column("cost_ns", U64, "what probing took of it: an estimate (meter.py)", "ns", nullable=True),
        Column("paused_ns", U64, "how long it was stopped for the last read; null: not at all", "ns", nullable=True),
        Column("detached_ns", U64, "when probing was given up to hold that share; else null", "ns", nullable=True),
        Column("host", TEXT, "kernel and machine"),
        Column("mapprobe", TEXT, "version that recorded"),
    ),
)

SNAPSHOT_MAPS = Table(
    "snapshot_maps",
    "one map read from the process's memory, or the reason it was not",
    (
        Column("map_addr", U64, "address of the header"),
        Column("type_id", I32, "row of `types`"),
        Column(
            "time_ns", U64, "when its read began: it stands as after all its events before; 0: never looked at", "ns"
        ),
        Column("at_end", BOOL, "read at the end of the recording; else when it was first seen, already filled"),
        Column("died", BOOL, "its header was found freed by the collector at `time_ns`"),
        Column("skipped", TEXT, "why it was not read; null when it was", nullable=True),
        *HEADER,
    ),
)

SNAPSHOT_BUCKETS = Table(
    "snapshot_buckets",
    "one bucket of a snapshot, in the model's order",
    (
        Column("map_addr", U64, "address of the map's header"),
        Column("time_ns", U64, "which of the map's snapshots", "ns"),
        Column("bucket", U32, "place in the order of `model`: see BUCKET_ORDER there"),
        Column("control", U64, "eight control bytes: classic tophash, Swiss ctrl"),
        Column("part", U32, "classic: 0 main, 1 overflow, 2 old, 3 overflow of old; Swiss: ordinal of the table"),
        Column("home", U32, "classic: number of the chain's first bucket; Swiss: the table's first directory slot"),
        Column("hashes", SLOT_WORDS, "hash of each entry, 0 for none; null: not known", nullable=True),
        Column("key_types", SLOT_WORDS, "dynamic type word of each interface key; null as hashes", nullable=True),
    ),
)

RECORDED = (EVENTS, STACKS, FRAMES, TYPES, POINTS, GAPS, SESSION, SNAPSHOT_MAPS, SNAPSHOT_BUCKETS)

OPERATIONS = (
    Column("growths", I64, "classic hashGrow; Swiss growth to a table, growth and split of one"),
    Column("inserts", I64, "assignments of keys that were not there"),
    Column("updates", I64, "assignments of keys that were"),
    Column("deletes", I64, "deletes of keys that were there"),
    Column("clears", I64, "clears that did work"),
)
HOLDINGS = (
    Column("live_slots", I64, "slots that hold an entry"),
    Column("dead_slots", I64, "slots that held one since their bucket was allocated, and hold none"),
    Column("virgin_slots", I64, "slots that never held one"),
    Column("slots", I64, "live + dead + virgin"),
    Column("buckets", I64, "classic main, chained overflow and old unevacuated buckets; Swiss groups"),
    Column("retained_buckets", I64, "buckets of a live map without a live slot"),
    Column("allocated_bytes", I64, "all bucket memory, as the Go allocator charges it", "bytes"),
    Column("needed_bytes", I64, "the same of a fresh map made for the entries it holds", "bytes"),
    Column("retained_bytes", I64, "max(0, allocated - needed)", "bytes"),
)
BOUNDS = (
    Column("least_retained_bytes", I64, "it retains at least so much; retained_bytes where that is known", "bytes"),
    Column("most_retained_bytes", I64, "it retains at most so much; null: nobody knows", "bytes", nullable=True),
    Column("most_allocated_bytes", I64, "it has at most so much; null: nobody knows", "bytes", nullable=True),
)
"""What a map holds for certain where its figures are not known: of one of state unknown the figures are 0."""
PEAK = Column("peak_live_slots", I64, "most entries at one time")
MEASURES = ("maps", *(c.name for c in (*OPERATIONS, *HOLDINGS)), PEAK.name)
"""The integer columns of every row of a report, in their order."""

MAPS = Table(
    "maps",
    "one generation of one map",
    (
        Column("map_id", I32, "dense, in order of appearance"),
        Column("map_addr", U64, "address of the header when last seen"),
        Column("generation", I32, "n-th map at this address, from 1"),
        Column("type_id", I32, "row of `types`; -1: never written, so unknown"),
        Column("state", TEXT, "alive, dead or unknown"),
        Column("inexact", U8, "Inexact: why it isn't exact, 0 when it is"),
        Column("goid", U64, "goroutine on whose stack it stands; 0: on the heap"),
        Column("stack_offset", U32, "distance of its header from the top of that stack; 0: on the heap", "bytes"),
        Column("source", TEXT, "Source: where its figures come from"),
        Column("created_by", U32, "stack that made it, row of `stacks`; 0 before the recording"),
        Column("created_ns", U64, "when first seen", "ns"),
        Column("last_ns", U64, "its last event", "ns"),
        *OPERATIONS,
        *HOLDINGS,
        Column("never_used_slots", I64, "of the virgin slots: those known to be; of the others memory does not tell"),
        PEAK,
        *BOUNDS,
        Column("charged_to", U32, "stack charged all it holds; null: several are (`charges`), or none", nullable=True),
        Column("origin", U32, "stack that stands for stack 0 among those charged (`sites.before`); 0: none does"),
        Column("growth_origin", U32, "the same in view growth: who grew it before"),
    ),
)

CHARGED_ONCE = (
    Column("live_slots", I64, "slots whose entry the stack inserted"),
    Column("never_used_slots", I64, "virgin slots of buckets that the stack grew"),
    Column("needed_bytes", I64, "part of what a fresh map for the entries would take, by live slots", "bytes"),
)
"""What a stack is charged for in every view alike."""
CHARGED_BY_VIEW = (
    Column("dead_slots", I64, "slots that held an entry, and hold none"),
    Column("buckets", I64, "buckets"),
    Column("retained_buckets", I64, "buckets without a live slot"),
    Column("allocated_bytes", I64, "part of the map's bytes, by slots", "bytes"),
    Column("retained_bytes", I64, "part of what the map retains, by dead and virgin slots", "bytes"),
)
"""What views charge to others. Virgin slots are those never used, slots the sum."""
"""Views in the order of the columns of `CHARGES`."""

CHARGED = (
    Column("map_id", I32, "row of `maps`"),
    Column("stack_id", U32, "row of `stacks`; 0: nobody was seen to do it, `maps` says who stands for that"),
    *CHARGED_ONCE,
    *(replace(c, name=f"{view}_{c.name}", doc=f"view {view}: {c.doc}") for view in VIEWS for c in CHARGED_BY_VIEW),
)

CHARGES = Table(
    "charges",
    "what one map that several stacks are charged for charges to one of them; sums equal the map's row in `maps`",
    CHARGED,
)

UNSETTLED = Table(
    "unsettled",
    "what one map of state unknown that several stacks are charged for would charge to one of them if it lived",
    CHARGED,
)

STACK_OPERATIONS = Table(
    "stack_operations",
    "what one stack did, over all maps",
    (
        Column("stack_id", U32, "row of `stacks`"),
        Column("maps", I64, "maps it made"),
        *OPERATIONS,
        PEAK,
    ),
)

PEAKS = Table(
    "peaks",
    "most entries at one time of a group that isn't a map or a stack",
    (
        Column("group", TEXT, "total, type or site"),
        Column("id", I32, "0, type_id, or site_id"),
        PEAK,
    ),
)

REPLAYED = (MAPS, CHARGES, STACK_OPERATIONS, PEAKS, UNSETTLED)
