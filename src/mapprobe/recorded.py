"""What a recording says of itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from mapprobe.schema import Implementation


@dataclass(frozen=True, slots=True)
class Session:
    """The last row of `schema.SESSION`, in the words of a report."""

    row: dict[str, Any]

    @property
    def lost(self) -> int:
        """Events that were lost."""
        return int(self.row["lost"])

    @property
    def events(self) -> int:
        """Events that were recorded."""
        return int(self.row["events"])

    @property
    def implementation(self) -> Implementation:
        """Which kind of map the process had."""
        return Implementation(self.row["implementation"])

    @property
    def go_release(self) -> tuple[int, int]:
        """Release of Go that it was built with."""
        major, minor = re.findall(r"\d+", self.row["go_version"])[:2]
        return int(major), int(minor)

    @property
    def is_sound(self) -> bool:
        """True if its words are such that a recorder writes."""
        try:
            return self.go_release > (0, 0) and bool(self.implementation)
        except ValueError:
            return False

    def document(self) -> dict[str, object]:
        """Return the ``recording`` object of mapprobe.report/1."""
        names = ("go_version", "build_id", "binary", "pid", "implementation", "started", "ended", "events")
        return {name: self.row[name] for name in names} | {"lost_events": self.lost, "probes": self.row["probes"]}
