"""A census compared with what programs say of their own maps: releases, linkages, lookalikes, writes, endings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import mapprobe
from mapprobe.capture import target_memory
from mapprobe.capture.recorder import record
from mapprobe.capture.session import Options
from mapprobe.errors import MapprobeError, TargetError
from mapprobe.live.process import Process
from mapprobe.recording.tables.census import CENSUS
from mapprobe.vocabulary import Liveness, Naming
from support import matrix, toolchains, truth
from support.gobuild import Release, build_program, link_program, release_id
from support.heads import about, crowd, differences, holding, may_be, rows_of, telling, wrong_lengths
from support.memory import Memory
from support.sessions import recording, serving

pytestmark = pytest.mark.system

OPS = 2000
DROPPED = 10_000
STACKS, BESIDE = 400, 50
HOLDERS = 2000
PROGRAMS = ("ints", "many", "nested", "fill_drain", "reflection", "syncmap", "kinds", "empty_elems", "lengths")
ENDS = ((1, 19), (1, 23), (1, 24), (1, 27))
"""The first and the last release of each map implementation: a linkage other than plain compiles all of the runtime."""
UNOPTIMISED, RACE = (pytest.param(linkage, marks=pytest.mark.releases(*ENDS)) for linkage in ("unoptimised", "race"))
LINKED = [
    (release, linkage)
    for linkage in ("stripped", "pie", "cgo", "cgo-pie", "unoptimised", "race", "sectionless", "pgo", "noswissmap")
    for release in toolchains.RELEASES
    if matrix.knows(release, linkage) and (linkage == "stripped" or release in ENDS)
]
CASES = [
    *((release, "plain", program) for release in toolchains.RELEASES for program in (*PROGRAMS, *matrix.SCENARIOS)),
    *((release, linkage, program) for release, linkage in LINKED for program in ("structs", "sliding", "many")),
]


@pytest.mark.parametrize(
    ("release", "linkage", "program"),
    [
        pytest.param(*case, id="-".join((release_id(case[0]), *case[1:])))
        for case in CASES
        if truth.can_be_built(case[2], case[0])
    ],
)
def test_a_census_finds_every_map_with_its_buckets(release: Release, linkage: str, program: str) -> None:
    with telling(program, release, linkage, OPS) as (pid, said):
        assert differences(said, mapprobe.census(pid)) == []


def test_what_only_looks_like_a_map_is_in_no_total(every_release: Release) -> None:
    with crowd(every_release, like=40_000, others=40_000) as (pid, _):
        found = mapprobe.census(pid)

    assert len(found.maps()) < 30
    assert about(found)["lookalikes"] + about(found)["never_written"] >= 10_000


def test_all_maps_of_a_crowd_are_found(every_release: Release) -> None:
    with crowd(every_release, entries=20_000, middle=50, small=3000, like=400, others=1000, list=1) as (pid, said):
        found = mapprobe.census(pid)

    assert len(said["list"]) == said["maps"]
    assert wrong_lengths(said, found) == {}


def referred_to(program: Path, *commands: str) -> list[int]:
    """Return how many maps of the program seem to be referred to after each of some commands."""
    found = []
    with Memory(program) as memory:
        for command in commands:
            memory.do(command)
            rows = mapprobe.census(memory.process.pid).table(CENSUS).to_pandas()
            found.append(int((rows["liveness"] == Liveness.REFERRED_TO).sum()))
    return found


@pytest.mark.parametrize("linkage", ["stripped", "cgo", UNOPTIMISED])
def test_of_maps_that_were_dropped_none_seems_to_be_referred_to(linkage: str, every_release: Release) -> None:
    # the runtime's own memory holds addresses of many of them, as starts of spans and as marked objects
    program = link_program("memory", every_release, linkage)
    filled, collected, dropped = referred_to(program, f"many {DROPPED}", "gc", "drop-many")

    assert min(filled, collected) >= DROPPED
    assert dropped == collected - DROPPED


@pytest.mark.parametrize("linkage", ["stripped", RACE])
def test_what_small_objects_refer_to_is_seen(linkage: str, every_release: Release) -> None:
    program = link_program("memory", every_release, linkage)
    before, held, collected = referred_to(program, "gc", f"held {HOLDERS}", "gc")

    assert [held - before, collected - before] == [9 * HOLDERS, 9 * HOLDERS]


@pytest.mark.parametrize("linkage", ["stripped", RACE])
def test_the_end_of_a_stack_is_no_reference_to_the_map_after_it(linkage: str, every_release: Release) -> None:
    program = link_program("memory", every_release, linkage)
    _, filled, collected, dropped = referred_to(program, "percent -1", f"beside {STACKS}", "gc", "drop-many")

    assert min(filled, collected) >= STACKS * BESIDE
    assert dropped == collected - STACKS * BESIDE


def test_the_views_of_a_census_charge_what_the_maps_hold(release: Release) -> None:
    with crowd(release, entries=20_000, middle=50, small=300) as (pid, _):
        found = mapprobe.census(pid)
    total = found.report()["totals"]

    for view in ("growth", "fill", "drain"):
        for by in ("site", "stack", "type", "map"):
            rows = found.retention(by, view)
            assert {name: int(rows[name].sum()) for name in ("maps", "retained_bytes", "buckets", "live_slots")} == {
                name: total[name] for name in ("maps", "retained_bytes", "buckets", "live_slots")
            }


def test_maps_that_are_written_all_the_time_are_right_or_marked(every_release: Release) -> None:
    with crowd(every_release, entries=20_000, middle=20, small=1000, busy=4, list=1) as (pid, said):
        for freeze in (False, True):
            found = mapprobe.census(pid, freeze=freeze)
            rows = rows_of(found)
            assert wrong_lengths(said, found) == {}
            for addr in said["busy"]:
                assert addr in rows
                assert not rows[addr]["settled"] or rows[addr]["live_slots"] in (1000, 1001)
            assert (about(found)["paused_ns"] is not None) == freeze


def test_a_program_that_checks_its_maps_finds_them_right_after_many(release: Release) -> None:
    with holding(build_program("busy", release)) as process:
        for _ in range(5):
            mapprobe.census(process.pid)
        mapprobe.census(process.pid, freeze=True)
        stdout, stderr = process.communicate("", timeout=60)

    assert (process.returncode, stderr) == (0, "")
    assert int(stdout.split()[0]) > 0


def test_growth_is_charged_to_who_allocated_a_large_array(release: Release) -> None:
    with crowd(release, entries=400_000) as (pid, said):
        found = mapprobe.census(pid)
    grown_by = found.retention("site", "growth").set_index("function")["live_slots"]

    assert about(found)["profiled"]
    assert grown_by["main.fillLarge"] == said["live"] == 80_000
    filled_by = found.retention("site", "fill").set_index("function")["live_slots"]
    assert filled_by["before the recording, map[uint64]uint64 grown at main.fillLarge"] == said["live"]


def test_the_call_that_grew_a_map_names_its_type(every_release: Release) -> None:
    with crowd(every_release, "stripped", entries=400_000) as (pid, _):
        rows = rows_of(mapprobe.census(pid)).values()
    large = max(rows, key=lambda row: row["allocated_bytes"])

    # it has no pointers: the allocator keeps nothing of it
    assert (large["naming"], large["type"]) == (Naming.EXACT, "map[uint64]uint64")


def test_what_holds_a_map_names_its_type(every_release: Release) -> None:
    with crowd(every_release, "stripped", shelves=20) as (pid, said):
        rows = rows_of(mapprobe.census(pid))
    found = {addr: rows[int(addr)] for addr in said["shelved"]}

    assert [row for addr, row in found.items() if not may_be(row["type"], said["shelved"][addr])] == []
    exact = {addr: row["type"] for addr, row in found.items() if row["naming"] == Naming.EXACT}
    if every_release >= (1, 22):  # before, no types are kept: only who was sampled by chance is known
        assert exact == said["shelved"]


def test_a_recording_has_the_maps_that_nothing_touches(release: Release, tmp_path: Path) -> None:
    with crowd(release, entries=20_000, middle=50, small=300) as (pid, _):
        found = mapprobe.census(pid)
        record(pid, tmp_path / "with", Options(duration=0.3), lambda _: None)
        record(pid, tmp_path / "without", Options(duration=0.3, census=False), lambda _: None)
    with_them, without = mapprobe.open(tmp_path / "with").report(), mapprobe.open(tmp_path / "without").report()
    names = ["maps", "live_slots", "buckets", "retained_buckets", "allocated_bytes", "retained_bytes"]
    expected = {name: found.report()["totals"][name] for name in names}

    assert {name: with_them["totals"][name] for name in names} == expected
    for time in ("start", "end"):
        assert {name: with_them["recording"]["census"][time][name] for name in names} == expected
    assert without["totals"]["maps"] == 0
    assert "census" not in without["recording"]


def test_a_recording_does_not_read_all_of_a_large_process(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target_memory, "LARGE_BYTES", 0)
    told: list[str] = []
    with crowd(release, middle=50) as (pid, _):
        record(pid, tmp_path / "out", Options(duration=0.2), told.append)
    liveness = mapprobe.open(tmp_path / "out").table(CENSUS)["liveness"].to_pylist()

    assert len([line for line in told if line.startswith("looking for maps in 0 GB of memory")]) == 2
    assert set(liveness) <= {Liveness.MARKED, Liveness.NEW}


def test_a_report_of_a_time_has_what_the_start_found(release: Release, tmp_path: Path) -> None:
    with crowd(release, middle=50) as (pid, _):
        record(pid, tmp_path / "out", Options(duration=0.3), lambda _: None)
    recording = mapprobe.open(tmp_path / "out")
    found, at_end = recording.report(until_ns=1), recording.report()

    assert found["totals"]["maps"] == at_end["totals"]["maps"] >= 50
    assert list(found["recording"]["census"]) == ["start"]


def test_a_program_without_a_memory_profile_has_no_samples(release: Release) -> None:
    with holding(build_program("busy", release)) as process:
        found = mapprobe.census(process.pid)

    assert (about(found)["profiled"], about(found)["samples"]) == (False, 0)


def test_a_process_goes_on_after_a_freeze(release: Release) -> None:
    with crowd(release, small=10) as (pid, _):
        mapprobe.census(pid, freeze=True)

        assert Process(pid).state() in "SR"


def test_a_process_goes_on_when_who_froze_it_is_killed(
    release: Release, wait_until: Callable[..., object], tmp_path: Path
) -> None:
    program = """
import os, signal, sys
from mapprobe.live.pause import paused
from mapprobe.live.process import Process
from mapprobe.capture.recorder import record
from mapprobe.capture.session import Options
with Process(int(sys.argv[1])) as process, paused(process, wanted=True):
    assert process.state() in "Tt"
    os.kill(os.getpid(), signal.SIGKILL)
"""
    with crowd(release, small=10) as (pid, _):
        done = subprocess.run([sys.executable, "-c", program, str(pid)], capture_output=True, text=True, check=False)

        assert (done.returncode, done.stderr) == (-signal.SIGKILL, "")
        assert wait_until(lambda: Process(pid).state() in "SR")


def test_a_process_that_was_stopped_before_stays_so(release: Release, wait_until: Callable[..., object]) -> None:
    with crowd(release, small=10) as (pid, _):
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: Process(pid).state() == "T")
        mapprobe.census(pid, freeze=True)

        assert Process(pid).state() == "T"


def test_two_censuses_differ_by_what_was_done_between_them(release: Release, tmp_path: Path) -> None:
    with crowd(release, entries=20_000) as (pid, _):
        mapprobe.census(pid, tmp_path / "before")
        mapprobe.census(pid, tmp_path / "after")
    before, after = mapprobe.open(tmp_path / "before"), mapprobe.open(tmp_path / "after")

    assert after.report()["totals"] == before.report()["totals"]


def test_a_census_has_a_page_a_profile_and_no_events(release: Release, tmp_path: Path) -> None:
    with crowd(release, entries=20_000, small=400) as (pid, _):
        mapprobe.census(pid, tmp_path / "out")
    for form in ("html", "pprof", "perfetto", "json", "csv"):
        command = [sys.executable, "-m", "mapprobe", "report", "out", "--format", form, "-o", f"out.{form}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert (tmp_path / f"out.{form}").stat().st_size


def test_a_process_that_is_not_go_is_refused() -> None:
    with pytest.raises(TargetError, match="no Go program"):
        mapprobe.census(os.getpid())


def test_a_process_that_has_ended_is_refused(release: Release) -> None:
    with crowd(release, small=10) as (pid, _):
        pass

    with pytest.raises(TargetError):
        mapprobe.census(pid)


def test_a_process_that_is_killed_during_a_census_is_refused_or_read(release: Release) -> None:
    from mapprobe.api.census import Headcount

    with crowd(release, small=1000) as (pid, _), Headcount(pid) as headcount:
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

        with pytest.raises(MapprobeError, match="ended"):
            headcount.take()


def test_a_process_of_somebody_else_is_not_ours_to_look_at(release: Release) -> None:
    program = (
        "import os, sys; import mapprobe.live.process as p; os.setuid(65534); p.Process(int(sys.argv[1])).executable()"
    )
    with crowd(release, small=10) as (pid, _):
        done = subprocess.run([sys.executable, "-c", program, str(pid)], capture_output=True, text=True, check=False)

    assert "not ours to look at: run as root" in done.stderr


def test_a_recording_of_the_same_maps_agrees(
    release: Release, tmp_path: Path, wait_until: Callable[..., object]
) -> None:
    folder = tmp_path / "recording"
    with serving(link_program("session_cache", release, "plain")) as service:
        with recording(service.pid, "-o", folder) as recorder:
            wait_until(lambda: (folder / "events.arrow").exists(), 30)
            # both read the same moment: the recorder does at its end
            os.kill(service.pid, signal.SIGSTOP)
            recorder.send_signal(signal.SIGINT)
            recorder.wait(timeout=60)
        found = mapprobe.census(service.pid).maps().set_index("map")
    recorded = mapprobe.open(folder).maps().set_index("map")
    alive = recorded[(recorded["state"] == "alive") & (recorded["buckets"] > 0)]
    names = ["live_slots", "buckets", "retained_buckets", "allocated_bytes", "needed_bytes", "retained_bytes"]

    assert len(alive) >= 2
    assert found.loc[alive.index, names].to_dict() == alive[names].to_dict()
