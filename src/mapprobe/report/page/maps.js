// A section for each of the top maps: its figures, how full its buckets are, and a picture of the buckets.

const CELL = 10, GAP = 2, FULL = 255;
const SOURCES = {
  replay: "",
  memory: "The buckets are those in memory at the end: which slots ever held an entry is not known.",
  earlier: "An estimate: these are the last known buckets; since then the map was neither followed nor read.",
  nowhere: "The buckets are not shown: the map died, may be alive or dead, or its buckets were never seen.",
};

const decoded = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

function histogramOf(map) {
  const most = Math.max(1, ...map.histogram);
  const emptied = map.histogram[0] - map.never_used;
  const bars = map.histogram.map((count, live) => {
    const height = (100 * count) / most;
    const parts = live === 0
      ? [element("i", { class: "never", style: `height:${(100 * map.never_used) / most}%` }), element("i", { class: "emptied", style: `height:${(100 * emptied) / most}%` })]
      : [element("i", { class: "held", style: `height:${height}%` })];
    const says = live === 0 ? `${plural(count, "bucket")} hold nothing: ${number(emptied)} emptied, ${number(map.never_used)} never used` : `${plural(count, "bucket")} with ${live} live`;
    return element("div", { class: "column", title: says }, element("b", {}, count ? number(count) : ""), element("span", { class: "stem" }, ...parts), element("small", { class: "dim" }, String(live)));
  });
  return element("figure", { class: "histogram" }, element("div", { class: "columns" }, ...bars), element("figcaption", { class: "dim" }, "buckets by live slots"));
}

/** Draw buckets in order, from left to right: the lower part of a cell is live, the part above it dead. */
function pictureOf(map) {
  const live = decoded(map.live), dead = decoded(map.dead);
  const canvas = element("canvas", { role: "img", "aria-label": `picture of ${plural(map.buckets, "bucket")}` });
  const caption = element("figcaption", { class: "dim" }, map.buckets_a_cell > 1 ? `each cell is the mean of ${number(map.buckets_a_cell)} buckets, in order` : "each cell is a bucket, in order");
  const box = element("div", { class: "cells" }, canvas);
  const draw = () => {
    const across = Math.max(8, Math.floor(box.clientWidth / (CELL + GAP)));
    const down = Math.max(1, Math.ceil(live.length / across));
    const unit = devicePixelRatio;
    const width = Math.min(across, live.length) * (CELL + GAP), height = down * (CELL + GAP);
    Object.assign(canvas, { width: width * unit, height: height * unit });
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
    const ctx = canvas.getContext("2d");
    ctx.scale(unit, unit);
    const [virgin, full, emptied] = ["virgin", "live", "retained"].map(colour);
    live.forEach((held, n) => {
      const x = (n % across) * (CELL + GAP), y = Math.floor(n / across) * (CELL + GAP);
      const high = (CELL * held) / FULL, above = (CELL * dead[n]) / FULL;
      ctx.fillStyle = virgin;
      ctx.fillRect(x, y, CELL, CELL);
      ctx.fillStyle = emptied;
      ctx.fillRect(x, y + CELL - high - above, CELL, above);
      ctx.fillStyle = full;
      ctx.fillRect(x, y + CELL - high, CELL, high);
    });
  };
  canvas.addEventListener("mousemove", (event) => {
    const across = Math.max(8, Math.floor(box.clientWidth / (CELL + GAP)));
    const n = Math.floor(event.offsetY / (CELL + GAP)) * across + Math.floor(event.offsetX / (CELL + GAP));
    if (n >= live.length) return;
    const slots = (part) => +((SLOTS * part) / FULL).toFixed(1);
    const first = n * map.buckets_a_cell;
    const which = map.buckets_a_cell > 1 ? `buckets ${number(first)} to ${number(Math.min(map.buckets, first + map.buckets_a_cell) - 1)}, mean` : `bucket ${number(first)}`;
    canvas.title = `${which}: ${slots(live[n])} live, ${slots(dead[n])} dead`;
  });
  new ResizeObserver(draw).observe(box);
  onTheme(draw);
  const keys = element("span", { class: "keys" }, element("span", { class: "key box-live" }, "live"), element("span", { class: "key box-dead" }, "dead"), element("span", { class: "key box-virgin" }, "never used"));
  return element("figure", { class: "picture" }, keys, box, caption);
}

function sectionOf(map, isOpen) {
  const facts = [
    ["retained", bytes(map.retained_bytes)], ["allocated", bytes(map.allocated_bytes)], ["a fresh map needs", bytes(map.needed_bytes)],
    ["live entries", `${number(map.live_slots)} of ${number(map.slots)} slots, ${number(map.peak_live_slots)} at the peak`],
    ["empty buckets", `${number(map.retained_buckets)} of ${number(map.buckets)}`],
    ["did", `${plural(map.inserts, "insert")}, ${plural(map.deletes, "delete")}, ${plural(map.clears, "clear")}, ${plural(map.growths, "growth")}`],
    ["made by", map.created_at || "not recorded"], ["state", map.exact ? map.state : `${map.state}, not exact: ${map.why}`],
  ];
  const hasBuckets = map.source !== "nowhere" && map.buckets > 0;
  return element("details", { class: "card map", open: isOpen, id: `map-${map.map}-${map.generation}` },
    element("summary", {},
      element("code", {}, `${map.map}#${map.generation}`), " ", element("b", {}, map.type),
      element("span", { class: "hot" }, bytes(map.retained_bytes))),
    element("dl", {}, ...facts.map(([name, says]) => element("div", {}, element("dt", { class: "dim" }, name), element("dd", {}, says)))),
    SOURCES[map.source] ? element("p", { class: "dim" }, SOURCES[map.source]) : null,
    hasBuckets ? element("div", { class: "full" }, histogramOf(map), pictureOf(map)) : null);
}

function drawMaps() {
  const { others } = data.timeline.map;
  $("mapsays").textContent = data.maps.length
    ? `The ${plural(data.maps.length, "map")} that ever retained the most${others ? `; ${plural(others, "more map is", "more maps are")} in the table, or in its row other` : ""}.`
    : "There are no maps.";
  $("pictures").replaceChildren(...data.maps.map((map, n) => sectionOf(map, n < 3)));
}
