"""Charging a map's slots, buckets and bytes to stacks, in the three views of the contract.

A live slot belongs to the stack that inserted its entry, in every view. A
dead slot goes to the growth site (view growth), to the stack whose insert
last held it (fill), or to the one whose delete or clear emptied it (drain);
a virgin slot always to the growth site of its bucket. Bytes follow the slots
by largest remainder, so each view sums to the map's figures exactly.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mapprobe import vocabulary
from mapprobe.arrays import I64
from support.oracle.model import classic, swiss
from support.oracle.model.state import GROWTH, LAST_DELETE, LAST_INSERT, State

# Columns of what is charged, in the order of schema.HOLDINGS.
LIVE, DEAD, VIRGIN, SLOTS, BUCKETS, RETAINED_BUCKETS, ALLOCATED, NEEDED, RETAINED = range(9)
HOLDINGS = 9
NEVER_USED = HOLDINGS
COLUMNS = HOLDINGS + 1
VIEW_GROWTH, VIEW_FILL, VIEW_DRAIN = range(3)
VIEWS = 3


class Sheet(NamedTuple):
    """Room to add up one map: amounts ``(views, stacks, COLUMNS)`` and the stacks that were touched."""

    amounts: I64
    touched: I64
    is_touched: npt.NDArray[np.bool_]
    weights: I64
    shares: I64
    remainders: I64
    tops: I64


class Rows(NamedTuple):
    """Charges as they are written: `map_id`, `view_code`, `stack` and ``(COLUMNS, n)`` amounts."""

    map_id: I64
    view_code: I64
    stack: I64
    amounts: I64


def new_sheet(stacks: int) -> Sheet:
    """Return an empty sheet for recordings with so many stacks."""
    return Sheet(
        np.zeros((VIEWS, stacks, COLUMNS), np.int64),
        np.zeros(stacks, np.int64),
        np.zeros(stacks, np.bool_),
        np.zeros(stacks, np.int64),
        np.zeros(stacks, np.int64),
        np.zeros(stacks, np.int64),
        np.zeros(1, np.int64),
    )


def new_rows(capacity: int) -> Rows:
    """Return room for so many rows."""
    map_id, view_code, stack = (np.zeros(capacity, np.int64) for _ in range(3))
    return Rows(map_id, view_code, stack, np.zeros((COLUMNS, capacity), np.int64))


def apportion_into(total: int, weights: I64, n: int, out: I64, remainders: I64) -> None:
    """Split `total` over the first `n` weights into `out`, by largest remainder, ties to the lowest index.

    Integers only. Exact for totals below 2**62 and weights that sum to less than 2**31; nothing is
    written for weights that are all zero.
    """
    weight_sum = np.int64(0)
    for k in range(n):
        weight_sum += weights[k]
    if weight_sum == 0:
        return
    # total * weight would overflow: split total first, then only (total % sum) * weight is left
    whole, rest = total // weight_sum, total % weight_sum
    left = total
    for k in range(n):
        out[k] = whole * weights[k] + rest * weights[k] // weight_sum
        remainders[k] = rest * weights[k] % weight_sum
        left -= out[k]
    enough = smallest_served(remainders, n, left, weight_sum)
    for k in range(n):
        if remainders[k] > enough:
            out[k] += 1
            left -= 1
    for k in range(n):
        if remainders[k] == enough and left > 0:
            out[k] += 1
            left -= 1


def smallest_served(remainders: I64, n: int, left: int, limit: int) -> int:
    """Return the smallest of the `left` largest of `n` remainders, all below `limit`.

    By halving, as the core does: a sort takes memory.
    """
    low, high = np.int64(0), np.int64(limit)
    while high - low > 1:
        middle = (low + high) >> 1
        served = 0
        for k in range(n):
            served += remainders[k] >= middle
        if served >= left:
            low = middle
        else:
            high = middle
    return low


def apportion(total: int, weights: I64) -> I64:
    """Return `total` split over `weights` (see `apportion_into`)."""
    out, remainders = np.zeros((2, len(weights)), np.int64)
    split(total, weights, out, remainders)
    return out


def split(total: int, weights: I64, out: I64, remainders: I64) -> None:
    """Do what `apportion` does."""
    apportion_into(total, weights, len(weights), out, remainders)


def touch(sheet: Sheet, stack: int) -> int:
    """Make sure that `stack` is among the touched ones, and return it."""
    if not sheet.is_touched[stack]:
        sheet.is_touched[stack] = True
        sheet.touched[sheet.tops[0]] = stack
        sheet.tops[0] += 1
    return stack


def charge_bucket(state: State, sheet: Sheet, bucket: int, live: np.uint64) -> None:
    """Charge one bucket and its eight slots."""
    grown = touch(sheet, np.int64(state.bucket_stacks[bucket, GROWTH]))
    filled, drained = grown, grown
    if state.bucket_stacks[bucket, LAST_INSERT] != vocabulary.NONE:
        filled = touch(sheet, np.int64(state.bucket_stacks[bucket, LAST_INSERT]))
    if state.bucket_stacks[bucket, LAST_DELETE] != vocabulary.NONE:
        drained = touch(sheet, np.int64(state.bucket_stacks[bucket, LAST_DELETE]))
    is_retained = 1 if live == 0 else 0
    for view, stack in ((VIEW_GROWTH, grown), (VIEW_FILL, filled), (VIEW_DRAIN, drained)):
        sheet.amounts[view, stack, BUCKETS] += 1
        sheet.amounts[view, stack, RETAINED_BUCKETS] += is_retained
    for j in range(8):
        inserted = state.insert_stacks[bucket, j]
        if live & (np.uint64(0x80) << np.uint64(8 * j)):
            stack = touch(sheet, np.int64(inserted))
            for view in range(VIEWS):
                sheet.amounts[view, stack, LIVE] += 1
        elif inserted == vocabulary.NONE:
            for view in range(VIEWS):
                sheet.amounts[view, grown, VIRGIN] += 1
                sheet.amounts[view, grown, NEVER_USED] += 1
        else:
            sheet.amounts[VIEW_GROWTH, grown, DEAD] += 1
            sheet.amounts[VIEW_FILL, touch(sheet, np.int64(inserted)), DEAD] += 1
            sheet.amounts[VIEW_DRAIN, touch(sheet, np.int64(state.delete_stacks[bucket, j])), DEAD] += 1


def charge_bytes(sheet: Sheet, view: int, column: int, total: int) -> None:
    """Split a map's bytes over the touched stacks: retained by empty slots, needed by live ones, else by all."""
    n = sheet.tops[0]
    weight_sum = np.int64(0)
    for k in range(n):
        amounts = sheet.amounts[view, sheet.touched[k]]
        if column == RETAINED:
            sheet.weights[k] = amounts[DEAD] + amounts[VIRGIN]
        elif column == NEEDED:
            sheet.weights[k] = amounts[LIVE]
        else:
            sheet.weights[k] = amounts[SLOTS]
        sheet.shares[k] = 0
        weight_sum += sheet.weights[k]
    if weight_sum == 0:
        for k in range(n):
            sheet.weights[k] = sheet.amounts[view, sheet.touched[k], SLOTS]
    apportion_into(total, sheet.weights, n, sheet.shares, sheet.remainders)
    for k in range(n):
        sheet.amounts[view, sheet.touched[k], column] = sheet.shares[k]


def add_up(state: State, sheet: Sheet, m: int, is_swiss: bool, holdings: I64) -> None:
    """Charge slots and buckets of map `m` on the sheet, and write its own figures into `holdings` ``(HOLDINGS,)``."""
    if is_swiss:
        n = swiss.list_buckets(state, m, state.listed, state.listed_parts)
    else:
        n = classic.list_buckets(state, m, state.listed, state.listed_parts)
    for k in range(n):
        b = np.int64(state.listed[k])
        control = state.control[b]
        charge_bucket(state, sheet, b, swiss.live_mask(control) if is_swiss else classic.live_mask(control))
    for k in range(sheet.tops[0]):
        for view in range(VIEWS):
            amounts = sheet.amounts[view, sheet.touched[k]]
            amounts[SLOTS] = amounts[LIVE] + amounts[DEAD] + amounts[VIRGIN]
            if view == 0:
                for column in range(ALLOCATED):
                    holdings[column] += amounts[column]
    if n == 0:
        return
    holdings[ALLOCATED] = swiss.allocated_bytes(state, m) if is_swiss else classic.allocated_bytes(state, m)
    holdings[NEEDED] = swiss.needed_bytes(state, m) if is_swiss else classic.needed_bytes(state, m)
    holdings[RETAINED] = max(0, holdings[ALLOCATED] - holdings[NEEDED])


def charge_maps(
    state: State, sheet: Sheet, is_swiss: bool, skip: npt.NDArray[np.bool_], lo: int, holdings: I64, rows: Rows
) -> tuple[int, int]:
    """Charge maps from `lo` on until `rows` is full; return the next map and how many rows were written.

    Parameters
    ----------
    skip
        Maps to leave out, ``(maps,)``.
    holdings
        Out: the figures of each map, ``(maps, HOLDINGS)``.
    """
    written = 0
    for m in range(lo, len(skip)):
        if skip[m]:
            continue
        for column in range(HOLDINGS):
            holdings[m, column] = 0
        add_up(state, sheet, m, is_swiss, holdings[m])
        n = sheet.tops[0]
        for view in range(VIEWS):
            for column in range(ALLOCATED, HOLDINGS):
                if n == 1:  # as most maps are: all is one stack's
                    sheet.amounts[view, sheet.touched[0], column] = holdings[m, column]
                elif n > 1:
                    charge_bytes(sheet, view, column, holdings[m, column])
        is_full = written + VIEWS * n > len(rows.map_id)
        for k in range(n):
            stack = sheet.touched[k]
            sheet.is_touched[stack] = False
            for view in range(VIEWS):
                if not is_full:
                    rows.map_id[written] = m
                    rows.view_code[written] = view
                    rows.stack[written] = stack
                for column in range(COLUMNS):  # one by one: a slice of an array costs as much as a hundred of them
                    if not is_full:
                        rows.amounts[column, written] = sheet.amounts[view, stack, column]
                    sheet.amounts[view, stack, column] = 0
                written += not is_full
        sheet.tops[0] = 0
        if is_full:
            return m, written
    return len(skip), written
