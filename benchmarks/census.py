"""Measure the time and memory of a census of large heaps of several sizes, in an idle process.

Each census runs in a process of its own, so that its peak memory is seen. The memory of Python and its libraries before
the census is given beside it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from figures import Figure, told

from programs import RELEASES, ROOT

sys.path.insert(0, str(ROOT / "tests"))
from support.heads import crowd

COUNTS = {"entries": 5_000_000, "middle": 2000, "small": 500_000, "others": 3_000_000}
"""Entries and maps that make a heap of about a GB: large maps with nine in ten entries deleted, and small maps."""
SHARES = (0.05, 0.25, 1.0)
GOAL_SECONDS, GOAL_MB = 2.0, 500.0
TAKER = """
import json, sys, time
from mapprobe.recording.tables.census import CENSUS, CENSUS_ABOUT
from mapprobe.api.census import Headcount
peak = lambda: int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) << 10
with Headcount(int(sys.argv[1])) as headcount:
    before, target = peak(), headcount.resident_bytes()
    begin, busy = time.perf_counter(), time.process_time()
    recording = headcount.take()
    took, busy = time.perf_counter() - begin, time.process_time() - busy
    maps = len(recording.table(CENSUS))
print(json.dumps({"seconds": took, "cpu": busy, "peak": peak(), "before": before, "target": target, "maps": maps}))
"""


def taken(pid: int) -> dict[str, float]:
    """Take a census of a process, and return its time [s] and memory [bytes]."""
    done = subprocess.run([sys.executable, "-c", TAKER, str(pid)], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def figures() -> Iterator[Figure]:
    """Yield the figures."""
    for release in RELEASES:
        go = f"Go {release[0]}.{release[1]}"
        for share in SHARES:
            counts = {name: int(count * share) for name, count in COUNTS.items()}
            with crowd(release, "stripped", **counts) as (pid, said):
                found = min((taken(pid) for _ in range(3)), key=lambda one: one["seconds"])
            assert found["maps"] >= said["written"]
            size = f"{found['target'] / 1e6:,.0f} MB, {found['maps']:,.0f} maps"
            goal = GOAL_SECONDS if share == 1 else None
            cpu = f"{found['cpu']:.2f} s of CPU time"
            yield Figure(f"{go}: census of {size}", found["seconds"], "s", goal, peer=cpu)
            goal = GOAL_MB if share == 1 else None
            bare = f"{found['before'] / 1e6:.0f} MB before it began"
            yield Figure(f"{go}: peak memory of that", found["peak"] / 1e6, "MB", goal, peer=bare)


if __name__ == "__main__":
    list(told(figures()))
