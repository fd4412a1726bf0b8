"""`doctor` and `inspect`: what this host can record, and what a target is.

Each check answers yes, or says what is missing and the one command that fixes it.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from mapprobe.capture.kernel.loader import Loader
from mapprobe.capture.rights import READING, lacking, try_probe
from mapprobe.errors import HostError, MapprobeError
from mapprobe.go.binary import GoBinary
from mapprobe.go.pclntab import FunctionTable
from mapprobe.go.points.heap_points import HeapPoint, find_heap_points
from mapprobe.go.points.map_points import find_points
from mapprobe.go.points.probe_point import ProbePoint
from mapprobe.go.types import TypeTable
from mapprobe.go.variables import figures_vaddrs, goid_offset, heap_vaddr
from mapprobe.live.process import Process
from mapprobe.live.refusal import refusal

UPROBE_PMU = Path("/sys/bus/event_source/devices/uprobe")
BTF = Path("/sys/kernel/btf/vmlinux")
USER_HEADERS = Path("/usr/include/linux/bpf.h")
LOCKLESS_UPROBES = (6, 13)


@dataclass(frozen=True, slots=True)
class Check:
    """A check for one thing that recording needs.

    Attributes
    ----------
    what, found
        The thing, and what was found on this host.
    remedy
        What to do if the thing is missing; empty if nothing is to be done.
    """

    what: str
    found: str
    remedy: str = ""

    @property
    def is_met(self) -> bool:
        """True if the thing is there."""
        return not self.remedy


def check_host() -> list[Check]:
    """Return the checks of everything that recording needs of this host."""
    return list(_host_checks())


def _host_checks() -> Iterator[Check]:
    machine, release = platform.machine(), platform.release()
    is_fit = platform.system() == "Linux" and machine == "x86_64"
    yield Check("Linux on x86-64", f"{platform.system()} {release} {machine}", "" if is_fit else "use another host")
    yield _exists("uprobes", UPROBE_PMU, "boot a kernel with CONFIG_UPROBE_EVENTS")
    yield _exists("BPF type information", BTF, "boot a kernel with CONFIG_DEBUG_INFO_BTF")
    yield _exists("kernel user headers", USER_HEADERS, "apt-get install linux-libc-dev")
    lacks = " and ".join(lacking(READING))
    remedy = f"run it with sudo, or give it {lacks}" if lacks else ""
    yield Check("rights to read processes", f"without {lacks}" if lacks else " and ".join(READING), remedy)
    try:
        with Loader() as loader:
            yield Check("bcc", f"python3-bpfcc {loader.version()}")
    except HostError as error:
        yield Check("bcc", str(error), error.remedy)
        return
    try:
        yield Check("a probe in this process", f"loaded, attached {try_probe()} and detached")
    except HostError as error:
        yield Check("a probe in this process", str(error).removesuffix(f": {error.remedy}"), error.remedy)


def _exists(what: str, path: Path, remedy: str) -> Check:
    return Check(what, str(path) if path.exists() else f"{path} is missing", "" if path.exists() else remedy)


def doctor(target: str | None = None) -> dict[str, object]:
    """Say what this host can do, and whether a process or binary can be recorded.

    Parameters
    ----------
    target
        A PID or a path; None: only the host is checked.

    Returns
    -------
    ``checks``, the members of each `Check`; ``notes``, sentences; ``ok``, true if every check is met.
    """
    checks = check_host()
    if target is not None:
        try:
            found = inspect(target)
            points = found["points"]
            assert isinstance(points, list)
            remedy = "give the PID or path of a Go program" if found["library"] else ""
            kind = "a Go library: only executables are supported" if found["library"] else found["go_version"]
            checks.append(Check("target", f"{kind}, {len(points)} probe points", remedy))
        except MapprobeError as error:
            checks.append(Check("target", str(error), "give the PID or path of a Go program"))
    notes = []
    kernel = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2] if part.isdigit())
    if kernel < LOCKLESS_UPROBES:
        notes.append("before Linux 6.13 hot uprobes on many CPUs wait for each other: expect a higher cost")
    return {
        "checks": [asdict(check) | {"ok": check.is_met} for check in checks],
        "notes": notes,
        "ok": all(check.is_met for check in checks),
    }


def inspect(target: str | int) -> dict[str, object]:
    """Return what a Go process or executable is, its probe points, and its map types.

    Parameters
    ----------
    target
        A PID or a path.

    Raises
    ------
    TargetError, BinaryError
        If the target is no Go program.
    """
    text = str(target)
    if text.isdigit() and not Path(text).exists():
        with Process(int(text)) as process:
            link, path = process.executable()
            try:
                return describe(link, path)
            except MapprobeError as error:
                raise refusal(process, error) from None
    return describe(text, text)


def describe(opened: str, path: str) -> dict[str, object]:
    """Return the result of `inspect` for the executable at `opened`, which is shown as `path`."""
    with GoBinary.open(opened) as binary:
        functions = FunctionTable(binary)
        types = TypeTable(binary)
        return {
            "binary": path,
            "go_version": binary.go_version,
            "build_id": binary.build_id,
            "module": binary.module,
            "implementation": str(binary.implementation),
            "experiments": sorted(binary.experiments),
            "position_independent": binary.is_pie,
            "static": binary.is_static,
            "stripped": binary.is_stripped,
            "library": binary.is_library,
            "cgo": binary.settings.get("CGO_ENABLED") == "1",
            "functions": len(functions),
            "goid_offset": goid_offset(binary, functions),
            "heap_address": hex(heap_vaddr(binary, functions)),
            "points": [_point(point) for point in find_points(binary, functions)],
            "heap": _heap(binary, functions),
            "map_types": [
                {name: value for name, value in asdict(map_type).items() if name != "type_addr"}
                | {"address": hex(map_type.type_addr)}
                for map_type in types.map_types()
            ],
        }


def _heap(binary: GoBinary, functions: FunctionTable) -> dict[str, object]:
    """Return the probe points of `record --heap`, and why this binary can't be recorded with it, if so."""
    try:
        figures_vaddrs(binary, functions)
        points = find_heap_points(binary, functions, large_objects=True)
    except MapprobeError as error:
        return {"points": [], "lack": str(error)}
    return {"points": [_heap_point(point) for point in points], "lack": None}


def _heap_point(point: HeapPoint) -> dict[str, object]:
    return _place(point) | {"words": [str(word) for word in point.words]}


def _point(point: ProbePoint) -> dict[str, object]:
    places = {name: getattr(point.places, name) for name in ("hash", "map", "type", "key", "hint")}
    return _place(point) | {
        "prunes_tombstones": point.prunes_tombstones,
        "places": {name: str(place) for name, place in places.items() if place is not None},
    }


def _place(point: ProbePoint | HeapPoint) -> dict[str, object]:
    return {
        "kind": point.kind.name.lower(),
        "function": point.function,
        "address": hex(point.vaddr),
        "file_offset": point.file_offset,
        "instruction": point.instruction,
        "cost": str(point.cost),
    }
