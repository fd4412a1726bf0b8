"""Events as the kernels see them are the events that were packed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mapprobe import schema
from mapprobe.columns import OWN, Common, columns_of
from mapprobe.packing import pack, times

TYPES = {c.name: c.type.to_pandas_dtype() for c in schema.EVENTS.columns}
WORD = st.integers(0, (1 << 64) - 1)


@given(
    rows=st.lists(
        st.tuples(
            st.one_of(WORD, st.integers(0, 1000)), st.one_of(WORD, st.integers(0, 5)), st.one_of(WORD, st.just(7))
        ),
        max_size=40,
    )
)
def test_columns_are_the_events(rows: list[tuple[int, int, int]]) -> None:
    columns = {c.name: np.zeros(len(rows), TYPES[c.name]) for c in schema.EVENTS.columns}
    for n, (time_ns, count, addr) in enumerate(rows):
        columns["time_ns"][n], columns["count"][n], columns["map_addr"][n] = time_ns, count, addr
        columns["hash"][n] = n
    found = columns_of(packed := pack(columns))

    for name in OWN:
        if name != "header":
            assert getattr(found, name).tolist() == columns[name].tolist(), name
    for name in Common._fields:
        assert getattr(found.common, name)[found.header].tolist() == columns[name].tolist(), name
    assert found.time_ns.tolist() == times(packed).tolist()
