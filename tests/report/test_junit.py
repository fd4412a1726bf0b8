"""JUnit XML, as a parser of it reads it."""

from __future__ import annotations

import io

import pytest
from junitparser import Failure, JUnitXml, Skipped

from mapprobe.analysis.budget import MOST_OVER, Over, Verdict
from mapprobe.report.budget import Checked
from mapprobe.report.junit import write
from support.budgets import ABSURD, NOBODY, NOTHING, ONE_MIB, TOGETHER, WITHIN, checked


def parsed(of: Checked) -> JUnitXml:
    out = io.BytesIO()
    write(of, out)
    return JUnitXml.fromstring(out.getvalue())


def results(of: Checked) -> list[tuple[str, list[type]]]:
    return [(case.name, [type(result) for result in case.result]) for suite in parsed(of) for case in suite]


def test_there_is_a_suite_for_each_limit() -> None:
    assert [suite.name for suite in parsed(checked(WITHIN, NOTHING))] == ["everything", "each site"]


def test_a_limit_that_is_kept_is_a_case_that_passed() -> None:
    assert results(checked(WITHIN)) == [("everything", [])]


def test_each_call_site_over_a_limit_is_a_case_that_failed() -> None:
    found = results(checked(NOTHING))
    assert sorted(found) == [(f"main.site{n} site.go:7", [Failure]) for n in (1, 2, 3)]


def test_a_limit_for_nobody_is_a_case_that_was_skipped() -> None:
    assert results(checked(NOBODY)) == [("absent", [Skipped])]


def test_a_limit_that_unknown_maps_may_be_over_is_a_case_that_was_skipped() -> None:
    ((case,),) = parsed(checked(ONE_MIB, unknown=None))
    (skipped,) = case.result
    assert skipped.message.startswith("not known: ")


def test_counts_are_those_of_the_cases() -> None:
    xml = parsed(checked(WITHIN, NOTHING, NOBODY))
    counted = (xml.tests, xml.failures, xml.skipped)
    xml.update_statistics()
    assert counted == (xml.tests, xml.failures, xml.skipped) == (5, 3, 1)


def test_a_failure_says_how_much_and_what_is_allowed() -> None:
    ((case,),) = parsed(checked(TOGETHER))
    (failure,) = case.result
    assert "retained of" in failure.message
    assert failure.type == "max_retained"
    assert "main.site1 site.go:7" in failure.text
    assert failure.text.endswith("the limit is at most 1 B retained")


def test_the_rest_of_very_many_is_one_case() -> None:
    over = [Over("f", "f.go", n, 9, 9, ("max_retained",)) for n in range(MOST_OVER)]
    found = results(Checked(checked().report, [Verdict(NOTHING, 1000, over, 1000, [])]))
    assert (len(found), found[-1]) == (MOST_OVER + 1, ("(other call sites)", [Failure]))


@pytest.mark.parametrize("name", [ABSURD, "main.F]]>", "main.\ud7ff\ufffe"])
def test_absurd_names_are_written(name: str) -> None:
    assert len(results(checked(NOTHING, function=name))) == 3
