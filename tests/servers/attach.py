"""A recorder in a process of its own: attach, record, stop the target at the last read; print the outcome as JSON.

Usage: attach.py PID FOLDER SECONDS. The target is left stopped.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

import mapprobe
from mapprobe.capture.recorder import Options

STOPPED = "T"


def stop(pid: int) -> None:
    """Stop a process, and wait until all its threads stand still."""
    os.kill(pid, signal.SIGSTOP)
    pause = threading.Event()
    while any(_state(task) != STOPPED for task in Path(f"/proc/{pid}/task").iterdir()):
        pause.wait(0.001)


def _state(task: Path) -> str:
    return (task / "stat").read_text().rpartition(")")[2].split()[0]


def _peak_bytes() -> int:
    """Return the most that this process had in memory; getrusage(2) knows the parent's before exec, too."""
    (kib,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kib) << 10


def main() -> int:
    pid, folder, seconds = int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    said: list[str] = []
    try:
        options = Options(duration=seconds, heap=True)
        mapprobe.record(pid, folder, options, said.append, at_end=lambda: stop(pid))
    except Exception:
        failed = traceback.format_exc()
    else:
        failed = ""
    used = {"cpu_s": time.process_time(), "peak_bytes": _peak_bytes()}
    sys.stdout.write(json.dumps({"failed": failed, "said": said, **used}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
