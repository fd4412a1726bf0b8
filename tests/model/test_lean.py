"""Lean arrays say of their rows what is so: a length that were wrong would be memory that is another's."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from mapprobe import schema
from mapprobe.columns import OWN, Columns, Common, lean_columns, new_columns
from mapprobe.ledger import Ledger, lean_ledger, new_ledger
from mapprobe.model.lean import lean
from mapprobe.model.state import State, new_state
from mapprobe.schema import Implementation

TYPES = {c.name: c.type.to_pandas_dtype() for c in schema.EVENTS.columns} | {"header": np.uint32}


def columns() -> Columns:
    common = Common(*(np.zeros(2, TYPES[name]) for name in Common._fields))
    return new_columns([np.zeros(3, TYPES[name]) for name in OWN], common)


@pytest.mark.parametrize(
    ("make", "function", "names"),
    [
        (lambda: new_state(Implementation.SWISS, (1, 27)), lean, State._fields),
        (lambda: new_ledger(5, 4, 3), lean_ledger, Ledger._fields),
        (columns, lean_columns, OWN),
    ],
)
def test_lean_arrays_have_the_rows_that_they_had(make: Any, function: Any, names: tuple[str, ...]) -> None:
    whole = make()
    for k, name in enumerate(names):
        # as in the kernels: without reference counts, of which lean arrays know nothing
        found = numba.njit(lambda arrays: (function(arrays)[k].shape, function(arrays)[k].strides), _nrt=False)  # noqa: B023
        array = getattr(whole, name)
        assert found(whole) == ((0, *array.shape[1:]), array.strides), name
