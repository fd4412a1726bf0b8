"""Hypothesis strategies for the models: colliding hashes, releases, hints, types of buckets."""

from __future__ import annotations

from hypothesis import strategies as st

CLASSIC_RELEASES = [(1, 18), (1, 21), (1, 22), (1, 23)]
SWISS_RELEASES = [(1, 24), (1, 25), (1, 26), (1, 27)]

stacks = st.integers(1, 9)
bucket_bytes = st.sampled_from([80, 144, 208, 272, 2064])
hints = st.one_of(st.integers(0, 30), st.integers(0, 5000))
key_types = st.sampled_from([0, 0, 0, 0x4A5000, 0x4A6000])


STEPS = [1, 128, 1 << 8, 1 << 33, 1 << 57, 0x9E3779B97F4A7C15]
TOP_BITS = 0xFFFF << 48


@st.composite
def hashes(draw: st.DrawFn) -> int:
    """Draw a hash of few distinct buckets, groups, tables and control bytes."""
    low = draw(st.one_of(st.integers(0, 3), st.integers(0, 127), st.integers(0, 2**20)))
    top = draw(st.one_of(st.integers(0, 6), st.integers(0, 255))) << 56
    return top | low


def keys() -> st.SearchStrategy[tuple[int, int]]:
    """Draw a key: its hash and, for interface keys, a type word."""
    return st.tuples(hashes(), key_types)


def key_runs(*, spread: bool = False) -> st.SearchStrategy[list[tuple[int, int]]]:
    """Draw many keys at once, so that maps grow: steps through the hashes from a drawn one on.

    Keys that are `spread` differ in their top bits, as those of a real Swiss map do: a table of 1024 slots
    whose entries agree in all of them would split for ever.
    """

    def run(drawn: tuple[int, int, int]) -> list[tuple[int, int]]:
        start, step, length = drawn
        hashes = [(start + n * step) % 2**64 for n in range(length)]
        if spread:
            hashes = [h & ~TOP_BITS | (h * 0x9E3779B97F4A7C15) % 2**64 & TOP_BITS for h in hashes]
        return [(h, 0) for h in hashes]

    return st.tuples(hashes(), st.sampled_from(STEPS), st.integers(1, 300)).map(run)
