"""The budget of hits, which the recorder refills and the kernel spends: no end of it goes by unseen."""

from __future__ import annotations

from typing import Any

import pytest

from mapprobe.capture.kernel.probe import HITS_LEFT, KINDS, SPENT_EARLIER_NS, SPENT_NS, Probe
from mapprobe.vocabulary import EventKind

WHEN = 1 << 62
"""A moment after the test."""


class Session:
    """Stands for the words that the BPF programs share with the recorder; hits come when a test says."""

    def __init__(self) -> None:
        self.words = dict.fromkeys(range(6), bytes(8))
        self.before_update: Any = lambda word: None

    def look_up(self, word: int) -> bytes:
        return self.words[word]

    def update(self, word: int, value: bytes) -> None:
        self.before_update(word)
        self.words[word] = value

    def hit(self, kind: int, now: int) -> bool:
        """Do as `is_withheld` of points.bpf.c does; True if the hit sends."""
        left = int.from_bytes(self.words[HITS_LEFT], "little", signed=True)
        if not int.from_bytes(self.words[KINDS], "little") >> kind & 1:
            return False
        if left > 0:
            self.words[HITS_LEFT] = (left - 1).to_bytes(8, "little", signed=True)
        elif not any(self.words[SPENT_NS]):
            self.words[SPENT_NS] = now.to_bytes(8, "little")
        return left > 0


@pytest.fixture
def probe() -> Any:
    made: Any = Probe.__new__(Probe)
    made._session, made._drained_ns, made._admitted_ns, made._noticed_ns = Session(), 0, 0, 0
    return made


def test_hits_send_until_the_budget_is_spent(probe: Any) -> None:
    probe.admit({EventKind.GROW}, 3)

    assert [probe._session.hit(EventKind.GROW, WHEN + n) for n in range(5)] == [True] * 3 + [False] * 2
    assert probe.spent_ns() == WHEN + 3 - SPENT_EARLIER_NS


def test_points_that_are_not_admitted_send_nothing_and_spend_nothing(probe: Any) -> None:
    probe.admit({EventKind.GROW}, 1)

    assert not probe._session.hit(EventKind.ASSIGN, WHEN)
    assert probe.spent_ns() is None
    assert probe._session.hit(EventKind.GROW, WHEN)


def test_a_budget_that_is_refilled_is_spent_no_more(probe: Any) -> None:
    probe.admit({EventKind.GROW}, 0)
    probe._session.hit(EventKind.GROW, WHEN)
    assert probe.spent_ns() is not None
    probe.admit({EventKind.GROW}, 1)

    assert probe.spent_ns() is None
    assert probe._session.hit(EventKind.GROW, WHEN)


def test_hits_of_points_that_are_being_admitted_do_not_end_the_budget(probe: Any) -> None:
    probe._session.before_update = lambda _: probe._session.hit(EventKind.ASSIGN, WHEN)
    probe.admit({EventKind.ASSIGN}, 5)

    assert probe.spent_ns() is None
    assert probe._session.hit(EventKind.ASSIGN, WHEN)


def test_an_end_of_the_budget_just_before_it_is_refilled_is_seen_later(probe: Any) -> None:
    probe.admit({EventKind.GROW}, 0)
    assert probe.spent_ns() is None
    probe._session.before_update = lambda word: word == HITS_LEFT and probe._session.hit(EventKind.GROW, WHEN)
    probe.admit({EventKind.GROW}, 5)

    assert not probe._session.hit(EventKind.GROW, WHEN + 1)
    assert probe.spent_ns() == WHEN - SPENT_EARLIER_NS
    probe._session.before_update = lambda _: None
    probe.admit({EventKind.GROW}, 5)
    assert probe._session.hit(EventKind.GROW, WHEN + 2)


def test_a_hit_that_was_under_way_while_the_budget_was_refilled_ends_it_not(probe: Any) -> None:
    probe.admit({EventKind.GROW}, 5)
    probe._session.words[SPENT_NS] = WHEN.to_bytes(8, "little")

    assert probe.spent_ns() is None
    probe.admit({EventKind.GROW}, 5)
    assert probe._session.hit(EventKind.GROW, WHEN)


def test_a_gap_does_not_begin_before_what_was_drained_or_admitted(probe: Any) -> None:
    probe.admit({EventKind.GROW}, 0)
    probe._session.hit(EventKind.GROW, 1)

    assert probe.spent_ns() == probe._admitted_ns
    probe._drained_ns = probe._admitted_ns + 1
    assert probe.spent_ns() == probe._drained_ns
