"""The page about a recording, in a real browser: what it shows, what it does, and that it stays small."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from playwright.sync_api import Browser, Page, expect

from mapprobe.analysis.overview import Overview
from mapprobe.api.heap import END_ONLY
from mapprobe.recording.tables.schema import MEASURES
from mapprobe.report.page.html import LARGEST, NOT_RECORDED, Room, figures_of, render
from support.browsing import WIDTHS, Opened, written
from support.heaps import heap_of
from support.recordings import Recording
from support.samples import HOSTILE, named, overview_of, shop

DATA = re.compile(rb'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
SUMMED = [name for name in MEASURES if name != "peak_live_slots"]


def test_the_figures_in_the_page_are_those_of_the_overview(seen: Overview) -> None:
    (found,) = DATA.findall(written(seen))

    assert json.loads(found) == json.loads(json.dumps(figures_of(seen, Room())))


@pytest.mark.parametrize("rows", [1, 2, 400])
def test_rows_that_are_shown_and_other_are_the_totals(seen: Overview, rows: int) -> None:
    tables = figures_of(seen, Room(rows=rows))["tables"]
    for table in (*tables["site"].values(), tables["map"], tables["type"]):
        shown = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
        sums = {name: sum(row[name] for row in shown) + table["other"][name] for name in SUMMED}
        assert sums == {name: seen.totals[name] for name in SUMMED}


@pytest.mark.parametrize("stacks", [0, 1, 400])
def test_stacks_and_other_are_the_retained_bytes(seen: Overview, stacks: int) -> None:
    def size(node: list) -> int:
        return node[1] + sum(map(size, node[2:]))

    for tree in figures_of(seen, Room(stacks=stacks))["stacks"].values():
        assert sum(map(size, tree["nodes"])) + tree["other"] == seen.totals["retained_bytes"]


@pytest.mark.parametrize("cells", [1, 7, 4096])
def test_a_picture_has_no_more_cells_than_there_is_room_for(seen: Overview, cells: int) -> None:
    for picture in figures_of(seen, Room(cells=cells))["maps"]:
        count = len(np.frombuffer(base64.b64decode(picture["live"]), np.uint8))
        assert count <= cells
        assert count == -(-picture["buckets"] // picture["buckets_a_cell"])


def enlarged(rows: pa.Table, count: int, names: dict[str, str]) -> pa.Table:
    """Return so many rows, with long names that differ."""
    found = rows.take(pa.array(np.zeros(count, np.int64)))
    for column, name in names.items():
        texts = pa.array([f"{name}{n}" for n in range(count)])
        found = found.set_column(found.column_names.index(column), column, texts)
    return found


def test_a_page_stays_small_however_much_there_is(seen: Overview) -> None:
    long = "main.very/" * 400
    sites = {view: enlarged(rows, 5000, {"function": long, "file": long}) for view, rows in seen.sites.items()}
    site = {"function": long, "file": long, "line": 1, "package": "main"}
    stacks = [[site | {"function": f"{long}{n}.{depth}"} for depth in range(8)] for n in range(2000)]
    first = seen.stacks["fill"].slice(0, 1)
    many = first.take(pa.array(np.zeros(len(stacks), np.int64))).set_column(0, "stack", pa.array(stacks))
    maps = pa.concat_tables([seen.maps, enlarged(seen.maps, 5000, {"type": long, "created_at": long})])
    large = replace(seen, sites=sites, stacks=dict.fromkeys(seen.stacks, many), maps=maps)

    page = written(large)
    assert len(page) <= LARGEST < len(render(large, Room(rows=1000, stacks=100, letters=10_000)))
    assert b'"others":1' in page


@pytest.fixture(scope="module")
def file(seen: Overview, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_bytes(written(seen))
    return path


@pytest.fixture
def page(browser: Browser, file: Path) -> Iterator[Page]:
    opened = Opened(browser, file)
    yield opened.page
    opened.context.close()
    assert opened.wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_a_page_opens_without_a_word_of_complaint_and_asks_for_nothing(
    browser: Browser, file: Path, width: int, scheme: str
) -> None:
    opened = Opened(browser, file, width, scheme)
    expect(opened.page.locator(".u-over").nth(1)).to_be_visible()

    assert (opened.wrong, opened.asked) == ([], [file.as_uri()])
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    opened.context.close()


def test_the_answer_is_at_the_top(page: Page, seen: Overview) -> None:
    expect(page.locator("#answer")).to_contain_text("would come back if they were rebuilt")
    expect(page.locator(".tile.hot")).to_contain_text(f"{seen.totals['retained_bytes'] / 1024:.1f} KiB")


def test_what_was_not_recorded_is_unknown(page: Page) -> None:
    unknown = page.locator('.step[data-kind="unknown"]')

    assert unknown.locator(".size").all_text_contents() == ["unknown", "unknown"]


@pytest.mark.parametrize("why", [NOT_RECORDED, END_ONLY])
def test_why_the_memory_is_unknown_is_said(browser: Browser, seen: Overview, tmp_path: Path, why: str) -> None:
    (tmp_path / "page.html").write_bytes(written(seen, why))
    opened = Opened(browser, tmp_path / "page.html")

    for says in opened.page.locator('.step[data-kind="unknown"] .says').all():
        expect(says).to_contain_text(why)
    for name in ("#verdict", "#parts", "#heap"):
        expect(opened.page.locator(name)).to_be_hidden()
    opened.context.close()


def test_a_click_on_a_frame_zooms_in_and_the_button_out(page: Page) -> None:
    frame = page.locator('#icicle [data-function="main.site2"]')
    before = frame.bounding_box()["width"]
    frame.click()
    assert frame.bounding_box()["width"] > before
    expect(page.locator('#icicle [data-function="main.site1"]')).to_have_count(0)

    page.locator("#unzoom").click()
    assert frame.bounding_box()["width"] == before
    expect(page.locator("#unzoom")).to_be_disabled()


def test_a_search_marks_frames_and_adds_them_up(page: Page) -> None:
    page.locator("#search").fill("SITE2")

    assert page.locator("#icicle .match").all_text_contents() == ["main.site2"]
    expect(page.locator("#found")).to_contain_text("in matching functions")


def test_a_view_charges_others(page: Page) -> None:
    page.get_by_role("button", name="who emptied it").click()

    drained = page.locator("#icicle [data-function]").evaluate_all("boxes => boxes.map((box) => box.dataset.function)")
    assert "main.site3" in drained
    expect(page.locator("#figures tbody tr").first).to_contain_text("main.site")


@pytest.mark.parametrize("column", ["live_slots", "inserts", "retained_bytes"])
def test_a_click_on_a_column_sorts_and_one_more_turns_it_round(page: Page, column: str) -> None:
    def cells() -> list[int]:
        read = page.locator(f"#figures tbody td.{column}").evaluate_all("c => c.map((cell) => +cell.dataset.value)")
        return list(read)

    head = page.locator(f'#figures th[data-column="{column}"]')
    for _ in range(2):
        head.get_by_role("button").click()
        falling = head.get_attribute("aria-sort") == "descending"
        assert cells() == sorted(cells(), reverse=falling)
        assert len(set(cells())) > 1


def test_a_word_filters_the_rows(page: Page) -> None:
    page.locator("#filter").fill("site2")

    expect(page.locator("#figures tbody tr")).to_have_count(1)
    expect(page.locator("#rows")).to_have_text("1 of 3 rows")


@pytest.mark.parametrize("by", ["site", "map", "type"])
def test_a_table_of_each_grouping_ends_with_the_total(page: Page, seen: Overview, by: str) -> None:
    page.locator(f'#groupings [data-name="{by}"]').click()

    total = page.locator("#figures tfoot tr").last.locator("td.retained_bytes")
    assert total.get_attribute("data-value") == str(seen.totals["retained_bytes"])


def test_the_cursor_says_what_was_held_at_any_time(page: Page, seen: Overview) -> None:
    live = page.locator('[data-series="all sites"] .values .live')
    for n in (0, 20, len(seen.timeline.at_ns) - 1):
        page.locator("#cursor").fill(str(n))
        assert live.text_content() == f"{seen.timeline.total[n, MEASURES.index('live_slots')]:,}"
    expect(page.locator("#moment")).to_contain_text("the end")


def test_the_pointer_over_one_chart_moves_the_cursor_of_all(page: Page) -> None:
    charts = page.locator("#charts .u-over")
    charts.first.hover(position={"x": 100, "y": 50})

    assert int(page.locator("#cursor").input_value()) < 40
    lefts = page.locator("#charts .u-cursor-x").evaluate_all("lines => lines.map((line) => line.style.transform)")
    assert len(lefts) == charts.count() > 2
    assert all(left.startswith("translate(") for left in lefts)


def test_a_drag_over_a_chart_zooms_all(page: Page, wait_until: Callable[..., object]) -> None:
    spans = "time.charts.map(({ chart }) => `${chart.scales.x.min} ${chart.scales.x.max}`)"
    before = page.evaluate(spans)
    chart = page.locator("#charts .u-over").first
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 60, steps=4)
    page.mouse.up()
    wait_until(lambda: not set(before) & set(page.evaluate(spans)))

    assert len(set(page.evaluate(spans))) == 1


def test_growths_and_clears_are_drawn_in_their_colours(page: Page, wait_until: Callable[..., object]) -> None:
    shades = """() => {
        const canvas = document.querySelector('[data-series="all sites"] canvas');
        const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        const found = new Set();
        for (let n = 0; n < pixels.length; n += 4) if (pixels[n + 3] === 255) found.add(`rgb(${pixels[n]}, ${pixels[n + 1]}, ${pixels[n + 2]})`);
        return ['growth', 'clear', 'live', 'retained'].map((name) => found.has(colour(name)));
    }"""  # noqa: E501 - a program of another language
    wait_until(lambda: page.evaluate(shades) == [True] * 4)


def test_each_map_has_its_histogram_and_picture(page: Page, seen: Overview) -> None:
    first = page.locator("#pictures details").first
    counts = first.locator(".column b").all_text_contents()
    assert [int(count.replace(",", "") or 0) for count in counts] == seen.occupancies[0].histogram()

    filled = "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)"
    assert first.locator("canvas").evaluate(filled)


def test_the_button_changes_between_light_and_dark(page: Page) -> None:
    shade = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(shade)
    page.locator("#theme").click()

    assert page.evaluate(shade) != before


def test_a_name_is_shown_as_it_is_and_does_nothing(browser: Browser, tmp_path: Path) -> None:
    hostile = overview_of(named(shop(), HOSTILE))
    (tmp_path / "hostile.html").write_bytes(written(hostile, heap_of(hostile, HOSTILE)))
    opened = Opened(browser, tmp_path / "hostile.html")
    opened.page.wait_for_selector("#figures tbody tr")

    assert HOSTILE in opened.page.locator("#figures").text_content()
    assert HOSTILE in opened.page.locator("#icicle").text_content()
    assert HOSTILE in opened.page.locator("#verdict").text_content()
    assert HOSTILE in opened.page.locator("#parts").text_content()
    assert "owned" not in opened.page.title()
    assert opened.wrong == []
    opened.context.close()


def test_a_recording_without_maps_is_a_page_too(browser: Browser, tmp_path: Path, recording: Recording) -> None:
    (tmp_path / "empty.html").write_bytes(written(overview_of(recording)))
    opened = Opened(browser, tmp_path / "empty.html")
    expect(opened.page.locator("#mapsays")).to_have_text("There are no maps.")

    assert opened.wrong == []
    opened.context.close()
