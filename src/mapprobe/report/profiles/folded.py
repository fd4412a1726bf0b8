"""Folded stacks: one line for each stack, outermost frame first, ``;`` between frames, then the retained bytes.

flamegraph.pl, inferno and most flame graph viewers read this format. Stacks that retain nothing are left out.
"""

from __future__ import annotations

from typing import TextIO

from mapprobe.analysis.profile import VALUES, Profile
from mapprobe.text import printable

RETAINED = list(VALUES).index("retained_bytes")
NO_SEPARATOR = str.maketrans({";": ":", "\n": " ", "\r": " "})


def write(profile: Profile, out: TextIO) -> None:
    """Write the profile; samples with the same frames are added up in one line."""
    lines: dict[str, int] = {}
    for sample, retained in enumerate(profile.values[:, RETAINED].tolist()):
        if retained:
            names = [printable(frame.function.translate(NO_SEPARATOR)) for frame in reversed(profile.frames(sample))]
            stack = ";".join(names)
            lines[stack] = lines.get(stack, 0) + retained
    out.writelines(f"{stack} {retained}\n" for stack, retained in lines.items())
