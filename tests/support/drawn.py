"""Recordings of processes that do anything with a few maps, drawn by hypothesis."""

from __future__ import annotations

from contextlib import nullcontext

from hypothesis import strategies as st

from mapprobe.vocabulary import Implementation
from support import strategies as draw
from support.recordings import TWIN, RecordedMap, Recording, spread
from support.tables import CONTEXTS, INTS, SESSIONS


@st.composite
def recordings(draw_from: st.DrawFn, lossy: bool = False) -> Recording:
    """Draw what a process with a few maps did: any operations, in any order, by any stack; lossy: some of it lost."""
    implementation = draw_from(st.sampled_from(list(Implementation)))
    releases = draw.SWISS_RELEASES if implementation is Implementation.SWISS else draw.CLASSIC_RELEASES
    recording = Recording(implementation, draw_from(st.sampled_from(releases)))
    new_map = {"stack": draw.stacks, "type_id": st.sampled_from([INTS, SESSIONS])}
    alive = [recording.create(draw_from(draw.hints), **{k: draw_from(v) for k, v in new_map.items()}) for _ in range(2)]
    known: list[int] = []
    for what in draw_from(
        st.lists(st.sampled_from(["insert", "insert", "delete", "clear", "clone", "remake"]), max_size=12)
    ):
        with recording.losing_events() if lossy and draw_from(st.booleans()) else nullcontext():
            _act(draw_from, recording, alive, known, what)
    if lossy and recording.events:
        _lose(recording, draw_from(st.sets(st.integers(0, len(recording.events) - 1), max_size=6)))
    return recording


def _lose(recording: Recording, rows: set[int]) -> None:
    """Take single events out of a recording, as a fault that comes and goes does."""
    for event in [recording.events[row] for row in rows]:
        when = {"from_ns": event["time_ns"] - 1, "to_ns": event["time_ns"], "reason": "memory fault"}
        recording.gaps.append(when | {"point": event["point"], "lost": 1})
    recording.events = [event for row, event in enumerate(recording.events) if row not in rows]


def _act(draw_from: st.DrawFn, recording: Recording, alive: list[RecordedMap], known: list[int], what: str) -> None:
    """Do something with one of the maps that live."""
    n, stack = draw_from(st.sampled_from([0, 1])), draw_from(draw.stacks)
    if what == "insert":
        hashes = [h for h, _ in draw_from(draw.key_runs(spread=True))]
        known += hashes
        alive[n].insert(*hashes, stack=stack, prunes=draw_from(st.booleans()))
    elif what == "delete":
        start = draw_from(st.integers(0, len(known)))
        alive[n].delete(*known[start : start + 200], stack=stack)
    elif what == "clear":
        alive[n].clear(stack)
    elif what == "clone":
        alive[1 - n] = alive[n].clone(stack)
    else:
        alive[n] = recording.create(0, stack=stack, type_id=INTS, at=alive[n])


@st.composite
def meetings(draw_from: st.DrawFn) -> Recording:
    """Draw what happens to a map whose keys are of few hashes; no two of one hash are there when one is deleted."""
    implementation = draw_from(st.sampled_from(list(Implementation)))
    releases = draw.SWISS_RELEASES if implementation is Implementation.SWISS else draw.CLASSIC_RELEASES
    recording = Recording(implementation, draw_from(st.sampled_from(releases)))
    made = recording.create(draw_from(st.integers(0, 30)), type_id=CONTEXTS)
    there: set[tuple[int, int]] = set()
    hashes = spread(draw_from(st.integers(1, 40)))
    keys = st.tuples(st.sampled_from(hashes), st.sampled_from([0, TWIN, 2 * TWIN]))
    for is_assigned, (h, twin) in draw_from(st.lists(st.tuples(st.booleans(), keys), max_size=150)):
        if is_assigned:
            made.insert(h, key_type=twin, stack=draw_from(draw.stacks))
            there.add((h, twin))
        elif (h, twin) not in there or sum(other == h for other, _ in there) == 1:
            made.delete(h, key_type=twin)
            there.discard((h, twin))
    made.read()
    return recording


OPERATION = st.tuples(
    st.sampled_from(["insert", "insert", "delete", "delete", "clear"]), st.integers(0, 300), st.integers(1, 400)
)
OPERATIONS = st.lists(OPERATION, max_size=5)
RELEASES = [(Implementation.CLASSIC, r) for r in draw.CLASSIC_RELEASES]
RELEASES += [(Implementation.SWISS, r) for r in draw.SWISS_RELEASES]


def do(m: RecordedMap, operations: list[tuple[str, int, int]], stack: int) -> None:
    for what, start, n in operations:
        if what == "clear":
            m.clear(stack)
        else:
            getattr(m, what)(*spread(n, start), stack=stack)
