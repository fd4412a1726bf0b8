"""A live session: a target in, a finished recording out.

A session begins in this order, and each step is undone in reverse whatever happens: compiler of the probes, target (a
PID, or a command waiting at its gate), binary, folder, probe points, streams, probes; then the command is let through.
Modules that take long to import are imported after the first line of news.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mapprobe.capture.kernel.loader import Loader
from mapprobe.capture.options import Options
from mapprobe.errors import HostError
from mapprobe.live.process import Command
from mapprobe.recording.owner import FOLDER_MODE, give_to_user

if TYPE_CHECKING:
    from mapprobe.capture.kernel.programs import Programs
    from mapprobe.capture.session import Session
    from mapprobe.live.target import Target

__all__ = ["Options", "record"]

PRIORITY = -15
"""Nice value of the recorder and its child during a recording: ahead of programs at the usual 0, so that the ring is
drained in time, but behind threads that the host runs at -20."""


def record(
    target: int | list[str],
    folder: Path,
    options: Options,
    tell: Callable[[str], None],
    at_end: Callable[[], object] | None = None,
    at_step: Callable[[str, str], object] = lambda what, about: None,
) -> dict[str, object]:
    """Record a running process, or a command from its first instruction on.

    Parameters
    ----------
    target
        A PID, or a command with its arguments.
    tell
        Takes a line of news now and then.
    at_end
        Called once, at the moment of the last read: before the census of the end, while all probes are still attached.
        If `at_end` stops the process (SIGSTOP), the process does not run during the read, and stays stopped.
    at_step
        Called with the step that is being done and how far it is: at each step, and once a second while recording.

    Returns
    -------
    The last row of `schema.SESSION`.

    Raises
    ------
    TargetError, BinaryError, HostError, RecordingError
        If the target, its binary, this host or the folder is not fit for recording.
    """
    with ExitStack() as stack:
        stack.enter_context(_naming_what_lacks())
        loader = stack.enter_context(Loader())
        process = stack.enter_context(_command(target)) if isinstance(target, list) else target
        stack.enter_context(_urgently(loader.pid, tell))  # only now, as a command inherits the priority of this process
        opened = stack.enter_context(_opened(process))
        _make(folder, options)
        tell(f"looking at {opened.path} ({opened.process.pid})")
        at_step("finding probe points", "")
        programs = _planned(opened, options)
        programs.begin(loader)  # it compiles while this process loads what follows, and takes a census
        session = _loaded()(opened, programs, folder, options, tell)
        session.at_end, session.at_step = at_end, at_step
        stack.enter_context(_signals(session.end))
        return session.run(loader)


@contextmanager
def _naming_what_lacks() -> Iterator[None]:
    """Let an error about a missing right name the missing capabilities (`rights`, which is loaded only then)."""
    try:
        yield
    except HostError:
        from mapprobe.capture.rights import naming_what_lacks

        with naming_what_lacks():
            raise
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        raise HostError("too many files are open", "raise the limit with 'ulimit -n 4096'") from None


def _opened(process: int | Command) -> Target:
    from mapprobe.live.target import Target

    return Target(process)


def _planned(target: Target, options: Options) -> Programs:
    from mapprobe.capture.plan import plan_programs

    return plan_programs(target, options)


def _loaded() -> type[Session]:
    from mapprobe.capture.session import Session

    return Session


def _make(folder: Path, options: Options) -> None:
    """Make the folder; if that fails, look whether it may be overwritten.

    Only this look needs the tables of a recording, and pyarrow, which takes longer to load than everything else that
    is loaded before the first line of news.
    """
    with suppress(OSError):
        folder.mkdir(parents=True, mode=FOLDER_MODE)
        give_to_user(folder)
        return
    from mapprobe.recording.folder import create

    create(folder, force=options.force)


def _command(arguments: list[str]) -> Command:
    """Return a command at its gate; raise an error that says what a file is if the file can't be run."""
    if not shutil.which(arguments[0]) and Path(arguments[0]).is_file():
        from mapprobe.go.binary import GoBinary

        with GoBinary.open(arguments[0]):
            pass
    return Command(arguments)


@contextmanager
def _signals(end: Callable[[str], None]) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the recording in order instead of this process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reasons = {signal.SIGINT: "interrupt", signal.SIGTERM: "terminate"}
    before = {number: signal.signal(number, lambda n, _: end(reasons[signal.Signals(n)])) for number in reasons}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _urgently(child: int, tell: Callable[[str], None]) -> Iterator[None]:
    """Give this process and a child priority over other processes: a ring that isn't drained in time loses events."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        with suppress(ProcessLookupError):  # the child has ended: whoever waits for its answer finds out
            os.setpriority(os.PRIO_PROCESS, child, PRIORITY)
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    except PermissionError:
        tell("recording at the usual priority, without CAP_SYS_NICE: on a busy host events may be lost")
        yield
        return
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)
