"""The summary in Markdown."""

from __future__ import annotations

import io

from mapprobe.report.budget import Checked
from mapprobe.report.markdown import write
from support.budgets import ABSURD, NOBODY, NOTHING, ONE_MIB, TOGETHER, WITHIN, checked


def lines(of: Checked) -> list[str]:
    out = io.StringIO()
    write(of, out)
    return out.getvalue().splitlines()


def test_the_head_says_whether_the_budget_is_kept() -> None:
    assert lines(checked(WITHIN))[0] == "### mapprobe check: within the budget"
    assert lines(checked(WITHIN, NOTHING))[0] == "### mapprobe check: over the budget"


def test_each_limit_is_a_row() -> None:
    text = lines(checked(WITHIN, NOTHING, NOBODY))
    assert "| ✅ | `everything` | at most 1.0 TiB retained | 0 of 3 call sites over it |" in text
    assert any(line.startswith("| ❌ | `each site` |") for line in text)
    assert any(line.startswith("| ⚪ | `absent` |") for line in text)


def test_a_limit_that_unknown_maps_may_be_over_is_not_known() -> None:
    head, *rest = lines(checked(ONE_MIB, unknown=None))
    assert head == "### mapprobe check: within the budget by the known figures"
    assert any(line.startswith("| ⚪ | `one MiB` | at most 1.0 MiB retained | not known: ") for line in rest)


def test_each_call_site_over_a_limit_is_a_row() -> None:
    assert sum("`main.site" in line for line in lines(checked(NOTHING))) == 3


def test_a_sum_over_a_limit_is_followed_by_its_parts() -> None:
    rows = [line for line in lines(checked(TOGETHER)) if line.startswith("| ") and "KiB |" in line]
    assert "`3 call sites together`" in rows[0]
    assert len(rows) == 4


def test_every_row_has_as_many_cells_as_its_head() -> None:
    text = lines(checked(NOTHING, function=ABSURD))
    rows = [line.replace("\\|", "") for line in text if line.startswith("|")]
    assert {line.count("|") for line in rows} == {5}


def test_rows_that_are_not_exact_say_so() -> None:
    assert any("2 maps are not exact" in line for line in lines(checked(WITHIN, inexact=2)))
