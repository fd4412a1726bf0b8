"""`mapprobe doctor` and `mapprobe inspect`: what this host can record, and what a target is."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mapprobe.cli.options import (
    HOST_LACKS,
    WRONG_USE,
    Json,
    print_json,
    say,
)


def doctor(
    target: Annotated[str | None, typer.Argument(metavar="[PID|BINARY]", help="Can it be recorded?")] = None,
    as_json: Json = False,
) -> None:
    """Say what this host, and this target, can do, and how to get what is missing."""
    from mapprobe.api.doctor import doctor as examine

    found: Any = examine(target)
    checks = found["checks"]
    if as_json:
        print_json(found)
    else:
        lines = []
        for check in checks:
            lines.append(f"{'ok  ' if check['ok'] else 'LACK'} {check['what']}: {check['found']}")
            if not check["ok"]:
                lines.append(f"     to do: {check['remedy']}")
        say(*lines, *(f"note {note}" for note in found["notes"]))
    if not found["ok"]:
        lacks = [check["what"] for check in checks if not check["ok"]]
        raise typer.Exit(WRONG_USE if lacks == ["target"] else HOST_LACKS)


def inspect(
    target: Annotated[str, typer.Argument(metavar="PID|BINARY", help="A Go process or executable.")],
    as_json: Json = False,
) -> None:
    """Show Go version, build ID, map implementation, linkage, every probe point and the map types."""
    from mapprobe.api.doctor import inspect as look

    found: Any = look(target)
    if as_json:
        print_json(found)
        return
    lines = [f"{name:16}{found[name]}" for name in ("binary", "go_version", "build_id", "module", "implementation")]
    linkage = [name for name in ("position_independent", "static", "stripped", "library", "cgo") if found[name]]
    lines += [f"{'linkage':16}{', '.join(linkage) or 'dynamic'}", ""]
    lines.append(f"{'probe point':46}{'kind':16}{'address':12}{'cost':10}instruction")
    for point in [*found["points"], *found["heap"]["points"]]:
        columns = f"{point['function']:46}{point['kind']:16}{point['address']:12}{point['cost']:10}"
        lines.append(columns + point["instruction"])
    if lack := found["heap"]["lack"]:
        lines += ["", f"record --heap: {lack}"]
    lines += ["", f"{'key':>6}{'elem':>6}{'slot':>6}{'bucket':>8}  map type  [bytes]"]
    for kind in found["map_types"]:
        sizes = f"{kind['key_bytes']:6}{kind['elem_bytes']:6}{kind['slot_bytes']:6}{kind['bucket_bytes']:8}"
        lines.append(f"{sizes}  {kind['name']}")
    say(*lines)
