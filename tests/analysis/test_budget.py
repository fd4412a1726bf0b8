"""Budgets: which sites a limit applies to, which are over it, and what a file of limits may contain."""

from __future__ import annotations

import pyarrow as pa
import pytest

from mapprobe.analysis.budget import ANY_NUMBER, LARGEST, MOST_OVER, Beyond, Limit, Per, bytes_of, judge, read_limits
from mapprobe.analysis.selection import pattern
from mapprobe.errors import MapprobeError
from mapprobe.vocabulary import View

SITES = [("shop.(*Cache).Login", 900, 1000), ("shop.(*Cache).Logout", 500, 2000), ("rate.Allow", 100, 100)]
LIMITS = """
view = "drain"

[[limit]]
name = "sessions"
site = 'shop\\..*'
ignore = ["*Logout"]
max_retained = "1KiB"

[[limit]]
per = "total"
max_retained_share = 0.5
ignore_below = 100
"""


def table(sites: list[tuple[str, int, int]]) -> pa.Table:
    rows = [
        {"function": name, "file": f"{name}.go", "line": 7, "retained_bytes": retained, "allocated_bytes": allocated}
        for name, retained, allocated in sites
    ]
    names = {"function": pa.string(), "file": pa.string(), "line": pa.int64()}
    return pa.Table.from_pylist(
        rows, schema=pa.schema([*names.items(), ("retained_bytes", pa.int64()), ("allocated_bytes", pa.int64())])
    )


def over(limit: Limit, sites: list[tuple[str, int, int]] = SITES) -> list[str]:
    return [one.function for one in judge(limit, table(sites)).over]


def test_a_site_over_the_bytes_is_over() -> None:
    assert over(Limit("", max_retained_bytes=500)) == ["shop.(*Cache).Login"]


def test_as_many_bytes_as_allowed_are_within() -> None:
    assert over(Limit("", max_retained_bytes=900)) == []


def test_a_limit_of_nothing_lets_nothing_pass() -> None:
    assert len(over(Limit("", max_retained_bytes=0))) == 3


def test_a_site_over_the_share_is_over() -> None:
    assert over(Limit("", max_retained_share=0.5)) == ["shop.(*Cache).Login", "rate.Allow"]


def test_small_sites_are_not_held_to_the_share() -> None:
    assert over(Limit("", max_retained_share=0.5, ignore_below_bytes=101)) == ["shop.(*Cache).Login"]


def test_small_sites_are_held_to_the_bytes() -> None:
    assert "rate.Allow" in over(Limit("", max_retained_bytes=99, ignore_below_bytes=1000))


def test_what_a_site_is_over_is_named() -> None:
    (first, *_) = judge(Limit("", max_retained_bytes=500, max_retained_share=0.5), table(SITES)).over
    assert first.breached == ("max_retained", "max_retained_share")


def test_only_sites_that_match_are_held() -> None:
    verdict = judge(Limit("", (pattern("rate.*"),), max_retained_bytes=0), table(SITES))
    assert (verdict.held, [one.function for one in verdict.over]) == (1, ["rate.Allow"])


def test_sites_to_ignore_are_not_held() -> None:
    limit = Limit("", ignore=(pattern("Login"), pattern("rate*")), max_retained_bytes=0)
    assert over(limit) == ["shop.(*Cache).Logout"]


def test_together_sites_are_held_by_their_sum() -> None:
    limit = Limit("", (pattern("shop"),), per=Per.TOTAL, max_retained_bytes=1399)
    (sum_of,) = judge(limit, table(SITES)).over
    assert (sum_of.retained_bytes, sum_of.allocated_bytes) == (1400, 3000)


def test_a_sum_within_the_limit_is_within() -> None:
    assert over(Limit("", per=Per.TOTAL, max_retained_bytes=1500)) == []


def test_a_sum_over_the_limit_names_its_largest_parts() -> None:
    verdict = judge(Limit("", per=Per.TOTAL, max_retained_share=0.1), table(SITES))
    assert [one.function for one in verdict.largest] == [name for name, _, _ in SITES]


def test_the_largest_parts_are_few() -> None:
    many = [(f"f{n}", 1, 1) for n in range(100)]
    assert len(judge(Limit("", per=Per.TOTAL, max_retained_bytes=0), table(many)).largest) == LARGEST


def test_where_nobody_matches_nobody_is_over() -> None:
    verdict = judge(Limit("", (pattern("absent"),), per=Per.TOTAL, max_retained_bytes=0), table(SITES))
    assert (verdict.held, verdict.over) == (0, [])


def test_sites_over_a_limit_are_counted_if_too_many_to_list() -> None:
    verdict = judge(Limit("", max_retained_bytes=0), table([(f"f{n}", 1, 1) for n in range(1000)]))
    assert (len(verdict.over), verdict.over_count) == (MOST_OVER, 1000)


@pytest.mark.parametrize("per", Per)
@pytest.mark.parametrize(
    ("limit", "beyond", "is_known"),
    [
        ({"max_retained_bytes": 5000}, Beyond(), True),
        ({"max_retained_bytes": 5000}, Beyond(2000, 1000), True),
        ({"max_retained_bytes": 5000}, Beyond(2000, 3000), False),
        ({"max_retained_share": 0.97}, Beyond(), True),
        ({"max_retained_share": 0.97}, Beyond(unknown=ANY_NUMBER), False),
        ({"max_retained_share": 1.0}, Beyond(unknown=ANY_NUMBER), True),
    ],
)
def test_what_is_not_known_may_be_over_a_limit(
    per: Per, limit: dict[str, float], beyond: Beyond, is_known: bool
) -> None:
    sites = [("shop.(*Cache).Login", 900, 1000)]
    verdict = judge(Limit("", per=per, **limit), table(sites), beyond)  # type: ignore[arg-type]

    assert (verdict.over, verdict.is_known) == ([], is_known)


def test_who_is_over_a_limit_by_what_is_known_is_over_it() -> None:
    verdict = judge(Limit("", max_retained_bytes=800), table(SITES), Beyond(unknown=ANY_NUMBER))

    assert (verdict.over_count, verdict.is_known) == (1, True)


def test_a_file_says_what_options_say() -> None:
    view, (sessions, together) = read_limits(LIMITS, "limits.toml")
    assert view is View.DRAIN
    assert sessions == Limit("sessions", (pattern(r"shop\..*"),), (pattern("*Logout"),), max_retained_bytes=1024)
    assert (together.per, together.max_retained_share, together.ignore_below_bytes) == (Per.TOTAL, 0.5, 100)


def test_a_limit_without_a_name_is_called_what_it_holds() -> None:
    _, (_, together) = read_limits(LIMITS, "limits.toml")
    assert together.name == "all call sites together of any function"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[limit]", "no TOML"),
        ("", "give a [[limit]]"),
        ("limit = 3", "give a [[limit]]"),
        ("limit = [3]", "give a [[limit]]"),
        ("views = 'fill'\n[[limit]]\nmax_retained = 1", "nothing else but view"),
        ("view = 'colour'\n[[limit]]\nmax_retained = 1", "view 'colour' is not known"),
        ("[[limit]]\nmax = 1", "limit 1: max is not known"),
        ("[[limit]]\nsite = 'a'", "limit 1: nothing is limited"),
        ("[[limit]]\nmax_retained = 1\n[[limit]]\nmax_retained = 'much'", "limit 2: 'much' is no size"),
        ("[[limit]]\nmax_retained = -1", "-1 is no size"),
        ("[[limit]]\nmax_retained = true", "True is no size"),
        ("[[limit]]\nmax_retained_share = 2", "2 is no share"),
        ("[[limit]]\nmax_retained_share = true", "True is no share"),
        ("[[limit]]\nmax_retained_share = nan", "nan is no share"),
        ("[[limit]]\nmax_retained = 1\nper = 'map'", "per 'map' is not known"),
        ("[[limit]]\nmax_retained = 1\nsite = 3", "3 is no pattern"),
        ("[[limit]]\nmax_retained = 1\nsite = '(a'", "no regular expression"),
    ],
)
def test_what_a_file_may_not_say_is_named(text: str, why: str) -> None:
    with pytest.raises(MapprobeError) as raised:
        read_limits(text, "limits.toml")
    assert why in str(raised.value)


@pytest.mark.parametrize(
    ("text", "count"), [("0", 0), ("7", 7), ("1KiB", 1024), ("1.5MiB", 3 << 19), ("2GB", 2 * 10**9), ("8kb", 8000)]
)
def test_sizes_are_bytes(text: str, count: int) -> None:
    assert bytes_of(text) == count


@pytest.mark.parametrize("text", ["", "MiB", "-1", "inf", "nan", "1XB", "1 KiBB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}$|could not convert|cannot convert"):
        bytes_of(text)
