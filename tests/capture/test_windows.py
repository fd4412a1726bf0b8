"""A recording goes on if the price of a hit can't be measured again."""

from __future__ import annotations

from typing import Any

import pytest

from mapprobe.capture import windows
from mapprobe.capture.windows import PRICE_SECONDS, Windows
from mapprobe.errors import HostError


class Probe:
    """A probe without a point, in a process that has no descriptor left."""

    points: tuple[()] = ()

    def measure(self, *, wanted: bool) -> None:
        raise HostError("the kernel does not measure BPF programs", "use Linux 5.8 or later")

    def empty_probe(self, _path: str, _offset: int) -> None: ...


class Meter:
    def is_sampled(self) -> bool:
        return True

    def price_again(self, _hit_ns: float) -> None:
        raise AssertionError("there is no new price")


@pytest.mark.parametrize("error", [HostError("what a hit costs", "unknown"), OSError(24, "Too many open files")])
def test_the_old_price_holds_where_it_cannot_be_taken_again(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> float:
        raise error

    monkeypatch.setattr(windows, "calibrate", fail)
    monkeypatch.setattr(Windows, "_choose", lambda *_: 0)
    made: Any = Windows
    held = made(Probe(), Meter(), None, 0.02, list, print)
    held._priced_at -= PRICE_SECONDS + 1

    assert held.govern() is False
