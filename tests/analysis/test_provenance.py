"""Facts of a recording besides its replay: when it began, and when the part that is shown ended."""

from __future__ import annotations

import pytest

from mapprobe.analysis.provenance import about, was_gone
from mapprobe.recording import files
from mapprobe.recording.session import Left, Session
from mapprobe.recording.tables import schema
from support.recordings import Recording, filled
from support.toolchains import ROOT

STARTED_NS, ENDED_NS = 1_000_000, 2_000_000


@pytest.fixture
def session() -> Session:
    """Give the session of a sample recording, at another time."""
    row = files.read_table(ROOT / "traces" / "go1.27-session-cache", schema.SESSION).to_pylist()[-1]
    return Session(row | {"started_ns": STARTED_NS, "ended_ns": ENDED_NS, "events": 0})


@pytest.mark.parametrize("until_ns", [None, 0, 5])
def test_a_recording_of_nothing_has_no_moment_before_its_start(
    recording: Recording, session: Session, until_ns: int | None
) -> None:
    span = about(session, Left(0), recording.inputs(), recording.settled(), until_ns).span

    assert STARTED_NS <= span.first_ns <= span.last_ns <= span.end_ns
    assert all(STARTED_NS <= at_ns <= span.end_ns for at_ns in span.points(10).tolist())


def test_it_ends_with_its_last_event_if_nobody_ended_it(recording: Recording, session: Session) -> None:
    recording.now = STARTED_NS
    filled(recording, 5)
    unended = Session(session.row | {"ended_ns": None, "ended": None})
    span = about(unended, Left(6), recording.inputs(), recording.settled(), None).span

    assert (span.first_ns, span.last_ns, span.end_ns) == (STARTED_NS + 1, recording.now, recording.now)


@pytest.mark.parametrize("has_read", [False, True])
def test_a_process_was_gone_if_none_of_its_maps_could_be_read(
    recording: Recording, session: Session, has_read: bool
) -> None:
    ended = Session(session.row | {"ended_by": "exit"})
    filled(recording, 5).skip("the process ended before its memory could be read")
    if has_read:
        filled(recording, 5).read()

    assert was_gone(ended, recording.inputs()) != has_read
