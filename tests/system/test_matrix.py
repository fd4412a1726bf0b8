"""Releases and linkages, live: a part of the table of `make matrix`, small enough for every change."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import agreement, matrix, toolchains, truth
from support.gobuild import Release, link_program, release_id

pytestmark = pytest.mark.system

PLAIN = [(release, "plain", scenario) for release in toolchains.RELEASES for scenario in matrix.scenarios(release)]
LINKED = [
    ((1, 19), "pie"),
    ((1, 21), "unoptimised"),
    ((1, 22), "cgo"),
    ((1, 23), "race"),
    ((1, 24), "noswissmap"),
    ((1, 25), "cgo-pie"),
    ((1, 26), "untrimmed"),
    ((1, 27), "pgo"),
    ((1, 27), "sectionless"),
]
CASES = [*PLAIN, *((*built, scenario) for built in LINKED for scenario in ("interfaces", "sliding"))]


@pytest.mark.parametrize(
    ("release", "linkage", "scenario"),
    [pytest.param(*case, id="-".join((release_id(case[0]), *case[1:]))) for case in CASES],
)
def test_a_recording_says_what_the_program_says(release: Release, linkage: str, scenario: str, tmp_path: Path) -> None:
    binary = link_program(scenario, release, linkage)
    said, recording = agreement.record(binary, truth.arguments(scenario, matrix.OPERATIONS), tmp_path / "recording")
    assert agreement.differences(said, recording) == []
