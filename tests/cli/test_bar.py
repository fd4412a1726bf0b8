"""A bar is shown on a terminal, of what takes long, and nowhere else."""

from __future__ import annotations

import os
import pty
import sys
from collections.abc import Callable

import pytest

from mapprobe.cli import options


def shown(monkeypatch: pytest.MonkeyPatch, work: Callable[[Callable[[int], None]], None]) -> bytes:
    """Return what stands on a terminal after some work."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        with options.bar(10, "reading") as advance:
            work(advance)
        terminal.write("end")
    found = os.read(ours, 1 << 16)
    os.close(ours)
    return found


def some_work(advance: Callable[[int], None]) -> None:
    for _ in range(10):
        advance(1)


def test_what_takes_long_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "PATIENCE_SECONDS", 0.0)

    assert b"reading" in shown(monkeypatch, some_work)


def test_what_is_done_soon_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, some_work) == b"end"


def test_a_pipe_has_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(options, "PATIENCE_SECONDS", 0.0)
    with options.bar(10, "reading") as advance:
        some_work(advance)

    assert capsys.readouterr() == ("", "")
