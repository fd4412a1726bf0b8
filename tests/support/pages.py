"""The pages of docs/: generated pages (`make docs` writes them), and the commands that other pages show.

In a page a block of kind `console` is what a terminal showed: commands behind `$ `, each with what it printed. Where
`…` stands anything may have been, where a line is `...` any lines.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import typer.main

from mapprobe import vocabulary
from mapprobe.cli.main import app
from mapprobe.recording import encoding, packing
from mapprobe.recording.tables import schema
from mapprobe.recording.tables.census import CENSUS_TABLES
from mapprobe.recording.tables.heap import HEAP_TABLES
from mapprobe.vocabulary import RETURN_REASONS, TRIGGERS, ArrayState, CyclePhase
from support.gobuild import Release, go_environment
from support.toolchains import ROOT, goroot

DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```console(?: go(\d+)\.(\d+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TABLES = {
    "Recorded": schema.RECORDED,
    "Stored by a replay, and replaced if events or mapprobe's code change": schema.REPLAYED,
    "Written by a census": CENSUS_TABLES,
    "Written by `record --heap`": HEAP_TABLES,
}


@dataclass(frozen=True)
class Command:
    """A command of a page, the Go release that its block names, and what it printed."""

    line: str
    release: Release | None
    shown: str


def commands(page: str) -> Iterator[Command]:
    """Yield the commands of a page, in order."""
    for major, minor, text in BLOCK.findall(page):
        release = (int(major), int(minor)) if major else None
        for piece in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            line, _, shown = piece.partition("\n")
            yield Command(line, release, shown)


def run(command: Command, folder: Path) -> str:
    """Return what a command prints when it is run in a folder, as on a terminal: both streams."""
    environment = go_environment(command.release) if command.release else dict(os.environ)
    tools = [Path(sys.executable).parent, *([goroot(command.release) / "bin"] if command.release else [])]
    path = os.pathsep.join([*map(str, tools), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", command.line], cwd=folder, env=environment | {"PATH": path}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=250, check=False,
    )  # fmt: skip
    return done.stdout


def pattern(shown: str) -> re.Pattern[str]:
    """Return what matches all that may be printed where a page shows this; columns may be wider or narrower."""
    lines = [r"(?:.*\n)*?" if line.strip() == "..." else _line(line) + r"\n" for line in shown.splitlines()]
    return re.compile("".join(lines))


def _line(shown: str) -> str:
    pieces = (r"\s+".join(map(re.escape, piece.split(" "))) for piece in " ".join(shown.split()).split("…"))
    return r"\s*" + r".*?".join(pieces) + r"\s*?"


def filled(page: str, say: Callable[[Command], str]) -> str:
    """Return a page with what its commands print now."""

    def block(found: re.Match[str]) -> str:
        text = "".join(f"$ {command.line}\n{say(command).rstrip()}\n" for command in commands(found[0]))
        return f"{found[0].splitlines()[0]}\n{text}```"

    return BLOCK.sub(block, page)


def of_traces(page: str, scratch: Path) -> str:
    """Return a page whose commands read the sample recordings, with what they print now."""
    shutil.copytree(ROOT / "traces", scratch / "traces")
    return filled(page, lambda command: run(command, scratch))


def listed(page: str) -> set[str]:
    """Return the modules that the tree of a page lists: Python, C and BPF, each in the folder that it stands under."""
    tree = page.partition("## The tree")[2].split("```")[1]
    found, folders = set(), [""]
    for line in filter(str.strip, tree.splitlines()):
        depth = (len(line) - len(line.lstrip())) // 2
        if folder := re.match(r"\s*(\S+/)(\s|$)", line):
            folders = [*folders[: depth + 1], folder[1]]
            line = line[folder.end() :]
        found |= {"".join(folders) + name for name in re.findall(r"(?<!\S)[\w.]+\.(?:py|c|h)(?!\S)", line)}
    return found


def modules() -> set[str]:
    """Return the modules that there are, but for packages' own and the files of the core that Python calls."""
    python = [path for path in (ROOT / "src/mapprobe").rglob("*.py") if path.name != "__init__.py"]
    core = [path for path in (ROOT / "src/core").glob("*.[ch]") if not path.name.startswith("py_")]
    found = [*python, *core, *(ROOT / "probes").glob("*.[ch]"), ROOT / "src/mapprobe/__init__.py"]
    return {str(path.relative_to(ROOT)) for path in found}


def recording_format() -> str:
    """Return the page about the format, from `recording.tables`, `recording.encoding` and `recording.packing`."""
    lines = [
        "# Format of a recording",
        "",
        "*Generated by `make docs` from `recording/tables/`, `recording/encoding.py` and `recording/packing.py`.* "
        f"The version of the format is {schema.VERSION}; of the events' file, {encoding.VERSION}.",
        "",
        "A recording is a folder of Arrow IPC streams, one file `TABLE.arrow` for each table. A stream has no footer:",
        "a file is readable up to its last whole batch, even if its writer was killed. The metadata of each column has",
        "its unit and meaning too (`unit`, `doc`); the metadata of each schema has the version (`mapprobe.version`).",
        "",
        "Columns marked ? may be null. Times are on the kernel's monotonic clock unless a column says otherwise.",
    ]
    for title, tables in TABLES.items():
        lines += ["", f"## {title}"]
        for table in tables:
            lines += ["", f"### {table.name}", "", f"One row: {table.row}.", ""]
            lines += _table((_kind(c.type) + "?" * c.nullable, c.name, c.unit, c.doc) for c in table.columns)
    lines += [
        "",
        "## events, encoded",
        "",
        *_said(encoding.__doc__),
        "",
    ]
    lines += _table((_kind(f.type), f.name, *_meta(f.metadata)) for f in encoding.encoded_schema())
    lines += ["", "## events, packed", "", *_said(packing.__doc__), ""]
    fields = packing.packed_schema()
    lines += _table((_kind(f.type), f.name, *_meta(f.metadata)) for f in fields if f.name != "header")
    lines += ["", "`header` has these members:", ""]
    lines += _table((_kind(f.type), f.name, *_meta(f.metadata)) for f in fields.field("header").type.value_type)
    lines += ["", "## Codes", "", "Of `kind` in events and points:", ""]
    lines += [
        "| code | kind |",
        "| --- | --- |",
        *(f"| {int(kind)} | {kind.name} |" for kind in (*vocabulary.EventKind, *vocabulary.HeapKind)),
    ]
    lines += ["", "Of `inexact` in maps:", "", "| code | why a map is not exact |", "| --- | --- |"]
    lines += [f"| {int(code)} | {reason} |" for code, reason in vocabulary.INEXACT_REASONS.items()]
    codes: dict[str, Mapping[int, str]] = {
        "`phase` in cycles": {phase: phase.name for phase in CyclePhase},
        "`value` in cycles where one started": TRIGGERS,
        "`reason` in returns": RETURN_REASONS,
        "`state` in arrays": {state: state.name for state in ArrayState},
    }
    for what, meanings in codes.items():
        lines += ["", f"Of {what}:", "", "| code | meaning |", "| --- | --- |"]
        lines += [f"| {int(code)} | {meaning} |" for code, meaning in meanings.items()]
    return "\n".join(lines) + "\n"


def _said(text: str | None) -> list[str]:
    return (text or "").replace("::", ":").strip().splitlines()


def _kind(kind: object) -> str:
    return str(kind).replace(": ", " ").replace("list<item ", "list<")


def _meta(metadata: Mapping[bytes, bytes]) -> tuple[str, str]:
    return metadata[b"unit"].decode(), metadata[b"doc"].decode()


def _table(rows: Iterator[tuple[str, str, str, str]]) -> list[str]:
    said = (f"| `{name}` | `{kind}` | {doc}{f' [{unit}]' if unit else ''} |" for kind, name, unit, doc in rows)
    return ["| column | type | |", "| --- | --- | --- |", *said]


def cli() -> str:
    """Return the page about the command line: what each command says of itself."""
    of_all = typer.main.get_command(app)
    lines = ["# Commands", "", "*Generated by `make docs` from what `--help` says.*"]
    for name in ("", *of_all.commands):
        words = ["mapprobe", *([name] if name else []), "--help"]
        done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, check=True)
        said = done.stdout.replace("python -m mapprobe", "mapprobe").strip()
        lines += ["", f"## mapprobe{f' {name}' if name else ''}", "", "```", *map(str.rstrip, said.splitlines()), "```"]
    return "\n".join(lines) + "\n"


GENERATED: dict[str, Callable[[], str]] = {"recording-format.md": recording_format, "cli.md": cli}
REPLAYED = ("reading-a-report.md",)
"""Pages whose commands read the sample recordings: what they print is the same each time."""


def main() -> None:
    for name, page in GENERATED.items():
        (DOCS / name).write_text(page())
    for name in REPLAYED:
        with tempfile.TemporaryDirectory() as scratch:
            (DOCS / name).write_text(of_traces((DOCS / name).read_text(), Path(scratch)))


if __name__ == "__main__":
    main()
