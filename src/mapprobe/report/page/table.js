// The report as a table by site, map or type: every column can be sorted, rows can be searched.

const COLUMNS = [
  ["retained_bytes", "retained", bytes],
  ["allocated_bytes", "allocated", bytes],
  ["retained_buckets", "empty buckets", number],
  ["buckets", "buckets", number],
  ["live_slots", "live", number],
  ["dead_slots", "dead", number],
  ["virgin_slots", "never used", number],
  ["inserts", "inserts", number],
  ["deletes", "deletes", number],
  ["clears", "clears", number],
  ["growths", "growths", number],
];
const GROUPINGS = [["site", "sites"], ["map", "maps"], ["type", "types"]];
const table = { by: "site", column: "retained_bytes", falling: true, filter: "" };

const tableOf = (by) => (by === "site" ? data.tables.site[state.view] : data.tables[by]);

function named(by, row) {
  const file = row.file ? `${row.file.split("/").pop()}:${row.line}` : "";
  if (by === "site") return [row.function, file, row.file ? `${row.file}:${row.line}` : ""];
  if (by === "map") return [`${row.map}#${row.generation} ${row.type}`, [row.state, row.exact ? "" : `not exact: ${row.why}`, row.created_at ? `made by ${row.created_at}` : ""].filter(Boolean).join(" · "), ""];
  return [row.type, "", ""];
}

function rowsOf(by) {
  const { columns, rows } = tableOf(by);
  return rows.map((values) => {
    const row = Object.fromEntries(columns.map((name, n) => [name, values[n]]));
    const [name, more, title] = named(by, row);
    return { ...row, name, more, title };
  });
}

function sorted(rows) {
  const sign = table.falling ? -1 : 1;
  const compare = table.column === "name" ? (a, b) => a.name.localeCompare(b.name) : (a, b) => a[table.column] - b[table.column];
  return rows.map((row, n) => [row, n]).sort(([a, n], [b, m]) => sign * compare(a, b) || n - m).map(([row]) => row);
}

function drawTable() {
  const rows = sorted(rowsOf(table.by));
  const shown = rows.filter((row) => `${row.name} ${row.more} ${row.title}`.toLowerCase().includes(table.filter));
  const most = Math.max(1, ...rows.map((row) => row.retained_bytes));
  const { others, unknown, other } = tableOf(table.by);
  const head = [["name", table.by, null], ...COLUMNS];
  $("figures").tHead.replaceChildren(element("tr", {}, ...head.map(([column, says]) => {
    const order = column !== table.column ? "none" : table.falling ? "descending" : "ascending";
    return element("th", { scope: "col", "aria-sort": order, "data-column": column, class: column === "name" ? "name" : "" },
      element("button", { type: "button", onclick: () => sortBy(column) }, says));
  })));
  $("figures").tBodies[0].replaceChildren(...shown.map((row) => line(row, row.name, row.more, row.title, most)));
  const foot = [];
  if (others) foot.push(line(other, `other: ${plural(others, "more row")}, not on this page${unknown ? `, ${number(unknown)} unknown` : ""}`, "", "", most));
  foot.push(line(data.totals, "total", "", "", 0));
  $("figures").tFoot.replaceChildren(...foot);
  const all = others ? `the first ${number(rows.length)} of ${number(rows.length + others)} rows, the rest in other` : plural(rows.length, "row");
  $("rows").textContent = table.filter ? `${number(shown.length)} of ${all}` : all;
}

function line(row, name, more, title, most) {
  const bar = most ? element("i", { class: "meter", style: `width:${Math.min(100, (100 * row.retained_bytes) / most)}%` }) : null;
  return element("tr", {},
    element("th", { scope: "row", class: "name", title }, element("span", {}, name), more ? element("small", { class: "dim" }, more) : null),
    ...COLUMNS.map(([column, , says]) => element("td", { class: column, "data-value": row[column] }, says(row[column]), column === "retained_bytes" ? bar : null)));
}

function sortBy(column) {
  table.falling = table.column === column ? !table.falling : column !== "name";
  table.column = column;
  drawTable();
}

function startTable() {
  choice($("groupings"), GROUPINGS, table.by, (by) => { table.by = by; drawTable(); });
  $("filter").addEventListener("input", () => { table.filter = $("filter").value.trim().toLowerCase(); drawTable(); });
  drawTable();
}
