"use strict";
// One idea: a page asks for itself again, and only the parts of it that are other ones are put in place.
// That serves what changes by itself (runs that train), filters, sliders and calculators alike.

const views = new Map(); // name of a chart -> its view and its specification
const chosen = new Set(); // conditions that are ticked, also those that a filter hides
const embedding = {
  mode: "vega-lite", ast: true, // expressions are interpreted: the policy forbids making code from text
  renderer: "svg", actions: false, defaultStyle: false, tooltip: { disableDefaultStyle: true },
  logLevel: 1, // errors alone: a chart whose first points are to come has no extent yet
};

function specifications(page) {
  return JSON.parse(page.getElementById("charts")?.textContent || "{}");
}

// --- charts ------------------------------------------------------------------------------------

async function draw(place, specification) {
  const name = place.dataset.chart;
  const shape = JSON.stringify({ ...specification, datasets: null, description: null });
  const known = views.get(name);
  if (known && known.place === place && known.shape === shape && specification.datasets?.rows) {
    known.view.data("rows", structuredClone(specification.datasets.rows));
    await known.view.runAsync(); // the same axes and marks, newer points
    place.setAttribute("aria-label", specification.description || name);
    return;
  }
  try {
    const { view } = await vegaEmbed(place, specification, embedding);
    views.set(name, { view, place, shape });
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", specification.description || name);
    take(place, name);
  } catch (error) {
    place.textContent = `This chart could not be drawn (${error.message}).`;
  }
}

function take(place, name) {
  if (place.nextElementSibling?.classList.contains("take")) return;
  const line = document.createElement("p");
  line.className = "take";
  for (const form of ["svg", "png", "csv"]) {
    const link = document.createElement("a");
    link.textContent = form.toUpperCase();
    link.setAttribute("aria-label", `${name} as ${form.toUpperCase()}`);
    const address = new URL(location.href);
    address.searchParams.set("draw", `${name}.${form}`);
    link.href = address.href;
    line.append(link, " ");
  }
  place.after(line);
}

function drawAll(page) {
  const found = specifications(page);
  for (const place of document.querySelectorAll("[data-chart]")) {
    if (found[place.dataset.chart]) draw(place, found[place.dataset.chart]);
  }
}

// --- the page again ----------------------------------------------------------------------------

// A part is put in place unless it says the same; charts in it stay where their specification keeps its shape.
function renew(page) {
  for (const next of page.querySelectorAll("[data-part]")) {
    const now = document.querySelector(`[data-part="${next.dataset.part}"]`);
    if (!now || plain(now) === plain(next)) continue;
    const charts = [...now.querySelectorAll("[data-chart]")];
    const places = [...next.querySelectorAll("[data-chart]")];
    if (places.length && charts.map((one) => one.dataset.chart).join() === places.map((one) => one.dataset.chart).join()) {
      words(now, next);
      continue;
    }
    const focus = now.contains(document.activeElement) ? document.activeElement.id : "";
    now.replaceWith(document.adoptNode(next));
    if (focus) document.getElementById(focus)?.focus();
  }
  if (page.title) document.title = page.title;
  watchAs(page);
  drawAll(page);
  tick();
  tables();
}

// of two parts with the same charts only the captions change
function words(now, next) {
  const from = next.querySelectorAll("figcaption");
  now.querySelectorAll("figcaption").forEach((caption, i) => from[i] && caption.replaceWith(document.adoptNode(from[i])));
}

// what a part says, without what scripts have put into it
function plain(part) {
  const copy = part.cloneNode(true);
  copy.querySelectorAll("[data-chart]").forEach((one) => { one.replaceChildren(); one.className = "chart";
    one.removeAttribute("role"); one.removeAttribute("aria-label"); });
  copy.querySelectorAll(".take").forEach((one) => one.remove());
  return copy.innerHTML.replace(/\s+/g, " ");
}

let asked = 0;
async function again(address = location.href) {
  const number = ++asked;
  let text, ok;
  try {
    const answer = await fetch(address, { headers: { accept: "text/html" } });
    [text, ok] = [await answer.text(), answer.ok];
  } catch {
    return say("the server does not answer; this page is as it was");
  }
  if (number !== asked) return; // a newer question is on its way
  const page = new DOMParser().parseFromString(text, "text/html");
  const whole = !ok || !page.querySelector("[data-part]") || page.querySelector("h1")?.textContent !== document.querySelector("h1")?.textContent;
  if (whole && document.querySelector("[data-live]") === null) {
    const next = page.getElementById("content"), now = document.getElementById("content");
    if (next && now) {
      now.replaceWith(document.adoptNode(next));
      document.getElementById("charts").textContent = page.getElementById("charts")?.textContent || "{}";
      document.title = page.title;
      views.clear();
      watchAs(page); drawAll(document); forms(); tables();
    }
    return;
  }
  renew(page);
}

function say(text) {
  const line = document.querySelector(".pulse");
  if (line && line.textContent !== text) line.textContent = text;
}

// --- what changes by itself --------------------------------------------------------------------

let source, waiting = false, last = 0;
function watch() {
  source?.close();
  source = null;
  const address = document.body.dataset.watch;
  if (!address) return;
  source = new EventSource(address);
  const counted = address.includes("end=1"); // to ask for such a page is a look: it does so when its runs are over
  source.onopen = () => { say("live"); if (!counted) later(); }; // nobody was told of what changed since it was made
  source.onerror = () => say("not live: the server does not answer");
  source.onmessage = () => later();
}

function watchAs(page) {
  const next = page.body.dataset.watch;
  if (next === document.body.dataset.watch) return;
  next ? (document.body.dataset.watch = next) : delete document.body.dataset.watch;
  watch();
}

// at most once a second, and only where somebody looks
function later() {
  if (waiting) return;
  waiting = true;
  setTimeout(() => {
    waiting = false;
    if (document.hidden) return document.addEventListener("visibilitychange", later, { once: true });
    last = Date.now();
    again();
  }, Math.max(0, 1000 - (Date.now() - last)));
}

// --- forms that answer while they are filled in ------------------------------------------------

function forms() {
  for (const form of document.querySelectorAll("form[data-live]:not([data-ready])")) {
    form.dataset.ready = "";
    let timer;
    const ask = (wait) => { clearTimeout(timer); timer = setTimeout(() => {
      const address = new URL(form.action);
      for (const [name, value] of new FormData(form)) if (value !== "") address.searchParams.append(name, value);
      history.replaceState(null, "", address);
      again(address.href);
    }, wait); };
    form.addEventListener("input", (event) => {
      const slider = event.target.closest("label")?.querySelector("input[type=range]");
      const number = event.target.closest("label")?.querySelector("input[type=text]");
      if (slider && number) {
        if (event.target === slider) number.value = scaled(slider);
        else if (Number.isFinite(Number(number.value))) unscaled(slider, Number(number.value));
      }
      ask(event.target.type === "range" ? 60 : 220);
    });
    form.addEventListener("submit", (event) => { event.preventDefault(); ask(0); });
  }
}

// a slider may run over powers
function scaled(slider) {
  const value = Number(slider.value);
  return slider.dataset.scale === "log" ? Number((10 ** value).toPrecision(3)) : Number(value.toPrecision(6));
}
function unscaled(slider, value) {
  slider.value = slider.dataset.scale === "log" ? Math.log10(Math.max(value, 1e-12)) : value;
}

// --- choosing ----------------------------------------------------------------------------------

function tick() {
  const form = document.getElementById("compare");
  if (!form) return;
  const boxes = [...form.querySelectorAll("input[type=checkbox][name=arms]")], shown = new Set(boxes.map((box) => box.value));
  for (const box of boxes) box.checked = chosen.has(box.value);
  form.querySelectorAll("input[type=hidden][name=arms]").forEach((one) => one.remove());
  for (const value of chosen) {
    if (shown.has(value)) continue;
    const hidden = Object.assign(document.createElement("input"), { type: "hidden", name: "arms", value });
    form.append(hidden);
  }
  form.querySelector("[data-count]").textContent = chosen.size;
  form.querySelector("[data-chosen] button").disabled = !chosen.size;
}

document.addEventListener("change", (event) => {
  if (event.target.matches("#compare input[type=checkbox][name=arms]")) {
    event.target.checked ? chosen.add(event.target.value) : chosen.delete(event.target.value);
    tick();
  }
});

// --- tables as CSV -----------------------------------------------------------------------------

function tables() {
  for (const table of document.querySelectorAll(".scroll > table:not([data-csv])")) {
    if (table.classList.contains("runs")) continue; // the server gives all of it
    table.dataset.csv = "";
    const line = document.createElement("p"), link = document.createElement("a");
    line.className = "take";
    link.textContent = "CSV";
    link.setAttribute("aria-label", `${table.parentElement.getAttribute("aria-label")} as CSV`);
    link.download = "losslab-table.csv";
    link.href = URL.createObjectURL(new Blob([csv(table)], { type: "text/csv" }));
    line.append(link);
    if (!table.parentElement.nextElementSibling?.matches(".take")) table.parentElement.after(line);
  }
}

function csv(table) {
  const cell = (one) => {
    const text = one.innerText.trim().replace(/\s+/g, " ").replace(/^−(?=\d)/, "-");
    const safe = /^[=+@\t]|^-(?![\d.])/.test(text) && !/^\+[\d.]/.test(text) ? `'${text}` : text;
    return `"${safe.replaceAll('"', '""')}"`;
  };
  return [...table.rows].map((row) => [...row.cells].map(cell).join(",")).join("\n") + "\n";
}

document.querySelectorAll("#compare input[type=checkbox]:checked").forEach((box) => chosen.add(box.value));
drawAll(document);
watch();
forms();
tick();
tables();
