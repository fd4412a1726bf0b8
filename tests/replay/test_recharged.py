"""A map takes its bytes from the census if replay can't know which overflow buckets came with an array."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapprobe.recording.tables.result import Replayed
from mapprobe.replay.recharged import _in_proportion
from mapprobe.vocabulary import Inexact, View
from support.balances import balanced, seen, taken
from support.recordings import Recording, charges_of, filled, spread

MORE = 433 * 352
"""Overflow buckets of a growing map of prometheus that replay took for a part of its array [bytes]."""


def resumed(recording: Recording, more: int) -> tuple[Replayed, dict[str, object]]:
    """Return the balance of a map that was read while it was recorded, and what replay alone says of the map."""
    made = filled(recording, 5000)
    with recording.losing_events():
        made.insert(*spread(10, 90_000))
    made.look()
    made.delete(*spread(3000), stack=2)
    made.insert(*spread(10, 95_000), stack=3)
    (alone,) = recording.replay().maps.to_pylist()
    row = seen(made, allocated_bytes=alone["allocated_bytes"] + more)
    return balanced(recording, taken(recording.now + 1, row)), alone


@pytest.mark.parametrize("more", [MORE, -2000, 1])
def test_a_map_that_was_read_takes_what_the_census_saw(recording: Recording, more: int) -> None:
    found, alone = resumed(recording, more)
    (row,) = found.maps.to_pylist()

    assert (row["source"], row["inexact"]) == ("replayed", Inexact.EVENTS_LOST)
    assert row["allocated_bytes"] == alone["allocated_bytes"] + more == row["most_allocated_bytes"]
    retained = {row[name] for name in ("retained_bytes", "least_retained_bytes", "most_retained_bytes")}
    assert retained == {row["allocated_bytes"] - row["needed_bytes"]}
    for name in ("live_slots", "dead_slots", "buckets", "retained_buckets", "needed_bytes"):
        assert row[name] == alone[name]


@pytest.mark.parametrize("view", View)
def test_all_who_are_charged_are_charged_in_proportion(recording: Recording, view: View) -> None:
    found, _ = resumed(recording, MORE)
    (row,) = found.maps.to_pylist()
    charges = charges_of(found, view)

    for name in ("allocated_bytes", "retained_bytes", "live_slots", "buckets"):
        assert sum(charge[name] for charge in charges) == row[name]
    assert len(charges) > 1 or view is View.GROWTH


def test_a_map_that_was_followed_from_its_creation_keeps_its_bytes(recording: Recording) -> None:
    made = filled(recording, 5000)
    (alone,) = recording.replay().maps.to_pylist()
    row = seen(made, allocated_bytes=alone["allocated_bytes"] + MORE)
    (found,) = balanced(recording, taken(recording.now + 1, row)).maps.to_pylist()

    assert (found["allocated_bytes"], found["inexact"]) == (alone["allocated_bytes"], Inexact.EXACT)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1000), st.integers(0, 9)), min_size=1, max_size=20),
    st.lists(st.integers(0, 10**12), min_size=3, max_size=3),
)
def test_parts_sum_to_their_total_and_keep_their_order(rows: list[tuple[int, int, int]], totals: list[int]) -> None:
    map_id, parts, weights = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    found = _in_proportion(map_id, parts, weights, np.array(totals))

    for number in set(map_id.tolist()):
        here = map_id == number
        assert found[here].sum() == totals[number]
        assert (found[here] >= 0).all()
        if parts[here].any():
            order = np.argsort(parts[here], kind="stable")
            assert (np.diff(found[here][order]) >= -1).all()
