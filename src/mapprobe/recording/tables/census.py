"""The tables of a census: the maps that it found, figures of the census itself, and the sync.Maps."""

from __future__ import annotations

from mapprobe.recording.tables.schema import BOOL, I32, I64, TEXT, U8, U32, U64, Column, Like, Table

CENSUS = Table(
    "census",
    "one map that a census found in the process's memory",
    (
        Column("at_end", BOOL, "the census of the end, or the only one; else the census of the start"),
        Column("map_addr", U64, "address of the header"),
        Column("type_id", I32, "row of `types`; if several types are possible, the row names them all; -1: not known"),
        Column("naming", U8, "Naming: how sure the type is"),
        Column("size_known", BOOL, "all types that the map may have use buckets of one size"),
        Column("state", TEXT, "alive or dead"),
        Column("liveness", U8, "Liveness: why the map counts as alive or dead"),
        Column("settled", BOOL, "the map did not change while it was read; else it was written during the read"),
        Column("grown_by", U32, "stack that allocated its largest sampled array, row of `stacks`; 0: not known"),
        Column("live_slots", I64, "slots that hold an entry"),
        Column("live_least", I64, "least number of entries; live_slots if settled", default=Like("live_slots")),
        Column("live_most", I64, "largest number of entries; live_slots if settled", default=Like("live_slots")),
        Column("deleted_slots", I64, "Swiss: slots marked as deleted; usable again after their table grows"),
        Column("buckets", I64, "classic main, chained overflow and old unevacuated buckets; Swiss groups"),
        Column("retained_buckets", I64, "buckets without a live slot"),
        Column("allocated_bytes", I64, "size in their spans of the objects that hold the buckets", "bytes"),
        Column("array_addr", U64, "address of its largest array; of its largest sampled array if any was sampled"),
        Column("array_bytes", I64, "size of the array at array_addr in its span", "bytes"),
        Column("read_ns", U64, "start of its last read, on the clock of the events; 0: not known", "ns", default=0),
        Column("goid", U64, "goroutine whose stack has the header; 0: the map is on the heap", default=0),
        Column(
            "stack_offset", U32, "distance of the header from the top of the stack; 0: on the heap", "bytes", default=0
        ),
    ),
)

CENSUS_ABOUT = Table(
    "census_about",
    "one census as a whole",
    (
        Column("at_end", BOOL, "the census of the end, or the only one; else the census of the start"),
        Column("started_ns", U64, "start of the census, on the clock of the events", "ns"),
        Column("spans", I64, "spans in use"),
        Column("objects", I64, "allocated objects of a header's size"),
        Column("lookalikes", I64, "objects that looked like a header but led to no map's buckets"),
        Column("never_written", I64, "objects of zeros and a seed: maps without buckets, or other data like them"),
        Column("never_still", I64, "objects that looked like a header, changed at each read, and were left out"),
        Column("samples", I64, "arrays whose allocation the memory profile has sampled"),
        Column("profiled", BOOL, "the program has a memory profile"),
        Column("read_bytes", I64, "memory that was read", "bytes"),
        Column("took_ns", I64, "duration of the census", "ns"),
        Column("paused_ns", I64, "how long the process was stopped for the census; null: not", "ns", nullable=True),
        Column("sees_stacks", BOOL, "headers were also looked for on the stacks of all goroutines", default=False),
        Column("references", BOOL, "references to the maps were looked for", default=True),
        Column("ownerless", I64, "arrays of buckets that no map owns; null: not looked for", nullable=True),
        Column("ownerless_bytes", I64, "size of the ownerless arrays; null: not looked for", "bytes", nullable=True),
    ),
)

SYNC_MAPS = Table(
    "sync_maps",
    "one sync.Map of Go 1.24 or later: a trie without a Go map inside, of which only the entries are counted",
    (
        Column("at_end", BOOL, "the census of the end, or the only one; else the census of the start"),
        Column("map_addr", U64, "address of the sync.Map"),
        Column("entries", I64, "entries that were counted"),
        Column("counted", BOOL, "all entries were counted; else there are more"),
    ),
)

CENSUS_TABLES = (CENSUS, CENSUS_ABOUT, SYNC_MAPS)
