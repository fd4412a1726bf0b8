"""The memory of the process on the page about a recording: who keeps it, its parts, and what happened to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from mapprobe.analysis.overview import Overview
from mapprobe.report.page.html import Room, figures_of
from support.browsing import WIDTHS, Opened, written
from support.heaps import LIMIT, LIVE, RESERVED, RETAINED, RSS, heap_of


@pytest.mark.parametrize("marks", [0, 1, 2, 5, 400])
def test_marks_are_those_that_there_is_room_for_and_rare_ones_first(seen: Overview, marks: int) -> None:
    document = heap_of(seen, collections=20)
    heap = figures_of(seen, Room(marks=marks), document)["heap"]

    assert len(heap["marks"]) == min(marks, len(document["marks"]))
    assert len(heap["marks"]) + heap["others"] == len(document["marks"]) == 23
    rare = [mark for mark in heap["marks"] if mark["kind"] != "collection"]
    assert len(rare) == min(marks, 3)
    assert heap["marks"] == [mark for mark in document["marks"] if mark in heap["marks"]]


def test_a_page_stays_small_however_much_happened_to_the_heap(seen: Overview) -> None:
    heap = heap_of(seen, "main.very/" * 400, collections=100_000, samples=600)
    assert len(heap["timeline"]) == 600

    assert len(written(seen, heap)) < len(written(seen)) + 120_000


@pytest.fixture(scope="module")
def heap_file(seen: Overview, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("heap") / "report.html"
    path.write_bytes(written(seen, heap_of(seen)))
    return path


@pytest.fixture(params=WIDTHS.values(), ids=WIDTHS)
def heap_page(browser: Browser, heap_file: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    opened = Opened(browser, heap_file, request.param)
    yield opened.page
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    opened.context.close()
    assert (opened.wrong, opened.asked) == ([], [heap_file.as_uri()])


def test_the_verdict_says_who_holds_the_memory(heap_page: Page) -> None:
    first, second = heap_page.locator("#verdict .finding").all()

    expect(first.locator("b")).to_have_text("maps hold it")
    expect(first).to_contain_text("12.0 MiB of 33.0 MiB are buckets of maps that hold nothing")
    expect(first.locator("li").first).to_contain_text("rebuild the maps that retain the most")
    expect(second.locator("b")).to_have_text("it is in use")


def test_every_finding_of_the_text_is_on_the_page(heap_page: Page, seen: Overview) -> None:
    found = heap_page.locator("#verdict .finding > p:first-child").all_text_contents()

    assert found == [f"{row['holder']}: {row['says']}" for row in heap_of(seen)["findings"]]


def test_bars_of_parts_follow_each_other_up_to_the_resident_memory(heap_page: Page, seen: Overview) -> None:
    expect(heap_page.locator('.step[data-kind="unknown"]')).to_have_count(0)
    parts = [part for part in heap_of(seen)["parts"] if part["bytes"]]
    names = heap_page.locator("#parts .step:not(.site) .name").all_text_contents()
    assert names == ["resident memory", *(part["name"] for part in parts)]

    boxes = """steps => steps.map((step) => {
        const fill = step.querySelector('.fill').getBoundingClientRect();
        return [fill.left, fill.right];
    })"""
    whole, *bars = heap_page.locator("#parts .step:not(.site)").evaluate_all(boxes)
    before = whole[0]
    for part, (left, right) in zip(parts, bars, strict=True):
        ends = (right, left) if part["bytes"] < 0 else (left, right)
        assert ends[0] == pytest.approx(before, abs=1)
        before = ends[1]
    assert before == pytest.approx(whole[1], abs=1)


def test_what_was_never_written_to_goes_back(heap_page: Page) -> None:
    untouched = heap_page.locator('.step[data-kind="untouched"]')

    expect(untouched.locator(".size")).to_have_text(f"\N{MINUS SIGN}{RESERVED >> 20}.0 MiB")
    expect(untouched.locator(".says")).to_contain_text("not in memory")


def test_call_sites_stand_below_what_they_retain(heap_page: Page) -> None:
    sites = heap_page.locator('.step[data-kind="retained"]:not(.site) ~ .site')

    texts = [text.split(" ")[0] for text in sites.locator(".name").all_text_contents()]
    assert texts == ["main.site1", "main.site2", "other"]
    assert sites.locator(".size").all_text_contents() == ["6.0 MiB", "5.0 MiB", "1.0 MiB"]


def test_the_pointer_over_the_memory_says_what_was_there_and_what_happened(heap_page: Page) -> None:
    part = heap_page.locator("#heapvalues [data-part]")
    values = part.evaluate_all("keys => Object.fromEntries(keys.map((key) => [key.dataset.part, key.textContent]))")
    assert values["rss_bytes"] == f"resident {RSS >> 20}.0 MiB"
    assert (values["goal_bytes"], values["memory_limit_bytes"]) == ("goal none", f"memory limit {LIMIT >> 20}.0 MiB")

    chart = heap_page.locator("#heapchart .u-over")
    chart.scroll_into_view_if_needed()
    width = chart.bounding_box()["width"]
    chart.hover(position={"x": width / 4, "y": 50})
    expect(heap_page.locator("#heapmark")).to_contain_text("collection")
    expect(heap_page.locator('[data-part="goal_bytes"]')).to_have_text("goal 80.0 MiB")
    expect(heap_page.locator('[data-part="memory_limit_bytes"]')).to_have_text("memory limit none")


def test_the_parts_of_the_memory_are_drawn_in_their_colours(heap_page: Page, wait_until: Callable[..., object]) -> None:
    shades = """() => {
        const canvas = document.querySelector('#heapchart canvas');
        const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        const found = new Set();
        for (let n = 0; n < pixels.length; n += 4) if (pixels[n + 3] === 255) found.add(`rgb(${pixels[n]}, ${pixels[n + 1]}, ${pixels[n + 2]})`);
        return ['heap', 'free', 'ink', 'growth', 'clear'].map((name) => found.has(colour(name)));
    }"""  # noqa: E501 - a program of another language
    wait_until(lambda: heap_page.evaluate(shades) == [True] * 5)


def test_what_only_the_end_shows_to_be_dropped_is_said(browser: Browser, seen: Overview, tmp_path: Path) -> None:
    heap = heap_of(seen)
    heap["timeline"][-1]["live_bytes"] += LIVE + RETAINED
    (tmp_path / "page.html").write_bytes(written(seen, heap))
    opened = Opened(browser, tmp_path / "page.html")

    held = seen.totals["allocated_bytes"]
    expect(opened.page.locator("#heapsays")).to_contain_text(f"{held / 1024:.1f} KiB of live and retained are of maps")
    opened.context.close()


def test_marks_are_listed_below_the_chart(heap_page: Page, seen: Overview) -> None:
    heap_page.locator(".marks summary").click()

    assert heap_page.locator("#heapmarks .mark").all_text_contents() == [m["says"] for m in heap_of(seen)["marks"]]
