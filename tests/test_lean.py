"""Who reads a process carries nothing that only who reads a recording needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("numba", "llvmlite", "pandas", "bcc", "matplotlib", "polars", "duckdb")
READS = ("recorder", "memoryside", "enumerator", "heapside", "headcount")
SHOWS = ("counted", "report.census")


def loaded(program: str) -> set[str]:
    """Return which of the heavy modules a program has loaded at its end."""
    asks = f"\nimport sys\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    ran = subprocess.run([sys.executable, "-c", program + asks], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


@pytest.mark.parametrize("name", [*READS, *SHOWS])
def test_a_module_of_the_recorder_or_the_census_loads_nothing_heavy(name: str) -> None:
    assert loaded(f"import mapprobe.{name}") == set()


def test_arrays_are_made_without_pandas_and_data_frames_with_pandas() -> None:
    lean = "from mapprobe.cli.lean import leave_pandas_out as out\nout()\nimport pyarrow\nt = pyarrow.table({'a': [1]})"
    assert loaded(lean) == set()
    assert loaded(f"{lean}\nassert t.to_pandas().a.sum() == 1") >= {"pandas"}


def test_pandas_that_is_there_stays() -> None:
    program = "import pandas\nfrom mapprobe.cli.lean import leave_pandas_out\nleave_pandas_out()"
    assert loaded(f"{program}\nimport pyarrow as pa\npa.array(pandas.Series([1]))") >= {"pandas"}
