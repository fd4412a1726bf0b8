"""The tables about the heap that ``record --heap`` writes."""

from __future__ import annotations

from mapprobe.recording.tables.schema import BOOL, I32, I64, TEXT, U8, U32, U64, Column, Table

SPANS = Table(
    "spans",
    "one large object in a span of its own: present at the start or, if all are followed, allocated or freed later",
    (
        Column("time_ns", U64, "when it was allocated or freed; if present at the start, when it was read", "ns"),
        Column("addr", U64, "address of the object"),
        Column("bytes", U64, "size of its span", "bytes"),
        Column("freed", BOOL, "the object was freed; else it was allocated, or present at the start"),
        Column("has_pointers", BOOL, "the collector scans the object"),
        Column("goid", U64, "goroutine; 0 on a system stack"),
        Column("stack_id", U32, "stack that allocated it, row of `stacks`; 0: freed, or present at the start"),
    ),
)

ARRAYS = Table(
    "arrays",
    "an array of buckets that was allocated, or whose state had changed when spans were read from memory",
    (
        Column("time_ns", U64, "when it was allocated, or its state was read", "ns"),
        Column("addr", U64, "address of the array"),
        Column("bytes", U64, "size of its object in its span; 0: not known, or its span is gone", "bytes"),
        Column("state", U8, "ArrayState"),
        Column("goid", U64, "goroutine that allocated it; 0 for other states"),
        Column("stack_id", U32, "stack that allocated it, row of `stacks`; 0 for other states"),
    ),
)

CYCLES = Table(
    "cycles",
    "one phase of a collection",
    (
        Column("time_ns", U64, "start of the phase", "ns"),
        Column("phase", U8, "CyclePhase"),
        Column("value", U64, "STARTED: Trigger; MARKED: live bytes; SWEEPS: 0 if it sweeps in the background"),
        Column("stack_id", U32, "stack that started it, row of `stacks`"),
    ),
)

RETURNS = Table(
    "returns",
    "a piece of memory that went back to the system",
    (
        Column("time_ns", U64, "when it was returned", "ns"),
        Column("addr", U64, "address of the piece"),
        Column("bytes", U64, "size of the piece", "bytes"),
        Column("reason", U8, "ReturnReason"),
    ),
)

FIGURES = Table(
    "figures",
    "the runtime's own figures at one moment, and the resident memory by the system",
    (
        Column("time_ns", U64, "when the figures were read", "ns"),
        Column("collections", U32, "collections that have ended (MemStats.NumGC)"),
        Column("gc_percent", I32, "GOGC; -1: off"),
        Column("memory_limit_bytes", I64, "GOMEMLIMIT; 2**63 - 1: none", "bytes"),
        Column("goal_bytes", U64, "size of the heap that GOGC aims at; 2**64 - 1: GOGC is off", "bytes"),
        Column("last_goal_bytes", U64, "goal of the last collection", "bytes"),
        Column("last_in_use_bytes", U64, "size of the spans in use when the last collection had ended", "bytes"),
        Column("heap_live_bytes", U64, "bytes that the last collection found alive, or allocated since", "bytes"),
        Column("heap_marked_bytes", U64, "bytes that the last collection found alive", "bytes"),
        Column("heap_in_use_bytes", U64, "spans that hold objects (MemStats.HeapInuse)", "bytes"),
        Column("heap_free_bytes", U64, "free spans that were not returned to the system", "bytes"),
        Column("heap_released_bytes", U64, "free spans that were returned to the system, or never used", "bytes"),
        Column("mapped_ready_bytes", U64, "memory not returned to the system, which the memory limit limits", "bytes"),
        Column("total_alloc_bytes", U64, "large objects allocated since the start of the process", "bytes"),
        Column("total_free_bytes", U64, "large objects freed since the start of the process", "bytes"),
        Column("rss_bytes", U64, "resident memory of the process", "bytes"),
        Column("lost", U64, "events of the heap that were lost up to time_ns"),
    ),
)

RESIDENCE = Table(
    "residence",
    "the size of one part of the process's memory, at the start or at the end",
    (
        Column("at_end", BOOL, "at the end of the recording; else at its start"),
        Column("time_ns", U64, "when the part was read", "ns"),
        Column("part", TEXT, "Part; `process` is the whole process, as the system counts it"),
        Column("bytes", U64, "mapped bytes; for `free`, `returned` and `process` only the resident ones", "bytes"),
        Column("resident_bytes", U64, "bytes that are in memory", "bytes"),
    ),
)

HEAP_TABLES = (SPANS, ARRAYS, CYCLES, RETURNS, FIGURES, RESIDENCE)
