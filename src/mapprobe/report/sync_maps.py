"""The number and the entries of sync.Maps in reports: from Go 1.24 on a sync.Map has no Go map inside."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

FEWEST = 64
"""Least entries of a sync.Map that reports count: sync.Maps of Go's own libraries have fewer.
go: internal/godebug/godebug.go cache [1.21..1.27]"""


def sum_up(table: pa.Table) -> dict[str, object] | None:
    """Add up the sync.Maps of the last census; None if no sync.Map has `FEWEST` entries.

    Parameters
    ----------
    table
        `tables.census.SYNC_MAPS`.

    Returns
    -------
    ``maps``, the number of sync.Maps with `FEWEST` entries or more; ``entries``, their entries; ``counted``, false if
    there may be more entries.
    """
    last = table.filter(pc.field("at_end") == pc.max(table["at_end"]))
    holding = last.filter((pc.field("entries") >= FEWEST) | ~pc.field("counted"))
    if not len(holding):
        return None
    counted = pc.all(holding["counted"]).as_py()
    return {"maps": len(holding), "entries": pc.sum(holding["entries"]).as_py(), "counted": counted}


def as_member(table: pa.Table) -> dict[str, object]:
    """Return the member ``sync_maps`` of a document's ``recording`` object; nothing if there are no sync.Maps."""
    sums = sum_up(table)
    return {"sync_maps": sums} if sums else {}


def tell_of(sums: dict[str, Any] | None) -> list[str]:
    """Return the line of a report about sync.Maps; no line if there are none."""
    if not sums:
        return []
    maps, entries = f"{sums['maps']:,} sync.Map{'s' * (sums['maps'] != 1)}", f"{sums['entries']:,}"
    more = "" if sums["counted"] else "more than "
    return [f"left out: {maps} with {more}{entries} entries, no Go maps inside (internal/sync.HashTrieMap)"]
