"""A kernel without links, or that drops the hits of other threads, is detected before any point is attached."""

from __future__ import annotations

import pytest

from mapprobe.capture.kernel import links
from mapprobe.capture.kernel.trap import PUSH_OFFSET, loop_to_probe
from support.waiting import wait_until

NO_PROGRAM = (1 << 31) - 1


def test_the_loop_has_its_instruction_where_it_says() -> None:
    with loop_to_probe() as trap:
        with open(trap.path, "rb") as code:
            assert code.read()[PUSH_OFFSET] == 0x55  # push rbp
        trap.run(3)


def test_a_kernel_that_refuses_links_has_none() -> None:
    assert not links.sees_every_thread(NO_PROGRAM, lambda: True)


@pytest.mark.parametrize("arrives", [True, False])
def test_a_hit_of_another_thread_must_arrive(arrives: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = list[int]()
    monkeypatch.setattr(links, "link_uprobe", lambda *_: 1000)
    monkeypatch.setattr(links.os, "close", lambda link: closed.append(link))

    assert links.sees_every_thread(0, lambda: arrives) is arrives
    wait_until(lambda: 1000 in closed)
