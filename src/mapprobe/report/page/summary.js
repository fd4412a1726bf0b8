// What it comes to: the answer in a sentence, tiles, and notes.

function drawSummary() {
  const { recording, totals } = data;
  const spans = data.timeline.at_ns;
  $("binary").textContent = recording.binary.split("/").pop();
  $("binary").title = recording.binary;
  const when = data.at_ns === null ? `${seconds(spans[spans.length - 1])} recorded` : `as it stood ${seconds(data.at_ns)} after the start`;
  $("about").textContent = [
    recording.binary, recording.go_version, `${recording.implementation} maps`, `process ${recording.pid}`,
    `recorded from ${recording.started}`, when, `${number(recording.events)} events, ${number(recording.lost_events)} lost`,
  ].join(" · ");
  $("answer").replaceChildren(
    `${plural(totals.maps, "map holds", "maps hold")} `, element("b", {}, bytes(totals.allocated_bytes)), ` of buckets for ${plural(totals.live_slots, "entry", "entries")}; `,
    element("b", { class: "hot" }, `${bytes(totals.retained_bytes)} (${share(totals.retained_bytes, totals.allocated_bytes)})`),
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

function notes() {
  const { inexact, bounds, estimated } = data.notes;
  const found = Object.entries(inexact).map(([why, count]) => `${plural(count, "map is", "maps are")} not exact: ${why}`);
  if (estimated.maps) {
    found.push(`${bytes(estimated.retained_bytes)} of what is retained (${bytes(estimated.allocated_bytes)} of buckets) is an estimate: ${plural(estimated.maps, "map")} as last known, whose memory was not read at the end`);
  }
  const ranges = Object.entries(bounds).map(([name, [least, most]]) => (most === null ? `at least ${number(least)} ${name}` : `${number(least)} to ${number(most)} ${name}`));
  if (ranges.length) found.push(`with what was lost there were ${ranges.join(", ")}`);
  return found;
}
