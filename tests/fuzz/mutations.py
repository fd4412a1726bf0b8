"""Random damage: sparse edits where readers look, with values at which arithmetic or bounds may fail."""

from __future__ import annotations

import struct
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from fuzz.binary_edits import BUILDS, build_of
from fuzz.outcomes import Input
from fuzz.recording_edits import TABLES
from mapprobe.recording.tables import schema
from support.traces import SAMPLES

MOST_EDITS = 5
MOST_ROWS, FIRST_ROWS = 10_600, 40
"""Of the events of a sample; among its first ones it makes its maps."""
OLDEST_ELSEWHERE = ("elf",)
"""Targets that are drawn from every build; the others leave out the position-independent ones."""
FORMATS = {1: "<B", 2: "<H", 4: "<I", 8: "<Q"}
EDGES = sorted({n for k in (0, 3, 7, 8, 15, 16, 20, 24, 28, 31, 32, 36, 40, 47, 48, 62, 63, 64)
                for n in ((1 << k) - 1, 1 << k, (1 << k) + 1)} | {2, 3, 5, 6, 40, 56, 72, 100, 1000})  # fmt: skip
SNIPPETS = [
    "90", "c3", "cc", "ebfe", "eb00", "e900000000", "e8fbffffff", "55", "5d", "5c", "8f00", "8f45f8", "50", "54",
    "0f22c0", "0f23c0", "0f05", "4889e5", "4889c3", "4887c3", "4831db", "488b4948", "488b09", "483b08", "48390b",
    "ffd1", "ff11", "ffe0", "660f3a16c000", "c4e1f97ec0", "c5f9efc0", "f7e3", "48f7e3", "c4e2fbf6c0", "480f44c3",
    "488d4424f8", "4883ec7f", "4881ec00000080", "4881c4ffffff7f", "c6430801", "884308", "0f0b", "f4", "06", "c4", "62",
]  # fmt: skip
"""Instructions, as hexadecimal bytes: jumps to themselves, pops to memory, moves to control registers, halves."""
TEXTS = ["", "go", "go1", "go1.27.3", "go0.0", "go1.23", "classic", "swiss", "growth", "ops", "\n", "a\nb", "\0", "%s",
         "?", "runtime.mapassign", "go.shape.", "[go.shape.", "[]]][", "map[go.shape.int_0]", "x" * 10_000, "9" * 5000,
         "\u0661.\u0662", "go1." + "9" * 5000, "\u2028", "/", "a/b.c[d/e.f]"]  # fmt: skip
KINDS = ["int64", "uint8", "double", "string", "bool", "null", "binary", "date32"]


def integers() -> st.SearchStrategy[int]:
    """Draw integers of 64 bits, most of them where something turns over."""
    return st.one_of(st.sampled_from(EDGES), st.integers(0, 300), st.integers(0, 1 << 64))


@st.composite
def words(draw: st.DrawFn, addrs: tuple[int, ...]) -> str:
    """Draw bytes: an integer of some size, an address that means something, or any."""
    kind = draw(st.sampled_from(["integer", "integer", "integer", "addr", "bytes"]))
    if kind == "bytes":
        return draw(st.binary(min_size=1, max_size=24)).hex()
    size = draw(st.sampled_from(list(FORMATS)))
    if kind == "addr":
        size, value = 8, draw(st.sampled_from(addrs)) + draw(st.integers(-64, 64))
    else:
        value = draw(integers())
    return struct.pack(FORMATS[size], value % (1 << (8 * size))).hex()


@st.composite
def binaries(draw: st.DrawFn, target: str) -> Input:
    """Draw a damaged binary."""
    everywhere = target in OLDEST_ELSEWHERE
    name = draw(st.sampled_from([name for name in BUILDS if everywhere or "pie" not in name]))
    build = build_of(name)
    edits = []
    for _ in range(draw(st.integers(1, MOST_EDITS))):
        part = draw(st.sampled_from(build.parts[target]))
        place = draw(st.integers(0, part.length - 1))
        if target == "code":
            content = draw(st.one_of(st.sampled_from(SNIPPETS), st.binary(min_size=1, max_size=12).map(bytes.hex)))
        else:
            place -= place % draw(st.sampled_from([1, 4, 8]))
            content = draw(words(build.addrs))
        edits.append([part.name, place, content])
    return {"target": target, "of": name, "edits": edits}


def values(kind: pa.DataType) -> st.SearchStrategy[Any]:
    """Draw values of a column's type, null among them."""
    if pa.types.is_integer(kind):
        bits = kind.bit_width
        if pa.types.is_signed_integer(kind):
            found: st.SearchStrategy[Any] = integers().map(lambda n: (n % (1 << bits)) - (1 << (bits - 1)))
            found = st.one_of(st.integers(-2, 40), found)
        else:
            found = integers().map(lambda n: n % (1 << bits))
    elif pa.types.is_boolean(kind):
        found = st.booleans()
    elif pa.types.is_list(kind):
        found = st.lists(values(kind.value_type), max_size=4)
    else:
        found = st.one_of(st.sampled_from(TEXTS), st.text(max_size=20))
    return st.one_of(st.none(), found, found, found, found)


@st.composite
def table_edits(draw: st.DrawFn, names: list[str], focus: int) -> list[Any]:
    """Draw one edit of `recording_edits`, often of the row that others are about, too."""
    table = TABLES[draw(st.sampled_from(names))]
    column = draw(st.sampled_from(table.columns))
    row = st.one_of(st.just(focus), st.just(focus), st.integers(0, MOST_ROWS))
    chosen = st.one_of(st.none(), row, row, row)
    hows: dict[str, tuple[st.SearchStrategy[Any], ...]] = {
        "flip": (st.integers(0, 200_000), words((0,))),
        "cut": (st.integers(0, 200_000),),
        "drop": (),
        "swap": (st.sampled_from(names),),
        "foreign": (),
        "rows": (row, row, st.integers(0, 3)),
        "set": (st.just(column.name), chosen, values(column.type)),
        "mask": (st.just(column.name), integers().map(lambda n: n % (1 << 64))),
        "type": (st.just(column.name), st.sampled_from(KINDS)),
    }
    what = draw(st.sampled_from([*hows, "set", "set", "set", "set", "set", "flip"]))
    return [what, table.name, *(draw(how) for how in hows[what])]


@st.composite
def recordings(draw: st.DrawFn) -> Input:
    """Draw a damaged recording, or a damaged result that was kept in a sound one."""
    tables = schema.REPLAYED if draw(st.integers(0, 4)) == 4 else schema.RECORDED
    names = [table.name for table in tables]
    more = ["events"] * 4 if tables is schema.RECORDED else []
    focus = draw(st.one_of(st.integers(0, FIRST_ROWS), st.integers(0, MOST_ROWS)))
    edits = draw(st.lists(table_edits([*names, *more], focus), min_size=1, max_size=MOST_EDITS))
    return {"target": "recording", "of": draw(st.sampled_from(sorted(SAMPLES))), "edits": edits}


def inputs(target: str) -> st.SearchStrategy[Input]:
    """Draw damaged inputs of a target."""
    return recordings() if target == "recording" else binaries(target)
