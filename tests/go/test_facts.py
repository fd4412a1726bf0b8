"""The constants compared with Go itself: with its sources, and with the debug info of builds."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.dwarf.die import DIE
from elftools.elf.elffile import ELFFile

from mapprobe.errors import TargetError
from mapprobe.go import facts, types
from mapprobe.go.facts import (
    FIGURE_ROWS,
    HEAP_ROWS,
    OLDEST,
    ROWS,
    SPAN_ROWS,
    deferred_link_for,
    facts_for,
    figure_facts_for,
    heap_facts_for,
    span_facts_for,
    syscall_sp_for,
)
from support import toolchains
from support.claims import Claim, lacking, ranged, read_claims, source
from support.gobuild import Release

SRC = toolchains.ROOT / "src" / "mapprobe"
CLASSIC, SWISS = (1, 23), (1, 27)

CLAIM = re.compile(r'\bgo: (.+?)(?:"""| \*/|$)', re.MULTILINE)
IN_FACTS = {
    "types": "runtime.moduledata.types",
    "etypes": "runtime.moduledata.etypes",
    "gofunc": "runtime.moduledata.gofunc",
    "typelinks": "runtime.moduledata.typelinks",
    "typedesclen": "runtime.moduledata.typedesclen",
    "func_bytes": "runtime._func",
    "inline_entry_bytes": "runtime.inlinedCall",
    "inline_name": "runtime.inlinedCall.nameOff",
    "inline_parent_pc": "runtime.inlinedCall.parentPc",
    "func_id_wrapper": "internal/abi.FuncIDWrapper",
    "goid": "runtime.g.goid",
}
IN_HEAP_FACTS = {
    "sweepgen": "runtime.mheap.sweepgen",
    "arenas": "runtime.mheap.arenas",
    "spans": "runtime.heapArena.spans",
    "alloc_bits": "runtime.mspan.allocBits",
    "mark_bits": "runtime.mspan.gcmarkBits",
    "span_sweepgen": "runtime.mspan.sweepgen",
    "span_state": "runtime.mspan.state",
    "pages": "runtime.mheap.pages",
    "elem_bytes": "runtime.mspan.elemsize",
}
IN_FIGURE_FACTS = {
    "goal": "runtime.gcControllerState.gcPercentHeapGoal",
    "last_goal": "runtime.gcControllerState.lastHeapGoal",
    "heap_live": "runtime.gcControllerState.heapLive",
    "heap_marked": "runtime.gcControllerState.heapMarked",
    "heap_in_use": "runtime.gcControllerState.heapInUse",
    "heap_released": "runtime.gcControllerState.heapReleased",
    "heap_free": "runtime.gcControllerState.heapFree",
    "total_alloc": "runtime.gcControllerState.totalAlloc",
    "total_free": "runtime.gcControllerState.totalFree",
    "mapped_ready": "runtime.gcControllerState.mappedReady",
    "collections": "runtime.mstats.numgc",
    "last_in_use": "runtime.mstats.lastHeapInUse",
}
IN_SPAN_FACTS = {
    "all_spans": "runtime.mheap.allspans",
    "elements": "runtime.mspan.nelems",
    "span_class": "runtime.mspan.spanclass",
    "specials": "runtime.mspan.specials",
    "large_type": "runtime.mspan.largeType",
    "special_offset": "runtime.special.offset",
    "special_kind": "runtime.special.kind",
    "profile_bucket": "runtime.specialprofile.b",
}
SAME_IN_ALL = {
    "PROFILE_STACK_LENGTH": "runtime.bucket.nstk",
    "PROFILE_STACK": "runtime.bucket",
    "MODULEDATA_TEXT": "runtime.moduledata.text",
    "MODULEDATA_MINPC": "runtime.moduledata.minpc",
    "SPAN_START": "runtime.mspan.startAddr",
    "GC_PERCENT": "runtime.gcControllerState.gcPercent",
    "MEMORY_LIMIT": "runtime.gcControllerState.memoryLimit",
    "PAGE_CHUNKS": "runtime.pageAlloc.chunks",
    "STACK_HIGH": "runtime.stack.hi",
    "SCHEDULED_SP": "runtime.g.sched",
    "SPAN_PAGES": "runtime.mspan.npages",
    "SPAN_FREE_INDEX": "runtime.mspan.freeindex",
    "KIND_ARRAY": "internal/abi.Array",
    "KIND_CHAN": "internal/abi.Chan",
    "KIND_COMPLEX64": "internal/abi.Complex64",
    "KIND_COMPLEX128": "internal/abi.Complex128",
    "KIND_FLOAT32": "internal/abi.Float32",
    "KIND_FLOAT64": "internal/abi.Float64",
    "KIND_FUNC": "internal/abi.Func",
    "KIND_INTERFACE": "internal/abi.Interface",
    "KIND_MAP": "internal/abi.Map",
    "KIND_POINTER": "internal/abi.Pointer",
    "KIND_SLICE": "internal/abi.Slice",
    "KIND_STRING": "internal/abi.String",
    "KIND_STRUCT": "internal/abi.Struct",
    "KIND_UNSAFE_POINTER": "internal/abi.UnsafePointer",
}
DESCRIPTORS = {
    facts.KIND_ARRAY: "internal/abi.ArrayType",
    facts.KIND_CHAN: "internal/abi.ChanType",
    facts.KIND_FUNC: "internal/abi.FuncType",
    facts.KIND_INTERFACE: "internal/abi.InterfaceType",
    facts.KIND_POINTER: "internal/abi.PtrType",
    facts.KIND_SLICE: "internal/abi.SliceType",
    facts.KIND_STRUCT: "internal/abi.StructType",
}
EARLIER_NAMES = {
    "runtime.inlinedCall.nameOff": "runtime.inlinedCall.func_",
    "internal/abi.FuncIDWrapper": "runtime.funcID_wrapper",
    "internal/abi.Pointer": "runtime.kindPtr",
    **{
        f"internal/abi.{k}": f"runtime.kind{k}"
        for k in (
            "Array",
            "Chan",
            "Complex64",
            "Complex128",
            "Float32",
            "Float64",
            "Func",
            "Interface",
            "Map",
            "Slice",
            "String",
            "Struct",
            "UnsafePointer",
        )
    },
    "internal/abi.Type": "runtime._type",
    **{
        f"internal/abi.{k}Type": f"runtime.{k.lower()}type"
        for k in ("Array", "Chan", "Func", "Interface", "Ptr", "Slice")
    },
    "internal/abi.StructType": "runtime.structtype",
}
"""What had which name up to Go 1.20."""


CLAIMS = [
    claim
    for path in sorted([*SRC.rglob("*.py"), *(SRC.parent / "core").glob("*.[ch]")])
    for text in CLAIM.findall(path.read_text())
    for claim in read_claims(path.stem, text)
]
RANGED = ranged(CLAIMS)


@functools.cache
def layouts_of(path: Path) -> dict[str, int]:
    """Return the runtime's sizes, offsets and constants by name, as the compiler wrote them down for debuggers."""
    found: dict[str, int] = {}
    with path.open("rb") as file:
        for unit in ELFFile(file).get_dwarf_info().iter_CUs():
            top = unit.get_top_DIE()
            if name_of(top) not in {"runtime", "internal/abi"}:
                continue
            for die in top.iter_children():
                if die.tag == "DW_TAG_constant":
                    found[name_of(die)] = die.attributes["DW_AT_const_value"].value
                elif die.tag == "DW_TAG_structure_type":
                    found[name_of(die)] = die.attributes["DW_AT_byte_size"].value
                    for member in die.iter_children():
                        found[f"{name_of(die)}.{name_of(member)}"] = member.attributes[
                            "DW_AT_data_member_location"
                        ].value
    return found


def name_of(die: DIE) -> str:
    return die.attributes["DW_AT_name"].value.decode()


@pytest.fixture(scope="session", name="release")
def _release(every_release: Release) -> Release:
    return every_release


@pytest.fixture
def layouts(release: Release, build: Callable[..., Path]) -> dict[str, int]:
    found = layouts_of(build("range_clear", release))
    return found if release >= (1, 21) else found | {now: found[then] for now, then in EARLIER_NAMES.items()}


def test_comments_make_claims() -> None:
    assert len(CLAIMS) > 100


@pytest.mark.toolchain
@pytest.mark.parametrize(
    ("claim", "release"),
    [pytest.param(*case, id=name) for name, case in RANGED.items()],
)
def test_claimed_source_holds_the_claimed_names(claim: Claim, release: Release) -> None:
    assert lacking(claim, release) == []


@pytest.mark.rest  # of whichever release it is: all toolchains are looked at
@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if not claim.ends], ids=str)
def test_claim_without_a_range_is_true_of_some_release(claim: Claim) -> None:
    assert [] in [lacking(claim, release) for release in toolchains.RELEASES]


@pytest.mark.parametrize("fact", IN_FACTS)
def test_fact_is_what_the_compiler_laid_out(fact: str, release: Release, layouts: dict[str, int]) -> None:
    assert getattr(facts_for(release), fact) == layouts.get(IN_FACTS[fact])


@pytest.mark.parametrize("fact", IN_HEAP_FACTS)
def test_heap_fact_is_what_the_compiler_laid_out(fact: str, release: Release, layouts: dict[str, int]) -> None:
    assert getattr(heap_facts_for(release), fact) == layouts.get(IN_HEAP_FACTS[fact])


@pytest.mark.parametrize("fact", IN_SPAN_FACTS)
def test_span_fact_is_what_the_compiler_laid_out(fact: str, release: Release, layouts: dict[str, int]) -> None:
    assert getattr(span_facts_for(release), fact) == layouts.get(IN_SPAN_FACTS[fact])


@pytest.mark.parametrize("fact", IN_FIGURE_FACTS)
def test_figure_fact_is_what_the_compiler_laid_out(fact: str, release: Release, layouts: dict[str, int]) -> None:
    assert getattr(figure_facts_for(release), fact) == layouts.get(IN_FIGURE_FACTS[fact])


def test_all_figures_lie_in_what_is_read_of_the_controller(layouts: dict[str, int]) -> None:
    ends = [layouts[place] + 8 for place in IN_FIGURE_FACTS.values() if "gcControllerState" in place]
    assert max(ends) <= facts.CONTROLLER_BYTES <= layouts["runtime.gcControllerState"]


def test_goroutine_is_what_the_compiler_laid_out(release: Release, layouts: dict[str, int]) -> None:
    assert syscall_sp_for(release) == layouts["runtime.g.syscallsp"]
    assert layouts["runtime.g.goid"] - layouts["runtime.g.atomicstatus"] == facts.STATUS_BEFORE_GOID
    assert layouts["runtime.gobuf.sp"] == layouts["runtime.g.stack"] == 0
    assert (layouts["runtime.g._panic"], layouts["runtime.g._defer"]) == (facts.PANICKING, facts.DEFERRED)
    scheduled = [layouts["runtime.g.sched"] + layouts[f"runtime.gobuf.{name}"] for name in ("pc", "ctxt")]
    assert scheduled == [facts.SCHEDULED_PC, facts.SCHEDULED_CONTEXT]
    assert layouts["runtime.g.syscallpc"] == layouts["runtime.g.syscallsp"] + 8
    assert deferred_link_for(release) == layouts["runtime._defer.link"] < 8 * facts.DEFERRED_WORDS


def test_figures_of_a_release_that_keeps_them_elsewhere_are_refused() -> None:
    with pytest.raises(TargetError, match=r"^go1\.18: the heap can be recorded from go1\.19 on: .*$"):
        figure_facts_for((1, 18))


def test_figure_rows_follow_each_other() -> None:
    firsts = [row.first for row in FIGURE_ROWS]
    assert firsts == sorted(set(firsts))


def test_offset_of_a_special_is_as_long_as_to_its_kind(release: Release, layouts: dict[str, int]) -> None:
    found = span_facts_for(release)

    assert found.special_offset_bytes == layouts["runtime.special.kind"] - layouts["runtime.special.offset"]


def test_kind_of_a_profile_special_is_what_the_sources_count(release: Release) -> None:
    code = source(release, "runtime/mheap.go")
    assert code is not None
    kinds = re.findall(r"^\s+_KindSpecial(\w+)", code, re.MULTILINE)

    assert kinds.index("Profile") + 1 == span_facts_for(release).profile_kind


def test_whole_span_is_what_is_read_of_it(layouts: dict[str, int]) -> None:
    assert max(layouts[place] for place in IN_SPAN_FACTS.values() if place in layouts and "mspan" in place) + 8 <= (
        facts.WHOLE_SPAN_BYTES
    )


@pytest.mark.parametrize("fact", SAME_IN_ALL)
def test_constant_is_the_same_in_every_release(fact: str, layouts: dict[str, int]) -> None:
    assert getattr(facts, fact) == layouts.get(SAME_IN_ALL[fact])


@pytest.mark.parametrize("kind", DESCRIPTORS, ids=DESCRIPTORS.get)
def test_descriptor_is_as_long_as_its_struct(kind: int, layouts: dict[str, int]) -> None:
    assert types.KIND_BYTES[kind] == layouts.get(DESCRIPTORS[kind])


def test_other_descriptors_are_as_long_as_their_common_part(layouts: dict[str, int]) -> None:
    assert layouts["internal/abi.Type"] == types.TYPE_BYTES


def test_swiss_map_type_ends_with_its_flags(build: Callable[..., Path]) -> None:
    layouts, found = layouts_of(build("range_clear", SWISS)), facts_for(SWISS)

    expected = layouts["internal/abi.MapType"], layouts["internal/abi.MapType.Flags"]
    assert (found.swiss_type_bytes, found.swiss_flags) == expected


def test_classic_map_type_has_its_size(build: Callable[..., Path]) -> None:
    assert layouts_of(build("range_clear", CLASSIC))["internal/abi.MapType"] == facts.CLASSIC_TYPE_BYTES


def test_all_that_is_read_of_a_span_lies_in_what_is_copied_of_it(layouts: dict[str, int]) -> None:
    places = [place for place in (IN_HEAP_FACTS | SAME_IN_ALL).values() if place.startswith("runtime.mspan.")]

    assert max(layouts[place] for place in places) + 8 <= facts.SPAN_BYTES


def test_moduledata_is_not_read_beyond_its_end(layouts: dict[str, int]) -> None:
    assert layouts["runtime.moduledata"] >= facts.MODULEDATA_BYTES


def test_free_index_ends_where_the_count_of_elements_begins(release: Release, layouts: dict[str, int]) -> None:
    free_index_bytes = layouts["runtime.mspan.nelems"] - layouts["runtime.mspan.freeindex"]

    assert heap_facts_for(release).free_index_bytes == free_index_bytes


def test_spans_hold_mark_bits_where_the_runtime_has_a_struct_for_them(
    release: Release, layouts: dict[str, int]
) -> None:
    assert heap_facts_for(release).inline_marks == ("runtime.spanInlineMarkBits" in layouts)


@pytest.mark.parametrize("rows", [ROWS, HEAP_ROWS, SPAN_ROWS], ids=["facts", "heap facts", "span facts"])
def test_rows_follow_each_other_from_the_oldest_release_on(rows: tuple) -> None:
    firsts = [row.first for row in rows]

    assert firsts == sorted(set(firsts))
    assert firsts[0] == OLDEST


def test_release_between_rows_is_read_with_the_row_before() -> None:
    assert facts_for((1, 21)).first == (1, 20)


def test_release_newer_than_the_last_row_is_read_with_it() -> None:
    assert facts_for((1, 99)) == ROWS[-1]


def test_release_before_the_first_row_is_refused() -> None:
    with pytest.raises(TargetError, match=r"^go1\.17: releases before go1\.18 are not supported: .*$"):
        facts_for((1, 17))
