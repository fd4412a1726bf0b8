"""The core compared with the oracle (support/oracle, the same rules in plain Python): all arrays are equal."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mapprobe import open as open_recording
from mapprobe import vocabulary
from mapprobe.model.core import DEAD, GROWING, HAS_DIRECTORY, MODELLED, UNEQUAL, Rows, World
from mapprobe.recording import checks
from mapprobe.recording.inputs import Inputs
from mapprobe.recording.tables import schema
from mapprobe.replay.charges import ROW, amount
from mapprobe.replay.replay import Charging, Replay
from mapprobe.vocabulary import EventKind, Implementation
from support import strategies as draw
from support import toolchains
from support.drawn import OPERATIONS, RELEASES, do, meetings, recordings
from support.oracle import ledger as rules
from support.oracle.model import state as model
from support.oracle.replay import OracleReplay
from support.recordings import RecordedMap, Recording, spread
from support.tables import CONTEXTS, SESSIONS

NONE, SLOTS = vocabulary.NONE, 8
HOLDINGS = [column.name for column in schema.HOLDINGS]
MOST_EVENTS = 12_000
"""Of a trace; the oracle takes a second for some thousand."""
slowly = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))

Numbers = npt.NDArray[np.int64]

FACTS = {
    "key": rules.KEY, "addr": rules.ADDR, "seed": rules.SEED, "array_addr": rules.ARRAY, "created_ns": rules.CREATED_NS,
    "key_type": rules.KEY_TYPE, "created_by": rules.CREATED_BY, "grown_by": rules.GROWN_BY,
    "generation": rules.GENERATION, "inexact": rules.INEXACT, "pending": rules.PENDING,
    "doubt_point": rules.DOUBT_POINT,
}  # fmt: skip
EXTRAS = {
    "resumed_ns": rules.RESUMED_NS, "ended_ns": rules.ENDED_NS, "last_count": rules.LAST_COUNT,
    "doubt_hash": rules.DOUBT_HASH, "growths": rules.GROWTHS, "clears": rules.CLEARS,
    "pending_stack": rules.PENDING_STACK, "clone_of": rules.CLONE_OF, "older": rules.OLDER,
}  # fmt: skip
OF_LEDGER = {
    "last_ns": rules.LAST_NS, "inserts": rules.INSERTS, "updates": rules.UPDATES, "deletes": rules.DELETES,
    "peak": rules.PEAK, "type": rules.TYPE,
}  # fmt: skip
STATE = {MODELLED: rules.MODELLED, DEAD: rules.IS_DEAD, UNEQUAL: rules.UNEQUAL}
STACKS = {
    "maps": rules.STACK_MAPS, "growths": rules.STACK_GROWTHS, "inserts": rules.STACK_INSERTS,
    "updates": rules.STACK_UPDATES, "deletes": rules.STACK_DELETES, "clears": rules.STACK_CLEARS,
    "live": rules.STACK_LIVE, "peak": rules.STACK_PEAK,
}  # fmt: skip
OF_CLASSIC = {
    "evacuated": model.EVACUATED, "chained": model.CHAINED, "old_chained": model.OLD_CHAINED,
    "waiting": model.WAITING, "preallocated_used": model.PREALLOCATED_USED, "heap": model.HEAP,
    "old_heap": model.OLD_HEAP,
}  # fmt: skip
TABLES = {
    "first": model.FIRST_GROUP, "index": model.INDEX, "used": model.USED, "growth_left": model.GROWTH_LEFT,
    "log2_groups": model.LOG2_GROUPS, "local_depth": model.LOCAL_DEPTH,
}  # fmt: skip


def compare(batches: list[pa.RecordBatch], inputs: Inputs) -> None:
    """Feed a recording to both, and hold all that they know to each other."""
    oracle, replay = OracleReplay(inputs), Replay(inputs)
    oracle.replay(batches)
    for batch in batches:
        replay.feed(batch)
    replay.close(memory_is_right=False)
    world = replay.world
    assert world.map_count == oracle.map_count
    same_ledger(world, oracle)
    same_maps(world, oracle)
    same_buckets(world, oracle)
    if world.is_swiss:
        same_tables(world, oracle)
    same_charges(world, oracle, len(inputs.sites.site_of_stack))


def same(found: Iterable[object], expected: Iterable[object], what: str) -> None:
    assert np.array_equal(np.asarray(found), np.asarray(expected)), what


def same_ledger(world: World, oracle: OracleReplay) -> None:
    words, maps = oracle.ledger.words[: oracle.map_count], oracle.map_count
    for rows, columns in ((world.facts, FACTS), (world.extras, EXTRAS), (world.maps, OF_LEDGER)):
        for name, column in columns.items():
            same(rows[name].astype(np.int64), words[:, column].astype(np.int64), name)
    for bit, column in STATE.items():
        same(world.is_in_state(bit), oracle.ledger.facts[:maps, column] != 0, f"state {bit}")
    for name, column in STACKS.items():
        same(world.stacks[name], oracle.ledger.stacks[:, column], f"stack {name}")
    for name, expected in (("sites", oracle.ledger.sites), ("types", oracle.ledger.types)):
        of = world.rows(name)
        same(of["live"], expected[: len(of), rules.LIVE], name)
        same(of["peak"], expected[: len(of), rules.LIVE_PEAK], name)
    total = world.rows("total")[0]
    assert [total["live"], total["peak"]] == oracle.ledger.total.tolist()
    assert world.handle.maps_on_stacks == oracle.ledger.tops[rules.ON_STACKS]


def same_maps(world: World, oracle: OracleReplay) -> None:
    """Hold the models' rows to each other; what stands for nothing has another number."""
    maps, shapes, chains, expected = world.maps, world.shapes, world.chains, oracle.state.maps[: oracle.map_count]
    for name, column in {"count": model.COUNT, "log2": model.LOG2, "flags": model.FLAGS}.items():
        same(maps[name], expected[:, column], name)
    same(numbers(maps["array"]), expected[:, model.ARRAY], "array")
    for name, column in {"bucket_bytes": model.BUCKET_BYTES, "has_pointers": model.HAS_POINTERS}.items():
        same(shapes[name], expected[:, column], name)
    same(shapes["made_by"], expected[:, model.CREATED_BY], "made_by")
    if world.is_swiss:
        length = np.where(world.is_in_state(HAS_DIRECTORY), 1 << maps["log2"].astype(np.int64), 0)
        same(length, expected[:, model.DIRECTORY_LENGTH], "directory")
        same(np.where(length, shapes["groups"], 0), expected[:, model.GROUPS], "groups")
        same(maps["uncounted"], expected[:, model.UNCOUNTED], "uncounted")
        return
    same(maps["overflow_count"], expected[:, model.OVERFLOW_COUNT], "overflow_count")
    is_growing = world.is_in_state(GROWING)
    same(is_growing, expected[:, model.OLD_ARRAY] != model.NOWHERE, "growing")
    same(np.where(is_growing, numbers(chains["old_array"]), model.NOWHERE), expected[:, model.OLD_ARRAY], "old_array")
    for name, column in OF_CLASSIC.items():
        same(chains[name], expected[:, column], name)


def numbers(found: npt.NDArray[np.uint32]) -> Numbers:
    """Return numbers of rows with the oracle's number of nothing."""
    return np.where(found == NONE, model.NOWHERE, found.astype(np.int64))


def copied(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return rows copied by the kernel: AddressSanitizer lets no one else read those that are free."""
    with open("/proc/self/mem", "rb") as memory:
        memory.seek(rows.ctypes.data)
        return np.frombuffer(memory.read(rows.nbytes), rows.dtype)


def same_buckets(world: World, oracle: OracleReplay) -> None:
    """Hold every bucket to the oracle's, free ones too, and which are free."""
    top, state = int(oracle.state.tops[model.BUCKETS]), oracle.state
    buckets = copied(world.buckets)
    assert len(buckets) == top
    is_live = live(world, buckets)
    same(buckets["control"], state.control[:top], "control")
    same(buckets["insert_stacks"], state.insert_stacks[:top], "insert_stacks")
    hashes, expected = buckets["hashes"], np.ascontiguousarray(state.hashes[:top])
    same(hashes[is_live], expected[is_live], "hashes")
    same(hashes[~is_live].astype(np.uint32), expected[~is_live].astype(np.uint32), "delete_stacks")
    for n, name in enumerate(("grown_by", "last_insert", "last_delete")):
        same(buckets[name], state.bucket_stacks[:top, n], name)
    same(buckets["next"], state.next_bucket[:top], "next")
    same(buckets["kind"], state.bucket_kinds[:top], "kind")
    assert world.handle.has_key_types == bool(state.tops[model.HAS_KEY_TYPES])
    if world.handle.has_key_types:
        same(copied(world.rows("keys"))["key_types"][is_live], state.key_types[:top][is_live], "key_types")
    free = np.frombuffer(world.handle.view("free_buckets"), np.uint32)
    same(free, state.free[model.FREE_BUCKETS :][: len(free)], "free buckets")


def live(world: World, buckets: Rows) -> npt.NDArray[np.bool_]:
    """Return which slots hold an entry; of evacuated ones nobody asks."""
    of_slot = np.ascontiguousarray(buckets["control"]).view(np.uint8).reshape(-1, SLOTS)
    found: npt.NDArray[np.bool_] = of_slot < 0x80 if world.is_swiss else of_slot >= 5
    return found


def same_tables(world: World, oracle: OracleReplay) -> None:
    state = oracle.state
    tables, directory = copied(world.rows("tables")), copied(world.directory)
    assert len(tables) == state.tops[model.TABLES]
    assert len(directory) == state.tops[model.DIRECTORY]
    for name, column in TABLES.items():
        same(tables[name], state.tables[: len(tables), column], name)
    same(directory, state.directory[: len(directory)], "directory")
    free = np.frombuffer(world.handle.view("free_directories"), np.uint32)
    same(free, state.free[model.FREE_DIRECTORIES :][: len(free)], "free directories")
    assert world.handle.free_table == state.free[model.FREE_TABLES]


def same_charges(world: World, oracle: OracleReplay, stacks: int) -> None:
    """Hold what every map charges to every stack in every view to the oracle's rows, those of one stack too."""
    skip = world.is_in_state(DEAD)
    charging = Charging(stacks, world.map_count)
    rows = np.concatenate([np.zeros(0, ROW), *(rows.copy() for rows in charging.charge(world, skip))])
    holdings, expected = oracle.charge(skip)
    same(charging.holdings.T, holdings, "holdings")
    one = np.flatnonzero(charging.charged_to != NONE)
    found = []
    for code, view in enumerate(vocabulary.VIEWS):
        names = [*HOLDINGS, "never_used_slots"]
        amounts = np.stack([amount(lambda of: rows[of].astype(np.int64), view, name) for name in names], axis=1)
        keys = zip(rows["map_id"].tolist(), rows["stack_id"].tolist(), amounts.tolist(), strict=True)
        found += [(m, code, stack, *theirs) for m, stack, theirs in keys]
        for m in one.tolist():
            held = charging.holdings[:, m].tolist()
            found.append((m, code, int(charging.charged_to[m]), *held, held[HOLDINGS.index("virgin_slots")]))
    assert sorted(found) == sorted(expected)


@slowly
@given(recordings(), st.data())
def test_the_core_is_the_oracle_on_drawn_recordings(recording: Recording, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(recording.events)), max_size=3))
    compare(recording.batches(*cuts), recording.inputs())


@slowly
@given(recordings(lossy=True))
def test_the_core_is_the_oracle_where_events_were_lost(recording: Recording) -> None:
    compare(recording.batches(), recording.inputs())


@slowly
@given(meetings())
def test_the_core_is_the_oracle_where_keys_share_hashes(recording: Recording) -> None:
    compare(recording.batches(), recording.inputs())


@st.composite
def resumed(draw_from: st.DrawFn) -> Recording:
    """Draw maps that were filled out of sight or lost events, and were read while they lived."""
    release = draw_from(st.sampled_from(RELEASES))
    recording = Recording(*release, attached=True)
    for type_id in (SESSIONS, CONTEXTS):
        with recording.out_of_sight():
            made = recording.create(draw_from(draw.hints), seen=False, type_id=type_id)
            do(made, draw_from(OPERATIONS), stack=1)
        made.insert(1, 2, stack=2)
        do(made, draw_from(OPERATIONS), stack=2)
        made.look()
        do(made, draw_from(OPERATIONS), stack=3)
        with recording.losing_events():
            do(made, draw_from(OPERATIONS), stack=4)
        made.look()
        do(made, draw_from(OPERATIONS), stack=5)
        made.clone(stack=6).insert(7, stack=7)
        made.read()
    return recording


@slowly
@given(resumed())
def test_the_core_is_the_oracle_where_maps_were_read_on_the_way(recording: Recording) -> None:
    compare(recording.batches(), recording.inputs())


@st.composite
def in_frames(draw_from: st.DrawFn) -> Recording:
    """Draw maps in frames of two goroutines, written to from frames of any depth."""
    recording = Recording(draw_from(st.sampled_from(list(Implementation))))
    alive: list[RecordedMap] = []
    offsets, goids = st.sampled_from([0, 0x40, 0x80, 0x100]), st.sampled_from([7, 8])
    for _ in range(draw_from(st.integers(1, 25))):
        recording.depth = draw_from(offsets)
        if not alive or draw_from(st.booleans()):
            alive.append(recording.create(seen=False))
            alive[-1].stack_offset, alive[-1].goid = draw_from(offsets), draw_from(goids)
        made = draw_from(st.sampled_from(alive))
        made.insert(*spread(draw_from(st.integers(1, 30))), stack=draw_from(draw.stacks))
        if draw_from(st.booleans()):
            made.move(draw_from(st.sampled_from([0x1000, 0x2000])))
    return recording


@slowly
@given(in_frames())
def test_the_core_is_the_oracle_where_maps_stand_in_frames(recording: Recording) -> None:
    compare(recording.batches(), recording.inputs())


@slowly
@given(recordings(lossy=True), st.sampled_from(["growth", "light"]), st.booleans())
def test_the_core_is_the_oracle_where_growth_alone_was_recorded(
    recording: Recording, probes: str, attached: bool
) -> None:
    recording.probes, recording.attached = probes, attached
    kinds = (EventKind.ASSIGN, EventKind.DELETE)
    recording.events = [event for event in recording.events if event["kind"] not in kinds]
    compare(recording.batches(), recording.inputs())


TRACES = sorted(path.name for path in (toolchains.ROOT / "traces").iterdir() if path.is_dir())


@pytest.mark.parametrize("name", TRACES)
def test_the_core_is_the_oracle_on_the_beginning_of_a_trace(name: str) -> None:
    path: Path = toolchains.ROOT / "traces" / name
    batches, events = list[pa.RecordBatch](), 0
    for batch in checks.batches(path):
        batches.append(batch.slice(0, MOST_EVENTS - events))
        events += len(batches[-1])
        if events >= MOST_EVENTS:
            break
    compare(batches, open_recording(path).inputs)
