"""The profile: stacks as locations, with the same totals in every grouping."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapprobe.analysis.profile import VALUES, locations_of
from mapprobe.analysis.retention import totals
from mapprobe.recording.sites import CallSite, logical_frames, resolve
from mapprobe.vocabulary import View
from support.drawn import recordings
from support.recordings import Recording, tables_of_stacks
from support.samples import inlined_frames, profile, shop


@settings(max_examples=20, deadline=None)
@given(recording=recordings(), view=st.sampled_from(View), top=st.integers(1, 6))
def test_values_sum_to_the_totals_however_many_samples_there_are(recording: Recording, view: View, top: int) -> None:
    expected = totals(recording.settled())
    sums = profile(recording, view, top).values.sum(axis=0).tolist()
    assert sums == [expected[measure] for measure, _ in VALUES.values()]


def test_frames_that_were_inlined_share_a_location() -> None:
    frames = {tuple(frame.function for frame in location.frames) for location in profile().locations}
    assert ("main.site1", "main.outer1") in frames


def test_the_frames_are_those_of_the_report_by_stack() -> None:
    stacks, frames = tables_of_stacks()[0], inlined_frames()
    by_pc = logical_frames(frames)
    found = [
        [frame for location in locations_of(pcs, by_pc) for frame in location.frames]
        for pcs in stacks["pcs"].to_pylist()[1:]
    ]
    assert found == resolve(stacks, frames).stacks[1:]


def test_an_empty_stack_is_called_not_recorded() -> None:
    (location,) = locations_of([], {})
    assert location.frames[0].function == "(not recorded)"


def test_a_stack_of_the_runtime_alone_is_kept_from_above_the_map_functions() -> None:
    by_pc = {
        1: [CallSite("runtime.mapassign", "map.go", 1, "runtime"), CallSite("runtime.doInit", "p.go", 2, "runtime")]
    }
    (location,) = locations_of([1], by_pc)
    assert [frame.function for frame in location.frames] == ["runtime.doInit"]


def test_what_is_left_out_is_one_sample_that_says_how_many() -> None:
    whole, cut = profile(), profile(top=1)
    assert (len(cut.stacks), cut.left_out) == (2, len(whole.stacks) - 1)
    assert cut.frames(1)[0].function == f"(other: {cut.left_out} more)"


def test_nothing_is_left_out_where_all_fits() -> None:
    assert profile().left_out == 0


def test_samples_tell_maps_of_different_types_apart() -> None:
    assert set(profile().types) == {"map[int]int", "map[string]*main.Session"}


@pytest.mark.parametrize("view", View)
def test_the_most_retained_bytes_come_first(view: View) -> None:
    retained = profile(shop(), view).values[:, 0].tolist()
    assert retained == sorted(retained, reverse=True)
