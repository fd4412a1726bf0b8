"""Remake the sample recordings in traces/ and what a replay of them must give (`make traces`).

Look at the difference before you commit it: figures that changed without a
reason are a bug, not a new expectation.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from mapprobe.recording.folder import table_path
from mapprobe.recording.tables import schema
from support import toolchains
from support.gobuild import STRIPPED, build_program

TRACES = toolchains.ROOT / "traces"
SAMPLES = {
    "go1.23-session-cache": ((1, 23), "session_cache", ["-ops", "9000", "-seconds", "0.2"]),
    "go1.27-session-cache": ((1, 27), "session_cache", ["-ops", "9000", "-seconds", "0.2"]),
}
HEAP_LINES = "hold 2\nfill 4000\ngc\ndrain 10\nfill-small 3000\ndrop-small\ngive\nquit\n"
HEAP_SAMPLES = {"go1.23-memory": ((1, 23), "--large-objects"), "go1.27-memory": ((1, 27), "--heap")}
"""Recordings of tests/programs/memory with the heap's side."""
EXPECTED = "expected.json"
STAGE = Path(tempfile.gettempdir()) / "mapprobe-sample"
"""Where the programs run: a recording holds the path of its binary, which is to be that of no one's checkout."""


def expected(folder: Path) -> dict[str, object]:
    """Return what must come out of a replay of the recording in `folder`, today and ever after."""
    import mapprobe

    recording = mapprobe.open(folder)
    views = {view: recording.report(by="site", view=view) for view in ("growth", "fill", "drain")}
    return {"by_site": views, "by_map": recording.report(by="map", view="fill"), "verify": recording.verify()}


def expected_of_heap(folder: Path) -> dict[str, object]:
    """Return what `mapprobe heap` must say of the recording in `folder`, and what became of its arrays."""
    import mapprobe

    heap = mapprobe.open(folder).heap
    arrays = heap.arrays(frame="arrow").drop_columns(["stack_id"]).to_pylist()
    return {"document": heap.document(), "arrays": arrays}


def main() -> None:
    remake()
    remake_of_heap()


def remake_of_heap() -> None:
    for name, (release, option) in HEAP_SAMPLES.items():
        folder = TRACES / name
        STAGE.mkdir(exist_ok=True)
        binary = shutil.copy(build_program("memory", release, STRIPPED), STAGE)
        command = [sys.executable, "-m", "mapprobe", "record", option, "--force", "-o", str(folder), "--", binary]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, input=HEAP_LINES, text=True)
        text = json.dumps(expected_of_heap(folder), indent=1, sort_keys=True)
        (folder / EXPECTED).write_text(text + "\n")
        for table in schema.REPLAYED:
            table_path(folder, table).unlink()


def remake() -> None:
    for name, (release, program, arguments) in SAMPLES.items():
        folder = TRACES / name
        STAGE.mkdir(exist_ok=True)
        binary = shutil.copy(build_program(program, release, STRIPPED), STAGE)
        command = [sys.executable, "-m", "mapprobe", "record", "--force", "-o", str(folder), "--", binary, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        text = json.dumps(expected(folder), indent=1, sort_keys=True)
        (folder / EXPECTED).write_text(text + "\n")
        for table in schema.REPLAYED:
            table_path(folder, table).unlink()


if __name__ == "__main__":
    main()
