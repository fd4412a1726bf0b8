"""The result of a budget check, as text and as JSON."""

from __future__ import annotations

import io
import json
import re

import pytest

from mapprobe.analysis.budget import MOST_OVER, Over, Verdict
from mapprobe.report.budget import Checked, document, write
from mapprobe.units import human_bytes
from support.budgets import NOBODY, NOTHING, ONE_MIB, TOGETHER, WITHIN, checked


def shown(of: Checked) -> str:
    out = io.StringIO()
    write(of, out)
    return out.getvalue()


def test_a_limit_that_is_kept_is_ok() -> None:
    assert "ok   everything (at most 1.0 TiB retained): 0 of 3 call sites over it\n" in shown(checked(WITHIN))


def test_each_call_site_over_a_limit_is_named() -> None:
    text = shown(checked(NOTHING))
    assert "OVER each site (at most 0 B retained, at most 25 % of allocated bytes): 3 of 3" in text
    assert sorted(re.findall(r"^     (main\.site\d) site\.go:7: ", text, re.MULTILINE)) == [
        "main.site1", "main.site2", "main.site3",
    ]  # fmt: skip


def test_a_sum_over_a_limit_names_its_parts() -> None:
    of = checked(TOGETHER)
    text = shown(of)
    assert f"3 call sites together: {human_bytes(of.report.totals['retained_bytes'])} retained" in text
    assert text.count("main.site") == 3


def test_a_limit_for_nobody_says_so() -> None:
    assert "ok   absent (at most 0 B retained): no call site matches" in shown(checked(NOBODY))


def test_rows_that_are_not_exact_say_so() -> None:
    assert "2 maps are not exact" in shown(checked(WITHIN, inexact=2))


def test_of_very_many_the_rest_is_counted() -> None:
    over = [Over("f", "f.go", n, 9, 9, ("max_retained",)) for n in range(MOST_OVER)]
    of = Checked(checked().report, [Verdict(NOTHING, 1000, over, 1000, [])])
    assert f"and {1000 - MOST_OVER} more" in shown(of)


def test_it_is_within_if_every_limit_is_kept() -> None:
    assert (checked(WITHIN, NOBODY).is_within, checked(WITHIN, NOTHING).is_within) == (True, False)


def test_the_complaint_names_the_worst() -> None:
    of = checked(WITHIN, NOTHING)
    worst = human_bytes(max(of.report.rows["retained_bytes"].to_pylist()))
    assert of.complaint.startswith("1 of 2 limits exceeded: each site: main.site")
    assert of.complaint.endswith(f" retains {worst}")


def test_the_document_says_all_of_it() -> None:
    of = json.loads(json.dumps(document(checked(NOTHING, TOGETHER))))
    each, together = of["limits"]
    assert (of["schema"], of["within"], of["view"]) == ("mapprobe.check/1", False, "fill")
    assert (each["held"], each["over_count"], len(each["over"])) == (3, 3, 3)
    assert sum(over["retained_bytes"] for over in each["over"]) == together["over"][0]["retained_bytes"]
    assert together["over"][0]["breached"] == ["max_retained"]


def test_a_limit_that_unknown_maps_may_be_over_is_not_known() -> None:
    of = checked(ONE_MIB, WITHIN, unknown=10 * ONE_MIB.max_retained_bytes)
    text = shown(of)
    assert "?    one MiB (at most 1.0 MiB retained): not known: within it by the known figures" in text
    assert "ok   everything" in text
    assert (of.is_within, of.is_known) == (True, False)


@pytest.mark.parametrize("unknown", [10 << 20, None])
def test_the_document_says_what_is_not_known(unknown: int | None) -> None:
    of = json.loads(json.dumps(document(checked(ONE_MIB, unknown=unknown))))
    known = of["bounds"]["retained_bytes"][0]
    assert of["bounds"]["retained_bytes"][1] == (None if unknown is None else known + unknown)
    assert of["unknown"] == {"maps": 1, "most_allocated_bytes": unknown, "most_retained_bytes": unknown}
    assert ([limit["known"] for limit in of["limits"]], of["within"]) == ([False], True)


def test_where_all_is_known_the_document_says_so() -> None:
    of = document(checked(WITHIN))
    assert not of.keys() & {"bounds", "unknown"}
    assert [limit["known"] for limit in of["limits"]] == [True]
