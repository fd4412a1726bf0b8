"""Damaged binaries and recordings: every outcome is a result or one clear error; nothing hangs, dies or blows up.

A few inputs for each target, the same each time, and all that once were findings. `make fuzz` draws at random, for as
long as it is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from fuzz import corpus
from fuzz.mutations import inputs
from fuzz.outcomes import TARGETS, Input
from fuzz.supervisor import Supervisor

PATIENCE = 60.0
"""Only ends what would never end; a machine may be slow."""
EXAMPLES = {"elf": 50, "pclntab": 40, "types": 50, "code": 40, "recording": 30}
KEPT = corpus.load()


@pytest.fixture(scope="module")
def supervisor() -> Iterator[Supervisor]:
    with Supervisor(PATIENCE) as started:
        yield started


@pytest.mark.parametrize("target", TARGETS)
def test_damage_ends_in_a_result_or_one_error(target: str, supervisor: Supervisor) -> None:
    @settings(
        max_examples=EXAMPLES[target], deadline=None, derandomize=True, phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(inputs(target))
    def judge(drawn: Input) -> None:
        assert supervisor.judge(drawn) == ""

    judge()


@pytest.mark.parametrize("name", KEPT)
def test_what_once_was_a_finding_ends_in_a_result_or_one_error(name: str, supervisor: Supervisor) -> None:
    assert supervisor.judge(KEPT[name]) == ""


def test_a_wrong_answer_of_a_worker_is_reported(supervisor: Supervisor) -> None:
    unknown = {"target": "code", "of": "go1.23", "edits": [["no such part", 0, "00"]]}

    assert re.match(r"it died \(1\): .*KeyError: 'no such part'$", supervisor.judge(unknown).strip(), re.DOTALL)
