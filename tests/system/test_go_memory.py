"""The statements of docs/go-memory.md about Go, seen in live programs: a test for each statement."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from mapprobe.vocabulary import ReturnReason
from support import scenes
from support.gobuild import Release, release_id
from support.memory import Memory
from support.scenes import CLASSIC, ENTRIES, LIMIT_BYTES, MIB, RELEASES, STORY, SWISS, given_back, marks, of_full_chunks
from support.told import Told

pytestmark = pytest.mark.system

SPAN, BULKY = 32 << 10, (64 << 10, 72 << 10)
AT_A_TIME, HUGE_PAGE = 64 << 10, 2 << 20


@pytest.fixture(scope="module", params=RELEASES, ids=release_id)
def release(request: pytest.FixtureRequest) -> Release:
    given: Release = request.param
    return given


of = pytest.mark.releases


@pytest.fixture(scope="module")
def program(release: Release, build: Callable[..., Path]) -> Path:
    return build("memory", release)


def scene(script: Callable[[Told, Release], None]) -> Any:
    """Make a fixture: the recording of a script."""

    @pytest.fixture(scope="module")
    def recorded(program: Path, release: Release, tmp_path_factory: pytest.TempPathFactory) -> Told:
        with Told(program, tmp_path_factory.mktemp(script.__name__) / "recording") as told:
            script(told, release)
            return told.end()

    return recorded


story, idle, asked, limited, small = map(scene, (scenes.story, scenes.idle, scenes.asked, scenes.limited, scenes.small))


# What delete does


def test_delete_keeps_the_buckets(story: Told) -> None:
    assert story["drained"].arrays == story["filled"].arrays
    assert story["drained"].buckets == story["filled"].buckets > ENTRIES / 8


def test_deleting_every_key_keeps_the_buckets(story: Told) -> None:
    assert story["emptied, collected"].arrays == story["refilled"].arrays
    assert story["emptied, collected"].buckets == story["refilled"].buckets


def test_a_collection_shrinks_no_map(story: Told) -> None:
    assert story["drained, collected again"].statistics.collections == story["drained"].statistics.collections + 2
    assert story["drained, collected again"].arrays == story["drained"].arrays
    assert (story.lives_at("drained").freed_ns > story["rebuilt"].ended_ns).all()


def test_memstats_count_empty_buckets_as_in_use(story: Told) -> None:
    full, empty = (story[name].statistics.in_use for name in ("filled, collected", "drained, collected again"))
    assert empty >= story.lives_at("drained").bytes.sum() > 10 * MIB
    assert empty == pytest.approx(full, abs=8 * SPAN)


def test_empty_slots_are_filled_again(story: Told) -> None:
    assert story["refilled"].arrays == story["drained"].arrays


def test_what_deleted_elements_point_to_is_collected(story: Told) -> None:
    rows = story.large_objects
    there = rows[rows.bytes.isin(BULKY) & (rows.allocated_ns > story["newer"].began_ns)]
    assert there.bytes.value_counts().to_dict() == dict.fromkeys(BULKY, 40)
    assert story.were_freed_during(there, "all given back")


# What stands in the buckets of a map[uint64]uint64 and of a map[string]*uint64


@pytest.fixture(scope="module")
def told(program: Path) -> Iterator[Memory]:
    with Memory(program) as memory:
        yield memory


@pytest.fixture(params=[8, 1000])
def marked(told: Memory, request: pytest.FixtureRequest) -> int:
    """Maps of one bucket, and of many."""
    told.do(f"mark {request.param}")
    assert min(marks(told).values()) > 0.9 * request.param
    return int(request.param)


def test_delete_zeroes_the_element(told: Memory, marked: int) -> None:
    told.do("unmark 4")
    left = marks(told)
    assert left["element"] == left["pointed"] == 4


def test_delete_zeroes_the_pointer_in_a_key(told: Memory, marked: int) -> None:
    told.do("unmark 4")
    assert marks(told)["pointer"] == 4


def test_delete_leaves_a_key_without_pointers(told: Memory, marked: int) -> None:
    before = marks(told)["number"]
    told.do("unmark 4")
    assert marks(told)["number"] == before


@of(*CLASSIC)
def test_delete_leaves_the_length_of_a_string_in_classic_maps(told: Memory, marked: int) -> None:
    before = marks(told)["length"]
    told.do("unmark 4")
    assert marks(told)["length"] == before


@of(*SWISS)
def test_delete_zeroes_the_length_of_a_string_in_swiss_maps(told: Memory, marked: int) -> None:
    told.do("unmark 4")
    assert marks(told)["length"] == 4


def test_clear_zeroes_keys_and_elements(told: Memory, marked: int) -> None:
    told.do("clear-marks")
    assert not any(marks(told).values())


def test_a_loop_that_deletes_every_key_is_a_clear(told: Memory, marked: int) -> None:
    told.do("loop-marks")
    assert not any(marks(told).values())


# What clear does


def test_clear_keeps_the_buckets(story: Told) -> None:
    assert story["cleared, collected"].arrays == story["filled to clear"].arrays
    assert story["cleared, collected"].buckets == story["filled to clear"].buckets


# Growth, and when the collector frees an array


def test_growth_leaves_the_old_array_to_the_collector(story: Told) -> None:
    rows, filled = story.arrays, story["filled"]
    left = rows[rows.own_span & (rows.allocated_ns < filled.ended_ns) & ~rows.addr.isin(filled.arrays)]
    assert left.bytes.sum() > 5 * MIB
    assert story.were_freed_during(left, "filled, collected")


def test_a_rebuilt_map_has_the_buckets_that_it_needs(story: Told) -> None:
    assert story["rebuilt"].buckets <= 4
    assert story["filled to rebuild"].buckets > ENTRIES / 8


def test_rebuilding_frees_nothing_before_a_collection(story: Told) -> None:
    assert story.were_freed_during(story.lives_at("filled to rebuild"), "rebuilt, collected")


def test_dropping_frees_nothing_before_a_collection(story: Told) -> None:
    assert story.were_freed_during(story.lives_at("filled to drop"), "dropped, collected")


def test_a_collection_does_not_return_what_it_frees(story: Told) -> None:
    arrays = story.lives_at("filled to rebuild").bytes.sum()
    before, after = story["rebuilt"].statistics, story["rebuilt, collected"].statistics
    assert before.in_use - after.in_use >= 0.9 * arrays
    assert (after.idle - after.released) - (before.idle - before.released) >= 0.9 * arrays
    assert not len(story.during(story.returns, "rebuilt, collected"))


def test_freed_pages_are_used_again(story: Told) -> None:
    step = story["older"]
    assert story.arrays.reused_ns.between(step.began_ns, step.ended_ns).any()
    # pieces that are smaller than what was freed: a larger one may find no room between what stands there by then
    assert step.statistics.heap_sys == story["dropped, collected"].statistics.heap_sys


# Knobs


def test_gogc_off_collects_nothing(story: Told) -> None:
    names = list(STORY)[list(STORY).index("emptied, collected") :]
    counts = [story[name].statistics.collections for name in names]
    asked = [STORY[name] in ("gc", "give") for name in names]
    assert [after - before for before, after in pairwise(counts)] == asked[1:]


def test_gogc_shrinks_no_map(story: Told) -> None:
    assert story["drained, percent 1, collected"].arrays == story["drained"].arrays


def test_a_memory_limit_shrinks_no_map(story: Told) -> None:
    step = story["drained, limit 1, collected"]
    assert step.arrays == story["drained"].arrays
    assert step.statistics.in_use > 10 * MIB  # of 1 MiB


def test_free_os_memory_shrinks_no_map(story: Told) -> None:
    assert story["drained, given back"].arrays == story["drained"].arrays
    assert story["drained, given back"].statistics.in_use > 10 * MIB


def test_free_os_memory_returns_all_that_is_free_before_it_returns(asked: Told) -> None:
    before, after = asked["drop"].statistics, asked["given back"].statistics
    assert before.idle - before.released > 8 * MIB
    assert after.idle - after.released <= MIB
    returns = asked.during(asked.returns, "given back")
    assert (returns.reason == ReturnReason.FORCED).all()
    assert returns.bytes.sum() > 16 * MIB


def test_free_os_memory_collects_first(story: Told) -> None:
    before, after = story["newer, drained"].statistics, story["all given back"].statistics
    assert after.collections == before.collections + 1
    assert before.in_use - after.in_use > 4 * MIB


def test_high_addresses_go_first(asked: Told) -> None:
    addrs = asked.during(asked.returns, "given back").addr.tolist()
    assert len(addrs) >= 5
    assert addrs == sorted(addrs, reverse=True)


# Classic maps grow step by step, Swiss ones table by table


@pytest.fixture
def growing(release: Release, told: Memory) -> list[int]:
    """Return the arrays of a classic map that has just begun to grow."""
    a_bucket = 6 if release == (1, 21) else 6.5
    told.do("drop")
    told.do(f"fill {int(a_bucket * (1 << 13)) + 100}")
    arrays = told.arrays()
    assert len(arrays) == 2
    return arrays


@of(*CLASSIC)
def test_a_classic_map_that_grows_keeps_both_arrays(told: Memory, growing: list[int]) -> None:
    told.do("gc")
    told.do("gc")
    assert told.arrays() == growing


@of(*CLASSIC)
def test_reading_moves_nothing(told: Memory, growing: list[int]) -> None:
    told.do("read")
    assert told.arrays() == growing


@of(*CLASSIC)
def test_delete_goes_on_with_growth(told: Memory, growing: list[int]) -> None:
    told.do("drain 10")
    assert told.arrays() == growing[:1]


@of(*CLASSIC)
def test_clear_drops_the_old_array(told: Memory, growing: list[int]) -> None:
    told.do("clear")
    assert told.arrays() == growing[:1]


@of(*CLASSIC)
def test_a_classic_map_is_one_array(story: Told) -> None:
    (size,) = story.lives_at("filled").bytes
    assert size > 10 * MIB


@of(*SWISS)
def test_a_swiss_map_is_an_array_for_each_1024_slots(story: Told) -> None:
    rows = story.lives_at("filled")
    assert len(rows) == story["filled"].buckets / (1024 / 8) > ENTRIES / 1024
    assert rows.bytes.max() <= 48 << 10


def test_arrays_of_small_slots_share_spans_in_swiss_maps(release: Release, small: Told) -> None:
    arrays = small.arrays[small.arrays.function == "main.fillSmall"]
    assert len(arrays)
    assert arrays.own_span.any() == (release < (1, 24))


# When what is free goes back


def test_freed_memory_goes_back_in_the_background(idle: Told) -> None:
    rows = idle.lives_at("full")
    returns = idle.returns[idle.returns.time_ns > idle["dropped"].ended_ns]
    assert set(returns.reason) == {ReturnReason.BACKGROUND}
    assert rows.returned_bytes.sum() >= 0.5 * rows.bytes.sum() > 5 * MIB


def test_it_goes_back_within_a_minute_of_being_freed(idle: Told) -> None:
    rows = idle.lives_at("full").dropna(subset=["returned_ns"])
    assert (rows.returned_ns.astype("int64") - rows.freed_ns.astype("int64")).max() < 60_000_000_000


def test_a_tenth_more_than_in_use_is_kept(idle: Told) -> None:
    last = idle.figures.iloc[-1]
    kept, goal = scenes.kept(last), scenes.goal(last)
    assert goal == pytest.approx(1.1 * last.last_in_use_bytes, rel=0.01)
    assert goal - idle.returns.iloc[-1].bytes - 8 * SPAN <= kept <= goal + MIB


def test_a_huge_page_that_is_free_goes_back_whole(idle: Told) -> None:
    rows = idle.returns[idle.returns.reason == ReturnReason.BACKGROUND]
    more = rows[rows.bytes > AT_A_TIME]
    assert (more.addr % HUGE_PAGE == 0).all()
    assert more.bytes.between(HUGE_PAGE, HUGE_PAGE + AT_A_TIME).any()
    assert more.bytes.max() <= HUGE_PAGE + AT_A_TIME


@of((1, 19))
def test_before_generations_it_goes_back_without_another_collection(idle: Told) -> None:
    assert (of_full_chunks(idle).time_ns < idle["waited"].ended_ns).all()


@of(*RELEASES[1:])
def test_what_a_sweep_freed_goes_back_after_the_next_collection(idle: Told) -> None:
    assert (of_full_chunks(idle).time_ns > idle["waited"].ended_ns).all()


# The memory limit


def test_above_95_percent_of_the_limit_nothing_wakes_the_scavenger(limited: Told) -> None:
    figures = limited.between(limited.figures, "above 95 %", "waited")
    assert (figures.mapped_ready_bytes > 0.95 * LIMIT_BYTES).all()
    assert (figures.mapped_ready_bytes < LIMIT_BYTES).all()
    assert (figures.heap_free_bytes > 25 * MIB).all()
    assert len(figures) > 5
    assert not len(limited.between(limited.returns, "collected", "waited"))


@of(*RELEASES[2:])
def test_after_a_collection_memory_goes_back_down_to_95_percent_of_the_limit(limited: Told) -> None:
    returns = limited.between(limited.returns, "waited", "back at 95 %")
    assert set(returns.reason) == {ReturnReason.BACKGROUND}
    assert limited["back at 95 %"].statistics.idle - limited["back at 95 %"].statistics.released > 8 * MIB


@of((1, 19), (1, 21))
def test_up_to_go_1_21_nothing_goes_back_in_the_background_for_the_limit(limited: Told) -> None:
    figures = limited.between(limited.figures, "collected again", "back at 95 %")
    assert (figures.mapped_ready_bytes > 0.95 * LIMIT_BYTES).all()
    assert len(figures) > 5
    assert not len(limited.between(limited.returns, "waited", "back at 95 %"))


def test_at_the_limit_an_allocation_returns_memory_itself(limited: Told, release: Release) -> None:
    # what the scavenger is called with did not tell the limit from growth then
    reason = ReturnReason.LIMIT if release >= (1, 21) else ReturnReason.ALLOCATION
    returns = limited.during(limited.returns, "at the limit")
    assert returns[returns.reason == reason].bytes.sum() > 5 * MIB


# GODEBUG


@pytest.mark.parametrize("godebug", ["", "madvdontneed=1"])
def test_returned_memory_is_resident_no_more(godebug: str, program: Path) -> None:
    shrunk, lazy = given_back(program, godebug)
    assert shrunk > 60 * MIB
    assert lazy == 0


def test_madvdontneed_0_leaves_it_resident(program: Path) -> None:
    shrunk, lazy = given_back(program, "madvdontneed=0")
    assert shrunk < 4 * MIB
    assert lazy > 60 * MIB


@pytest.mark.parametrize("godebug", ["scavenge=0", "scavenge=1"])
def test_there_is_no_godebug_scavenge(godebug: str, program: Path) -> None:
    assert b"madvdontneed" in program.read_bytes()
    shrunk, _ = given_back(program, godebug)
    assert shrunk > 60 * MIB


# Profiles


def test_the_memory_profile_counts_empty_buckets_as_in_use(release: Release, build: Callable[..., Path]) -> None:
    with Memory(build("memory", release, "-tags=profile")) as memory:
        said = []
        for line in [f"fill {ENTRIES}", "drain 10", "drop"]:
            for what in (line, "gc", "gc"):  # it is as it was two collections ago
                memory.do(what)
            said.append(int(memory.do("profile")))
    filled, drained, dropped = said
    assert drained == filled > 0
    assert dropped == 0
