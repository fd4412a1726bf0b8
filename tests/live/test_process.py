import os
import subprocess
import sys

import pytest

from mapprobe.errors import MemoryReadError, TargetError
from mapprobe.live.process import Command, Process


@pytest.fixture
def sleeper():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()
    process.stdin.close()


def test_a_pid_that_is_not_there_is_named():
    with pytest.raises(TargetError, match="no such process"):
        Process(2**22 - 1)


def test_a_process_is_alive_until_it_ends(sleeper):
    with Process(sleeper.pid) as process:
        assert process.is_alive()

        sleeper.kill()
        sleeper.wait()

        assert not process.is_alive()


def test_own_memory_reads_as_it_is():
    text = b"known bytes"
    address = id(text) + bytes.__basicsize__ - 1
    with Process(os.getpid()) as process:
        assert process.read(address, len(text)) == text


def test_memory_that_is_not_there_is_an_error_with_its_address():
    with Process(os.getpid()) as process, pytest.raises(MemoryReadError) as raised:
        process.read(8, 16)

    assert (raised.value.addr, raised.value.length) == (8, 16)


def test_executable_is_opened_through_proc_and_named_by_path(sleeper):
    with Process(sleeper.pid) as process:
        link, path = process.executable()

    assert link == f"/proc/{sleeper.pid}/exe"
    assert os.path.samefile(link, path)


def test_a_command_waits_at_its_gate(tmp_path):
    mark = tmp_path / "mark"
    with Command(["touch", str(mark)]) as command:
        assert command.exit_status() is None
        assert not mark.exists()

        command.start()

        assert command.end(5) in (0, -15)


def test_a_command_that_is_not_let_through_never_runs(tmp_path):
    mark = tmp_path / "mark"
    with Command(["touch", str(mark)]) as command:
        pass

    assert command.end(5) != 0
    assert not mark.exists()


def test_a_command_keeps_its_exit_status():
    with Command(["sh", "-c", "exit 3"]) as command:
        command.start()
        command._popen.wait(5)

    assert command.exit_status() == 3


def test_a_command_that_is_not_there_is_named():
    with pytest.raises(TargetError, match="no such program"):
        Command(["no-such-program-anywhere"])
