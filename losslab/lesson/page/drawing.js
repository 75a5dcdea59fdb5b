// Elements, numbers and curves.

const DATA = JSON.parse(document.getElementById("lesson").textContent);
const at = (id) => document.getElementById(id);

function make(tag, attributes, ...children) {
  const svg = ["svg", "path", "line", "circle", "text", "g"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

const plain = (x, digits) => {
  const text = x.toFixed(digits);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
};
// a number on the page; its `value` has every digit
const number = (x, digits = 4) => make("data", { value: String(x) }, plain(x, digits));
const sub = (text) => make("sub", {}, text);
const sup = (text) => make("sup", {}, text);
const i = (text) => make("i", {}, text);
// a formula of one line, such as z_j^2
const typeset = (text) => text.replaceAll("-", "−").split(/(_\w|\^\d)/).map((part) =>
  part[0] === "_" ? sub(part.slice(1)) : part[0] === "^" ? sup(part.slice(1)) : part);
const frac = (above, below) =>
  make("span", { class: "frac" }, make("span", {}, ...[above].flat()), make("span", { class: "slash" }, " / "), make("span", {}, ...[below].flat()));

// rows of [what it is, formula, the formula with its numbers, result]
function formulas(list, rows) {
  list.replaceChildren(...rows.map(([what, formula, filled, result]) =>
    make("div", {}, make("dt", {}, what), make("dd", {}, make("span", { class: "formula" }, ...formula),
      make("span", { class: "filled" }, "= ", ...filled), make("span", { class: "result" }, "= ", ...result)))));
}

function rows(table, cells, marked = -1) {
  table.tBodies[0].replaceChildren(...cells.map((row, n) =>
    make("tr", n === marked ? { class: "baseline", "aria-current": "true" } : {}, ...row.map((cell, column) =>
      make(column ? "td" : "th", column ? {} : { scope: "row" }, ...[cell].flat())))));
}

// radio buttons of which one is chosen; `options`: [value, label]
function choices(fieldset, name, options, chosen, changed) {
  const group = make("span", { class: "options" });
  for (const [value, label] of options) {
    group.append(make("label", {}, make("input", {
      type: "radio", name, value, checked: value === chosen, onchange: () => changed(value),
    }), make("span", {}, label)));
  }
  fieldset.append(group);
}

// --- curves ------------------------------------------------------------------------------------

// calls `draw(width)` for an svg element of the width that there is, now and whenever that changes
function drawn(place, draw) {
  let last = 0;
  const again = () => {
    last = Math.max(240, Math.round(place.clientWidth));
    place.replaceChildren(draw(last));
  };
  new ResizeObserver(() => Math.round(place.clientWidth) !== last && again()).observe(place);
  again();
  return again;
}

function axes(width, height, { x, y, label, xTitle, yTitle }) {
  const box = { left: 44, right: width - 18, top: 26, bottom: height - 44 };
  const scale = ([from, to], start, end) => (value) => start + ((value - from) / (to - from)) * (end - start);
  const sx = scale(x.domain, box.left, box.right), sy = scale(y.domain, box.bottom, box.top);
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
  for (const tick of y.ticks) {
    svg.append(make("line", { class: "grid", x1: box.left, x2: box.right, y1: sy(tick), y2: sy(tick) }),
      make("text", { x: box.left - 8, y: sy(tick) + 4, "text-anchor": "end" }, String(tick)));
  }
  for (const tick of x.ticks) {
    svg.append(make("text", { x: sx(tick), y: box.bottom + 20, "text-anchor": "middle" }, tick.toLocaleString("en")));
  }
  svg.append(make("text", { x: (box.left + box.right) / 2, y: height - 6, "text-anchor": "middle" }, xTitle),
    make("text", { x: 6, y: 14 }, yTitle));
  return { svg, sx, sy, box };
}

const path = (points) => points.map(([x, y], n) => `${n ? "L" : "M"}${x.toFixed(2)} ${y.toFixed(2)}`).join("");
