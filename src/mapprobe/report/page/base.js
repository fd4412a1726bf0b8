// Shared by all parts of the page: the figures, words for numbers, elements, colours.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
const SLOTS = 8;

// The word in place of a figure that is not known.
const UNKNOWN = "unknown";

function bytes(count) {
  if (count === null) return UNKNOWN;
  let size = count, unit = 0;
  while (Math.abs(size) >= 1023.95 && unit < UNITS.length - 1) { size /= 1024; unit++; }
  return `${unit ? size.toFixed(1) : size} ${UNITS[unit]}`;
}

const number = (count) => (count === null ? UNKNOWN : count.toLocaleString("en-US"));
const share = (part, whole) => (whole ? `${Math.round((100 * part) / whole)} %` : "0 %");
const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

function seconds(ns) {
  const s = ns / 1e9;
  if (s < 60) return `${s.toFixed(3)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${(s % 60).toFixed(1)} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

/** Make an element; texts among its children are inserted as text, never as markup. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Show a group of buttons, one of which is pressed. */
function choice(box, options, chosen, choose) {
  const buttons = options.map(([name, says, title]) =>
    element("button", { type: "button", title, "data-name": name, "aria-pressed": String(name === chosen), onclick: () => {
      for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.name === name));
      choose(name);
    } }, says));
  box.replaceChildren(...buttons);
}

const probe = element("i", { hidden: true });
document.body.append(probe);

/** Return a colour of the style sheet in the current theme, for canvases. */
function colour(name) {
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}

const themed = [];
/** Register a function that draws again when the theme changes. */
function onTheme(draw) { themed.push(draw); }
function redraw() { for (const draw of themed) draw(); }

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

$("theme").addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  redraw();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

const VIEWS = [
  ["fill", "who filled it", "an empty slot goes to the call that last put an entry there"],
  ["drain", "who emptied it", "an empty slot goes to the call that deleted or cleared its entry"],
  ["growth", "who allocated it", "an empty slot goes to the call that made the map, or made it grow"],
];
const saysView = Object.fromEntries(VIEWS.map(([name, says]) => [name, says]));
const state = { view: data.view };
