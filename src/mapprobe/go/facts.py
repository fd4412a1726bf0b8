"""Offsets and constants per range of Go releases, each with its source; nothing else.

A row holds from its `first` release to the release before the next row's. A
release newer than the last row is read with the last row: the binary must then
agree with the row, or the binary is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from mapprobe.errors import TargetError

Release = tuple[int, int]

OLDEST: Release = (1, 18)
NEWEST: Release = (1, 27)
"""The oldest and the newest release that the rows were compared with."""

PCLNTAB_MAGIC = {0xFFFFFFF0: (1, 18), 0xFFFFFFF1: (1, 20)}
"""First release of each layout. go: debug/gosym/pclntab.go go118magic go120magic [1.20..1.23],
internal/abi/symtab.go Go118PCLnTabMagic Go120PCLnTabMagic [1.26..1.27]"""

KIND_FLOAT32, KIND_FLOAT64, KIND_COMPLEX64, KIND_COMPLEX128 = 13, 14, 15, 16
KIND_ARRAY, KIND_CHAN, KIND_FUNC, KIND_INTERFACE, KIND_MAP = 17, 18, 19, 20, 21
KIND_POINTER, KIND_SLICE, KIND_STRING, KIND_STRUCT, KIND_UNSAFE_POINTER = 22, 23, 24, 25, 26
"""go: runtime/typekind.go kindMap [1.18..1.20], internal/abi/type.go Kind [1.21..1.27]"""

MODULEDATA_TEXT = 176
MODULEDATA_MINPC = 160
MODULEDATA_ROOTS = 208
MODULEDATA_BYTES = 400
"""go: runtime/symtab.go moduledata [1.18..1.27]"""


@dataclass(frozen=True, slots=True)
class Facts:
    """Offsets and sizes in the runtime's structures, for one range of releases [bytes].

    Attributes
    ----------
    types, etypes, gofunc
        Offsets in moduledata. go: runtime/symtab.go moduledata
    typelinks, typedesclen
        Offsets in moduledata; a release has one of them: a list of types, or the length of all descriptors in a row.
    func_bytes
        Size of the fixed part of _func. go: runtime/runtime2.go _func
    inline_entry_bytes
        Size of one inlined call. go: runtime/symtabinl.go inlinedCall
    inline_name, inline_parent_pc
        Offsets in an inlined call: of the function's name, and of the program counter of the call.
    func_id_wrapper
        funcID of compiler-made wrappers. go: internal/abi/symtab.go FuncIDWrapper
    goid
        Offset of the goroutine's number in g. go: runtime/runtime2.go g
    swiss_type_bytes, swiss_flags
        Size of a Swiss map's type, and the offset of its flags. go: internal/abi/map.go MapType
    hashes_by_signature
        Compiled code hashes a key as a single list of values. go: cmd/compile/internal/reflectdata/alg.go eqSignature
    """

    first: Release
    types: int
    etypes: int
    gofunc: int
    typelinks: int | None
    typedesclen: int | None
    func_bytes: int
    inline_entry_bytes: int
    inline_name: int
    inline_parent_pc: int
    func_id_wrapper: int
    goid: int
    swiss_type_bytes: int
    swiss_flags: int
    hashes_by_signature: bool


ROWS = (
    Facts((1, 18), 280, 288, 304, 336, None, 40, 20, 12, 16, 21, 152, 0, 0, False),
    Facts((1, 20), 296, 304, 320, 352, None, 44, 16, 4, 8, 21, 152, 0, 0, False),
    Facts((1, 22), 296, 304, 320, 352, None, 44, 16, 4, 8, 22, 152, 0, 0, False),
    Facts((1, 23), 296, 304, 320, 352, None, 44, 16, 4, 8, 22, 160, 0, 0, False),
    Facts((1, 24), 296, 304, 320, 352, None, 44, 16, 4, 8, 22, 160, 112, 104, False),
    Facts((1, 25), 296, 304, 320, 352, None, 44, 16, 4, 8, 23, 152, 112, 104, False),
    Facts((1, 26), 296, 304, 320, 360, None, 44, 16, 4, 8, 23, 152, 112, 104, False),
    Facts((1, 27), 296, 312, 344, None, 304, 44, 16, 4, 8, 23, 152, 136, 128, True),
)


@dataclass(frozen=True, slots=True)
class HeapFacts:
    """Offsets and sizes in the heap's own structures, for one range of releases [bytes].

    Attributes
    ----------
    sweepgen, arenas
        Offsets in mheap. go: runtime/mheap.go mheap
    pages
        Offset of the page allocator in mheap. go: runtime/mheap.go mheap
    spans
        Offset in heapArena. go: runtime/mheap.go heapArena
    free_index_bytes
        Size of freeindex in mspan; all releases have freeindex at `SPAN_FREE_INDEX`. go: runtime/mheap.go mspan
    alloc_bits, mark_bits, span_sweepgen, span_state, elem_bytes
        Offsets in mspan. go: runtime/mheap.go mspan
    inline_marks
        True if spans of small objects with pointers hold mark bits at the end of their page.
        go: runtime/mgcmark_greenteagc.go spanInlineMarkBits
    """

    first: Release
    sweepgen: int
    arenas: int
    spans: int
    free_index_bytes: int
    alloc_bits: int
    mark_bits: int
    span_sweepgen: int
    span_state: int
    elem_bytes: int
    inline_marks: bool
    pages: int


HEAP_ROWS = (
    HeapFacts((1, 18), 65840, 65936, 2097152, 8, 72, 80, 88, 99, 104, False, 16),
    HeapFacts((1, 19), 65848, 65936, 2097152, 8, 72, 80, 88, 99, 104, False, 16),
    HeapFacts((1, 20), 65816, 65904, 1064960, 8, 72, 80, 88, 99, 104, False, 8),
    HeapFacts((1, 21), 65856, 65944, 1064960, 8, 72, 80, 96, 107, 112, False, 8),
    HeapFacts((1, 22), 65856, 66008, 0, 2, 64, 72, 88, 99, 104, False, 8),
    HeapFacts((1, 26), 65856, 66008, 0, 2, 64, 72, 88, 99, 104, True, 8),
)


@dataclass(frozen=True, slots=True)
class SpanFacts:
    """Offsets and sizes that a reader of all spans needs beside `HeapFacts`, for one range of releases [bytes].

    Attributes
    ----------
    all_spans
        Offset in mheap. go: runtime/mheap.go mheap
    elements, span_class, specials
        Offsets in mspan. go: runtime/mheap.go mspan
    large_type
        Offset in mspan; None where no type is kept of large objects, and objects with pointers have no header.
    special_offset, special_offset_bytes, special_kind
        Offsets and a size in special. go: runtime/mheap.go special
    profile_kind, profile_bucket
        The kind of a specialprofile, and the offset of its bucket. go: runtime/mheap.go specialprofile
    """

    first: Release
    all_spans: int
    elements: int
    span_class: int
    specials: int
    large_type: int | None
    special_offset: int
    special_offset_bytes: int
    special_kind: int
    profile_kind: int
    profile_bucket: int


SPAN_ROWS = (
    SpanFacts((1, 18), 65848, 56, 98, 128, None, 8, 2, 10, 2, 16),
    SpanFacts((1, 19), 65856, 56, 98, 128, None, 8, 2, 10, 2, 16),
    SpanFacts((1, 20), 65824, 56, 98, 128, None, 8, 2, 10, 2, 16),
    SpanFacts((1, 21), 65864, 56, 106, 136, None, 8, 2, 10, 2, 16),
    SpanFacts((1, 22), 65864, 50, 98, 128, 152, 8, 2, 10, 2, 16),
    SpanFacts((1, 23), 65864, 50, 98, 128, 152, 8, 2, 10, 3, 16),
    SpanFacts((1, 24), 65864, 50, 98, 128, 152, 8, 8, 16, 3, 24),
    SpanFacts((1, 25), 65864, 50, 98, 128, 152, 8, 8, 16, 4, 24),
)


@dataclass(frozen=True, slots=True)
class FigureFacts:
    """Offsets of the figures by which the runtime paces its collector, for one range of releases [bytes].

    Attributes
    ----------
    goal, last_goal, heap_live, heap_marked, heap_in_use, heap_released, heap_free, total_alloc, total_free,
    mapped_ready
        Offsets in gcControllerState. go: runtime/mgcpacer.go gcControllerState
    collections, last_in_use
        Offsets in mstats. go: runtime/mstats.go mstats
    """

    first: Release
    goal: int
    last_goal: int
    heap_live: int
    heap_marked: int
    heap_in_use: int
    heap_released: int
    heap_free: int
    total_alloc: int
    total_free: int
    mapped_ready: int
    collections: int
    last_in_use: int


# The row of 1.20 is from the code of a binary; its last two offsets are those of the releases before and after.
FIGURE_ROWS = (
    FigureFacts((1, 19), 104, 128, 136, 184, 304, 312, 320, 328, 336, 344, 7704, 7728),
    FigureFacts((1, 20), 48, 72, 80, 128, 248, 256, 264, 272, 280, 288, 7704, 7728),
    FigureFacts((1, 21), 72, 96, 104, 152, 272, 280, 288, 296, 304, 312, 7704, 7728),
    FigureFacts((1, 25), 72, 96, 104, 152, 272, 280, 288, 296, 304, 312, 7680, 7704),
)

GC_PERCENT, MEMORY_LIMIT = 0, 8
"""Offsets in gcControllerState. go: runtime/mgcpacer.go gcControllerState [1.19..1.27]"""
CONTROLLER_BYTES = 352
"""Bytes of gcControllerState that are read. go: runtime/mgcpacer.go gcControllerState [1.19..1.27]"""

WHOLE_SPAN_BYTES = 168
"""Bytes of an mspan that are read where all spans are read. go: runtime/mheap.go mspan [1.18..1.27]"""
PROFILE_STACK_LENGTH, PROFILE_STACK = 40, 48
"""Offsets in a bucket of the memory profile. go: runtime/mprof.go bucket [1.18..1.27]"""

PAGE_CHUNKS = 120
"""Offset of the chunks in pageAlloc. go: runtime/mpagealloc.go pageAlloc [1.19..1.27]"""

SPAN_START, SPAN_PAGES, SPAN_FREE_INDEX = 24, 32, 48
"""Offsets in mspan. go: runtime/mheap.go mspan [1.18..1.27]"""
SPAN_BYTES = 120
"""Bytes of an mspan that are read: up to the end of elemsize, the last field of `HeapFacts`."""

STACK_HIGH, PANICKING, DEFERRED, SCHEDULED_SP, SCHEDULED_PC, SCHEDULED_CONTEXT = 8, 32, 40, 56, 64, 80
"""Offsets in g. go: runtime/runtime2.go g gobuf [1.18..1.27]"""
STACK_GUARDS = (928, 1728, 1856)
"""Bytes from a stack's start to its guard, below which no frame may reach: plain, `-race`, `-race` before Go 1.21.
go: runtime/stack.go stackGuard [1.21..1.27], runtime/stack.go _StackGuard [1.18..1.20]"""
STACK_MARKS = (2**64 - 1314, 2**64 - 1234, 2**64 - 275)
"""Values that the runtime sets the first guard to instead, so that the goroutine's next stack check fails.
go: runtime/stack.go stackPreempt stackFork stackForceMove [1.18..1.27]"""
NO_GUARD = 2**64 - 1
"""The value of a goroutine's second guard. go: runtime/proc.go stackguard1 [1.18..1.27]"""
STATUS_BEFORE_GOID = 8
"""Bytes from atomicstatus to goid in g. go: runtime/runtime2.go g [1.18..1.27]"""
SYSCALL_SP = {(1, 18): 112, (1, 25): 104}
"""Offset of syscallsp in g, from each of these releases on. go: runtime/runtime2.go g [1.18..1.27]"""

DEFERRED_WORDS = 6
"""Words of a deferred call that are read. go: runtime/runtime2.go _defer [1.18..1.27]"""
DEFERRED_LINK = {(1, 18): 40, (1, 22): 32}
"""Offset in a deferred call of the next one, from each release on. go: runtime/runtime2.go _defer [1.18..1.27]"""

CLASSIC_TYPE_BYTES = 88
"""go: runtime/type.go maptype [1.18..1.23]"""


def facts_for(release: Release) -> Facts:
    """Return the row of a release.

    Raises
    ------
    TargetError
        If the release is older than the first row.
    """
    if release < OLDEST:
        version = ".".join(map(str, release))
        raise TargetError(
            f"go{version}: releases before go{OLDEST[0]}.{OLDEST[1]} are not supported: rebuild with a newer one"
        )
    return [row for row in ROWS if row.first <= release][-1]


def syscall_sp_for(release: Release) -> int:
    """Return the offset of syscallsp in g for a release that `facts_for` has accepted."""
    return [offset for first, offset in SYSCALL_SP.items() if first <= release][-1]


def deferred_link_for(release: Release) -> int:
    """Return the offset of a deferred call's link for a release that `facts_for` has accepted."""
    return [offset for first, offset in DEFERRED_LINK.items() if first <= release][-1]


def heap_facts_for(release: Release) -> HeapFacts:
    """Return the row of a release that `facts_for` has accepted."""
    return [row for row in HEAP_ROWS if row.first <= release][-1]


def span_facts_for(release: Release) -> SpanFacts:
    """Return the row of a release that `facts_for` has accepted."""
    return [row for row in SPAN_ROWS if row.first <= release][-1]


def figure_facts_for(release: Release) -> FigureFacts:
    """Return the row of a release.

    Raises
    ------
    TargetError
        If the release keeps its figures elsewhere.
    """
    rows = [row for row in FIGURE_ROWS if row.first <= release]
    if not rows:
        version = ".".join(map(str, release))
        raise TargetError(f"go{version}: the heap can be recorded from go1.19 on: leave out --heap")
    return rows[-1]
