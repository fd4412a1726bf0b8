"""Passes damaged inputs to a worker and reports what is wrong with the outcome; hangs and crashes are wrong too."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from fuzz.outcomes import Input

WARM_UP = 600.0
"""Seconds for the first input, which may have programs to build."""


class Supervisor:
    """Keeps one worker; a context manager.

    Parameters
    ----------
    patience
        After so long [s] an input hangs.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._worker: subprocess.Popen[bytes] | None = None
        self._scratch = tempfile.TemporaryDirectory(prefix="mapprobe-fuzz-")
        self.judged = 0

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._scratch.cleanup()

    def judge(self, given: Input) -> str:
        """Return what is wrong with the outcome of an input, nothing if nothing is."""
        if self._worker is None:
            self._begin()
            if wrong := self._ask(given | {"edits": []}, WARM_UP):
                raise AssertionError(f"without any damage: {wrong}")
        self.judged += 1
        return self._ask(given, self._patience)

    def _begin(self) -> None:
        path = os.pathsep.join(filter(None, sys.path))
        with self._log().open("wb") as log:
            self._worker = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", "-m", "fuzz.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ | {"PYTHONPATH": path, "TMPDIR": self._scratch.name},
            )

    def _log(self) -> Path:
        return Path(self._scratch.name) / "stderr"

    def _ask(self, given: Input, patience: float) -> str:
        worker: Any = self._worker
        worker.stdin.write(json.dumps(given).encode() + b"\n")
        worker.stdin.flush()
        ready, _, _ = select.select([worker.stdout], [], [], patience)
        if not ready:
            self._end()
            return f"it hangs: no answer after {patience:g} s"
        if line := worker.stdout.readline():
            return str(json.loads(line))
        status = worker.wait()
        self._end()
        return f"it died ({status}): {self._log().read_text(errors='replace')[-4000:]}"

    def _end(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker.communicate()
            self._worker = None
