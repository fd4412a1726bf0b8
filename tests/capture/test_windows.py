"""What a recording attaches, lets send and takes out, and what it does about prices that can't be taken again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mapprobe.capture import windows
from mapprobe.capture.windows import PRICE_SECONDS, Windows
from mapprobe.errors import HostError
from mapprobe.vocabulary import EventKind


class Probe:
    """A probe without a point, in a process that has no descriptor left."""

    points: tuple[()] = ()

    def measure(self, *, wanted: bool) -> None:
        raise HostError("the kernel does not measure BPF programs", "use Linux 5.8 or later")

    def empty_probe(self, _path: str, _offset: int) -> None: ...


class Meter:
    cpus = 1.0
    withheld_ns = 0.0

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
    monkeypatch.setattr(Windows, "_set_level", lambda *_: None)
    made: Any = Windows
    held = made(Probe(), Meter(), None, 0.02, list, print)
    held._priced_at -= PRICE_SECONDS + 1

    assert held.govern() is False


class Kernel:
    """Stands for `Probe`: three points that cost 1 us a hit, growth first; notes what it is told."""

    points = tuple(SimpleNamespace(kind=kind) for kind in (EventKind.GROW, EventKind.CREATE, EventKind.ASSIGN))

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.counts = np.zeros((2, 3), np.int64)
        self.spent: int | None = None
        self.left = 0

    def measure(self, *, wanted: bool) -> None: ...

    def attach(self, numbers: Any) -> int:
        self.told.append(("attach", *numbers))
        return 0

    def detach(self, numbers: Any) -> int:
        self.told.append(("detach", *numbers))
        return 0

    def admit(self, kinds: set[int], hits: int) -> int:
        self.told.append(("admit", *sorted(kinds)))
        self.spent, self.left = None, hits
        return windows._now_ns()

    def shut(self, numbers: Any, at_ns: int) -> None: ...

    def open(self, numbers: Any, at_ns: int) -> None: ...

    def spent_ns(self) -> int | None:
        return self.spent

    def hits(self) -> np.ndarray:
        return self.counts


class Price:
    """Stands for `Meter`."""

    cpus, price_ns, withheld_ns, cpu_ns = 1.0, 1000.0, 500.0, 0

    def is_sampled(self) -> bool:
        return False

    def costs_ns(self, hits: np.ndarray, withheld: np.ndarray) -> np.ndarray:
        return (hits - withheld) * self.price_ns + withheld * self.withheld_ns


@pytest.fixture
def begun() -> tuple[Any, Kernel, list[dict[str, list[int]]]]:
    """Give windows that began a second and 10 CPU seconds ago, their kernel, and the gaps they write."""
    made: Any = Windows
    gaps = list[dict[str, list[int]]]()
    kernel, writer = Kernel(), SimpleNamespace(append=lambda _, columns: gaps.append(columns))
    price = Price()
    held = made(kernel, price, writer, 0.02, list, print)
    held.begin()
    held._started -= 1
    price.cpu_ns = 10_000_000_000
    kernel.counts[0] = [10, 10, 400_000]
    return held, kernel, gaps


def test_what_is_attached_sends_nothing_before_all_is_attached(begun: Any) -> None:
    _, kernel, _ = begun

    assert kernel.told[:2] == [("attach", 0, 1, 2), ("admit", EventKind.ASSIGN, EventKind.CREATE, EventKind.GROW)]


def test_what_is_shed_sends_nothing_before_it_is_detached(begun: Any) -> None:
    held, kernel, _ = begun
    kernel.spent = windows._now_ns()
    kernel.told.clear()
    held.govern()

    assert kernel.told == [("admit",), ("detach", 2), ("admit", EventKind.CREATE, EventKind.GROW)]
    assert not held.is_open


def test_a_gap_begins_where_the_budget_ends_and_ends_where_hits_are_sent_again(begun: Any) -> None:
    held, kernel, gaps = begun
    spent = kernel.spent = windows._now_ns()
    assert not held.is_open
    assert held.is_spent
    held.govern()
    again = windows._now_ns()

    (kept,) = gaps
    assert (kept["point"], kept["from_ns"]) == ([0, 1], [spent, spent])
    assert all(spent < until <= again for until in kept["to_ns"])
    held.end()
    assert (gaps[1]["point"], gaps[1]["from_ns"]) == ([2], [spent])


def test_without_a_limit_the_kernel_is_told_nothing() -> None:
    made: Any = Windows
    kernel = Kernel()
    made(kernel, Price(), None, None, list, print).begin()

    assert kernel.told == [("attach", 0, 1, 2)]
