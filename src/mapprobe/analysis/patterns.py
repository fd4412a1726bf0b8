"""Which functions and packages a user means: a regular expression, a shell pattern, or a piece of the name.

Pure. Go's names hold what regular expressions are made of, as in ``main.(*Cache).Login``: so a piece of the name
itself always matches.
"""

from __future__ import annotations

import fnmatch
import re
import warnings
from dataclasses import dataclass

from mapprobe.errors import MapprobeError

WILDCARDS = frozenset("*?")


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a name must match.

    Attributes
    ----------
    text
        As the user wrote it.
    expression
        Is searched for in the name.
    """

    text: str
    expression: re.Pattern[str]

    def matches(self, name: str) -> bool:
        """True if the name holds the text or what it describes."""
        return self.text in name or self.expression.search(name) is not None


def pattern(text: str) -> Pattern:
    """Return the pattern that a text is.

    It is a shell pattern for the whole name (``shop/*``, ``*.Login``) if ``*`` or ``?`` stands in it where no regular
    expression has it; else a regular expression that is found anywhere in the name.

    Raises
    ------
    MapprobeError
        If it is neither.
    """
    is_wild = not WILDCARDS.isdisjoint(text)
    try:
        if not (is_wild and "/*" in text):
            with warnings.catch_warnings():  # of what another release of Python may read otherwise
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
