"""Budgets: limits for what call sites retain, and the call sites that are over their limit.

A limit applies to each call site whose function matches, or to all matching call sites together. It limits retained
bytes, and the share that retained bytes have in allocated bytes. Limits come from the text of a TOML file or from
options. Pure.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mapprobe.analysis.certainty import Apart
from mapprobe.analysis.selection import Pattern, any_matches, pattern
from mapprobe.errors import MapprobeError
from mapprobe.vocabulary import View

UNITS = {"": 1, "B": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40} | {
    f"{letter}B": 1000**n for n, letter in enumerate("KMGT", 1)
}
LIMIT_KEYS = ("name", "site", "ignore", "per", "max_retained", "max_retained_share", "ignore_below")
MOST_OVER = 100
"""Call sites over a limit that are named at most; the others are only counted."""
LARGEST = 10
"""Call sites that are named at most where their sum is over a limit."""


ANY_NUMBER = 1 << 62
"""Bytes that stand for "no upper bound": more than any process has."""


class Per(StrEnum):
    """Whether a limit applies to each call site by itself, or to all of them together."""

    SITE = "site"
    TOTAL = "total"


@dataclass(frozen=True, slots=True)
class Beyond:
    """The most that may have to be added to the known figures, all of it perhaps at one call site [bytes].

    Attributes
    ----------
    retained
        Allocated bytes of living maps that may be retained.
    unknown
        Bytes of maps that may be alive or dead.
    """

    retained: int = 0
    unknown: int = 0


KNOWN = Beyond()


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit.

    Attributes
    ----------
    sites
        Functions to which the limit applies; none: all functions.
    ignore
        Functions to which the limit does not apply.
    max_retained_bytes
        None: no limit of bytes.
    max_retained_share
        Most retained bytes as a share of the allocated bytes charged to the site, 0..1; None: no limit of the share.
    ignore_below_bytes
        The share is not checked for call sites that retain less than this.
    """

    name: str
    sites: tuple[Pattern, ...] = ()
    ignore: tuple[Pattern, ...] = ()
    per: Per = Per.SITE
    max_retained_bytes: int | None = None
    max_retained_share: float | None = None
    ignore_below_bytes: int = 0

    def holds(self, function: str) -> bool:
        """True if the limit applies to this function."""
        return (not self.sites or any_matches(self.sites, function)) and not any_matches(self.ignore, function)

    def may_breach(self, retained: int, allocated: int, beyond: Beyond) -> bool:
        """True if a site is over the limit once all of `beyond` is added."""
        return bool(self.breached(retained + beyond.retained + beyond.unknown, allocated + beyond.unknown))

    def breached(self, retained: int, allocated: int) -> tuple[str, ...]:
        """Return those of the limit's two measures that a site exceeds."""
        over = []
        if self.max_retained_bytes is not None and retained > self.max_retained_bytes:
            over.append("max_retained")
        is_small = retained < self.ignore_below_bytes
        if self.max_retained_share is not None and not is_small and retained > self.max_retained_share * allocated:
            over.append("max_retained_share")
        return tuple(over)


@dataclass(frozen=True, slots=True)
class Over:
    """A call site over a limit, or the sum of several call sites (then without a file)."""

    function: str
    file: str
    line: int
    retained_bytes: int
    allocated_bytes: int
    breached: tuple[str, ...]

    @property
    def share(self) -> float:
        """Retained bytes as a share of the allocated bytes, 0..1."""
        return self.retained_bytes / self.allocated_bytes if self.allocated_bytes else 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of checking one limit.

    Attributes
    ----------
    held
        The number of call sites to which the limit applies.
    over
        Call sites over the limit, the most retained bytes first, `MOST_OVER` at most.
    over_count
        The number of all call sites over the limit.
    largest
        Where a sum is over the limit: the call sites with the largest parts of the sum.
    is_known
        False if no call site is over the limit by the known figures, but one may be by the figures that are not known.
    """

    limit: Limit
    held: int
    over: list[Over]
    over_count: int
    largest: list[Over]
    is_known: bool = True


def judge(limit: Limit, rows: pa.Table, beyond: Beyond = KNOWN) -> Verdict:
    """Check the call sites of a report against a limit.

    Parameters
    ----------
    rows
        Rows of a report by site, the most retained bytes first.
    beyond
        The bytes that may have to be added to the known figures.
    """
    names = ("function", "file", "line", "retained_bytes", "allocated_bytes")
    columns = (rows[name].to_pylist() for name in names)
    held: list[tuple[str, str, int, int, int]] = [row for row in zip(*columns, strict=True) if limit.holds(row[0])]
    if limit.per is Per.TOTAL and held:
        retained, allocated = sum(row[3] for row in held), sum(row[4] for row in held)
        breached = limit.breached(retained, allocated)
        together = Over(f"{len(held):,} call sites together", "", 0, retained, allocated, breached)
        if not breached:
            is_known = not limit.may_breach(retained, allocated, beyond)
            return Verdict(limit, len(held), [], 0, [], is_known)
        return Verdict(limit, len(held), [together], 1, [Over(*row, ()) for row in held[:LARGEST] if row[3]])
    over = [Over(*row, breached) for row in held if (breached := limit.breached(*row[3:]))]
    is_known = bool(over) or not any(limit.may_breach(*row[3:], beyond) for row in held)
    return Verdict(limit, len(held), over[:MOST_OVER], len(over), [], is_known)


def beyond_known(apart: Apart, rows: pa.Table) -> Beyond:
    """Return the most that may have to be added to the figures of a report by site.

    Parameters
    ----------
    rows
        All rows of the report.
    """
    most, unknown = apart.retained_bytes[1], apart.unknown_retained_bytes
    if most is None or unknown is None:
        return Beyond(0 if unknown is None else ANY_NUMBER, ANY_NUMBER if unknown is None else unknown)
    return Beyond(most - unknown - int(pc.sum(rows["retained_bytes"], min_count=0).as_py()), unknown)


def limits_of(given: Iterable[Limit | Mapping[str, Any]]) -> list[Limit]:
    """Return limits that are given as `Limit`, or as mappings with the keys of a ``[[limit]]``.

    Raises
    ------
    MapprobeError
        If no limit is given, or a limit has a key or a value that is not known.
    """
    found = [one if isinstance(one, Limit) else _limit(one, f"limit {n}") for n, one in enumerate(given, 1)]
    if not found:
        raise MapprobeError("limits: there are none: give at least one")
    return found


def read_limits(text: str, where: str) -> tuple[View | None, list[Limit]]:
    """Return the view and the limits of a TOML file.

    Parameters
    ----------
    where
        The name of the file, for messages.

    Raises
    ------
    MapprobeError
        If the text is no TOML, has no limit, or has a key or a value that is not known.
    """
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MapprobeError(f"limits {where}: no TOML ({error}): correct the file") from None
    given = found.pop("limit", None)
    view = found.pop("view", None)
    if found or not isinstance(given, list) or not given or not all(isinstance(one, dict) for one in given):
        why = "give a [[limit]] for each, and nothing else but view"
        raise MapprobeError(f"limits {where}: no limits: {why}")
    if view is not None and view not in list(View):
        raise MapprobeError(f"limits {where}: view {view!r} is not known: give {', '.join(View)}")
    limits = [_limit(one, f"limits {where}: limit {n}") for n, one in enumerate(given, 1)]
    return None if view is None else View(view), limits


def _limit(given: Mapping[str, Any], where: str) -> Limit:
    if unknown := sorted(set(given) - set(LIMIT_KEYS)):
        raise MapprobeError(f"{where}: {', '.join(unknown)} is not known: give {', '.join(LIMIT_KEYS)}")
    share, per = given.get("max_retained_share"), given.get("per", Per.SITE)
    if share is not None and not is_share(share):
        raise MapprobeError(f"{where}: max_retained_share {share!r} is no share: give a number from 0 to 1")
    if per not in list(Per):
        raise MapprobeError(f"{where}: per {per!r} is not known: give site or total")
    if share is None and "max_retained" not in given:
        raise MapprobeError(f"{where}: nothing is limited: give max_retained or max_retained_share")
    sizes = {name: _size(given[name], where) for name in ("max_retained", "ignore_below") if name in given}
    sites, ignore = (_patterns(given.get(name, []), where) for name in ("site", "ignore"))
    name = str(given.get("name") or title(sites, Per(per)))
    return Limit(name, sites, ignore, Per(per), sizes.get("max_retained"), share, sizes.get("ignore_below", 0))


def title(sites: tuple[Pattern, ...], per: Per) -> str:
    """Return the name of a limit that was given without a name."""
    who = " or ".join(one.text for one in sites) or "any function"
    return f"{'each call site' if per is Per.SITE else 'all call sites together'} of {who}"


def is_share(value: object) -> bool:
    """True for a number from 0 to 1."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def bytes_of(text: str) -> int:
    """Return a size in bytes: 500MiB, 2GiB, 1000.

    Raises
    ------
    ValueError
        If the text is no size, or the size is below 0.
    """
    number = text.rstrip("BKMGTibkmgt")
    try:
        found = int(float(number) * UNITS[text[len(number) :].upper()])
    except (KeyError, OverflowError):
        found = -1
    if found < 0:
        raise ValueError(text)
    return found


def _size(value: object, where: str) -> int:
    try:
        return bytes_of(str(value) if isinstance(value, int | str) else "")
    except ValueError:
        raise MapprobeError(f'{where}: {value!r} is no size: give e.g. "64MiB"') from None


def _patterns(value: object, where: str) -> tuple[Pattern, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise MapprobeError(f"{where}: {value!r} is no pattern: give a text, or several in a list")
    return tuple(pattern(text) for text in texts)
