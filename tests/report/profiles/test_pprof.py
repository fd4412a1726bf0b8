"""The pprof file, as Go's own tool reads it."""

from __future__ import annotations

import gzip
import io
import re
import subprocess
from pathlib import Path

import pytest

from mapprobe.analysis.profile import VALUES, Profile
from mapprobe.errors import MapprobeError
from mapprobe.report.profiles.pprof import message_class, write
from mapprobe.vocabulary import View
from support.gobuild import go_environment
from support.samples import ABOUT, inlined_frames, profile, shop
from support.toolchains import MAIN, goroot

READERS = [(1, 19), (1, 24)]
"""The oldest and the newest toolchain that come with pprof; later ones build it from their sources first."""
ABSURD = 'main.F[go.shape.struct { A int "json:\\"a;b\\"" }]·\u202e' + "x" * 5000


def written(of: Profile) -> bytes:
    out = io.BytesIO()
    write(of, out)
    return out.getvalue()


def pprof(of: Profile, folder: Path, *arguments: str, release: tuple[int, int] = MAIN[0]) -> str:
    """Return what `go tool pprof` prints of a profile."""
    path = folder / "profile.pb.gz"
    path.write_bytes(written(of))
    environment = go_environment(release) | {"PPROF_TMPDIR": str(folder), "PPROF_BINARY_PATH": str(folder)}
    command = [str(goroot(release) / "bin" / "go"), "tool", "pprof", *arguments, str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.toolchain
@pytest.mark.parametrize("release", READERS, ids=str)
@pytest.mark.parametrize("name", VALUES)
def test_pprof_sums_each_sample_type_to_the_totals(name: str, release: tuple[int, int], tmp_path: Path) -> None:
    of = profile(shop(), View.DRAIN)
    said = pprof(of, tmp_path, "-top", "-unit=B", f"-sample_index={name}", "-nodefraction=0", release=release)
    (total,) = re.findall(r"of (\d+)B? total", said)
    assert int(total) == of.values.sum(axis=0)[list(VALUES).index(name)]


def test_pprof_charges_each_site_what_the_profile_does(tmp_path: Path) -> None:
    of = profile()
    flat = dict.fromkeys((frame.function for n in range(len(of.stacks)) for frame in of.frames(n)[:1]), 0)
    for n, retained in enumerate(of.values[:, 0].tolist()):
        flat[of.frames(n)[0].function] += retained
    said = pprof(of, tmp_path, "-top", "-unit=B", "-nodefraction=0")
    found = {name: int(size) for size, name in re.findall(r"^ *(\d+)B? .*% +(main\.site\d)", said, re.MULTILINE)}
    assert found == flat


def test_pprof_shows_the_retained_bytes_unless_asked_otherwise(tmp_path: Path) -> None:
    assert "Type: retained_bytes" in pprof(profile(), tmp_path, "-top")


def test_pprof_shows_inlined_frames_as_lines_of_one_location(tmp_path: Path) -> None:
    said = pprof(profile(), tmp_path, "-raw")
    location = re.search(r"main\.site1 site\.go:7.*\n\s+main\.outer1 outer\.go:9", said)
    assert location, said


def test_pprof_can_be_asked_for_maps_of_a_type(tmp_path: Path) -> None:
    of = profile()
    expected = sum(
        retained for retained, name in zip(of.values[:, 0].tolist(), of.types, strict=True) if name == "map[int]int"
    )
    said = pprof(of, tmp_path, "-top", "-unit=B", "-nodefraction=0", r"-tagfocus=type=^map\[int\]int$")
    (shown,) = re.findall(r"accounting for (\d+)B", said)
    assert int(shown) == expected


def test_pprof_says_what_was_recorded(tmp_path: Path) -> None:
    said = pprof(profile(), tmp_path, "-top")
    assert "File: shop" in said
    assert "Build ID: abc/def" in said
    # since Go 1.24, and before
    assert "Time: 2026-11-21 09:00:00 UTC" in said or "Time: Nov 21, 2026 at 9:00am (UTC)" in said


def test_pprof_says_what_was_left_out(tmp_path: Path) -> None:
    said = pprof(profile(top=1), tmp_path, "-top")
    assert "stacks that retain the least are one sample, (other)" in said
    assert "(other: 2 more)" in said


def test_pprof_reads_a_profile_without_samples(tmp_path: Path) -> None:
    from mapprobe.vocabulary import Implementation
    from support.recordings import Recording

    assert "0 total" in pprof(profile(Recording(Implementation.CLASSIC)), tmp_path, "-top")


def test_pprof_reads_absurd_names(tmp_path: Path) -> None:
    frames = inlined_frames(dict.fromkeys(range(1, 10), ABSURD))
    assert "main.F[...]" in pprof(profile(frames=frames), tmp_path, "-raw")


def test_the_same_profile_is_the_same_file() -> None:
    assert written(profile()) == written(profile())


def test_the_file_parses_back() -> None:
    message = message_class().FromString(gzip.decompress(written(profile())))
    assert [message.string_table[kind.type] for kind in message.sample_type] == list(VALUES)


def test_a_start_that_is_no_time_is_named() -> None:
    with pytest.raises(MapprobeError, match="'soon' is no time"):
        written(profile(about=ABOUT | {"started": "soon"}))
