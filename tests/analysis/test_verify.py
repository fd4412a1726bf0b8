"""Comparing replayed maps with memory: what is equal, what differs and where, and what can't be compared."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from mapprobe import vocabulary
from mapprobe.analysis.verify import DIED, MOST_MISMATCHES, SCHEMA, verify
from mapprobe.vocabulary import Implementation, Inexact
from support.drawn import recordings
from support.recordings import RecordedMap, Recording, spread


def filled(recording: Recording, n: int = 100, **how: object) -> RecordedMap:
    made = recording.create(**how)
    made.insert(*spread(n))
    return made


def verified(recording: Recording) -> dict[str, object]:
    return verify(recording.batches(), recording.inputs())


def why_skipped(recording: Recording) -> list[str]:
    return [skipped["why"] for skipped in verified(recording)["skipped"]]


def flip(recording: Recording, bucket: int) -> int:
    """Change the first control byte of a bucket that was read, and return what stood there."""
    row = recording.snapshot_buckets[bucket]
    row["control"] ^= 0x7F
    return row["control"] ^ 0x7F


@settings(max_examples=30, deadline=None)
@given(recordings())
def test_memory_of_the_reference_is_equal_bucket_by_bucket(recording: Recording) -> None:
    living = list({made.address: made for made in recording.maps}.values())
    for made in living:
        made.read()
    buckets = sum(len(made.reference.listed()) for made in living)
    assert verified(recording) == {
        "schema": SCHEMA,
        "maps": len(living),
        "checked": len(living),
        "headers_equal": len(living),
        "buckets": buckets,
        "buckets_equal": buckets,
        "skipped": [],
        "mismatches": [],
    }


def test_a_flipped_control_byte_is_one_mismatch_that_names_its_bucket(recording: Recording) -> None:
    made = filled(recording)
    made.read()
    expected = flip(recording, 3)
    found = recording.snapshot_buckets[3]["control"]
    assert verified(recording)["mismatches"] == [
        {"map": hex(made.address), "bucket": 3, "expected": f"{expected:016x}", "found": f"{found:016x}"}
    ]


def test_a_flipped_control_byte_spoils_one_bucket(recording: Recording) -> None:
    filled(recording).read()
    flip(recording, 3)
    result = verified(recording)
    assert result["buckets_equal"] == result["buckets"] - 1


def test_a_flipped_control_byte_leaves_the_header_equal(recording: Recording) -> None:
    filled(recording).read()
    flip(recording, 3)
    assert verified(recording)["headers_equal"] == 1


def test_a_flipped_control_byte_says_nothing_of_other_maps(recording: Recording) -> None:
    for _ in range(2):
        filled(recording).read()
    flip(recording, 3)
    assert len(verified(recording)["mismatches"]) == 1


def test_a_bucket_of_another_part_is_a_mismatch(recording: Recording) -> None:
    filled(recording).read()
    recording.snapshot_buckets[2]["part"] += 1
    assert [mismatch["bucket"] for mismatch in verified(recording)["mismatches"]] == [2]


def test_a_bucket_that_memory_lacks_is_not_equal(recording: Recording) -> None:
    filled(recording).read()
    recording.snapshot_buckets.pop()
    result = verified(recording)
    assert result["buckets_equal"] == result["buckets"] - 1


def test_a_bucket_that_only_memory_has_is_counted(recording: Recording) -> None:
    filled(recording).read()
    before = verified(recording)["buckets"]
    last = recording.snapshot_buckets[-1]
    recording.snapshot_buckets.append(last | {"bucket": last["bucket"] + 1})
    assert verified(recording)["buckets"] == before + 1


def test_a_different_number_of_buckets_is_reported_once(recording: Recording) -> None:
    made = filled(recording)
    made.read()
    del recording.snapshot_buckets[-2:]
    n = len(recording.snapshot_buckets)
    assert verified(recording)["mismatches"] == [
        {"map": hex(made.address), "bucket": n, "expected": f"{n + 2} buckets", "found": f"{n} buckets"}
    ]


def test_another_count_is_a_mismatch_of_the_header(recording: Recording) -> None:
    filled(recording, 100).read()
    recording.snapshot_maps[0]["count"] = 101
    (mismatch,) = verified(recording)["mismatches"]
    assert (mismatch["bucket"], mismatch["expected"], mismatch["found"]["count"]) == (None, {"count": 100}, 101)


def test_another_header_is_not_counted_as_equal(recording: Recording) -> None:
    filled(recording).read()
    recording.snapshot_maps[0]["count"] = 101
    result = verified(recording)
    assert (result["checked"], result["headers_equal"]) == (1, 0)


def test_mismatches_are_listed_up_to_a_limit(recording: Recording) -> None:
    made = filled(recording, 20_000)
    made.read()
    for bucket in range(len(recording.snapshot_buckets)):
        flip(recording, bucket)
    assert len(verified(recording)["mismatches"]) == MOST_MISMATCHES


def test_events_after_the_read_are_left_out(recording: Recording) -> None:
    made = filled(recording)
    made.read()
    made.insert(*spread(500, start=100))
    made.clear()
    result = verified(recording)
    assert (result["checked"], result["mismatches"]) == (1, [])


def test_an_event_at_the_time_of_the_read_is_left_out(recording: Recording) -> None:
    made = filled(recording)
    made.read()
    made.insert(*spread(1, start=100))
    recording.events[-1]["time_ns"] = recording.snapshot_maps[-1]["time_ns"]
    assert verified(recording)["mismatches"] == []


def test_events_of_other_maps_after_the_read_are_kept(recording: Recording) -> None:
    first, second = filled(recording), filled(recording)
    first.read()
    second.delete(*spread(50))
    second.read()
    assert verified(recording)["checked"] == 2


def test_a_map_made_at_its_address_after_the_read_is_left_out(recording: Recording) -> None:
    made = filled(recording)
    made.read()
    filled(recording, at=made)
    assert verified(recording)["checked"] == 1


def test_a_map_made_after_its_memory_was_read_is_skipped(recording: Recording) -> None:
    made = recording.create(seen=False)
    made.read()
    made.insert(1)
    assert why_skipped(recording) == ["it was made after its memory was read"]


def test_a_map_that_could_not_be_read_is_skipped_with_its_reason(recording: Recording) -> None:
    made = filled(recording)
    made.skip("a page that was not there")
    assert verified(recording)["skipped"] == [{"map": hex(made.address), "why": "a page that was not there"}]


def test_a_map_that_the_collector_freed_is_skipped_as_dead(recording: Recording) -> None:
    filled(recording).skip("its header makes no sense", died=True)
    assert why_skipped(recording) == [DIED]


def test_a_map_whose_memory_has_another_owner_is_skipped_as_dead(recording: Recording) -> None:
    made = filled(recording)
    made.seed += 1
    made.read()
    assert why_skipped(recording) == [DIED]


def test_a_map_whose_memory_nobody_read_is_skipped(recording: Recording) -> None:
    filled(recording)
    assert why_skipped(recording) == ["its memory was not read"]


def test_a_map_on_a_goroutine_stack_is_skipped(recording: Recording) -> None:
    made = recording.create(seen=False)
    made.stack_offset, made.goid = 64, 7
    made.insert(*spread(4))
    assert why_skipped(recording) == ["it stands on a goroutine's stack, which moves"]


def test_a_map_that_died_before_is_not_spoken_of(recording: Recording) -> None:
    first = filled(recording)
    filled(recording, at=first).read()
    assert verified(recording)["maps"] == 1


def test_a_map_that_lost_events_is_skipped(recording: Recording) -> None:
    made = filled(recording)
    with recording.losing_events():
        recording.now += 1
    made.read()
    assert why_skipped(recording) == [vocabulary.INEXACT_REASONS[Inexact.EVENTS_LOST]]


def test_a_map_whose_header_did_not_fit_is_skipped(recording: Recording) -> None:
    made = filled(recording)
    with recording.out_of_sight():
        made.insert(*spread(1, start=100))
    made.insert(*spread(1, start=200))
    made.read()
    assert why_skipped(recording) == [vocabulary.INEXACT_REASONS[Inexact.HEADER_MISMATCH]]


def test_lost_inserts_that_no_event_follows_are_found(recording: Recording) -> None:
    made = filled(recording)
    with recording.out_of_sight():
        made.insert(*spread(3, start=100))
    made.read()
    assert verified(recording)["headers_equal"] == 0


@pytest.mark.parametrize("implementation", Implementation)
def test_maps_of_which_only_growth_was_recorded_are_skipped(implementation: Implementation) -> None:
    recording = Recording(implementation, probes="growth")
    filled(recording).read()
    assert why_skipped(recording) == [vocabulary.INEXACT_REASONS[Inexact.GROWTH_ONLY]]


def test_images_taken_while_recording_are_not_compared(recording: Recording) -> None:
    made = filled(recording)
    made.read()
    recording.snapshot_maps[0]["at_end"] = False
    assert verified(recording)["checked"] == 0


def test_skipped_maps_count_among_all(recording: Recording) -> None:
    filled(recording).read()
    filled(recording)
    result = verified(recording)
    assert (result["maps"], result["checked"]) == (2, 1)


def test_a_recording_without_maps_checks_nothing(recording: Recording) -> None:
    assert verified(recording)["checked"] == 0
