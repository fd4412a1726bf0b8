// Live entries, allocated slots and retained bytes over time, with marks for growths and clears, and one cursor.

const time = { by: "site", at: 0, charts: [] };
const at_s = data.timeline.at_ns.map((ns) => ns / 1e9);
const MARK = 4;
const POWERS = Array.from({ length: 50 }, (_, n) => 2 ** n);
const LAST = at_s.length - 1;
const QUIET = 0.25;
/** Charts first show the whole time, or, if nothing happened for long before the end, the time up to the last event. */
const isQuiet = LAST > 1 && at_s[LAST] - at_s[LAST - 1] > QUIET * (at_s[LAST - 1] - at_s[0]);
const shown = isQuiet ? { min: at_s[0], max: at_s[LAST - 1] + 0.04 * (at_s[LAST - 1] - at_s[0]) } : null;

/** Return the increase at each point since the point before. */
const steps = (sums) => sums.map((sum, n) => Math.max(0, sum - (n ? sums[n - 1] : 0)));

function seriesOf(by) {
  const { names, top, others, other } = data.timeline[by];
  const found = [{ name: `all ${by}s`, ...data.timeline.total, isTotal: true }];
  names.forEach((name, n) => found.push({ name, ...top[n] }));
  if (others) found.push({ name: `other: ${plural(others, `more ${by}`)}`, ...other });
  return found;
}

function axisOf(scale, side, says) {
  return {
    scale, side, size: scale === "bytes" ? 66 : 52, font: "11px system-ui, sans-serif", stroke: () => colour("dim"),
    grid: { show: scale !== "bytes", stroke: () => colour("grid"), width: 1 }, ticks: { show: false },
    ...(scale === "bytes" ? { incrs: POWERS } : {}),
    values: (_, values) => values.map((value) => (value === null ? "" : says(value))),
  };
}

function timeAxis() {
  return {
    font: "11px system-ui, sans-serif", stroke: () => colour("dim"), size: 28,
    grid: { show: false }, ticks: { stroke: () => colour("grid"), size: 4 },
    values: (_, values) => values.map((value) => `${+value.toFixed(6)} s`),
  };
}

/** Draw growths as triangles and clears as dots along the upper edge. */
function drawMarks(chart, series) {
  const { ctx, bbox } = chart;
  const unit = devicePixelRatio;
  const marks = (counts, name, row, draw) => {
    ctx.fillStyle = colour(name);
    counts.forEach((count, n) => {
      const x = chart.valToPos(at_s[n], "x", true);
      if (!count || x < bbox.left || x > bbox.left + bbox.width) return;
      ctx.beginPath();
      draw(x, bbox.top + row * unit);
      ctx.fill();
    });
  };
  ctx.save();
  marks(steps(series.growths), "growth", 5, (x, y) => {
    ctx.moveTo(x, y - MARK * unit);
    ctx.lineTo(x - MARK * unit, y + MARK * unit);
    ctx.lineTo(x + MARK * unit, y + MARK * unit);
  });
  marks(steps(series.clears), "clear", 16, (x, y) => ctx.arc(x, y, MARK * unit, 0, 2 * Math.PI));
  ctx.restore();
}

function chartOf(series, box, height) {
  const stepped = uPlot.paths.stepped({ align: 1 });
  const path = { paths: stepped, points: { show: false }, spanGaps: true };
  const roomy = (least) => (_, low, high) => [0, Math.max(least, high * 1.3)];
  return new uPlot({
    width: Math.max(200, box.clientWidth), height,
    legend: { show: false },
    cursor: { points: { show: true, size: 6 }, drag: { x: true, y: false, dist: 8 }, y: false },
    scales: { x: { time: false }, count: { range: roomy(8) }, bytes: { range: roomy(64) } },
    axes: [
      timeAxis(),
      axisOf("count", 3, (value) => Intl.NumberFormat("en-US", { notation: "compact" }).format(value)),
      axisOf("bytes", 1, (value) => bytes(Math.round(value))),
    ],
    series: [
      {},
      { ...path, scale: "bytes", stroke: () => colour("retained"), fill: () => colour("retained-soft"), width: 1.5 },
      { ...path, scale: "count", stroke: () => colour("slots"), width: 1.5, dash: [4, 3] },
      { ...path, scale: "count", stroke: () => colour("live"), width: 2 },
    ],
    hooks: {
      draw: [(chart) => drawMarks(chart, series)],
      ready: [(chart) => chart.over.addEventListener("mousemove", (event) => moveTo(chart.posToIdx(event.clientX - chart.over.getBoundingClientRect().left), chart))],
      setScale: [(chart, scale) => { if (scale === "x") zoomAll(chart); }],
    },
  }, [at_s, series.retained_bytes, series.slots, series.live_slots], box);
}

/** Set all other charts to the same span of time. */
function zoomAll(chart) {
  const { min, max } = chart.scales.x;
  for (const { chart: other } of time.charts) {
    if (other !== chart && (other.scales.x.min !== min || other.scales.x.max !== max)) other.setScale("x", { min, max });
  }
}

/** Put the cursor of all charts on a point, and show the figures of the point. */
function moveTo(n, from = null) {
  time.at = n;
  $("cursor").value = n;
  const ns = data.timeline.at_ns[n];
  const isLast = n === LAST;
  $("moment").textContent = `${seconds(ns)}${isLast ? ", the end" : ""}`;
  $("moment").title = isLast ? "as mapprobe report shows it" : `as mapprobe report --at ${(ns / 1e9).toFixed(9)} shows it`;
  for (const { chart, series, says } of time.charts) {
    says.replaceChildren(
      element("span", { class: "key live" }, number(series.live_slots[n])),
      element("span", { class: "key slots" }, number(series.slots[n])),
      element("span", { class: "key retained" }, bytes(series.retained_bytes[n])),
      element("span", { class: "key growth" }, number(series.growths[n])),
      element("span", { class: "key clear" }, number(series.clears[n])),
    );
    if (chart !== from) chart.setCursor({ left: chart.valToPos(at_s[n], "x"), top: 0 }, false);
  }
}

function drawCharts() {
  for (const { chart } of time.charts) chart.destroy();
  const found = seriesOf(time.by);
  const cards = found.map((series) => {
    const says = element("p", { class: "values" });
    const box = element("div", { class: "plot" });
    const card = element("article", { class: `card chart ${series.isTotal ? "whole" : ""}`, "data-series": series.name }, element("h3", { title: series.name }, series.name), says, box);
    return { series, says, box, card };
  });
  $("charts").replaceChildren(...cards.map(({ card }) => card));
  time.charts = cards.map(({ series, says, box }) => ({ series, says, box, chart: chartOf(series, box, series.isTotal ? 230 : 150) }));
  sayWhat();
  if (shown) for (const { chart } of time.charts) chart.setScale("x", shown);
  moveTo(time.at);
}

function sayWhat() {
  const { others } = data.timeline[time.by];
  const words = [`${number(at_s.length)} moments, each equal to a report at that time, to the byte.`];
  if (time.by === "site") words.push(`Empty slots go to ${saysView[data.view]}.`);
  words.push("Drag over a chart to zoom in, double-click to zoom out.");
  if (isQuiet) words.push(`Nothing happened between ${seconds(data.timeline.at_ns[LAST - 1])} and the end at ${seconds(data.timeline.at_ns[LAST])}.`);
  if (Object.keys(data.notes.inexact).length) words.push("For maps that are not exact, only the end has what their memory showed.");
  if (others) words.push(`The charts show the ${time.by}s that ever retained the most; ${plural(others, `more ${time.by} is`, `more ${time.by}s are`)} in other.`);
  $("timesays").textContent = words.join(" ");
}

function startTimeline() {
  time.at = LAST;
  $("cursor").max = LAST;
  choice($("over"), [["site", "by site"], ["map", "by map"]], time.by, (by) => { time.by = by; drawCharts(); });
  $("cursor").addEventListener("input", () => moveTo(Number($("cursor").value)));
  drawCharts();
  new ResizeObserver(() => {
    for (const { chart, box } of time.charts) if (box.clientWidth && box.clientWidth !== chart.width) chart.setSize({ width: box.clientWidth, height: chart.height });
  }).observe($("charts"));
  onTheme(() => { for (const { chart } of time.charts) chart.redraw(false, true); });
}
