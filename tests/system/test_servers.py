"""Two servers by others under load, live: classic maps and Swiss ones (`make servers` has more of them, for longer).

The report of a recording is held against a census of the process, which stands still since the last read.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from servers.programs import SERVERS
from servers.run import Plan, Recorded, tried

# a server under full load leaves little of two cores to those who count and replay
pytestmark = [pytest.mark.system, pytest.mark.alone, pytest.mark.timeout(900)]

PLAN = Plan(censuses=3, recordings=1, seconds=4.0)


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a server: how censuses of it failed, and its recording."""

    failed: list[str]
    recorded: Recorded


@pytest.fixture(scope="module", params=["nats", "caddy 2.9.1"])
def server(request: pytest.FixtureRequest) -> Tried:
    failed, recorded = tried(SERVERS[request.param], PLAN)
    assert isinstance(failed, list)
    assert isinstance(recorded, Recorded)
    return Tried(failed, recorded)


def test_a_census_of_a_server_under_load_is_taken(server: Tried) -> None:
    assert server.failed == []


def test_a_server_under_load_is_recorded(server: Tried) -> None:
    assert server.recorded.failed == ""
    assert server.recorded.lacks == []
    assert server.recorded.asked > 0
    assert server.recorded.events > 0


def test_the_report_is_true_of_the_server_as_it_stood(server: Tried) -> None:
    held = server.recorded.held

    assert held is not None
    assert held.wrong == []
    assert held.equal > 100


def test_the_parts_of_its_memory_add_up_and_none_is_negative(server: Tried) -> None:
    assert server.recorded.parts
    assert server.recorded.contradictions == []
