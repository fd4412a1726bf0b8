"""A replayed recording of very many maps, and the inputs of reports about it."""

from __future__ import annotations

from dataclasses import dataclass

from mapprobe.analysis.certainty import apart
from mapprobe.analysis.overview import Overview, Results, Shown, overview
from mapprobe.analysis.provenance import About
from mapprobe.analysis.report import Report
from mapprobe.analysis.retention import aggregate, totals
from mapprobe.recording.inputs import Inputs
from mapprobe.recording.session import Span
from mapprobe.replay.replay import Replayed, replay
from mapprobe.vocabulary import View
from support.multitudes import Multitude, multitude
from support.recordings import TYPES
from support.samples import ABOUT

POINTS, TOP = 40, 10


@dataclass(frozen=True)
class Many:
    """A replayed recording of very many maps."""

    recording: Multitude
    inputs: Inputs
    replayed: Replayed

    def report(self, by: str) -> Report:
        rows = aggregate(self.replayed, TYPES, self.inputs.sites, "swiss", by, View.FILL)
        return Report(ABOUT, by, "fill", totals(self.replayed), rows, {}, {}, apart(self.replayed))

    def overview(self) -> Overview:
        end_ns = self.recording.one.now * self.recording.times
        about = About(Span(0, 0, end_ns, end_ns), ABOUT, {}, {}, apart(self.replayed))
        results, shown = Results(self.replayed, self.replayed), Shown(View.FILL, points=POINTS, top=TOP)
        return overview(self.recording.batches(), self.inputs, results, about, shown)


def replayed(maps: int, sites: int) -> Many:
    recording = multitude(maps, sites)
    inputs = recording.inputs()
    return Many(recording, inputs, replay(recording.batches(), inputs))
