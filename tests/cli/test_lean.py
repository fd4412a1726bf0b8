"""A command that reads a process imports nothing that only readers of recordings need."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("pandas", "bcc", "matplotlib", "polars", "duckdb")
READS = (
    "capture.recorder", "capture.target_memory", "live.census.reader", "capture.heap_recorder", "api.census",
)  # fmt: skip
SHOWS = ("replay.from_census", "report.census")


def loaded(program: str) -> set[str]:
    """Return which of the heavy modules a program has loaded at its end."""
    asks = f"\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}{asks}"], capture_output=True, text=True, check=True
    )
    return set(ran.stdout.split())


@pytest.mark.parametrize("name", [*READS, *SHOWS])
def test_a_module_of_the_recorder_or_the_census_loads_nothing_heavy(name: str) -> None:
    assert loaded(f"import mapprobe.{name}") == set()


def test_arrays_are_made_without_pandas() -> None:
    makes = "import pyarrow\nassert pyarrow.table({'a': [1]})['a'].to_pylist() == [1]"
    assert loaded(f"from mapprobe.cli.lean import leave_pandas_out as out\nout()\n{makes}") == set()
    assert loaded(makes) == {"pandas"}  # once it is not, nobody needs to leave pandas out


def test_pandas_that_is_there_stays() -> None:
    program = "import pandas\nfrom mapprobe.cli.lean import leave_pandas_out\nleave_pandas_out()"
    assert loaded(f"{program}\nimport pyarrow as pa\npa.array(pandas.Series([1]))") >= {"pandas"}
