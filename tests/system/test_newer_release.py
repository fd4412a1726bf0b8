"""A program of a release that mapprobe does not know yet, but whose maps are those of the newest known release."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import mapprobe
from mapprobe.go.facts import NEWEST
from support import agreement, truth
from support.gobuild import versioned
from support.sessions import record_command

pytestmark = pytest.mark.system


def test_a_release_that_is_not_known_yet_is_recorded_exactly(build: Callable[..., Path], tmp_path: Path) -> None:
    program = tmp_path / "sliding"
    program.write_bytes(versioned(bytearray(build("sliding", NEWEST).read_bytes()), b"go1.99.3"))
    program.chmod(0o755)
    command = record_command("-o", tmp_path / "recording", "--", program, *truth.arguments("sliding", 1000))
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "go1.99.3 is newer than mapprobe knows: ask 'mapprobe verify' afterwards" in done.stderr
    assert agreement.differences(truth.parse(done.stdout), mapprobe.open(tmp_path / "recording")) == []
