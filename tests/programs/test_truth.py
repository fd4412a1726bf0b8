from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from support import toolchains, truth
from support.gobuild import STRIPPED, Release
from support.truth import Truth

Build = Callable[..., Path]

UNREGISTERED = {"many", "generations", "literals"}  # programs that register some of their maps only
UNCOUNTED = {"reflection", "syncmap"}  # programs that register maps which others write
UNREPEATABLE = {"goroutines", "iterating"}  # programs whose goroutines race, or that do what the order of keys says
CLEARING = {"range_clear"}  # programs in which entries go otherwise than by a delete

run = functools.cache(truth.run)


@pytest.fixture(params=[(), (STRIPPED,)], ids=["plain", "stripped"])
def flags(request: pytest.FixtureRequest) -> tuple[str, ...]:
    given: tuple[str, ...] = request.param
    return given


@pytest.fixture(params=truth.PROGRAMS)
def program(request: pytest.FixtureRequest) -> str:
    given: str = request.param
    return given


@pytest.fixture(params=[0, 1000, 1_000_000])
def ops(request: pytest.FixtureRequest) -> int:
    given: int = request.param
    return given


@pytest.fixture
def binary(build: Build, program: str, release: Release) -> Path:
    return build(program, release)


@pytest.fixture
def said(binary: Path, ops: int) -> Truth:
    return run(binary, ops)


def symbols(binary: Path) -> set[str]:
    with binary.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        return {symbol.name for symbol in table.iter_symbols()} if isinstance(table, SymbolTableSection) else set()


def start(binary: Path, *arguments: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([binary, *arguments], stdin=pipe, stdout=pipe, text=True, bufsize=1)


def test_each_program_has_its_folder() -> None:
    folders = {path.parent.name for path in Path(__file__).parent.glob("*/main.go")}
    untold = (
        "asker", "busy", "crowd", "drained", "empty_sets", "growing", "hidden", "left", "library", "lies", "localmap",
        "maker",
        "memory",
        "named", "only_grows", "oracle", "presized", "recursion", "requests",
    )  # fmt: skip
    assert set(truth.PROGRAMS) == folders - {*untold}


def test_go_version_is_that_of_the_toolchain(said: Truth, release: Release) -> None:
    assert said.go_version == f"go{toolchains.RELEASES[release]}"


def test_swiss_maps_come_with_go_1_24(said: Truth, release: Release) -> None:
    assert said.implementation == ("swiss" if release >= (1, 24) else "classic")


def test_live_slots_are_the_length(said: Truth) -> None:
    assert [m.live_slots for m in said.maps] == [m.length for m in said.maps]


def test_bucket_has_eight_slots(said: Truth) -> None:
    assert [m.slots for m in said.maps] == [8 * m.buckets for m in said.maps]


def test_buckets_that_are_not_retained_hold_one_to_eight_entries(said: Truth) -> None:
    wrong = [
        m
        for m in said.maps
        if not m.buckets - m.retained_buckets <= m.live_slots <= 8 * (m.buckets - m.retained_buckets)
    ]
    assert wrong == []


def test_registered_maps_stand_at_different_addresses(said: Truth) -> None:
    assert len({m.map_addr for m in said.maps}) == len(said.maps)


def test_swiss_maps_never_stay_in_the_midst_of_a_growth(said: Truth) -> None:
    assert said.implementation == "classic" or not any(m.growing for m in said.maps)


def test_ops_scale_the_work(said: Truth, ops: int) -> None:
    assert ops // 2 <= said.operations <= ops * 3 // 2 + 150


@pytest.mark.parametrize("program", sorted({*truth.PROGRAMS} - UNREGISTERED - UNCOUNTED - CLEARING))
def test_what_was_inserted_and_not_deleted_is_live(said: Truth) -> None:
    functions = said.functions.values()
    assert sum(f.inserts - f.deletes for f in functions) == sum(m.live_slots for m in said.maps)


def test_stripped_binary_says_the_same(program: str, release: Release, build: Build) -> None:
    stripped, plain = run(build(program, release, STRIPPED), 1000), run(build(program, release), 1000)

    assert symbols(build(program, release, STRIPPED)) == set()
    if program not in UNREPEATABLE:
        assert stripped.functions == plain.functions


def test_counted_functions_are_named_as_the_line_table_names_them(
    program: str, release: Release, flags: tuple[str, ...], build: Build
) -> None:
    binary = build(program, release, *flags)
    code = binary.read_bytes()

    names = [f"\0{name}\0".replace("[...]\0", "[go.shape.") for name in run(binary, 1000).functions]
    assert [name for name in names if name.encode() not in code] == []


@pytest.mark.parametrize("program", ["inlined"])
def test_inlined_functions_have_no_code_of_their_own(binary: Path) -> None:
    names = symbols(binary)

    assert "main.fill" in names
    assert names.isdisjoint({"main.put", "main.(*store).drop", "main.(*store).save"})
    assert not any(name.startswith("main.bump[") for name in names)


@pytest.mark.parametrize("program", ["hints"])
def test_classic_map_is_left_in_the_midst_of_a_growth(binary: Path, release: Release) -> None:
    growing = [m.name for m in run(binary, 1000).maps if m.growing]
    assert growing == (["constant 100"] if release < (1, 24) else [])


@pytest.mark.parametrize("program", ["fill_drain", "session_cache"])
def test_drained_map_retains_most_of_its_buckets(binary: Path) -> None:
    drained = run(binary, 1_000_000).maps[0]
    assert drained.retained_buckets > drained.buckets * 0.8


@pytest.mark.parametrize("program", ["range_clear"])
def test_each_way_to_empty_a_map_is_counted(binary: Path) -> None:
    functions = run(binary, 1000).functions

    rounds = functions["main.emptyByRange"].clears
    assert rounds > 0
    assert functions["main.emptyByClear"].clears == rounds
    assert functions["main.emptyByDelete"].deletes == functions["main.emptyFloats"].deletes > 0


def test_truth_is_the_only_line_of_stdout(binary: Path) -> None:
    command = [str(binary), *truth.arguments(binary.name, 1000)]
    stdout = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout

    (line,) = stdout.splitlines()
    assert set(json.loads(line)) == {"go", "implementation", "maps", "functions"}


def test_delay_and_wait_hold_the_program_before_and_after_its_work(binary: Path) -> None:
    with start(binary, *truth.arguments(binary.name, 1000), "-delay", "-wait") as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "READY\n"
        process.stdin.write("\n")
        said = truth.parse(process.stdout.readline())
        assert process.poll() is None
        process.stdin.write("\n")
        assert process.wait(10) == 0

    assert said.operations > 0


@pytest.mark.parametrize("program", ["session_cache"])
def test_service_runs_until_stdin_closes(binary: Path) -> None:
    with start(binary, "-ops", "300") as process:
        assert process.poll() is None
        stdout, _ = process.communicate(timeout=10)

    assert truth.parse(stdout).functions["main.(*Cache).Login"].inserts >= 100


@pytest.mark.parametrize("program", ["session_cache"])
def test_service_stops_after_its_seconds(binary: Path) -> None:
    with start(binary, "-ops", "300", "-seconds", "0.3") as process:
        assert process.stdout is not None
        said = truth.parse(process.stdout.read())

    assert said.functions["main.(*Cache).Logout"].deletes > 0


def test_binary_is_compiled_once(build: Build, release: Release) -> None:
    first = build("fill_drain", release)
    made = first.stat().st_mtime_ns

    assert build("fill_drain", release) == first
    assert first.stat().st_mtime_ns == made


def test_flags_make_another_binary(build: Build, release: Release) -> None:
    assert build("fill_drain", release) != build("fill_drain", release, STRIPPED)


def test_waiting_returns_what_the_condition_gave(wait_until: Callable[..., object]) -> None:
    answers = iter([None, 0, "there"])
    assert wait_until(lambda: next(answers)) == "there"


def test_waiting_in_vain_fails(wait_until: Callable[..., object]) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"waited 0\.05 s"):
        wait_until(lambda: False, timeout=0.05)
