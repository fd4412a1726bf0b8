// The memory of the process over time: stacked parts, and marks for collections, returns and changed limits.

const AREAS = [
  ["live_bytes", "live", "live entries"], ["retained_bytes", "retained", "retained"], ["other_heap_bytes", "heap", "other heap"],
  ["free_bytes", "free", "free"], ["rest_bytes", "rest", "rest"],
];
const LINES = [["rss_bytes", "rss", "resident"], ["goal_bytes", "goal", "goal"], ["memory_limit_bytes", "limit", "memory limit"]];
const MARKED = { collection: "growth", "forced return": "clear", "memory limit": "limit", GOGC: "goal" };
const NEAR = 7;
const MARKS_SAID = 3;
/** A line above all areas is in the picture if it is at most this many times as high as the areas. */
const HIGHEST = 1.6;

/** Return for each part the sum of this part and all before it; negative parts add nothing. */
function stacked(line) {
  let below = line.time_ns.map(() => 0);
  return AREAS.map(([name]) => (below = below.map((sum, n) => sum + Math.max(0, line[name][n]))));
}

/** Return the height of the chart: all areas, and goal and limit if they are not far above. */
function roof(sums, line) {
  const most = (values) => values.reduce((high, value) => Math.max(high, value ?? 0), 0);
  const high = Math.max(1024, most(sums[sums.length - 1]), most(line.rss_bytes));
  const near = [line.goal_bytes, line.memory_limit_bytes].flat().filter((value) => value !== null && value <= HIGHEST * high);
  return 1.12 * Math.max(high, most(near));
}

/** Draw collections as triangles and forced returns as dots along the upper edge, changed limits as lines. */
function drawHeapMarks(chart) {
  const { ctx, bbox } = chart;
  const unit = devicePixelRatio;
  ctx.save();
  for (const { time_ns, kind } of data.heap.marks) {
    const x = chart.valToPos(time_ns / 1e9, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.fillStyle = ctx.strokeStyle = colour(MARKED[kind] || "dim");
    ctx.beginPath();
    if (kind === "collection") {
      ctx.moveTo(x, bbox.top + unit);
      ctx.lineTo(x - MARK * unit, bbox.top + 9 * unit);
      ctx.lineTo(x + MARK * unit, bbox.top + 9 * unit);
      ctx.fill();
    } else if (kind === "forced return") {
      ctx.arc(x, bbox.top + 17 * unit, MARK * unit, 0, 2 * Math.PI);
      ctx.fill();
    } else {
      ctx.lineWidth = 1.5 * unit;
      ctx.setLineDash([2 * unit, 3 * unit]);
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
  }
  ctx.restore();
}

/** Show the parts at one moment, and the marks near the pointer. */
function sayHeap(chart, n, left = null) {
  const line = data.heap.timeline;
  $("heapvalues").replaceChildren(
    element("b", {}, seconds(line.time_ns[n])),
    ...[...AREAS, ...LINES].filter(([name]) => line[name].some((value) => value !== null)).map(([name, kind, says]) =>
      element("span", { class: `key ${kind} ${name === "rss_bytes" || kind === "goal" || kind === "limit" ? "line" : "area"}`, "data-part": name }, `${says} `, element("b", {}, line[name][n] === null ? "none" : signed(line[name][n])))));
  const near = left === null ? [] : data.heap.marks.filter(({ time_ns }) => Math.abs(chart.valToPos(time_ns / 1e9, "x") - left) <= NEAR);
  const said = near.slice(0, MARKS_SAID).map(({ time_ns, says }) => `${seconds(time_ns)}: ${says}`);
  if (near.length > MARKS_SAID) said.push(`${number(near.length - MARKS_SAID)} more here`);
  $("heapmark").textContent = said.length ? said.join(" · ") : "Point at a mark to read it.";
}

function heapChart(box) {
  const line = data.heap.timeline;
  const sums = stacked(line);
  const stepped = { paths: uPlot.paths.stepped({ align: 1 }), points: { show: false }, scale: "bytes" };
  const last = line.time_ns.length - 1;
  return new uPlot({
    width: Math.max(200, box.clientWidth), height: 300,
    legend: { show: false },
    cursor: { points: { show: false }, drag: { x: true, y: false, dist: 8 }, y: false },
    scales: { x: { time: false }, bytes: { range: [0, roof(sums, line)] } },
    axes: [timeAxis(), { ...axisOf("bytes", 3, (value) => bytes(Math.round(value))), grid: { show: true, stroke: () => colour("grid"), width: 1 } }],
    series: [
      {},
      ...AREAS.map(([, kind]) => ({ ...stepped, fill: () => colour(kind), width: 0 })),
      { ...stepped, stroke: () => colour("ink"), width: 2 },
      { ...stepped, stroke: () => colour("goal"), width: 1.5, dash: [6, 4] },
      { ...stepped, stroke: () => colour("limit"), width: 1.5, dash: [2, 3] },
    ],
    bands: AREAS.slice(1).map((_, n) => ({ series: [n + 2, n + 1] })),
    hooks: {
      draw: [drawHeapMarks],
      setCursor: [(chart) => {
        const { idx, left } = chart.cursor;
        sayHeap(chart, left < 0 ? last : (idx ?? last), left < 0 ? null : left);
      }],
    },
  }, [line.time_ns.map((ns) => ns / 1e9), ...sums, ...LINES.map(([name]) => line[name])], box);
}

/** Return the bytes of maps at the last moment that the parts lack: those of maps that the end showed to be dropped. */
function droppedBytes() {
  const { timeline, parts } = data.heap;
  const last = timeline.time_ns.length - 1;
  const known = parts.filter(({ kind }) => kind === "live" || kind === "retained").reduce((sum, part) => sum + part.bytes, 0);
  return timeline.live_bytes[last] + timeline.retained_bytes[last] - known;
}

/** Return what happened in the recording in a few sentences. */
function happened() {
  const { collections, returned_bytes: returned, arrays, lost, timeline } = data.heap;
  const words = [`${plural(collections, "collection")}.`];
  for (const [why, size] of Object.entries(returned)) words.push(`${bytes(size)} returned to the system by ${why}.`);
  if (arrays.allocated) {
    words.push(`${plural(arrays.allocated, "bucket array")} followed (${bytes(arrays.allocated_bytes)}), ${number(arrays.freed)} of them freed (${bytes(arrays.freed_bytes)}), ${bytes(arrays.returned_bytes)} of those returned.`);
  }
  const dropped = droppedBytes();
  if (dropped > 0) words.push(`${bytes(dropped)} of live and retained are of maps that only the end shows to be dropped: until then they count as living maps.`);
  if (timeline.rest_bytes.some((size) => size < 0)) words.push("Areas above the resident memory were never written to; the rest is below 0 there.");
  if (lost) words.push(`${plural(lost, "event")} of the heap ${lost === 1 ? "was" : "were"} lost: lives and returns are not complete.`);
  return words.join(" ");
}

function listMarks() {
  const { marks, others } = data.heap;
  const list = $("heapmarks").parentElement;
  list.hidden = !marks.length;
  list.querySelector("summary").textContent = `${plural(marks.length, "mark")}${others ? `; ${number(others)} more are not shown` : ""}`;
  $("heapmarks").replaceChildren(...marks.map(({ time_ns, kind, says }) =>
    element("li", {}, element("span", { class: "when" }, seconds(time_ns)), element("span", { class: `key mark ${MARKED[kind] || ""}` }, says))));
}

function startHeap() {
  if (!isHeap) return;
  $("heap").hidden = false;
  $("heapsays").textContent = happened();
  listMarks();
  const box = $("heapchart");
  const chart = heapChart(box);
  sayHeap(chart, data.heap.timeline.time_ns.length - 1);
  new ResizeObserver(() => { if (box.clientWidth && box.clientWidth !== chart.width) chart.setSize({ width: box.clientWidth, height: chart.height }); }).observe(box);
  onTheme(() => chart.redraw(false, true));
}
