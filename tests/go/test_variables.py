from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from mapprobe.errors import BinaryError
from mapprobe.go import variables as runtime_globals
from mapprobe.go.binary import GoBinary
from mapprobe.go.facts import heap_facts_for
from mapprobe.go.pclntab import FunctionTable
from mapprobe.go.variables import goroutines_vaddr, heap_layout, heap_vaddr, processors_vaddr
from support.gobuild import STRIPPED, Release

PIE = "-buildmode=pie"
UNOPTIMISED = "-gcflags=all=-N -l"
CHECKED = ("sweepgen", "arenas", "spans")


@pytest.fixture(params=[(), (STRIPPED,), (PIE,), (UNOPTIMISED,)], ids=["plain", "stripped", "pie", "unoptimised"])
def path(request: pytest.FixtureRequest, release: Release, build: Callable[..., Path]) -> Path:
    found: Path = build("range_clear", release, *request.param)
    return found


@pytest.mark.parametrize("flags", [(), (PIE,)], ids=["plain", "pie"])
def test_heap_is_found_at_the_address_of_its_symbol(
    flags: tuple[str, ...], release: Release, build: Callable[..., Path]
) -> None:
    program = build("range_clear", release, *flags)
    with program.open("rb") as file:
        (symbol,) = ELFFile(file).get_section_by_name(".symtab").get_symbol_by_name("runtime.mheap_")

    binary = GoBinary.open(program)
    assert heap_vaddr(binary, FunctionTable(binary)) == symbol["st_value"]


@pytest.mark.parametrize("flags", [(), (PIE,), (UNOPTIMISED,)], ids=["plain", "pie", "unoptimised"])
def test_lists_of_the_scheduler_stand_where_their_symbols_do(
    flags: tuple[str, ...], release: Release, build: Callable[..., Path]
) -> None:
    program = build("range_clear", release, *flags)
    with program.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        expected = [table.get_symbol_by_name(f"runtime.{name}")[0]["st_value"] for name in ("allgs", "allp")]

    functions = FunctionTable(GoBinary.open(program))
    assert [goroutines_vaddr(functions), processors_vaddr(functions)] == expected


@pytest.mark.parametrize("flags", [(), (PIE,)], ids=["plain", "pie"])
def test_roots_are_where_the_linker_says(flags: tuple[str, ...], release: Release, build: Callable[..., Path]) -> None:
    program = build("range_clear", release, *flags)
    with program.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        names = ("data", "edata", "bss", "ebss")
        start, end, bss, bss_end = (table.get_symbol_by_name(f"runtime.{name}")[0]["st_value"] for name in names)

    assert GoBinary.open(program).roots == ((start, end), (bss, bss_end))


def test_code_reads_the_heap_where_the_facts_say(path: Path, release: Release) -> None:
    binary, facts = GoBinary.open(path), heap_facts_for(release)
    functions = FunctionTable(binary)

    expected = tuple(getattr(facts, name) for name in CHECKED)
    assert heap_layout(binary, functions, heap_vaddr(binary, functions)) == expected


@pytest.mark.parametrize("fact", CHECKED)
def test_heap_laid_out_otherwise_is_refused(fact: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = GoBinary.open(path)
    facts = heap_facts_for(binary.go_release)
    wrong = dataclasses.replace(facts, **{fact: getattr(facts, fact) + 8})
    monkeypatch.setattr(runtime_globals, "heap_facts_for", lambda _release: wrong)

    with pytest.raises(BinaryError, match="its heap has sweepgen, arenas and spans at "):
        heap_vaddr(binary, FunctionTable(binary))
