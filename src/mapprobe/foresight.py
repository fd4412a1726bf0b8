"""What the events to come will touch, asked for while those before them are applied.

A replay knows its future: the lines that an operation waits for depend on each other, so they are asked for in steps
(`model.prefetch`), each that many events ahead.
"""

from __future__ import annotations

from mapprobe.columns import NOWHERE, Columns
from mapprobe.ledger import Context, Ledger, find, identity, prefetch_key, prefetch_map
from mapprobe.model.prefetch import WORDS_A_LINE, prefetch, prefetch_classic, prefetch_group, prefetch_table
from mapprobe.model.state import State, inlined

FIRST_STEP, SECOND_STEP, THIRD_STEP, FOURTH_STEP = 40, 30, 20, 10
"""How many events ahead each step of `look_ahead` looks."""
EVENTS_AHEAD, EVENTS_A_LINE = 160, 8


@inlined
def prefetch_events(context: Context, events: Columns, i: int) -> None:
    """Ask for event `i`: its columns are more than the processor follows by itself."""
    prefetch(events.hash, i, 0)
    prefetch(events.header, i, 0)
    prefetch(events.time_ns, i, 0)
    prefetch(events.count, i, 0)
    prefetch(events.stack_id, i, 0)
    prefetch(events.kind, i, 0)
    prefetch(events.point, i, 0)
    prefetch(events.depth, i, 0)
    if not context.is_swiss[0]:
        prefetch(events.evacuated, i, 0)
        prefetch(events.overflow_count, i, 0)


@inlined
def map_of(ledger: Ledger, events: Columns, i: int) -> int:
    """Return which map event `i` seems to belong to, NOWHERE if none is known there."""
    m = events.rows[events.header[i]]
    return m if m != NOWHERE else find(ledger, identity(events, i))


@inlined
def look_for_map(state: State, ledger: Ledger, events: Columns, i: int) -> None:
    """Ask for what is known of the map of event `i`: one line of each array if its header was seen, else all."""
    h = events.header[i]
    if h == events.header[i - 1]:
        return
    m = events.rows[h]
    if m == NOWHERE:
        m = find(ledger, identity(events, i))
        if m == NOWHERE:
            return
        prefetch_map(ledger, m)
        prefetch(state.maps, m, WORDS_A_LINE)
    else:
        prefetch(ledger.facts, m, 0)
    prefetch(state.maps, m, 0)


@inlined
def look_ahead(state: State, ledger: Ledger, context: Context, events: Columns, i: int, last: int) -> None:
    """Ask for what the events behind event `i` will touch, step by step (`model.prefetch`)."""
    if i % EVENTS_A_LINE == 0:
        prefetch_events(context, events, min(i + EVENTS_AHEAD, last))
    ahead = min(i + FIRST_STEP, last)
    if events.rows[events.header[ahead]] == NOWHERE:
        prefetch_key(ledger, identity(events, ahead))
    ahead = min(i + SECOND_STEP, last)
    if ahead > 0:
        look_for_map(state, ledger, events, ahead)
    ahead = min(i + THIRD_STEP, last)
    m = map_of(ledger, events, ahead)
    if m != NOWHERE:
        if context.is_swiss[0]:
            prefetch_table(state, m, events.hash[ahead])
        else:
            prefetch_classic(state, m, events.hash[ahead])
    if context.is_swiss[0]:
        ahead = min(i + FOURTH_STEP, last)
        m = map_of(ledger, events, ahead)
        if m != NOWHERE:
            prefetch_group(state, m, events.hash[ahead])
