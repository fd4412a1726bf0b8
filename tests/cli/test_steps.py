"""Steps and bars are shown on a terminal, and nowhere else."""

from __future__ import annotations

import os
import pty
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

import pytest
from rich.file_proxy import FileProxy

from mapprobe.cli import steps
from mapprobe.cli.options import MANY_EVENTS, progress, tell


@contextmanager
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], bytes]]:
    """Let stderr be a terminal; give what reads all that was written to it until now."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")

        def read() -> bytes:
            terminal.write("end")
            terminal.flush()
            found = b""
            while not found.endswith(b"end"):
                found += os.read(ours, 1 << 16)
            return found

        yield read
    os.close(ours)


def shown(monkeypatch: pytest.MonkeyPatch, work: Callable[[Callable[[int], None]], None]) -> bytes:
    """Return what stands on a terminal after some work."""
    with on_a_terminal(monkeypatch) as read:
        with steps.bar(10, "reading") as advance:
            work(advance)
        return read()


def some_work(advance: Callable[[int], None]) -> None:
    for _ in range(10):
        advance(1)


def test_what_takes_long_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "PATIENCE_SECONDS", 0.0)

    assert b"reading" in shown(monkeypatch, some_work)


def test_what_is_done_soon_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, some_work) == b"end"


def test_a_pipe_has_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(steps, "PATIENCE_SECONDS", 0.0)
    with steps.bar(10, "reading") as advance:
        some_work(advance)

    assert capsys.readouterr() == ("", "")


def test_what_is_slow_to_begin_has_a_bar_too(
    monkeypatch: pytest.MonkeyPatch, wait_until: Callable[..., object]
) -> None:
    monkeypatch.setattr(steps, "PATIENCE_SECONDS", 0.0)

    def work(_: Callable[[int], None]) -> None:
        wait_until(lambda: isinstance(sys.stderr, FileProxy))  # a bar that is shown takes what is written to stderr

    assert b"reading" in shown(monkeypatch, work)


Steps = Callable[[str], AbstractContextManager[steps.Step]]
BOTH = pytest.mark.parametrize("shows", [steps.steps, steps.steps_at_once])


@BOTH
def test_each_step_is_shown_at_once(shows: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_terminal(monkeypatch) as read:
        with shows("opening") as step:
            step("recording", "12 events")
            tell("something happened")
            step("recording", "[bold]13 events")
        found = read()

    assert [word for word in (b"opening", b"12 events", b"[bold]13 events") if word not in found] == []
    assert b"mapprobe: something happened" in found
    assert found.endswith(b"\x1b[2Kend")  # the line is taken away


def test_the_first_step_shows_before_what_draws_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    draws = steps.steps
    monkeypatch.setattr(steps, "steps", lambda first: loaded.append(first) or draws(first))
    with on_a_terminal(monkeypatch) as read:
        with steps.steps_at_once("opening") as step:
            assert (read(), loaded) == (b"openingend", [])
            tell("found it")
            assert read() == b"\r\x1b[Kmapprobe: found it\r\nopeningend"
            step("recording", "")
            found = read()
            assert found.startswith(b"\r\x1b[K")
            assert b"recording" in found
        assert loaded == ["opening"]


def test_a_first_step_that_is_the_only_one_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_terminal(monkeypatch) as read:
        with steps.steps_at_once("opening"):
            pass
        assert read() == b"opening\r\x1b[Kend"


@BOTH
def test_a_step_without_a_name_leaves_the_terminal_alone(shows: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_terminal(monkeypatch) as read, shows("opening") as step:
        read()
        step("", "")
        read()
        step("", "")
        assert read() == b"end"
        step("reading", "")
        assert b"reading" in read()


@contextmanager
def on_a_terminal_that_goes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Let stderr be a terminal; give what closes it."""
    monkeypatch.setattr(steps, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    terminal = os.fdopen(theirs, "w")
    monkeypatch.setattr(sys, "stderr", terminal)
    yield lambda: os.close(ours)
    with suppress(OSError):
        terminal.close()


@BOTH
def test_steps_go_on_without_their_terminal(shows: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_terminal_that_goes(monkeypatch) as close, shows("opening") as step:
        close()
        for what in ("recording", "recording", "", "reading"):
            step(what, "12 events")
            tell("nobody reads this")


def test_a_bar_goes_on_without_its_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_terminal_that_goes(monkeypatch) as close, steps.bar(10, "reading") as advance:
        advance(1)
        close()
        some_work(advance)


def test_what_goes_wrong_in_a_step_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_terminal(monkeypatch), pytest.raises(OSError, match="the disk"), steps.steps("opening"):
        raise OSError("the disk")


@pytest.mark.parametrize("events", [MANY_EVENTS - 1, MANY_EVENTS])
def test_a_long_replay_writes_one_line_to_a_pipe(events: int, capsys: pytest.CaptureFixture[str]) -> None:
    with progress(events, "replaying") as advance:
        some_work(advance)

    told = [f"mapprobe: replaying {events:,} events"] if events == MANY_EVENTS else []
    assert [line for line in capsys.readouterr().err.splitlines() if "compiling" not in line] == told


@pytest.mark.parametrize("terminal", ["pipe", "dumb"])
def test_steps_are_not_shown_elsewhere(
    terminal: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if terminal == "dumb":
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        monkeypatch.setenv("TERM", "dumb")
    with steps.steps("opening") as step:
        step("recording", "12 events")

    assert capsys.readouterr() == ("", "")
