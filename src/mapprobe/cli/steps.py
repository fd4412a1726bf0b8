"""A line on the terminal while a command works: the current step, its time, and its progress; or a bar.

The line is erased when the work is done. Nothing is shown if stderr is no terminal. Work continues if the terminal is
closed.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn

PATIENCE_SECONDS = 1.0
"""Work that takes less time than this shows no bar."""
REDRAWN_PER_SECOND = 4

Step = Callable[[str, str], None]
"""Takes the name of the step, and words for its progress."""

ERASE_LINE = "\r\x1b[K"

_consoles: list[Console] = []
"""The console of the line or bar that is shown; empty while none is shown."""
_words: list[str] = []
"""The line that is shown before there is a console; empty while none is shown."""


def is_terminal() -> bool:
    """True if stderr is a terminal on which a line can be erased."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def say_above(line: str) -> None:
    """Write a line to stderr, above the step or bar that is shown there."""
    if _consoles:
        _consoles[-1].print(line, markup=False, highlight=False, soft_wrap=True)
    else:
        print(f"{ERASE_LINE}{line}" if _words else line, file=sys.stderr, flush=True)
        _write(*_words)


@contextmanager
def steps(first: str) -> Iterator[Step]:
    """Show each step from its beginning on, the first at once; a step without a name erases the line."""
    if not is_terminal():
        yield lambda what, about: None
        return
    from rich.progress import TextColumn, TimeElapsedColumn

    about = TextColumn("{task.fields[about]}", markup=False)
    with _progress(TextColumn("{task.description}", markup=False), TimeElapsedColumn(), about) as shown:
        task = shown.add_task(first, total=None, about="")

        def step(what: str, about: str) -> None:
            with suppress(OSError):
                if not what:
                    shown.stop()
                    return
                if what == shown.tasks[0].description:
                    shown.update(task, about=about)
                else:
                    shown.reset(task, description=what, about=about)
                shown.start()

        with suppress(OSError):
            shown.start()
        yield step


@contextmanager
def steps_at_once(first: str) -> Iterator[Step]:
    """Do what `steps` does, but show the first step before rich, which draws the others, is loaded."""
    if not is_terminal():
        yield lambda what, about: None
        return
    with ExitStack() as stack:
        drawn: list[Step] = []

        def step(what: str, about: str) -> None:
            if not drawn:
                _take_words_away()
                drawn.append(stack.enter_context(steps(first)))
            drawn[0](what, about)

        _words.append(first)
        _write(first)
        stack.callback(_take_words_away)
        yield step


def _take_words_away() -> None:
    if _words:
        _words.clear()
        _write(ERASE_LINE)


def _write(*texts: str) -> None:
    with suppress(OSError):
        for text in texts:
            print(text, end="", file=sys.stderr, flush=True)


@contextmanager
def bar(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Show a bar if the work takes longer than a second; yield a function that takes the amount of work just done."""
    if not is_terminal():
        yield lambda _: None
        return
    with _progress() as shown:
        task, due = shown.add_task(what, total=total), time.monotonic() + PATIENCE_SECONDS
        turn, over = threading.Lock(), threading.Event()

        def show() -> None:
            with turn, suppress(OSError):
                if not over.is_set():
                    shown.start()

        def advance(done: int) -> None:
            shown.advance(task, done)
            if time.monotonic() > due:
                show()

        clock = threading.Timer(PATIENCE_SECONDS, show)  # the first part of the work may itself take long
        clock.daemon = True
        clock.start()
        try:
            yield advance
        finally:
            clock.cancel()
            with turn:
                over.set()


@contextmanager
def _progress(*columns: ProgressColumn) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import Progress

    # a file of its own: if something redirects stderr for a while, the drawing still goes to the terminal
    terminal = open(os.dup(sys.stderr.fileno()), "w", encoding="utf-8")  # noqa: SIM115
    console = Console(file=terminal)
    shown = Progress(
        *columns, console=console, transient=True, refresh_per_second=REDRAWN_PER_SECOND, redirect_stdout=False
    )
    _consoles.append(console)
    try:
        yield shown
    finally:
        for undo in (shown.stop, terminal.close):
            with suppress(OSError):
                undo()
        _consoles.pop()
