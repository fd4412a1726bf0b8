// The summary of the page: the answer in a sentence, tiles, and notes.

function drawSummary() {
  const { recording, totals } = data;
  const spans = data.timeline.at_ns;
  $("binary").textContent = recording.binary.split("/").pop();
  $("binary").title = recording.binary;
  const when = data.at_ns === null ? `${seconds(spans[spans.length - 1])} recorded` : `at ${seconds(data.at_ns)} after the start`;
  $("about").textContent = [
    recording.binary, recording.go_version, `${recording.implementation} maps`, `process ${recording.pid}`,
    `recorded from ${recording.started}`, when, `${number(recording.events)} events, ${number(recording.lost_events)} lost`,
  ].join(" · ");
  $("answer").replaceChildren(
    `${plural(totals.maps, "map holds", "maps hold")} `, element("b", {}, bytes(totals.allocated_bytes)), ` of buckets for ${plural(totals.live_slots, "entry", "entries")}; `,
    element("b", { class: "hot" }, retained()),
    " of it would come back if they were rebuilt.",
  );
  const tiles = [
    ["retained", bytes(totals.retained_bytes), `${share(totals.retained_bytes, totals.allocated_bytes)} of all buckets`, "hot"],
    ["empty buckets", number(totals.retained_buckets), `of ${number(totals.buckets)}`],
    ["live entries", number(totals.live_slots), `in ${number(totals.slots)} slots, ${number(totals.peak_live_slots)} at the peak`],
    ["grown", number(totals.growths), `times, by ${number(totals.inserts)} inserts`],
    ["emptied", number(totals.deletes), `deletes, ${plural(totals.clears, "clear")}`],
  ];
  $("tiles").replaceChildren(...tiles.map(([name, figure, more, hot]) =>
    element("div", { class: `tile ${hot || ""}` }, element("span", { class: "dim" }, name), element("strong", {}, figure), element("span", { class: "dim" }, more))));
  $("notes").replaceChildren(...notes().map((note) => element("li", {}, note)));
}

// Bounds of a number of bytes, in the words of the table on a terminal.
function between([least, most]) {
  if (least === most) return bytes(least);
  return most === null ? `at least ${bytes(least)}` : `at least ${bytes(least)}, at most ${bytes(most)}`;
}

function retained() {
  const { apart } = data.notes;
  const [least, most] = apart.retained_bytes;
  return least === most ? `${bytes(data.totals.retained_bytes)} (${share(data.totals.retained_bytes, data.totals.allocated_bytes)})` : between(apart.retained_bytes);
}

function notes() {
  const { inexact, bounds, apart } = data.notes;
  const found = Object.entries(inexact).map(([why, count]) => `${plural(count, "map is", "maps are")} not exact: ${why}`);
  for (const fault of ["unfinished", "damaged"]) if (data.recording[fault]) found.unshift(`${fault}: ${data.recording[fault]}`);
  if (apart.dead) found.push(`${plural(apart.dead, "map")} died: in no total; ${bytes(apart.uncollected_bytes)} of them not collected yet`);
  if (apart.unknown) {
    const most = apart.unknown_allocated_bytes === null ? "nobody knows what they hold" : `at most ${bytes(apart.unknown_allocated_bytes)}`;
    if (data.recording.process_ended) found.push(`the process ended by itself: it holds nothing now; at its end it may have had ${plural(apart.unknown, "map")}: ${most}`);
    else found.push(`${plural(apart.unknown, "map")} may be alive or dead: in no total; ${most}`);
  }
  if (apart.bounded) found.push(`${plural(apart.bounded, "map")} could not be read at one moment: retained bytes are ${between(apart.retained_bytes)}`);
  const ranges = Object.entries(bounds).map(([name, [least, most]]) => (most === null ? `at least ${number(least)} ${name}` : `${number(least)} to ${number(most)} ${name}`));
  if (ranges.length) found.push(`with lost events there were ${ranges.join(", ")}`);
  return found;
}
