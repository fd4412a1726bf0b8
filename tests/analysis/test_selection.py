"""Selecting rows by function and package."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapprobe.analysis.certainty import apart
from mapprobe.analysis.report import Report, chosen, limited
from mapprobe.analysis.retention import GROUPINGS, aggregate, totals
from mapprobe.analysis.selection import Choice, pattern, select
from mapprobe.recording.sites import CallSite
from mapprobe.recording.tables.schema import MEASURES, PEAK
from mapprobe.vocabulary import Implementation, View
from support.drawn import recordings
from support.recordings import SESSIONS, TYPES, Recording, spread
from support.samples import ABOUT

SITE2 = Choice((pattern("main.site2"),))
ADDITIVE = [name for name in MEASURES if name != PEAK.name]


@pytest.fixture(scope="module")
def recording() -> Recording:
    """Give a recording of two maps: main.site1 makes and fills one, main.site2 makes the other and fills both."""
    recording = Recording(Implementation.SWISS)
    ints, sessions = recording.create(stack=1), recording.create(stack=3, type_id=SESSIONS)
    ints.insert(*spread(20), stack=1)
    for made in (ints, sessions):
        made.insert(*spread(40, 20), stack=4)
    return recording


def report_on(recording: Recording, by: str, choice: Choice, view: View = View.FILL) -> Report:
    replayed = recording.settled()
    rows = aggregate(replayed, TYPES, recording.sites, "swiss", by, view)
    report = Report(ABOUT, by, str(view), totals(replayed), rows, {}, {}, apart(replayed))
    return chosen(report, select(rows, by, replayed, TYPES, recording.sites, choice))


def test_sites_are_those_whose_function_matches(recording: Recording) -> None:
    assert report_on(recording, "site", SITE2).rows["function"].to_pylist() == ["main.site2"]


def test_stacks_are_those_whose_call_site_matches(recording: Recording) -> None:
    stacks = report_on(recording, "stack", SITE2).rows["stack"].to_pylist()
    assert [[site["function"] for site in stack] for stack in stacks] == [["main.site2", "main.main"]] * 2


def test_a_caller_is_not_the_call_site(recording: Recording) -> None:
    assert len(report_on(recording, "stack", Choice((pattern("main.main"),))).rows) == 0


def test_maps_are_those_of_their_maker(recording: Recording) -> None:
    _, sessions = recording.maps
    assert report_on(recording, "map", SITE2).rows["map"].to_pylist() == [hex(sessions.address)]


def test_types_are_those_of_maps_that_were_made_there(recording: Recording) -> None:
    assert report_on(recording, "type", SITE2).rows["type"].to_pylist() == ["map[string]*main.Session"]


def test_function_and_package_must_both_match() -> None:
    site = CallSite("shop/cache.Login", "", 0, "shop/cache")
    choices = [((), ()), (("Login",), ("shop",)), (("Login",), ("rate",)), (("Logout",), ("shop",)), ((), ("shop/*",))]
    held = [Choice(*(tuple(map(pattern, texts)) for texts in choice)).holds(site) for choice in choices]
    assert held == [True, True, False, False, True]


def test_what_a_package_is_called_is_not_looked_for_in_functions(recording: Recording) -> None:
    assert len(report_on(recording, "site", Choice(packages=(pattern("site2"),))).rows) == 0


def test_a_choice_of_nothing_is_none() -> None:
    assert not Choice()


@settings(max_examples=25, deadline=None)
@given(
    recording=recordings(),
    by=st.sampled_from(GROUPINGS),
    view=st.sampled_from(View),
    top=st.integers(1, 4),
    data=st.data(),
)
def test_rows_and_what_is_left_out_sum_to_the_totals(
    recording: Recording, by: str, view: View, top: int, data: st.DataObject
) -> None:
    choice = Choice((pattern(data.draw(st.sampled_from(["site[12]", "site3", "nothing", "recorded"]))),))
    report = limited(report_on(recording, by, choice, view), top)
    sums = {name: sum(report.rows[name].to_pylist()) for name in ADDITIVE}
    for rest in report.others:
        sums = {name: count + rest.measures[name] for name, count in sums.items()}
    assert sums == {name: report.totals[name] for name in ADDITIVE}
