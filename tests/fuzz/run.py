"""Fuzz one target for a time, or all targets in turn: `python tests/fuzz/run.py TARGET|all SECONDS`.

Seeds are random. Findings are made small, said, and kept in the corpus; each but once by what went wrong.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]
from fuzz import corpus  # noqa: E402
from fuzz.mutations import inputs  # noqa: E402
from fuzz.outcomes import TARGETS, Input  # noqa: E402
from fuzz.supervisor import Supervisor  # noqa: E402

PATIENCE = 5.0
ROUND = 200


def cause(wrong: str) -> str:
    """Return what tells one finding from another: the last two places of a traceback, without their values."""
    places = [line.strip() for line in wrong.splitlines() if line.strip().startswith("File ")]
    return "\n".join(places[-2:]) or wrong[:60]


def fuzz(target: str, seconds: float) -> tuple[int, int]:
    """Fuzz one target; return how many inputs were judged and how many findings there were."""
    end, known = time.monotonic() + seconds, set[str]()
    with Supervisor(PATIENCE) as supervisor:
        while time.monotonic() < end:
            if found := one_round(supervisor, target, end, known):
                wrong, smallest = found
                known.add(cause(wrong))
                sys.stdout.write(f"{target}: kept as {corpus.save(smallest, wrong).name}\n{smallest}\n{wrong}\n")
                sys.stdout.flush()
        return supervisor.judged, len(known)


def one_round(supervisor: Supervisor, target: str, end: float, known: set[str]) -> tuple[str, Input] | None:
    """Judge some inputs of a random seed; return the first new finding, made small."""
    last: list[tuple[str, Input]] = []
    wanted = ""

    @seed(random.getrandbits(64))
    @settings(
        max_examples=ROUND, deadline=None, database=None, phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
    )  # fmt: skip
    @given(inputs(target))
    def judge(drawn: Input) -> None:
        nonlocal wanted
        if time.monotonic() > end + 60 or (not wanted and time.monotonic() > end):
            return
        wrong = supervisor.judge(drawn)
        if wrong and cause(wrong) not in known and wanted in ("", cause(wrong)):
            wanted = cause(wrong)
            last[:] = [(wrong, drawn)]
            raise AssertionError(wrong)

    try:
        judge()
    except AssertionError:
        if not last:
            raise
        return last[0]
    return None


def main(target: str, seconds: str) -> int:
    """Fuzz; return the exit status."""
    findings = 0
    for name in TARGETS if target == "all" else [target]:
        judged, found = fuzz(name, float(seconds))
        findings += found
        sys.stdout.write(f"{name}: {judged:,} inputs in {seconds} s, {found} findings\n")
        sys.stdout.flush()
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
