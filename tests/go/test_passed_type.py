"""The map type that a call passes to the runtime equals the type in the source of the program."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from iced_x86 import Decoder, FlowControl

from mapprobe.go.binary import GoBinary
from mapprobe.go.passed_type import grown_type
from mapprobe.go.pclntab import FunctionTable
from mapprobe.go.types import TypeTable
from support.gobuild import STRIPPED, Release

INNERMOST = 1
"""Into a function: where a call within it would return to."""
FLAGS = [(), (STRIPPED,), ("-buildmode=pie",), ("-gcflags=all=-N -l",)]


def calls(functions: FunctionTable, caller: str) -> list[list[int]]:
    """Return a stack for each call of a function that grows maps: within what is called, and behind the call."""
    function = functions.find(caller)
    assert function
    found = []
    for instruction in Decoder(64, functions.code(function), ip=function.entry):
        if instruction.flow_control == FlowControl.CALL:
            callee = functions.at(instruction.near_branch_target)
            if callee and (callee.name.startswith("runtime.mapassign") or callee.name == "runtime.makemap"):
                found.append([callee.entry + INNERMOST, instruction.next_ip])
    return found


@pytest.fixture(params=FLAGS, ids=["plain", "stripped", "pie", "unoptimised"])
def binary(request: pytest.FixtureRequest, every_release: Release, build: Callable[..., Path]) -> GoBinary:
    return GoBinary.open(build("crowd", every_release, *request.param))


@pytest.mark.parametrize(
    ("caller", "name"),
    [
        ("main.fillLarge", "map[uint64]uint64"),
        ("main.fillMiddle", "map[string]*main.holder"),
    ],
)
def test_a_call_passes_the_type_that_the_source_has(binary: GoBinary, caller: str, name: str) -> None:
    functions, types = FunctionTable(binary), TypeTable(binary)
    stacks = calls(functions, caller)
    assert stacks
    for stack in stacks:
        addr = grown_type(binary, functions, stack)
        assert addr is not None
        assert types.map_type(addr).name == name
        inner = functions.find("runtime.mallocgc")
        assert inner
        assert grown_type(binary, functions, [inner.entry + INNERMOST, *stack]) == addr


def test_what_no_call_says_is_not_known(binary: GoBinary) -> None:
    functions = FunctionTable(binary)
    (grower, behind), *_ = calls(functions, "main.fillLarge")

    assert grown_type(binary, functions, []) is None
    assert grown_type(binary, functions, [grower]) is None
    assert grown_type(binary, functions, [behind]) is None
    assert grown_type(binary, functions, [grower, behind + 1]) is None
    assert grown_type(binary, functions, [grower, 0]) is None
    elsewhere = functions.find("runtime.mallocgc")
    assert elsewhere
    assert grown_type(binary, functions, [elsewhere.entry + INNERMOST, behind]) is None


def test_code_that_several_types_share_says_nothing(release: Release, build: Callable[..., Path]) -> None:
    path = build("kinds", release)
    functions = FunctionTable(binary := GoBinary.open(path))
    names = {name.decode() for name in re.findall(rb"main\.fill\[go\.shape[^\0]*", path.read_bytes())}
    stacks = [stack for name in names if functions.find(name) for stack in calls(functions, name)]

    assert len(stacks) > 3
    assert {grown_type(binary, functions, stack) for stack in stacks} == {None}
