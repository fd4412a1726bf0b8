"""`inspect` compared with what Go's own tools say of the same program, and `doctor` with this host."""

import os
import shutil
import subprocess

import pytest

from mapprobe.api.doctor import check_host, doctor, inspect
from mapprobe.errors import BinaryError, TargetError
from mapprobe.recording.tables import schema
from mapprobe.vocabulary import HeapKind
from support import toolchains
from support.gobuild import STRIPPED, go_environment

CLASSIC, SWISS = (1, 23), (1, 27)
KEYS = {
    *("binary", "go_version", "build_id", "module", "implementation", "experiments"),
    *(
        "position_independent",
        "static",
        "stripped",
        "library",
        "cgo",
        "functions",
        "goid_offset",
        "heap_address",
        "points",
        "heap",
        "map_types",
    ),
}
POINT_KEYS = {
    *("kind", "function", "address", "file_offset", "instruction", "cost", "prunes_tombstones", "places"),
}
KINDS = {
    CLASSIC: {"assign", "delete", "create", "grow", "overflow", "exit"},
    SWISS: {"assign", "delete", "create", "grow", "exit"},
}
SESSIONS = {"key": "string", "elem": "*main.session", "key_bytes": 16, "elem_bytes": 8, "slot_bytes": 24}
BUCKET_BYTES = {CLASSIC: 8 + 8 * 16 + 8 * 8 + 8, SWISS: 8 + 8 * (16 + 8)}
"""Control bytes, eight keys and elements; a classic bucket ends with a link."""


@pytest.fixture(scope="module")
def binary(build, release):
    return build("strings", release)


@pytest.fixture(scope="module")
def found(binary):
    return inspect(str(binary))


@pytest.fixture(scope="module")
def go(release):
    """Give `go(*arguments)`: what the toolchain says."""

    def run(*arguments):
        command = [str(toolchains.goroot(release) / "bin" / "go"), *map(str, arguments)]
        return subprocess.run(
            command, env=go_environment(release), capture_output=True, text=True, check=True
        ).stdout.strip()

    return run


@pytest.fixture
def served(build, release, tmp_path):
    """A copy of a program, running until the test is over."""
    path = shutil.copy(build("session_cache", release), tmp_path)
    process = subprocess.Popen([path, "-ops", "10"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    yield process, path
    process.communicate(timeout=10)


def without_path(document):
    return {name: value for name, value in document.items() if name != "binary"}


def test_a_document_has_all_its_keys(found):
    assert set(found) == KEYS


def test_a_point_has_all_its_keys(found):
    assert [set(point) for point in found["points"]] == [POINT_KEYS] * len(found["points"])


def test_the_implementation_is_that_of_the_release(found, release):
    assert found["implementation"] == {CLASSIC: "classic", SWISS: "swiss"}[release]


def test_the_go_version_is_that_of_the_toolchain(found, release):
    assert found["go_version"] == f"go{toolchains.RELEASES[release]}"


def test_the_build_id_is_what_go_says(found, go, binary):
    assert found["build_id"] == go("tool", "buildid", binary)


def test_the_module_is_what_go_says(found, go, binary):
    _, (_, path), *_ = (line.split() for line in go("version", "-m", binary).splitlines())

    assert found["module"] == path


def test_every_kind_of_event_of_the_implementation_has_a_point(found, release):
    assert {point["kind"] for point in found["points"]} == KINDS[release]


def test_every_point_lies_in_its_function(found, go, binary):
    symbols = {}
    for line in go("tool", "nm", "-size", binary).splitlines():
        *place, letter, name = line.split(maxsplit=3)
        if letter == "T":
            addr, size = place
            symbols[name.removesuffix(".abi0")] = range(int(addr, 16), int(addr, 16) + int(size))

    points = [*found["points"], *found["heap"]["points"]]
    assert [p["function"] for p in points if int(p["address"], 16) not in symbols[p["function"]]] == []


def test_no_two_points_share_an_address(found):
    addresses = [point["address"] for point in [*found["points"], *found["heap"]["points"]]]

    assert len(set(addresses)) == len(addresses)


def test_the_heap_is_watched_at_rare_functions(found, release):
    kinds = [point["kind"] for point in found["heap"]["points"]]
    # a classic map gets an array where it grows and where it is made
    made = 1 if release == SWISS else 2

    assert sorted(kinds) == sorted([*(kind.name.lower() for kind in HeapKind), *["array_made"] * (made - 1)])
    assert {point["cost"] for point in found["heap"]["points"]} == {"emulated"}
    assert found["heap"]["lack"] is None


def test_only_the_exit_costs_a_step(found):
    assert {point["kind"] for point in found["points"] if point["cost"] != "emulated"} == {"exit"}


def test_a_map_type_is_laid_out_as_go_lays_it_out(found, release):
    (sessions,) = (kind for kind in found["map_types"] if kind["name"] == "map[string]*main.session")

    expected = SESSIONS | {"bucket_bytes": BUCKET_BYTES[release]}
    assert {name: sessions[name] for name in expected} == expected


def test_map_types_say_what_the_recording_says_of_them(found):
    expected = {"address", *schema.TYPES.names} - {"type_id", "type_addr"}

    assert [set(kind) for kind in found["map_types"]] == [expected] * len(found["map_types"])


def test_stripping_takes_nothing_but_the_symbols(found, build, release):
    stripped = inspect(str(build("strings", release, STRIPPED)))

    changed = {"build_id": found["build_id"], "stripped": False}
    assert (stripped["stripped"], without_path(stripped | changed)) == (True, without_path(found))


def test_a_process_is_inspected_as_its_binary(served):
    process, path = served

    assert inspect(process.pid) == inspect(path)


def test_a_process_outlives_its_binary(served):
    process, path = served
    expected = inspect(path)
    os.unlink(path)

    found = inspect(str(process.pid))

    assert without_path(found) == without_path(expected)


def test_a_process_that_is_not_go_is_named():
    with pytest.raises(TargetError, match=rf"process {os.getpid()} \(.+\): no Go program"):
        inspect(os.getpid())


def test_a_file_that_is_not_go_is_named(tmp_path):
    path = tmp_path / "thesis.txt"
    path.write_text("ten years of work")

    with pytest.raises(BinaryError) as raised:
        inspect(str(path))

    assert raised.value.path == str(path)


@pytest.mark.system
def test_this_host_lacks_nothing():
    assert [check.what for check in check_host() if not check.is_met] == []


@pytest.mark.system
def test_doctor_is_content_with_this_host():
    assert doctor()["ok"] is True


@pytest.mark.system
def test_doctor_is_content_with_a_go_program(binary):
    assert doctor(str(binary))["ok"] is True


def test_doctor_names_a_target_that_is_not_there(tmp_path):
    *_, target = doctor(str(tmp_path / "absent"))["checks"]

    assert (target["what"], target["ok"]) == ("target", False)
    assert "no such file" in target["found"]


def test_what_is_lacking_has_its_remedy():
    checks = doctor("absent")["checks"]

    assert [check["what"] for check in checks if check["ok"] == bool(check["remedy"])] == []
