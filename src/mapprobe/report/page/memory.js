// The memory of the process: who keeps it, its parts at the end, and the buckets of maps among them.

const SITES_SHOWN = 5;
const isHeap = data.heap.why === undefined;
const signed = (size) => bytes(size).replace("-", "−");

function percent(part, whole) {
  const found = whole ? (100 * part) / whole : 0;
  return `${Math.abs(found) < 10 ? found.toFixed(1) : Math.round(found)} %`.replace("-", "−");
}

/** Make a row: a name, a bar at its place in the whole, an amount (null: not known), and a remark. */
function stepOf(whole, { name, size, says, kind, from = 0, end = null, title = null, isSite = false }) {
  const width = size ? Math.max(0.2, (100 * Math.abs(size)) / whole) : 0;
  const left = (100 * Math.max(0, size < 0 ? from + size : from)) / whole;
  return element("div", { class: `step ${isSite ? "site" : ""}`, "data-kind": kind },
    element("span", { class: "name", title }, name),
    element("span", { class: "track" },
      element("i", { class: `fill ${kind}`, style: size === null ? "left:0;width:100%" : `left:${left}%;width:${width}%` }),
      end === null ? null : element("i", { class: "end", style: `left:${(100 * end) / whole}%` })),
    element("b", { class: "size" }, size === null ? "unknown" : signed(size)),
    says ? element("span", { class: "dim says" }, says) : null);
}

/** Make the rows of the call sites that retained buckets are charged to: the top ones, and all others as one. */
function siteSteps(whole, part, start, end) {
  const shown = data.heap.sites.slice(0, SITES_SHOWN);
  let from = start;
  const found = shown.map(({ function: name, file, line, bytes: size }) => {
    const place = file ? `${file.split("/").pop()}${line ? `:${line}` : ""}` : "";
    const row = { name: `${name} ${place}`.trim(), title: `${name} ${file}${line ? `:${line}` : ""}`.trim(), size, from, end, kind: "retained", isSite: true };
    from += size;
    return stepOf(whole, row);
  });
  const rest = start + part.bytes - from;
  if (shown.length && rest > 0) found.push(stepOf(whole, { name: "other call sites", size: rest, from, end, kind: "retained", isSite: true }));
  return found;
}

/** Make the rows of the parts, each beginning where the one before ends; negative parts go back. */
function partSteps({ parts, rss_bytes: rss }) {
  let sum = 0;
  const tops = parts.map((part) => (sum += part.bytes));
  const whole = Math.max(rss, ...tops) || 1;
  const end = whole > rss ? rss : null;
  const found = [stepOf(whole, { name: "resident memory", size: rss, says: "of the process, as the system counts it", kind: "whole", end })];
  parts.forEach((part, n) => {
    if (!part.bytes) return;
    const from = n ? tops[n - 1] : 0;
    const source = `from ${part.source}${part.exact ? "" : ", an estimate"}`;
    const says = part.kind === "untouched" ? `${percent(part.bytes, rss)} · in the heap above, but not in memory · ${source}` : `${percent(part.bytes, rss)} · ${source}`;
    found.push(stepOf(whole, { name: part.name, size: part.bytes, says, kind: part.kind, from, end }));
    if (part.kind === "retained") found.push(...siteSteps(whole, part, from, end));
  });
  const none = parts.filter((part) => !part.bytes).map((part) => part.name);
  if (none.length) found.push(element("p", { class: "dim nothing" }, `0 B: ${none.join("; ")}`));
  return found;
}

/** Make a card: who keeps a part of the memory, until when, and what to do. */
function findingOf({ holder, kind, says, until, advice }) {
  return element("div", { class: "card finding", "data-kind": kind },
    element("p", {}, element("b", {}, holder), `: ${says}`),
    until ? element("p", {}, element("span", { class: "dim" }, "Until when: "), until) : null,
    element("ul", {}, ...advice.map((line) => element("li", {}, line))));
}

function mapSteps() {
  const { totals } = data;
  const whole = totals.allocated_bytes || 1;
  const stays = totals.allocated_bytes - totals.retained_bytes;
  const steps = [
    { name: "buckets of maps", size: totals.allocated_bytes, says: `the Go allocator charges this for the buckets of ${plural(totals.maps, "map")}`, kind: "allocated" },
    { name: "stays with the entries", size: stays, says: `fresh maps for the ${plural(totals.live_slots, "entry", "entries")} would take this`, from: totals.retained_bytes, kind: "live" },
    { name: "retained", size: totals.retained_bytes, says: "rebuilding the maps would give this back", kind: "retained" },
    { name: "buckets that hold nothing", size: data.retained_bucket_bytes, says: `${number(totals.retained_buckets)} of ${number(totals.buckets)} buckets have no entry at all`, kind: "empty" },
  ];
  if (!isHeap) {
    steps.unshift(
      { name: "memory of the process", size: null, says: `${data.heap.why}; how much of it maps have is not known`, kind: "unknown" },
      { name: "heap of the Go runtime", size: null, says: data.heap.why, kind: "unknown" },
    );
  }
  return steps.map((step) => stepOf(whole, step));
}

function drawMemory() {
  $("memorysays").textContent = isHeap
    ? `The resident memory of the process at the end, ${seconds(data.heap.at_ns)} after the start, part by part.`
    : "From the memory of the process down to the buckets that hold nothing.";
  $("waterfall").replaceChildren(...mapSteps());
  if (!isHeap) return;
  $("verdict").replaceChildren(...data.heap.findings.map(findingOf));
  $("parts").replaceChildren(...partSteps(data.heap));
  const isDropped = data.heap.parts.some((part) => part.kind === "dropped" && part.bytes);
  $("mapspart").textContent = `And within the buckets of maps${isDropped ? ", those of dropped maps among them" : ""}:`;
  for (const id of ["verdict", "parts", "mapspart"]) $(id).hidden = false;
}
