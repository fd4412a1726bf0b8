"""The child that compiles: if it fails, the caller is told why, and nothing of the child stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mapprobe.capture.kernel import compiler, loader
from mapprobe.capture.kernel.loader import Loader
from mapprobe.errors import HostError
from support.waiting import wait_until

ANSWERS = """
import json, os, socket, sys
peer = socket.socket(fileno=int(sys.argv[1]))
while packet := peer.recv(1 << 16):
    request = json.loads(packet)
    {answer}
"""


def standing_in(answer: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a program in the compiler's place that answers requests with some code."""
    path = folder / "stand_in.py"
    path.write_text(ANSWERS.format(answer=answer))
    monkeypatch.setattr(compiler, "__file__", str(path))


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("os.kill(os.getpid(), 9)", r"bcc was killed before it could load the probes: .*memory"),
        ("os.kill(os.getpid(), 11)", r"bcc could not load the probes \(signal 11\): see 'mapprobe doctor'"),
        ("os._exit(3)", r"\(exit status 3\)"),
        ("sys.exit('clang: no such thing')", r"\(exit status 1: clang: no such thing\)"),
        ("""peer.send(b'{"lack": "bcc is not in the attic"}')""", r"not in the attic: apt-get install python3-bpfcc"),
        ("""os.write(2, b"x.c:1: bad"); peer.send(b'{"error": "it failed"}')""", r"load the probes \(x.c:1: bad\)"),
        ("""peer.send(b'{"error": "it failed"}')""", r"bcc can't load the probes \(it failed\)"),
        ("""peer.send(b'{}')""", r"only 0 of 2 file descriptors came over: .*ulimit"),
    ],
)
def test_what_goes_wrong_in_the_child_is_an_error_of_ours(
    answer: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standing_in(answer, tmp_path, monkeypatch)
    with Loader() as child, pytest.raises(HostError, match=says):
        child.load(["one", "two"])
    assert not is_running(child.pid)


def test_what_went_wrong_while_it_compiled_is_said_when_something_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standing_in("""peer.send(b'{"error": "syntax"}')""", tmp_path, monkeypatch)
    with Loader() as child:
        child.compile("a.c", [])
        with pytest.raises(HostError, match=r"bcc can't compile the probes \(syntax\)"):
            child.maps(["one"])


def test_a_message_belongs_to_one_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = """os.write(2, request["do"].encode() + b" failed") and peer.send(b'{"error": "why"}')"""
    standing_in(answer, tmp_path, monkeypatch)
    with Loader() as child:
        with pytest.raises(HostError, match=r"\(load failed\)"):
            child.load(["one"])
        with pytest.raises(HostError, match=r"\(maps failed\)"):
            child.maps(["one"])


def test_a_child_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    standing_in("pass", tmp_path, monkeypatch)
    monkeypatch.setattr(loader, "PATIENCE_SECONDS", 0.2)
    with Loader() as child, pytest.raises(HostError, match="did not make the maps within"):
        child.maps(["one"])
    assert not is_running(child.pid)


def test_descriptors_come_over_and_are_not_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = "socket.send_fds(peer, [b'{}'], [os.memfd_create(name) for name in request['names']])"
    standing_in(answer, tmp_path, monkeypatch)
    names = [f"name{number}" for number in range(250)]
    with Loader() as child:
        found = child.maps(names)
    assert [Path(os.readlink(f"/proc/self/fd/{fd}")).name.split(" ")[0] for fd in found] == [
        f"memfd:{name}" for name in names
    ]
    assert not any(os.get_inheritable(fd) for fd in found)
    for fd in found:
        os.close(fd)


def test_a_request_that_is_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    standing_in("pass", tmp_path, monkeypatch)
    with Loader() as child, pytest.raises(HostError, match="too long"):
        child.compile("a.c", ["x" * (1 << 17)])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_dies_with_its_parent(number: signal.Signals) -> None:
    program = (
        "import os, signal\nfrom mapprobe.capture.kernel.loader import Loader\nchild = Loader()\n"
        "print(child.pid, flush=True)\nsignal.pause()"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    with parent.stdout:
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.send_signal(number)
        parent.wait()
    wait_until(lambda: not is_running(child) or Path(f"/proc/{child}/stat").read_text().split()[2] == "Z")


def test_a_host_without_bcc_lacks_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "DIST_PACKAGES", tmp_path)
    with pytest.raises(compiler.NotThere, match="bcc is not in"):
        compiler.load_bcc()
    assert compiler.Compiler().answer({"do": "version"}) == ({"lack": f"bcc is not in {tmp_path}"}, [])


def test_bcc_that_can_not_be_loaded_is_lacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bcc").mkdir()
    (tmp_path / "bcc" / "__init__.py").write_text("raise ImportError('libbcc.so.0')")
    monkeypatch.setattr(compiler, "DIST_PACKAGES", tmp_path)
    monkeypatch.delitem(sys.modules, "bcc", raising=False)
    try:
        with pytest.raises(compiler.NotThere, match=r"can't be loaded \(libbcc"):
            compiler.load_bcc()
    finally:
        sys.modules.pop("bcc", None)
