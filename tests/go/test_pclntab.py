from __future__ import annotations

import collections
import functools
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mapprobe.errors import BinaryError
from mapprobe.go.binary import GoBinary
from mapprobe.go.pclntab import Frame, Function, FunctionTable
from support import toolchains
from support.gobuild import PROGRAMS, STRIPPED, Release, go_environment

PIE, NOT_INLINED = "-buildmode=pie", "-gcflags=all=-l"
BUILDS = [("inlined",), ("inlined", PIE), ("inlined", NOT_INLINED), ("structs",)]
BOUNDS = {"runtime.text", "runtime.etext"}
"""Symbols in the text that are no functions."""
FIRST_ENTRY, FIRST_OFFSET = 0, 4
"""What the function table begins with."""
STEP = 211
"""Bytes from one address that is looked up to the next."""


@dataclass(frozen=True)
class Target:
    path: Path
    release: Release
    binary: GoBinary
    functions: FunctionTable

    def tool(self, name: str, given: str = "") -> str:
        command = [toolchains.goroot(self.release) / "bin" / "go", "tool", name, self.path]
        return subprocess.run(
            command, env=go_environment(self.release), input=given, check=True, capture_output=True, text=True
        ).stdout

    def symbols(self) -> Iterator[tuple[str, int]]:
        """Yield names and addresses of what stands in the text, as Go's own nm gives them."""
        for addr, kind, name in (line.split(maxsplit=2) for line in self.tool("nm").splitlines()):
            if kind in "tT":
                yield name, int(addr, 16)

    def is_wrapper(self, function: Function) -> bool:
        return self.functions.expand(function.entry)[-1].is_wrapper

    def named(self, name: str) -> Function:
        function = self.functions.find(name)
        assert function
        return function


@functools.cache
def open_target(path: Path, release: Release) -> Target:
    binary = GoBinary.open(path)
    return Target(path, release, binary, FunctionTable(binary))


@pytest.fixture(params=BUILDS, ids=" ".join)
def target(request: pytest.FixtureRequest, release: Release, build: Callable[..., Path]) -> Target:
    return open_target(build(request.param[0], release, *request.param[1:]), release)


@pytest.fixture
def inlined(release: Release, build: Callable[..., Path]) -> Target:
    return open_target(build("inlined", release), release)


@pytest.fixture
def damaged(inlined: Target, tmp_path: Path) -> Callable[..., FunctionTable]:
    """Give `damaged(place)`, the functions of a copy with 0xFFFFFFFF at a place of their table."""
    header, image = inlined.binary.pcln, bytearray(inlined.path.read_bytes())
    start = inlined.binary.file_offset(header.vaddr + header.function_table)

    def damage(place: int) -> FunctionTable:
        image[start + place : start + place + 4] = b"\xff" * 4
        copy = tmp_path / "program"
        copy.write_bytes(image)
        return FunctionTable(GoBinary.open(copy))

    return damage


@functools.cache
def walk(functions: FunctionTable) -> list[Function]:
    """Return all functions, each found where the one before ends."""
    found, pc = [], functions.text_start
    while function := functions.at(pc):
        found.append(function)
        pc = function.end
    return found


def as_linked(name: str) -> str:
    """Return a function's name as the linker's symbols spell it."""
    return name.replace("·", ".")


def line_of(program: str, code: str) -> int:
    """Return the number of the one line of a program that reads so."""
    (number,) = (
        n for n, line in enumerate((PROGRAMS / program / "main.go").read_text().splitlines(), 1) if line.strip() == code
    )
    return number


def test_functions_are_the_symbols_that_the_linker_gives(target: Target) -> None:
    expected = sorted((addr, name.removesuffix(".abi0")) for name, addr in target.symbols() if name not in BOUNDS)

    assert sorted((function.entry, as_linked(function.name)) for function in walk(target.functions)) == expected


def test_text_ends_where_the_linker_says_but_for_padding(target: Target) -> None:
    end = dict(target.symbols())["runtime.etext"]

    assert target.functions.text_end in range(end - 15, end + 1)


def test_functions_are_counted(target: Target) -> None:
    assert len(target.functions) == len(walk(target.functions))


@pytest.mark.parametrize("flags", [(), (PIE,)], ids=["plain", "pie"])
def test_stripping_changes_no_function(flags: tuple[str, ...], release: Release, build: Callable[..., Path]) -> None:
    plain, stripped = (open_target(build("inlined", release, *flags, *more), release) for more in ((), (STRIPPED,)))

    def seen(target: Target) -> list[str]:
        return [function.name for function in walk(target.functions)]

    assert seen(stripped) == seen(plain)


def test_function_is_found_by_its_name(target: Target) -> None:
    functions = walk(target.functions)
    times = collections.Counter(function.name for function in functions)
    unique = [function for function in functions if times[function.name] == 1][::10]

    assert [target.named(function.name) for function in unique] == unique


def test_of_two_functions_with_one_name_the_genuine_is_found(target: Target) -> None:
    """An assembly function and what Go code calls it by have one name; so have a Go function and its reverse."""
    named = collections.defaultdict(list)
    for function in walk(target.functions):
        named[function.name].append(function)

    genuine = {name: [f for f in pair if not target.is_wrapper(f)] for name, pair in named.items() if len(pair) == 2}
    assert genuine
    assert [name for name, those in genuine.items() if those and target.named(name) not in those] == []


@pytest.mark.parametrize("name", ["", "main", "main.fil", "fill", "main.fill\0", "main.nobody", "main.füll"])
def test_name_of_no_function_finds_nothing(name: str, inlined: Target) -> None:
    assert inlined.functions.find(name) is None


def test_each_address_from_entry_to_end_belongs_to_the_function(inlined: Target) -> None:
    function = inlined.named("main.fill")

    assert {inlined.functions.at(pc) for pc in range(function.entry, function.end)} == {function}


@pytest.mark.parametrize("pc", [0, -1, 1 << 40, 1 << 64])
def test_address_outside_of_the_text_belongs_to_nothing(pc: int, inlined: Target) -> None:
    assert (inlined.functions.at(pc), inlined.functions.expand(pc)) == (None, [])


def test_text_is_bounded_on_both_sides(inlined: Target) -> None:
    functions = inlined.functions

    inside = [bool(functions.at(pc + off)) for pc in (functions.text_start, functions.text_end) for off in (-1, 0)]
    assert inside == [False, True, True, False]


def test_file_and_line_are_those_of_gos_addr2line(target: Target) -> None:
    pcs = range(target.functions.text_start, target.functions.text_end, STEP)

    def seen(frames: list[Frame]) -> tuple[str, str]:
        place = f"{frames[0].file}:{frames[0].line}"
        return as_linked(frames[-1].function), "?" if place == "?:0" else place

    lines = target.tool("addr2line", "".join(f"{pc:#x}\n" for pc in pcs)).splitlines()
    names, places = map(as_linked, lines[::2]), (re.sub(r"^:-\d+$", "?", line) for line in lines[1::2])
    expected = list(zip(names, places, strict=True))
    assert [seen(target.functions.expand(pc)) for pc in pcs] == expected


def test_inlined_calls_are_a_chain_of_frames_innermost_first(inlined: Target) -> None:
    function = inlined.named("main.fill")
    chains = {tuple(inlined.functions.expand(pc)) for pc in range(function.entry, function.end)}

    file = "programs/inlined/main.go"
    expected = (
        Frame("main.put", file, line_of("inlined", "m[key] = value"), True, False),
        Frame("main.(*store).save", file, line_of("inlined", "put(s.entries, key, value)"), True, False),
        Frame("main.fill", file, line_of("inlined", "entries.save(key, i)"), False, False),
    )
    assert [chain for chain in chains if chain[0].function == "main.put"] == [expected]


def test_inlined_generic_function_is_named_with_its_type_arguments(inlined: Target) -> None:
    function = inlined.named("main.fill")
    names = {inlined.functions.expand(pc)[0].function for pc in range(function.entry, function.end)}

    assert "main.bump[go.shape.uint64]" in names


def test_function_that_is_not_inlined_has_one_frame(release: Release, build: Callable[..., Path]) -> None:
    target = open_target(build("inlined", release, NOT_INLINED), release)
    function = target.named("main.fill")

    assert {len(target.functions.expand(pc)) for pc in range(function.entry, function.end)} == {1}


def test_only_the_outermost_frame_is_not_inlined(target: Target) -> None:
    for pc in range(target.functions.text_start, target.functions.text_end, STEP):
        *inner, outermost = target.functions.expand(pc)

        assert not outermost.inlined
        assert all(frame.inlined for frame in inner)


def test_wrapper_of_a_method_is_in_no_source(target: Target) -> None:
    name = "runtime.(*errorString).Error"

    (frame,) = target.functions.expand(target.named(name).entry)
    assert (frame.function, frame.file, frame.is_wrapper) == (name, "<autogenerated>", True)


def test_table_that_is_not_sorted_is_refused(damaged: Callable[..., FunctionTable]) -> None:
    with pytest.raises(BinaryError, match="its function table is not sorted"):
        damaged(FIRST_ENTRY)


def test_function_beyond_the_end_of_the_table_is_an_error(damaged: Callable[..., FunctionTable]) -> None:
    functions = damaged(FIRST_OFFSET)

    with pytest.raises(BinaryError, match="function 0 is cut off"):
        functions.at(functions.text_start)


def test_search_in_a_damaged_table_is_an_error(damaged: Callable[..., FunctionTable]) -> None:
    with pytest.raises(BinaryError, match="its function table is damaged"):
        damaged(FIRST_OFFSET).find("main.fill")
