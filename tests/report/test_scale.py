"""A million maps and 100,000 call sites: every report in bounded time and size, and with the same totals."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mapprobe import schema
from mapprobe.budget import Limit, judge
from mapprobe.comparison import compare, site_charges
from mapprobe.patterns import pattern
from mapprobe.replay import Replayed
from mapprobe.report import budget as budget_report
from mapprobe.report import diff as diff_report
from mapprobe.report import folded, junit, pprof, speedscope
from mapprobe.report.profile import profile_of
from mapprobe.report.table import MOST_ROWS, Report, chosen, limited, write, write_csv, write_json, write_parquet
from mapprobe.retention import GROUPINGS, aggregate, estimated, totals
from mapprobe.schema import View
from mapprobe.selection import Choice, select
from mapprobe.sites import Sites, resolve
from profiles import ABOUT
from recordings import TYPES, table_of

MAPS, SITES = 1_000_000, 100_000
BUDGET_S = 100
"""Most seconds for one report; the shared machine that tests run on is slow, and busy."""
MOST_BYTES = 100 << 20
VALUES = {"slots": 16, "dead_slots": 16, "buckets": 2, "retained_buckets": 2}


@pytest.fixture(scope="module")
def tables() -> dict[str, pa.Table]:
    """Give the stacks and frames of so many call sites, each called from a function of its own."""
    number = np.arange(SITES)
    pcs = [[]] + [[n, SITES + n % 1000 + 1, 2 * SITES + 1] for n in range(1, SITES)]
    stacks = pa.table({"stack_id": pa.array(number, pa.uint32()), "pcs": pa.array(pcs, pa.list_(pa.uint64()))})
    names = {n: f"example.com/shop/part{n % 100}.(*Cache).Store{n}" for n in range(1, SITES)}
    names |= {SITES + n: f"main.caller{n}" for n in range(1, 1001)} | {2 * SITES + 1: "main.main"}
    frames = {
        "pc": list(names),
        "depth": [0] * len(names),
        "function": list(names.values()),
        "file": ["/src/example.com/shop/cache.go"] * len(names),
        "line": [n % 900 for n in names],
        "inlined": [False] * len(names),
    }
    return {"stacks": stacks, "frames": pa.table(frames, schema=schema.FRAMES.schema), "types": TYPES}


@pytest.fixture(scope="module")
def sites(tables: dict[str, pa.Table]) -> Sites:
    return resolve(tables["stacks"], tables["frames"])


@pytest.fixture(scope="module")
def replayed() -> Replayed:
    """Give what a replay of a million maps, each made, filled and drained by one of the stacks, comes to."""
    number = np.arange(MAPS)
    stack = number % (SITES - 1) + 1
    retained = 144 + number * 7919 % 100_003
    held = {name: np.full(MAPS, count) for name, count in VALUES.items()}
    held |= {"live_slots": number * 0, "virgin_slots": number * 0, "needed_bytes": number * 0}
    held |= {"allocated_bytes": retained, "retained_bytes": retained}
    done = dict.fromkeys([column.name for column in schema.OPERATIONS], np.ones(MAPS, np.int64))
    about = {"map_id": number, "map_addr": 0xC000000000 + 48 * number, "type_id": number % len(TYPES)}
    about |= {"generation": number * 0 + 1, "created_by": stack, "created_ns": number, "last_ns": number}
    plain = {
        "state": ["alive"] * MAPS,
        "inexact": number * 0,
        "estimated": [False] * MAPS,
        schema.PEAK.name: number * 0,
    }
    charges = {"map_id": np.tile(number, 3), "view": np.repeat(np.arange(3), MAPS), "stack_id": np.tile(stack, 3)}
    charges |= {name: np.tile(count, 3) for name, count in held.items()} | {"never_used_slots": np.zeros(3 * MAPS, int)}
    by_stack = {name: np.bincount(stack, minlength=SITES) for name in ("maps", *done)}
    by_stack |= {"stack_id": np.arange(SITES), schema.PEAK.name: np.zeros(SITES, int)}
    return Replayed(
        of_columns(schema.MAPS, about | plain | done | held),
        of_columns(schema.CHARGES, charges),
        of_columns(schema.STACK_OPERATIONS, by_stack),
        table_of(schema.PEAKS, [{"group": "total"}]),
    )


def of_columns(table: schema.Table, columns: dict[str, Any]) -> pa.Table:
    return pa.table([pa.array(columns[c.name], c.type) for c in table.columns], schema=table.schema)


def bounded(write: Callable[[Any], None], out: Any) -> Any:
    """Write a report, and hold it to what it may take."""
    begun = time.monotonic()
    write(out)
    assert time.monotonic() - begun < BUDGET_S
    assert len(out.getvalue()) < MOST_BYTES
    return out.getvalue()


@pytest.fixture(scope="module", params=GROUPINGS)
def report(request: pytest.FixtureRequest, replayed: Replayed, sites: Sites) -> Report:
    begun = time.monotonic()
    rows = aggregate(replayed, TYPES, sites, "swiss", request.param, View.FILL)
    assert time.monotonic() - begun < BUDGET_S
    return Report(ABOUT, request.param, "fill", totals(replayed), rows, {}, {}, estimated(replayed))


def test_the_table_is_short(report: Report) -> None:
    text = bounded(lambda out: write(report, out, 20), io.StringIO())
    assert len(text.splitlines()) < 30
    assert ("other (" in text) == (report.by != "type")


def test_json_is_bounded_and_says_so(report: Report) -> None:
    text = bounded(lambda out: write_json(limited(report, MOST_ROWS), out), io.StringIO())
    assert ('"other": {\n  "rows": 900000,' in text) == (report.by == "map")


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_csv_and_parquet_are_bounded(report: Report, write: Callable[[Report, Any], None]) -> None:
    bounded(lambda out: write(limited(report, MOST_ROWS), out), io.BytesIO())


def test_rows_of_a_package_are_found(report: Report, replayed: Replayed, sites: Sites) -> None:
    begun = time.monotonic()
    choice = Choice(packages=(pattern("shop/part7$"),))
    part = chosen(report, select(report.rows, report.by, replayed, TYPES, sites, choice))
    assert time.monotonic() - begun < BUDGET_S
    assert 0 < len(part.rows) <= len(report.rows)


def test_profiles_are_bounded_and_say_so(replayed: Replayed, tables: dict[str, pa.Table]) -> None:
    begun = time.monotonic()
    profile = profile_of(ABOUT, replayed, tables, View.FILL)
    assert time.monotonic() - begun < BUDGET_S
    assert profile.values.sum(axis=0)[0] == totals(replayed)["retained_bytes"]
    assert profile.left_out > 0
    bounded(lambda out: pprof.write(profile, out), io.BytesIO())
    for form in (folded, speedscope):
        assert "(other: " in bounded(lambda out, form=form: form.write(profile, out), io.StringIO())


def test_a_difference_is_bounded(replayed: Replayed, sites: Sites) -> None:
    begun = time.monotonic()
    charges = site_charges(replayed, TYPES, sites, View.FILL)
    rows = compare(charges.slice(0, 0), charges, is_same_build=False)
    report = Report(ABOUT, "type", "fill", totals(replayed), rows, {}, {}, estimated(replayed))
    difference = diff_report.Difference(report, report, rows)
    assert len(diff_report.document(difference)["rows"]) == diff_report.MOST_ROWS
    text = bounded(lambda out: diff_report.write(difference, out), io.StringIO())
    assert time.monotonic() - begun < BUDGET_S
    assert len(text.splitlines()) < 40


def test_a_budget_is_bounded(replayed: Replayed, sites: Sites) -> None:
    rows = aggregate(replayed, TYPES, sites, "swiss", "site", View.FILL)
    report = Report(ABOUT, "site", "fill", totals(replayed), rows, {}, {}, estimated(replayed))
    checked = budget_report.Checked(report, [judge(Limit("none", max_retained_bytes=0), rows)])
    text = bounded(lambda out: junit.write(checked, out), io.BytesIO())
    assert text.count(b"<testcase") == 101
