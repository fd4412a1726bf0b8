// Retained bytes by call stack as an icicle: zoom by click or Enter, search by function.

const ROW = 24, NARROWEST = 0.08;
const icicle = { root: null, zoomed: null, search: "" };

/** Return the tree of a view: nodes with their parents, largest first. */
function treeOf(view) {
  const { names, nodes, others, other } = data.stacks[view];
  const grow = ([name, own, ...inner], parent, depth) => {
    const node = { name: names[name][0], place: names[name][1], own, parent, depth, nodes: [] };
    node.nodes = inner.map((child) => grow(child, node, depth + 1)).sort((a, b) => b.size - a.size);
    node.size = own + node.nodes.reduce((sum, child) => sum + child.size, 0);
    return node;
  };
  const root = { name: "all retained bytes", place: "", own: 0, parent: null, depth: 0, nodes: [] };
  root.nodes = nodes.map((child) => grow(child, root, 1)).sort((a, b) => b.size - a.size);
  if (others) root.nodes.push({ name: `other: ${plural(others, "smaller stack")}`, place: "", own: other, size: other, parent: root, depth: 1, nodes: [], isOther: true });
  root.size = root.nodes.reduce((sum, child) => sum + child.size, 0);
  return root;
}

/** Return the package in a function's name, without type parameters. */
function packageOf(name) {
  const bare = name.split("[")[0];
  const slash = bare.lastIndexOf("/") + 1;
  const dot = bare.indexOf(".", slash);
  return dot < 0 ? bare : bare.slice(0, dot);
}

function hue(name) {
  let hash = 7;
  for (const letter of packageOf(name)) hash = (hash * 31 + letter.codePointAt(0)) % 360;
  return hash;
}

const matches = (node) => icicle.search !== "" && node.name.toLowerCase().includes(icicle.search);

/** Return the bytes of the frames that match, counting each byte once. */
function matched(node) {
  return matches(node) ? node.size : node.nodes.reduce((sum, child) => sum + matched(child), 0);
}

function depthOf(node) {
  return Math.max(node.depth, ...node.nodes.map(depthOf));
}

function drawIcicle() {
  icicle.root = treeOf(state.view);
  icicle.zoomed = icicle.root;
  showIcicle();
}

function showIcicle() {
  const { root, zoomed } = icicle;
  const box = $("icicle");
  const boxes = [];
  const place = (node, left, width) => {
    if (width < NARROWEST) return;
    boxes.push(frameOf(node, left, width));
    let at = left;
    for (const child of node.nodes) {
      const part = node.size ? (width * child.size) / node.size : 0;
      place(child, at, part);
      at += part;
    }
  };
  for (let above = zoomed.parent; above; above = above.parent) boxes.unshift(frameOf(above, 0, 100, true));
  if (root.size) place(zoomed, 0, 100);
  box.style.height = `${root.size ? (depthOf(zoomed) + 1) * ROW : 2 * ROW}px`;
  box.replaceChildren(...(root.size ? boxes : [element("p", { class: "dim none" }, "Nothing is retained.")]));
  $("unzoom").disabled = zoomed === root;
  $("found").textContent = icicle.search ? `${bytes(matched(root))} (${share(matched(root), root.size)}) in matching functions` : "";
  tell(zoomed);
}

function frameOf(node, left, width, isAbove = false) {
  const kind = node.parent === null || node.isOther ? "plain" : "";
  const mark = icicle.search ? (matches(node) ? "match" : "miss") : "";
  const zoom = () => { icicle.zoomed = node.isOther ? icicle.root : node; showIcicle(); };
  return element("button", {
    type: "button",
    class: `box ${kind} ${mark} ${isAbove ? "above" : ""}`,
    style: `left:${left}%;width:${width}%;top:${node.depth * ROW}px;--hue:${hue(node.name)}`,
    title: `${node.name}\n${node.place}\n${bytes(node.size)} (${share(node.size, icicle.root.size)})`,
    "data-function": node.name,
    onclick: zoom,
    onmouseenter: () => tell(node),
    onfocus: () => tell(node),
  }, width > 2 ? node.name : "");
}

function tell(node) {
  const own = node.own && node.own !== node.size ? `, ${bytes(node.own)} by itself` : "";
  $("frame").textContent = `${node.name}${node.place ? `  ${node.place}` : ""}: ${bytes(node.size)} (${share(node.size, icicle.root.size)})${own}`;
}

function startIcicle() {
  choice($("views"), VIEWS, state.view, (view) => { state.view = view; drawIcicle(); drawTable(); });
  $("search").addEventListener("input", () => { icicle.search = $("search").value.trim().toLowerCase(); showIcicle(); });
  $("unzoom").addEventListener("click", () => { icicle.zoomed = icicle.root; showIcicle(); });
  drawIcicle();
}
