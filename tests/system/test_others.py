"""A program by others, live: Go's compiler at work, one of the programs that `make others` records."""

from __future__ import annotations

import pytest

from others import run

pytestmark = pytest.mark.system


@pytest.mark.parametrize("name", ["compile strconv, go1.21", "compile strconv, go1.27"])
def test_every_map_of_the_compiler_is_as_replayed(name: str) -> None:
    found = run.outcome(run.PROGRAMS[name])

    assert found.wrong == []
    assert found.lost == 0
    assert found.exact == found.maps > 1000
