"""Arrow arrays made without pandas equal the arrays that pyarrow makes of the same values."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapprobe import arrow

KINDS = {
    pa.uint8(): st.integers(0, 255),
    pa.int32(): st.integers(-(1 << 31), (1 << 31) - 1),
    pa.uint64(): st.integers(0, (1 << 64) - 1),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(max_size=5),
    pa.float64(): st.floats(allow_nan=False),
    pa.list_(pa.uint64()): st.lists(st.integers(0, (1 << 64) - 1), max_size=3),
    pa.list_(pa.string()): st.lists(st.text(max_size=3), max_size=3),
    pa.list_(pa.uint64(), 2): st.lists(st.integers(0, 9), min_size=2, max_size=2),
}
NUMBERS = [kind for kind in KINDS if pa.types.is_integer(kind) or pa.types.is_boolean(kind)]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(st.data())
def test_values_are_those_that_were_given(kind, data) -> None:
    values = data.draw(st.lists(st.one_of(st.none(), KINDS[kind]), max_size=20))
    found = arrow.array(values, kind)
    found.validate(full=True)
    assert found.equals(pa.array(values, kind))


@pytest.mark.parametrize("kind", NUMBERS, ids=str)
@given(st.data())
def test_numbers_of_numpy_are_too(kind, data) -> None:
    values = np.array(data.draw(st.lists(KINDS[kind], max_size=20)), kind.to_pandas_dtype())
    for given_values in (values, np.repeat(values, 2)[::2], pa.array(values)):
        assert arrow.array(given_values, kind).equals(pa.array(values, kind))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([256], pa.uint8()), ([-1], pa.uint64()), ([1 << 64], pa.uint64()), (np.array([300]), pa.uint8()),
        (np.array([-1]), pa.uint32()), (["1"], pa.int64()), ([1], pa.string()),
        (["\ud800"], pa.string()), ([[1, 1 << 64]], pa.list_(pa.uint64())), (np.array([[1]]), pa.int64()),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_refused(values, kind) -> None:
    with pytest.raises((ValueError, TypeError, OverflowError)):
        arrow.array(values, kind)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(0, pa.uint64()), (True, pa.bool_()), ("a", pa.string()), (None, pa.int64()), (0.5, pa.float64())],
)
def test_a_value_is_repeated(value, kind) -> None:
    for rows in (0, 3):
        assert arrow.repeated(value, kind, rows).equals(pa.array([value] * rows, kind))


def test_texts_are_told_by_their_numbers() -> None:
    assert arrow.one_of(("alive", "dead"), np.array([True, False, True])).to_pylist() == ["dead", "alive", "dead"]


def test_pandas_is_not_loaded_for_it() -> None:
    code = (
        "import sys, numpy as np, pyarrow as pa; from mapprobe import arrow;"
        "arrow.array([1, 2], pa.uint8()); arrow.array(['a'], pa.string()); arrow.array([[1]], pa.list_(pa.uint64()));"
        "arrow.array(np.ones(3, bool), pa.bool_()); arrow.array([None], pa.int64());"
        "arrow.repeated(0, pa.uint64(), 3); arrow.one_of(['a'], np.zeros(2, int));"
        "sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
