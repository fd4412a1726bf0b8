"""Select the rows of a report that belong to the functions and packages that a user asked for.

A call site is chosen if its function and its package match; a stack if its call site is chosen; a map if the call site
that made it is chosen; a type if one of its maps is chosen. Pure.
"""

from __future__ import annotations

import fnmatch
import re
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe.analysis.retention import addresses, type_names
from mapprobe.errors import MapprobeError
from mapprobe.recording.sites import NOT_RECORDED, CallSite, Sites
from mapprobe.recording.tables.result import Replayed

WILDCARDS = frozenset("*?")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern that a name must match.

    Attributes
    ----------
    text
        The pattern as the user wrote it.
    expression
        The regular expression that is searched for in the name.
    """

    text: str
    expression: re.Pattern[str]

    def matches(self, name: str) -> bool:
        """True if the name contains the text, or the expression is found in the name."""
        return self.text in name or self.expression.search(name) is not None


def pattern(text: str) -> Pattern:
    """Read a pattern from a text.

    The text is a shell pattern for the whole name (``shop/*``, ``*.Login``) if it has ``*`` or ``?`` in a place where
    a regular expression can't have them; else a regular expression that may match anywhere in the name.

    Raises
    ------
    MapprobeError
        If the text is neither.
    """
    is_wild = not WILDCARDS.isdisjoint(text)
    try:
        if not (is_wild and "/*" in text):
            with warnings.catch_warnings():  # of syntax that may change its meaning in a later Python
                warnings.simplefilter("ignore")
                return Pattern(text, re.compile(text))
    except re.error as error:
        if not is_wild:
            why = f"no regular expression ({error})"
            raise MapprobeError(f"pattern {text}: {why}: give 'shop/.*', 'shop/*' or a piece of the name") from None
    return Pattern(text, re.compile(rf"\A{fnmatch.translate(text)}"))


def any_matches(patterns: tuple[Pattern, ...], name: str) -> bool:
    """True if one of the patterns matches the name."""
    return any(one.matches(name) for one in patterns)


@dataclass(frozen=True, slots=True)
class Choice:
    """Functions and packages that a user asked for; without any, all are chosen.

    Attributes
    ----------
    functions
        Patterns, one of which must match the function's full name.
    packages
        Patterns, one of which must match the package's path.
    """

    functions: tuple[Pattern, ...] = ()
    packages: tuple[Pattern, ...] = ()

    def __bool__(self) -> bool:
        """True if there is any pattern."""
        return bool(self.functions or self.packages)

    def holds(self, site: CallSite) -> bool:
        """True if the call site is chosen."""
        is_function = not self.functions or any_matches(self.functions, site.function)
        return is_function and (not self.packages or any_matches(self.packages, site.package))


def select(
    rows: pa.Table, by: str, replayed: Replayed, types: pa.Table, sites: Sites, choice: Choice
) -> npt.NDArray[np.bool_]:
    """Return which rows of `retention.aggregate` are chosen, ``(rows,)``."""
    if by == "site":
        keys = zip(*(rows[name].to_pylist() for name in ("function", "file", "line", "package")), strict=True)
        return np.fromiter((choice.holds(CallSite(*key)) for key in keys), np.bool_, len(rows))
    if by == "stack":
        return np.fromiter((_holds_stack(choice, stack) for stack in rows["stack"].to_pylist()), np.bool_, len(rows))
    is_meant = np.array([choice.holds(site) for site in sites.table], np.bool_)
    by_maker = is_meant[sites.site_of_stack[np.asarray(replayed.maps["created_by"])]]
    maps = replayed.maps.filter(pa.array(by_maker))
    if by == "type":
        return _is_in(rows["type"], type_names(maps["type_id"], types))
    return _is_in(_names(rows["map"], rows["generation"]), _names(addresses(maps["map_addr"]), maps["generation"]))


def _names(addrs: pa.ChunkedArray, generations: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return one name for each generation of each map."""
    return pc.binary_join_element_wise(addrs, generations.cast(pa.string()), "#")


def _is_in(found: pa.ChunkedArray, meant: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.is_in(found, meant), np.bool_)


def _holds_stack(choice: Choice, stack: list[dict[str, str]]) -> bool:
    site = stack[0] if stack else {"function": NOT_RECORDED.function, "package": NOT_RECORDED.package}
    return choice.holds(CallSite(site["function"], "", 0, site["package"]))
