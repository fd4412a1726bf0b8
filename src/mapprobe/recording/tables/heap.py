"""What a recording of the heap keeps beside its maps (`record --heap`): tables, and the codes in them."""

from __future__ import annotations

from mapprobe.recording.tables.schema import BOOL, I32, I64, TEXT, U8, U32, U64, Column, Table

SPANS = Table(
    "spans",
    "one large object, which has a span of its own: there at the start, and, if all are followed, allocated or freed",
    (
        Column("time_ns", U64, "when; of those that were there before: when they were read", "ns"),
        Column("addr", U64, "where it begins"),
        Column("bytes", U64, "its span", "bytes"),
        Column("freed", BOOL, "it was freed; else it was allocated, or there before"),
        Column("has_pointers", BOOL, "the collector scans it"),
        Column("goid", U64, "goroutine; 0 on a system stack"),
        Column("stack_id", U32, "who allocated it, row of `stacks`; 0: freed, or there before"),
    ),
)

ARRAYS = Table(
    "arrays",
    "an array of buckets: made, or seen in another state when spans were read from memory",
    (
        Column("time_ns", U64, "when", "ns"),
        Column("addr", U64, "where it begins"),
        Column("bytes", U64, "what its object takes in its span; 0: not known, or its span is gone", "bytes"),
        Column("state", U8, "ArrayState"),
        Column("goid", U64, "goroutine that made it; 0 for other states"),
        Column("stack_id", U32, "who made it, row of `stacks`; 0 for other states"),
    ),
)

CYCLES = Table(
    "cycles",
    "one phase of a collection",
    (
        Column("time_ns", U64, "when it began", "ns"),
        Column("phase", U8, "CyclePhase"),
        Column("value", U64, "STARTED: Trigger; MARKED: bytes that live; SWEEPS: 0 in the background"),
        Column("stack_id", U32, "who got it going, row of `stacks`"),
    ),
)

RETURNS = Table(
    "returns",
    "a piece of memory that went back to the system",
    (
        Column("time_ns", U64, "when", "ns"),
        Column("addr", U64, "where it begins"),
        Column("bytes", U64, "how much", "bytes"),
        Column("reason", U8, "ReturnReason"),
    ),
)

FIGURES = Table(
    "figures",
    "the runtime's own figures at one moment, and what the system says",
    (
        Column("time_ns", U64, "when", "ns"),
        Column("collections", U32, "collections that have ended (MemStats.NumGC)"),
        Column("gc_percent", I32, "GOGC; -1: off"),
        Column("memory_limit_bytes", I64, "GOMEMLIMIT; 2**63 - 1: none", "bytes"),
        Column("goal_bytes", U64, "size of the heap that GOGC aims at; 2**64 - 1: GOGC is off", "bytes"),
        Column("last_goal_bytes", U64, "that of the last collection", "bytes"),
        Column("last_in_use_bytes", U64, "what spans held when the last collection had ended", "bytes"),
        Column("heap_live_bytes", U64, "what the last collection found alive, and was allocated since", "bytes"),
        Column("heap_marked_bytes", U64, "what the last collection found alive", "bytes"),
        Column("heap_in_use_bytes", U64, "spans that hold objects (MemStats.HeapInuse)", "bytes"),
        Column("heap_free_bytes", U64, "free spans that were not returned", "bytes"),
        Column("heap_released_bytes", U64, "free spans that were returned, or never used", "bytes"),
        Column("mapped_ready_bytes", U64, "all that the runtime has not returned: the memory limit is for it", "bytes"),
        Column("total_alloc_bytes", U64, "allocated large objects since the start of the process", "bytes"),
        Column("total_free_bytes", U64, "freed large objects since the start of the process", "bytes"),
        Column("rss_bytes", U64, "resident memory of the process", "bytes"),
        Column("lost", U64, "events of the heap that were lost until then"),
    ),
)

RESIDENCE = Table(
    "residence",
    "what one part of the process's memory takes, at the start or at the end",
    (
        Column("at_end", BOOL, "at the end of the recording; else at its start"),
        Column("time_ns", U64, "when", "ns"),
        Column("part", TEXT, "Part; `process` is all of it, as the system counts it"),
        Column("bytes", U64, "what is mapped; of `free`, `returned` and `process` only what is resident", "bytes"),
        Column("resident_bytes", U64, "of that, what is in memory", "bytes"),
    ),
)

HEAP_TABLES = (SPANS, ARRAYS, CYCLES, RETURNS, FIGURES, RESIDENCE)
