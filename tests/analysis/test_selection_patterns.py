"""Patterns that users write for functions and packages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapprobe.analysis.selection import any_matches, pattern
from mapprobe.errors import MapprobeError

LOGIN = "example.com/shop/cache.(*Cache).Login"


@pytest.mark.parametrize(
    "text",
    [
        "shop/.*",
        "example.com/shop/*",
        "*.Login",
        "*Cache*",
        "Login$",
        "^example",
        "cache.(*Cache).Login",
        "(Login|Logout)",
        "example.com/*/cache.*",
    ],
)
def test_it_matches(text: str) -> None:
    assert pattern(text).matches(LOGIN)


@pytest.mark.filterwarnings("error")
def test_what_python_may_read_otherwise_one_day_is_read() -> None:
    assert pattern("[[a]").matches("a")


@pytest.mark.parametrize("text", ["shop/*", "*.Log", "^shop", "example.org/*", "Logout", "(*Cache).Logout"])
def test_it_does_not_match(text: str) -> None:
    assert not pattern(text).matches(LOGIN)


@given(st.text(min_size=1))
def test_a_name_matches_itself(name: str) -> None:
    try:
        found = pattern(name)
    except MapprobeError:
        found = pattern(f"*{name}")  # wild, so it is a shell pattern
    assert found.matches(name) or "[" in name


def test_generic_names_match_themselves() -> None:
    assert pattern("main.Put[...]").matches("main.Put[...]")


def test_what_is_no_pattern_is_refused() -> None:
    with pytest.raises(MapprobeError, match="no regular expression"):
        pattern("shop/(a")


def test_one_of_several_is_enough() -> None:
    assert any_matches((pattern("nothing"), pattern("Login")), LOGIN)


def test_none_matches_nothing() -> None:
    assert not any_matches((), LOGIN)
