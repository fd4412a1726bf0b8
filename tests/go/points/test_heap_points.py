"""The heap's probe points in every release: the kernel emulates their instruction, and their values are at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mapprobe.errors import BinaryError
from mapprobe.go.binary import GoBinary
from mapprobe.go.pclntab import FunctionTable
from mapprobe.go.points.heap_points import FUNCTIONS, LARGE_FUNCTIONS, HeapPoint, find_heap_points
from mapprobe.go.points.map_points import decode, find_points
from mapprobe.go.points.probe_point import Cost
from mapprobe.vocabulary import HeapKind
from support.gobuild import STRIPPED, Release

FIRST_SWISS = (1, 24)


@pytest.fixture(scope="module", params=[(), (STRIPPED,)], ids=["plain", "stripped"])
def binary(every_release: Release, build: Callable[..., Path], request: pytest.FixtureRequest) -> GoBinary:
    return GoBinary.open(str(build("fill_drain", every_release, *request.param)))


@pytest.fixture(scope="module")
def functions(binary: GoBinary) -> FunctionTable:
    return FunctionTable(binary)


@pytest.fixture(scope="module")
def points(binary: GoBinary, functions: FunctionTable) -> list[HeapPoint]:
    return find_heap_points(binary, functions, large_objects=True)


def test_every_function_has_a_point(points: list[HeapPoint], every_release: Release) -> None:
    watched = [name for _, name, _ in (*FUNCTIONS, *LARGE_FUNCTIONS)]
    made = [point.function for point in points if point.kind is HeapKind.ARRAY_MADE]

    assert [point.function for point in points if point.kind is not HeapKind.ARRAY_MADE] == watched
    if every_release >= FIRST_SWISS:
        assert made == ["internal/runtime/maps.(*table).reset"]
    else:
        assert made == ["runtime.hashGrow", "runtime.makemap"]


def test_all_of_them_are_emulated(points: list[HeapPoint]) -> None:
    assert {point.cost for point in points} == {Cost.EMULATED}


def test_each_is_an_instruction_of_its_function_behind_the_first(
    points: list[HeapPoint], functions: FunctionTable
) -> None:
    for point in points:
        function = functions.find(point.function)
        assert function is not None
        found = {i.ip: i.len for i in decode(functions, function)}
        assert found[point.vaddr] == len(point.code)
        assert point.vaddr > function.entry


def test_each_names_all_its_values(points: list[HeapPoint]) -> None:
    values = {name: len(words) for _, name, words in (*FUNCTIONS, *LARGE_FUNCTIONS)}
    assert [len(point.words) for point in points] == [values.get(point.function, 1) for point in points]


def test_large_objects_are_left_alone_unless_asked_for(binary: GoBinary, functions: FunctionTable) -> None:
    kinds = {point.kind for point in find_heap_points(binary, functions, large_objects=False)}
    assert kinds.isdisjoint({HeapKind.SPAN_ALLOCATED, HeapKind.SPAN_FREED})


def test_no_point_of_a_map_is_at_the_same_address(
    points: list[HeapPoint], binary: GoBinary, functions: FunctionTable
) -> None:
    others = {point.vaddr for point in find_points(binary, functions)}
    assert others.isdisjoint(point.vaddr for point in points)


def test_a_binary_that_lacks_one_is_refused(binary: GoBinary, functions: FunctionTable) -> None:
    lacking = type("Lacking", (), {"find": lambda _, name: None if "gcSweep" in name else functions.find(name)})()
    lacking.code = functions.code

    with pytest.raises(BinaryError, match=r"runtime\.gcSweep is not in it: record without --heap"):
        find_heap_points(binary, lacking, large_objects=False)
