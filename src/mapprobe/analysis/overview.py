"""The data of a page about a recording: what is held, by whom, since when, and how full the top maps are.

Pure: batches and tables in, tables and arrays out. The writers of `mapprobe.report` decide what a page shows, and how.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mapprobe import vocabulary
from mapprobe.analysis.certainty import Apart
from mapprobe.analysis.map_rows import Rest, map_order, rest_of_maps
from mapprobe.analysis.occupancy import UNSEEN, Occupancy, occupancies
from mapprobe.analysis.provenance import About
from mapprobe.analysis.retention import aggregate, totals
from mapprobe.analysis.timeline import POINTS, TOP, Timeline, Window, ends_of, timeline
from mapprobe.recording.inputs import Inputs
from mapprobe.recording.tables.result import Replayed
from mapprobe.replay.lifetimes import lifetimes
from mapprobe.replay.stepping import SteppedReplay
from mapprobe.vocabulary import MapState, View

MOST_MAPS = 400
"""Most rows that a page shows of the report by map."""


@dataclass(frozen=True, slots=True)
class Overview:
    """What a page about a recording shows.

    Attributes
    ----------
    recording
        The ``recording`` object of mapprobe.report/1.
    view
        Who is charged in `timeline`.
    at_ns
        The time that the page shows [ns since the start of the recording]; None: its end.
    totals, inexact, bounds, apart
        As in `analysis.report.Report`.
    retained_bucket_bytes
        Bytes of the buckets without a live slot, of all maps together.
    maps, types
        Rows of the report by map and by type, the most retained bytes first; of maps no more than `MOST_MAPS`.
    more_maps
        The number and the sums of all maps that are not in `maps`.
    top_maps
        Rows of the report by map for the maps of the timeline, in its order.
    sites, stacks
        Rows of the report by site and by stack, for each view.
    timeline
        The top maps and sites over time.
    occupancies
        How full the buckets of the top maps are, in the order of `top_maps`.
    """

    recording: dict[str, object]
    view: str
    at_ns: int | None
    totals: dict[str, int]
    inexact: dict[str, int]
    bounds: dict[str, tuple[int, int | None]]
    apart: Apart
    retained_bucket_bytes: int
    maps: pa.Table
    more_maps: Rest
    top_maps: pa.Table
    types: pa.Table
    sites: dict[str, pa.Table]
    stacks: dict[str, pa.Table]
    timeline: Timeline
    occupancies: list[Occupancy]


class Results(NamedTuple):
    """The result of a replay up to the time of a report, and the result of a replay of the whole recording."""

    replayed: Replayed
    whole: Replayed


@dataclass(frozen=True, slots=True)
class Shown:
    """The part of a recording that a page shows.

    Attributes
    ----------
    view
        Who is charged.
    is_end
        True for the end of the recording, False for an earlier time.
    points, top
        As in `timeline.Window`.
    """

    view: View
    is_end: bool = True
    points: int = POINTS
    top: int = TOP


def overview(
    events: Iterable[pa.RecordBatch],
    inputs: Inputs,
    results: Results,
    about: About,
    shown: Shown,
    progress: Callable[[int], None] | None = None,
) -> Overview:
    """Return the data of a page about a recording.

    Parameters
    ----------
    events
        Batches of packed events, in order.
    results
        Results of replaying these events.
    progress
        Called with the number of events in each batch once the batch is replayed.
    """
    replayed, view, is_end = results.replayed, shown.view, shown.is_end
    until_ns, ends = None if is_end else about.span.end_ns, ends_of(replayed, inputs, view)
    replay = SteppedReplay(inputs, view, lifetimes(results.whole, inputs, view))
    found = timeline(events, replay, ends, Window(about.span, until_ns, shown.points, shown.top), progress)
    replay.close(until_ns)
    occupied = _occupancies(replay, inputs, replayed, found.series["map"].ids, is_end=is_end)
    del replay  # it takes more memory than everything below
    order = map_order(replayed)
    rows = partial(aggregate, replayed, inputs.types, inputs.sites, str(inputs.implementation))
    return Overview(
        recording=about.recording,
        view=str(view),
        at_ns=None if is_end else about.span.end_ns - about.span.start_ns,
        totals=totals(replayed),
        inexact=about.inexact,
        bounds=about.bounds,
        apart=about.apart,
        retained_bucket_bytes=_retained_bucket_bytes(replayed, inputs),
        maps=ends["map"].rows(order[:MOST_MAPS]),
        more_maps=rest_of_maps(replayed, order[MOST_MAPS:]),
        top_maps=ends["map"].rows(found.series["map"].ids),
        types=rows("type", view),
        sites={str(charged): rows("site", charged) for charged in vocabulary.VIEWS},
        stacks={str(charged): rows("stack", charged) for charged in vocabulary.VIEWS},
        timeline=found,
        occupancies=occupied,
    )


def _occupancies(
    replay: SteppedReplay, inputs: Inputs, replayed: Replayed, ids: npt.NDArray[np.int64], *, is_end: bool
) -> list[Occupancy]:
    """Return how full the buckets of maps are; a map that is not known to be alive has `UNSEEN`."""
    found = occupancies(replay, inputs, ids, is_end=is_end)
    states = replayed.maps["state"].take(pa.array(ids)).to_pylist()
    return [of if state == MapState.ALIVE else UNSEEN for of, state in zip(found, states, strict=True)]


def _retained_bucket_bytes(replayed: Replayed, inputs: Inputs) -> int:
    of_type = np.append(np.array(inputs.types["bucket_bytes"], np.int64), 0)  # the last: type -1, of maps never written
    buckets = np.array(replayed.maps["retained_buckets"], np.int64)
    return int(buckets @ of_type[np.array(replayed.maps["type_id"], np.int64)])
