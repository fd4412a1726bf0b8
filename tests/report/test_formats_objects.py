"""Reports are made of columns: none makes a Python object for each map."""

from __future__ import annotations

import gc
import io
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mapprobe.analysis.comparison import compare, site_charges
from mapprobe.analysis.profile import profile_of
from mapprobe.analysis.report import limited
from mapprobe.analysis.retention import GROUPINGS
from mapprobe.analysis.selection import Choice, pattern, select
from mapprobe.replay.replay import replay
from mapprobe.report.page import html
from mapprobe.report.profiles import perfetto
from mapprobe.report.table import write, write_csv, write_parquet
from mapprobe.vocabulary import View
from support.many import Many, replayed
from support.samples import ABOUT
from support.tables import TYPES

MAPS, SITES = 100_000, 50
MOST = MAPS // 4
"""Objects: those of the few sites, and of whatever else a format is made with."""


@pytest.fixture(scope="module")
def by_few() -> Many:
    """Give a recording of many maps by few call sites."""
    return replayed(MAPS, SITES)


@contextmanager
def counting_objects() -> Iterator[list[int]]:
    """Give the most objects that there were at once beyond those that there were before, once it is over.

    Counted when a function returns, but not more often than every millisecond: to make as many takes longer, and
    counting takes as long as there is memory. Arrays and tables are an object each, whatever they hold.
    """
    gc.collect()  # garbage of before would be freed meanwhile, and the count too low
    before, most, due = sys.getallocatedblocks(), [0], [0.0]

    def count(_frame: object, event: str, _about: object) -> None:
        if event.endswith("return") and time.perf_counter() >= due[0]:
            most[0] = max(most[0], sys.getallocatedblocks() - before)
            due[0] = time.perf_counter() + 0.001

    sys.setprofile(count)
    try:
        yield most
    finally:
        sys.setprofile(None)


def test_objects_are_counted() -> None:
    with counting_objects() as most:
        sum(list(map(float, range(MAPS))))

    assert MAPS <= most[0] < MAPS + 1000


@pytest.mark.parametrize("by", GROUPINGS)
def test_a_report_makes_no_object_for_each_map(by_few: Many, by: str) -> None:
    choice = Choice(packages=(pattern("shop/part7$"),))
    with counting_objects() as most:
        found = by_few.report(by)
        write(found, io.StringIO(), 20)
        for form in (write_csv, write_parquet):
            form(limited(found, 20), io.BytesIO())
        select(found.rows, by, by_few.replayed, TYPES, by_few.inputs.sites, choice)

    assert most[0] < MOST


def _draw(many: Many) -> None:
    seen = many.overview()
    html.write(seen, io.BytesIO())
    perfetto.write(seen, io.BytesIO())


def test_what_is_held_over_time_makes_no_object_for_each_map(by_few: Many) -> None:
    _draw(replayed(SITES, SITES))  # The first time compiles and imports, with objects of their own.

    with counting_objects() as most:
        _draw(by_few)

    assert most[0] < MOST


def test_profiles_and_differences_make_no_object_for_each_map(by_few: Many) -> None:
    with counting_objects() as most:
        profile_of(ABOUT, by_few.replayed, by_few.recording.tables(), by_few.inputs.sites, View.FILL)
        charges = site_charges(by_few.replayed, TYPES, by_few.inputs.sites, View.FILL)
        compare(charges, charges, is_same_build=True)

    assert most[0] < MOST


def test_a_replay_makes_no_object_for_each_map(by_few: Many) -> None:
    with counting_objects() as most:
        replay(by_few.recording.batches(), by_few.inputs)

    assert most[0] < MOST
