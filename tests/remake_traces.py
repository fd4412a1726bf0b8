"""Remake the sample recordings in traces/ and what a replay of them must give (`make traces`).

Look at the difference before you commit it: figures that changed without a
reason are a bug, not a new expectation.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import toolchains
from gobuild import STRIPPED, build_program
from mapprobe import schema, store

TRACES = toolchains.ROOT / "traces"
SAMPLES = {
    "go1.23-session-cache": ((1, 23), "session_cache", ["-ops", "9000", "-seconds", "0.2"]),
    "go1.27-session-cache": ((1, 27), "session_cache", ["-ops", "9000", "-seconds", "0.2"]),
}
EXPECTED = "expected.json"


def expected(folder: Path) -> dict[str, object]:
    """Return what must come out of a replay of the recording in `folder`, today and ever after."""
    import mapprobe

    recording = mapprobe.open(folder)
    views = {view: recording.report(by="site", view=view) for view in ("growth", "fill", "drain")}
    return {"by_site": views, "by_map": recording.report(by="map", view="fill"), "verify": recording.verify()}


def main() -> None:
    for name, (release, program, arguments) in SAMPLES.items():
        folder = TRACES / name
        binary = build_program(program, release, STRIPPED)
        command = [sys.executable, "-m", "mapprobe", "record", "--force", "-o", str(folder), "--", f"./{binary.name}"]
        subprocess.run([*command, *arguments], check=True, cwd=binary.parent, stdout=subprocess.DEVNULL)
        text = json.dumps(expected(folder), indent=1, sort_keys=True)
        (folder / EXPECTED).write_text(text + "\n")
        for table in schema.REPLAYED:
            store.table_path(folder, table).unlink()


if __name__ == "__main__":
    main()
