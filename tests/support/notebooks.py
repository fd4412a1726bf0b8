"""Run the notebooks of docs/ on copies of the sample recordings: `make notebooks` keeps what they say."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from support.toolchains import ROOT

DOCS = ROOT / "docs"
NOTEBOOKS = sorted(path.name for path in DOCS.glob("*.ipynb"))
RUN_SECONDS = 280


def run(name: str, scratch: Path) -> nbformat.NotebookNode:
    """Return a notebook as it comes out when it is run beside a copy of traces/."""
    shutil.copytree(ROOT / "traces", scratch / "traces")
    (scratch / "docs").mkdir()
    notebook = nbformat.read(DOCS / name, as_version=4)
    where = {"metadata": {"path": str(scratch / "docs")}}
    NotebookClient(notebook, timeout=RUN_SECONDS, resources=where).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when each cell was run
    return notebook


def said(notebook: nbformat.NotebookNode) -> list[tuple[str, list[str]]]:
    """Return each cell of code with what it printed and gave as text."""
    return [
        (cell.source, [out.get("text") or out.get("data", {}).get("text/plain", "") for out in cell.outputs])
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def main() -> None:
    for name in NOTEBOOKS:
        with tempfile.TemporaryDirectory() as scratch:
            nbformat.write(run(name, Path(scratch)), DOCS / name)


if __name__ == "__main__":
    main()
