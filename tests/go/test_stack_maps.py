"""The contents of stack frames, by the tables in binaries of each release."""

from __future__ import annotations

from pathlib import Path

import pytest
from iced_x86 import Decoder, Mnemonic, Register

from mapprobe.errors import BinaryError
from mapprobe.go.binary import GoBinary
from mapprobe.go.pclntab import Function, FunctionTable
from mapprobe.go.stack_maps import LOCAL_MAPS, STACK_OBJECTS, FrameMap, StackMaps
from mapprobe.live.census.candidates import header_object, header_words
from support.gobuild import Release, link_program

STEP = 97


class Program:
    """The program localmap and its frames."""

    def __init__(self, path: Path, release: Release) -> None:
        self.path, self.release = path, release
        self.binary = GoBinary.open(path)
        self.functions = FunctionTable(self.binary)
        self.maps = StackMaps(self.binary, self.functions)

    def calls(self, function: str, callee: str) -> list[int]:
        """Return the return addresses of a function's calls of another one."""
        caller, target = self.function(function), self.function(callee)
        code = Decoder(64, self.functions.code(caller), ip=caller.entry)
        return [i.next_ip for i in code if i.mnemonic == Mnemonic.CALL and i.near_branch_target == target.entry]

    def function(self, name: str) -> Function:
        found = self.functions.find(name)
        assert found
        return found

    def frame(self, pc: int) -> FrameMap:
        found = self.maps.at(pc)
        assert found
        return found


@pytest.fixture(params=["plain", "stripped", "pie"])
def program(request: pytest.FixtureRequest, every_release: Release) -> Program:
    return Program(link_program("localmap", every_release, request.param), every_release)


@pytest.fixture
def plain(every_release: Release) -> Program:
    return Program(link_program("localmap", every_release, "plain"), every_release)


def headers(program: Program, frame: FrameMap) -> list[int]:
    """Return where in a frame headers stand."""
    shape = header_object(
        program.binary.implementation, header_words(program.binary.implementation, program.binary.go_release)
    )
    return [o.offset for o in frame.objects if (o.bytes, o.pointer_bytes) == shape]


@pytest.mark.parametrize(
    ("function", "count"), [("main.both", 2), ("main.past", 1), ("main.later", 1), ("main.deep", 1)]
)
def test_each_map_of_a_function_is_an_object_of_its_frame(program: Program, function: str, count: int) -> None:
    assert len(headers(program, program.frame(program.function(function).entry))) == count


def test_a_frame_takes_nothing_before_it_is_set_up(program: Program) -> None:
    frame = program.frame(program.function("main.both").entry)

    assert (frame.size, frame.is_blind) == (0, False)


def test_at_a_call_a_frame_is_as_large_as_the_function_makes_it(plain: Program) -> None:
    function = plain.function("main.both")
    (parked,) = plain.calls("main.both", "main.park")
    code = list(Decoder(64, plain.functions.code(function), ip=function.entry))
    reserved = [i.immediate(1) for i in code if i.mnemonic == Mnemonic.SUB and i.op0_register == Register.RSP]
    # the frame pointer is pushed before, or its room is among what is reserved
    pushed = [8 for i in code if i.mnemonic == Mnemonic.PUSH and i.op0_register == Register.RBP]

    assert plain.frame(parked).size == sum(reserved) + sum(pushed)
    assert [plain.frame(grown).size for grown in plain.calls("main.both", "runtime.morestack_noctxt")] == [0]


def test_a_map_that_is_used_after_a_call_has_pointers_in_use_at_it(plain: Program) -> None:
    (parked,) = plain.calls("main.both", "main.park")
    frame = plain.frame(parked)

    assert all(offset + 16 in frame.pointers for offset in headers(plain, frame))


def test_a_map_that_is_not_used_after_a_call_has_none(plain: Program) -> None:
    (parked,) = plain.calls("main.past", "main.park")
    frame = plain.frame(parked)

    assert [offset + 16 in frame.pointers for offset in headers(plain, frame)] == [False]


def test_all_frames_of_a_binary_can_be_read(plain: Program) -> None:
    starts = range(plain.functions.text_start, plain.functions.text_end, STEP)
    frames = [frame for frame in map(plain.maps.at, starts) if frame]

    assert len(frames) > 0.9 * len(starts)
    assert {frame.size % 8 for frame in frames} == {0}
    assert {offset % 8 for frame in frames for offset in frame.pointers} == {0}


def test_where_a_goroutine_starts_its_frames_end(program: Program) -> None:
    assert program.frame(program.function("runtime.goexit").entry + 1).is_last


def test_registers_are_kept_where_goroutines_are_interrupted(program: Program) -> None:
    assert program.frame(program.function("runtime.asyncPreempt").entry).keeps_registers


def test_outside_of_code_there_are_no_frames(program: Program) -> None:
    assert program.maps.at(0) is None
    assert program.maps.at(program.functions.text_end) is None


@pytest.mark.parametrize("number", [LOCAL_MAPS, STACK_OBJECTS], ids=["maps", "objects"])
def test_damaged_tables_are_refused(number: int, release: Release, tmp_path: Path) -> None:
    whole = Program(link_program("localmap", release, "plain"), release)
    entry = whole.function("main.both").entry
    func = whole.functions.func_at(entry)
    assert func
    image, place = bytearray(whole.path.read_bytes()), whole.binary.gofunc + func.funcdata[number]
    start = whole.binary.file_offset(place)
    image[start : start + 8] = b"\xff\xff\xff\x7f" * 2
    copy = tmp_path / "program"
    copy.write_bytes(image)

    with pytest.raises(BinaryError, match="damaged"):
        Program(copy, release).maps.at(entry)
