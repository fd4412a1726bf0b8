import json
import shutil

import pytest

from support.traces import EXPECTED, SAMPLES, TRACES, expected


@pytest.mark.parametrize("name", SAMPLES)
def test_a_shipped_recording_replays_to_what_it_did_when_it_was_made(name, tmp_path):
    folder = shutil.copytree(TRACES / name, tmp_path / name)

    assert json.loads((TRACES / name / EXPECTED).read_text()) == json.loads(json.dumps(expected(folder)))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_shipped_recording_verifies_in_every_bucket(name, tmp_path):
    folder = shutil.copytree(TRACES / name, tmp_path / name)

    found = expected(folder)["verify"]

    assert found["mismatches"] == []
    assert found["buckets"] == found["buckets_equal"] > 0
