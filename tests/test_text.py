"""Names that are hostile, as a terminal or a spreadsheet may show them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapprobe.text import FORMULA, as_cell, printable


@given(st.text())
def test_what_is_printable_has_no_control_characters(text: str) -> None:
    shown = printable(text)

    assert not {unicodedata.category(letter) for letter in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert printable(shown) == shown


@pytest.mark.parametrize("text", ["main.(*Cache).Put", "map[string]*main.Session", "größe", "地図"])
def test_names_of_go_stay_as_they_are(text: str) -> None:
    assert printable(text) == as_cell(text) == text


@given(st.text())
def test_no_cell_begins_a_formula(text: str) -> None:
    assert not as_cell(text).startswith(FORMULA)
