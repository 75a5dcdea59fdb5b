// One prediction whose logits can be moved, and the price of one probability.

const TOKENS = ["m", "a", "i", "y", "·"];
const SPOKEN = { "·": "the end" };
const REACH = 8; // of the sliders, in logits
const PRESETS = {
  "knows nothing": () => [0, 0, 0, 0, 0],
  "leans": () => [2, 1, 0.5, -0.5, -1],
  "is sure and right": (y) => TOKENS.map((_, j) => (j === y ? 6 : 0)),
  "is sure and wrong": (y) => TOKENS.map((_, j) => (j === (y + 1) % TOKENS.length ? 6 : 0)),
};
const bench = { logits: PRESETS.leans(), target: 0, loss: "cross_entropy", rows: [] };

function benchRow(token, j) {
  const spoken = SPOKEN[token] || token;
  const parts = {
    radio: make("input", { type: "radio", name: "target", value: j, checked: j === bench.target,
      "aria-label": `${spoken} came`, onchange: () => { bench.target = j; showBench(); } }),
    slider: make("input", { type: "range", min: -REACH, max: REACH, step: 0.1, "aria-label": `logit of ${spoken}`,
      "data-token": token, oninput: (event) => { bench.logits[j] = Number(event.target.value); showBench(); } }),
    logit: make("output", { class: "cell logit" }),
    p: make("span", { class: "cell" }), bar: make("span", { class: "bar" }),
    slope: make("span", { class: "cell" }), pull: make("span", { class: "bar pull" }),
  };
  parts.row = make("div", { class: "bench-row" },
    make("label", { class: "token" }, parts.radio, make("b", {}, token)), parts.slider, parts.logit,
    make("span", { class: "measure p" }, make("span", { class: "track", "aria-hidden": "true" }, parts.bar), parts.p),
    make("span", { class: "measure g" }, make("span", { class: "track middle", "aria-hidden": "true" }, parts.pull), parts.slope));
  return parts;
}

// from the middle of its track to the side on which its sign is
function pull(bar, share) {
  const size = Math.min(1, Math.abs(share)) * 50;
  bar.style.width = `${size}%`;
  bar.style.left = share < 0 ? `${50 - size}%` : "50%";
  bar.classList.toggle("up", share < 0);
}

function showBench() {
  const { logits, target, loss } = bench;
  const p = softmax(logits), value = LOSSES[loss].value(logits, target), gradient = LOSSES[loss].gradient(logits, target);
  const most = Math.max(1, highest(gradient.map(Math.abs))); // a longer bar would leave its track
  bench.rows.forEach((row, j) => {
    row.slider.value = logits[j];
    row.slider.setAttribute("aria-valuetext", `${plain(logits[j], 1)}, probability ${plain(p[j], 3)}`);
    row.logit.replaceChildren(number(logits[j], 2));
    row.p.replaceChildren(number(p[j]));
    row.slope.replaceChildren(number(gradient[j]));
    row.bar.style.width = `${100 * p[j]}%`;
    pull(row.pull, gradient[j] / most);
    row.row.classList.toggle("came", j === target);
    row.radio.checked = j === target;
  });
  const label = DATA.losses[loss].label;
  at("bench-said").replaceChildren(make("span", { class: "big" }, number(value)), ` ${label} of `, make("b", {}, TOKENS[target]),
    ", which was given ", number(p[target], 3));
  formulas(at("bench-formulas"), benchFormulas(logits, p, value, gradient));
  const names = Object.keys(LOSSES);
  rows(at("bench-losses"), names.map((name) => {
    const slopes = LOSSES[name].gradient(logits, target);
    return [DATA.losses[name].label, number(LOSSES[name].value(logits, target)), number(slopes[target]), number(length(slopes))];
  }), names.indexOf(loss));
}

function benchFormulas(z, p, value, gradient) {
  const { target, loss } = bench, y = TOKENS[target], V = z.length;
  const price = -Math.log(p[target]), wrong = z.filter((_, j) => j !== target);
  const all = sum(z.map(Math.exp));
  const signed = (x, digits = 4) => [x < 0 ? "− " : "+ ", number(Math.abs(x), digits)];
  const [p_y, z_y] = [[i("p"), sub(y)], [i("z"), sub(y)]].map((x) => make("span", { class: "term" }, ...x));
  const log = ["−ln ", p_y];
  const found = [
    ["softmax", [p_y.cloneNode(true), " = ", frac([i("e"), sup(make("span", {}, i("z"), sub(y)))], ["Σ ", i("e"), sup(make("span", {}, i("z"), sub("j")))])],
      [frac(number(Math.exp(z[target])), number(all))], [number(p[target])]],
    ["cross-entropy", log, ["−ln ", number(p[target])], [number(price)]],
  ];
  if (loss === "label_smoothing") {
    found.push(["label smoothing", ["−ln ", p_y.cloneNode(true), " + 0.1 (", z_y, " − mean ", i("z"), ")"],
      [number(price), " + 0.1 (", number(z[target], 2), " ", ...signed(-mean(z), 2), ")"], [number(value)]]);
  } else if (loss === "squentropy") {
    found.push(["squentropy", ["−ln ", p_y.cloneNode(true), " + ", frac(["Σ ", i("z"), sub("j"), sup("2")], ["V − 1"]), " over the wrong"],
      [number(price), " + ", frac(number(sum(wrong.map((x) => x * x))), String(V - 1))], [number(value)]]);
  } else if (loss === "mse") {
    found.push(["squared error", [frac(["Σ (", i("z"), sub("j"), " − [", i("j"), " = ", y, "])", sup("2")], ["V"])],
      [frac(number(value * V), String(V))], [number(value)]]);
  }
  const slope = { cross_entropy: [[], [], " − 1"], label_smoothing: [[" − 0.1/V"], [" − 0.02"], " − 0.9"], squentropy: [[], [], " − 1"] }[loss];
  found.push([`gradient of ${SPOKEN[y] || y}’s logit`, ...(loss === "mse"
    ? [[frac(["2 (", z_y, " − 1)"], ["V"])], [frac(["2 (", number(z[target], 2), " − 1)"], String(V))]]
    : [[p_y.cloneNode(true), slope[2], ...slope[0]], [number(p[target]), slope[2], ...slope[1]]]), [number(gradient[target])]]);
  return found;
}

function downhill(times) {
  for (let n = 0; n < times; n++) {
    const gradient = LOSSES[bench.loss].gradient(bench.logits, bench.target);
    bench.logits = bench.logits.map((z, j) => Math.max(-REACH, Math.min(REACH, z - gradient[j])));
  }
  showBench();
}

function startBench() {
  bench.rows = TOKENS.map(benchRow);
  at("bench").append(...bench.rows.map((parts) => parts.row));
  choices(at("loss-choice"), "loss", Object.entries(DATA.losses).map(([name, loss]) => [name, loss.label]), bench.loss,
    (name) => { bench.loss = name; showBench(); });
  for (const [name, logits] of Object.entries(PRESETS)) {
    at("presets").append(make("button", { type: "button", onclick: () => { bench.logits = logits(bench.target); showBench(); } }, name));
  }
  for (const times of [1, 10, 100]) at(`step-${times}`).addEventListener("click", () => downhill(times));
  showBench();
}

// --- the price of one probability --------------------------------------------------------------

const POINTS = [1, 0.9, 0.5, 1 / 27, 0.01, 0.001];
const HIGHEST = 9.5; // nats that are drawn

function startPrice() {
  const slider = at("price-p");
  const chance = () => Math.min(1, 10 ** Number(slider.value));
  const curve = drawn(at("price-curve"), (width) => {
    const p = chance(), price = -Math.log(p) + 0;
    const { svg, sx, sy } = axes(width, 300, {
      x: { domain: [0, 1], ticks: [0, 0.2, 0.4, 0.6, 0.8, 1] }, y: { domain: [0, HIGHEST], ticks: [0, 2, 4, 6, 8] },
      label: "minus ln p falls from far above 9 at p = 0.0001 to 0.69 at one half and 0 at 1", xTitle: "P(correct)", yTitle: "nats",
    });
    const points = Array.from({ length: 300 }, (_, n) => Math.exp(-HIGHEST * (1 - n / 299)));
    const [x, y] = [sx(p), sy(price)];
    svg.append(make("path", { class: "curve", d: path(points.map((q) => [sx(q), sy(-Math.log(q))])) }),
      make("line", { class: "drop", x1: x, x2: x, y1: y, y2: sy(0) }), make("circle", { class: "dot", cx: x, cy: y, r: 6 }));
    const right = x < width - 120;
    svg.append(make("text", { class: "strong", x: x + (right ? 12 : -12), y: Math.min(y + 4, sy(0) - 12), "text-anchor": right ? "start" : "end" },
      `${plain(price, 3)} nats`));
    return svg;
  });
  const show = () => {
    const p = chance(), price = -Math.log(p) + 0, known = -Math.log(0.9);
    const average = (9 * known + price) / 10;
    slider.setAttribute("aria-valuetext", `${p.toPrecision(3)}, price ${plain(price, 3)} nats`);
    formulas(at("price-formulas"), [
      ["price", ["−ln ", i("p")], ["−ln ", number(p, p < 0.01 ? 6 : 4)], [number(price), " nats"]],
      ["gradient of its logit", [i("p"), " − 1"], [number(p), " − 1"], [number(p - 1)]],
    ]);
    formulas(at("mistake-formulas"), [
      ["mean of ten", [frac(["9 · (−ln 0.9) − ln ", i("p")], "10")], [frac(["9 · ", number(known), " + ", number(price)], "10")], [number(average), " nats"]],
      ["perplexity", [i("e"), sup("mean")], [i("e"), sup(number(average))], [number(Math.exp(average), 3)]],
      ["share of the one", [frac(["−ln ", i("p")], "sum")], [frac(number(price), number(10 * average))], [number((100 * price) / (10 * average), 1), " %"]],
    ]);
    rows(at("price-table"), POINTS.map((q) => [q === 1 / 27 ? "1/27" : String(q), number(-Math.log(q) + 0, 3), `${plain(1 / q, q > 0.5 ? 2 : 0)} sides`]));
    curve();
  };
  slider.addEventListener("input", show);
  show();
}
