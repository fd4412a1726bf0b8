"""`make demo`: show the main use of mapprobe in one command.

Build a small Go service whose session cache is filled by a rush and drained
by expiry, record it live, replay, verify, and show which call sites hold the
empty buckets. Without root, BPF or Go the demo says so, and uses a recording
that ships with the project.

`python tools/demo.py build` only compiles the service; mapprobe need not be installed for that.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from support import toolchains
from support.gobuild import STRIPPED, build_program
from support.host import live_lack

RELEASE = (1, 27)
SHIPPED = toolchains.ROOT / "traces" / "go1.27-session-cache"
MEANING = """
What it means: the sessions of the rush are gone, their buckets are not. Go maps never shrink, so the memory
that `retained` shows stays with the map until the program copies the live entries into a new map."""


def run(*arguments: str, **options: object) -> None:
    """Run one mapprobe command, shown as a user would type it."""
    print("\n$ mapprobe", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "mapprobe", *arguments], check=True, **options)  # type: ignore[call-overload]


def build() -> Path:
    return build_program("session_cache", RELEASE, STRIPPED)


def record(program: Path, folder: Path) -> None:
    print("a stripped Go service, recorded from its first instruction on while it works for 4 seconds")
    service = [str(program), "-ops", "60000", "-seconds", "4"]
    run("record", "-o", str(folder), "--", *service, stdout=subprocess.DEVNULL)


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "recording"
        try:
            lack = live_lack()
            program = None if lack else build()
        except (toolchains.MissingError, subprocess.CalledProcessError) as error:
            lack, program = str(error), None
        if program is None:
            print(f"no live recording on this host ({lack}): showing the one that ships with mapprobe")
            folder = shutil.copytree(SHIPPED, folder)
        else:
            record(program, folder)
        run("replay", str(folder))
        run("verify", str(folder))
        run("report", str(folder), "--view", "drain")
        run("report", str(folder), "--by", "map", "--top", "5")
    print(MEANING)


if __name__ == "__main__":
    if sys.argv[1:] != ["build"]:
        main()
    elif not live_lack():
        with suppress(toolchains.MissingError, subprocess.CalledProcessError):  # the demo tries again, and reports it
            build()
