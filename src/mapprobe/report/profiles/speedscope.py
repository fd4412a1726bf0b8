"""The profile in the format of https://www.speedscope.app: one sampled profile for each value, retained bytes first."""

from __future__ import annotations

import json
from typing import TextIO

from mapprobe.analysis.profile import VALUES, Profile
from mapprobe.recording.sites import CallSite

SCHEMA = "https://www.speedscope.app/file-format-schema.json"
UNITS = {"bytes": "bytes", "count": "none"}


def document(profile: Profile) -> dict[str, object]:
    """Return the content of the file as an object."""
    frames: dict[CallSite, int] = {}
    stacks = [
        [frames.setdefault(frame, len(frames)) for frame in reversed(profile.frames(sample))]
        for sample in range(len(profile.stacks))
    ]
    return {
        "$schema": SCHEMA,
        "exporter": "mapprobe",
        "name": f"{profile.recording['binary']}, view {profile.view}",
        "activeProfileIndex": 0,
        "shared": {"frames": [_frame(site) for site in frames]},
        "profiles": [
            _sampled(name, UNITS[unit], stacks, profile.values[:, column].tolist())
            for column, (name, (_, unit)) in enumerate(VALUES.items())
        ],
    }


def write(profile: Profile, out: TextIO) -> None:
    """Write the profile."""
    json.dump(document(profile), out)
    out.write("\n")


def _frame(site: CallSite) -> dict[str, object]:
    return {"name": site.function} | ({"file": site.file, "line": site.line} if site.file else {})


def _sampled(name: str, unit: str, stacks: list[list[int]], weights: list[int]) -> dict[str, object]:
    kept = [(stack, weight) for stack, weight in zip(stacks, weights, strict=True) if weight]
    return {
        "type": "sampled",
        "name": name,
        "unit": unit,
        "startValue": 0,
        "endValue": sum(weights),
        "samples": [stack for stack, _ in kept],
        "weights": [weight for _, weight in kept],
    }
