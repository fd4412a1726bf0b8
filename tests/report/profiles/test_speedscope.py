"""The speedscope file, checked against the schema that speedscope publishes."""

from __future__ import annotations

import io
import json
from typing import Any

import jsonschema
import pytest

from mapprobe.analysis.profile import VALUES, Profile
from mapprobe.report.profiles.speedscope import write
from mapprobe.vocabulary import View
from support.samples import profile, shop
from support.toolchains import ROOT

SCHEMA = json.loads((ROOT / "tests" / "schemas" / "speedscope.json").read_text())


def written(of: Profile) -> Any:
    out = io.StringIO()
    write(of, out)
    return json.loads(out.getvalue())


@pytest.mark.parametrize("view", View)
@pytest.mark.parametrize("top", [1, 100])
def test_it_is_as_the_schema_says(view: View, top: int) -> None:
    jsonschema.validate(written(profile(shop(), view, top)), SCHEMA)


def test_the_schema_refuses_what_is_not_so() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(written(profile()) | {"shared": {}}, SCHEMA)


def test_there_is_a_profile_for_each_value_that_sums_to_its_total() -> None:
    of = profile()
    sums = {shown["name"]: sum(shown["weights"]) for shown in written(of)["profiles"]}
    assert sums == dict(zip(VALUES, of.values.sum(axis=0).tolist(), strict=True))


def test_each_profile_ends_where_its_weights_do() -> None:
    assert [shown["endValue"] for shown in written(profile())["profiles"]] == profile().values.sum(axis=0).tolist()


def test_a_sample_names_its_frames_outermost_first() -> None:
    file = written(profile())
    names = [frame["name"] for frame in file["shared"]["frames"]]
    stacks = {tuple(names[row] for row in stack) for stack in file["profiles"][0]["samples"]}
    assert ("main.main", "main.outer1", "main.site1") in stacks
