"""What a census keeps in its recording: the maps that it found, and what it says of itself."""

from __future__ import annotations

from mapprobe.recording.tables.schema import BOOL, I32, I64, TEXT, U8, U32, U64, Column, Like, Table

CENSUS = Table(
    "census",
    "one map that a census found in the process's memory",
    (
        Column("at_end", BOOL, "at the end of a recording, or all there is; else at its start"),
        Column("map_addr", U64, "address of the header"),
        Column("type_id", I32, "row of `types`, which of several candidates has all the names; -1: not known"),
        Column("naming", U8, "Naming: how sure the type is"),
        Column("size_known", BOOL, "all types that it may be of have buckets of one size"),
        Column("state", TEXT, "alive or dead"),
        Column("liveness", U8, "Liveness: why"),
        Column("settled", BOOL, "it stood still while it was read; else buckets are those of a read during writes"),
        Column("grown_by", U32, "stack that allocated its largest array that was sampled, row of `stacks`; 0: unknown"),
        Column("live_slots", I64, "slots that hold an entry"),
        Column("live_least", I64, "entries at least; live_slots where it is settled", default=Like("live_slots")),
        Column("live_most", I64, "entries at most; live_slots where it is settled", default=Like("live_slots")),
        Column("deleted_slots", I64, "Swiss: slots marked as deleted; they come back when their table grows"),
        Column("buckets", I64, "classic main, chained overflow and old unevacuated buckets; Swiss groups"),
        Column("retained_buckets", I64, "buckets without a live slot"),
        Column("allocated_bytes", I64, "what the objects that hold its buckets take in their spans", "bytes"),
        Column("array_addr", U64, "its largest array, of the sampled ones if there are any"),
        Column("array_bytes", I64, "what that takes", "bytes"),
        Column("read_ns", U64, "when its last read began, on the clock of the events; 0: not known", "ns", default=0),
        Column("goid", U64, "goroutine on whose stack it stands; 0: on the heap", default=0),
        Column(
            "stack_offset", U32, "distance of its header from the top of that stack; 0: on the heap", "bytes", default=0
        ),
    ),
)

CENSUS_ABOUT = Table(
    "census_about",
    "a census itself",
    (
        Column("at_end", BOOL, "at the end of a recording, or all there is; else at its start"),
        Column("started_ns", U64, "when it was begun, on the clock of the events", "ns"),
        Column("spans", I64, "spans in use"),
        Column("objects", I64, "allocated objects of a header's size"),
        Column("lookalikes", I64, "of those, what looked like a header and led to no map's buckets"),
        Column("never_written", I64, "of those, zeros and a seed: maps without buckets, and whatever looks like them"),
        Column("never_still", I64, "what looked like a header, changed at each read, and was left out"),
        Column("samples", I64, "arrays whose allocation the memory profile has sampled"),
        Column("profiled", BOOL, "the program has a memory profile"),
        Column("read_bytes", I64, "how much was read", "bytes"),
        Column("took_ns", I64, "how long it took", "ns"),
        Column("paused_ns", I64, "how long the process was stopped for it; null: not at all", "ns", nullable=True),
        Column("sees_stacks", BOOL, "headers were looked for on all of the goroutines' stacks too", default=False),
        Column("references", BOOL, "whether anything refers to the maps was looked for", default=True),
        Column("ownerless", I64, "arrays of buckets that no map owns; null: not looked for", nullable=True),
        Column("ownerless_bytes", I64, "what those take; null: not looked for", "bytes", nullable=True),
    ),
)

SYNC_MAPS = Table(
    "sync_maps",
    "one sync.Map of Go 1.24 or later, which is no map inside, and is only counted",
    (
        Column("at_end", BOOL, "at the end of a recording, or all there is; else at its start"),
        Column("map_addr", U64, "where it stands"),
        Column("entries", I64, "how many were counted"),
        Column("counted", BOOL, "those are all; else there are more"),
    ),
)

CENSUS_TABLES = (CENSUS, CENSUS_ABOUT, SYNC_MAPS)
