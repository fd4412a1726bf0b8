"""Folded stacks: one line for each stack, with its retained bytes at the end."""

from __future__ import annotations

import io

from mapprobe.analysis.profile import Profile
from mapprobe.report.profiles.folded import write
from support.samples import inlined_frames, profile


def lines(of: Profile) -> dict[str, int]:
    out = io.StringIO()
    write(of, out)
    split = [line.rsplit(" ", 1) for line in out.getvalue().splitlines()]
    assert len({stack for stack, _ in split}) == len(split)
    return {stack: int(count) for stack, count in split}


def test_the_outermost_frame_comes_first() -> None:
    assert set(lines(profile())) == {f"main.main;main.outer{n};main.site{(n + 1) // 2}" for n in (1, 3, 5)}


def test_the_counts_sum_to_the_retained_bytes() -> None:
    of = profile()
    assert sum(lines(of).values()) == of.values[:, 0].sum()


def test_what_is_left_out_is_a_stack_of_its_own() -> None:
    assert "(other: 2 more)" in lines(profile(top=1))


def test_a_name_does_not_break_its_line() -> None:
    found = lines(profile(frames=inlined_frames({1: "main.a;b\nc d"})))
    assert "main.main;main.outer1;main.a:b c d" in found
