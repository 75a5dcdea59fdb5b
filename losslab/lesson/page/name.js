// A name under the real model, and how that model was trained.

const MOST_BARS = 40; // of a larger vocabulary the likeliest are drawn
const ids = new Map(DATA.characters.map((character, token) => [character, token]));
const END = DATA.characters.length;
const models = DATA.stages.map((stage) => new Model(stage.weights, DATA.shapes, DATA.constants));
const reading = { stage: 0, position: 0, tokens: [], logits: [] };

function read(text) {
  const letters = Array.from(text.trim().normalize("NFC"));
  const unknown = [...new Set(letters.filter((letter) => !ids.has(letter)))];
  if (!letters.length || unknown.length) {
    return letters.length ? `This model has never seen ${unknown.join(" ")}. Its letters are those of the names it learned from.`
      : "Type a name.";
  }
  reading.tokens = [END, ...letters.map((letter) => ids.get(letter)), END].slice(0, DATA.constants.positions + 1);
  reading.position = Math.min(reading.position, reading.tokens.length - 2);
  return letters.length >= DATA.constants.positions ? `The model has ${DATA.constants.positions} positions, and reads no further.` : "";
}

const shown = (token) => DATA.vocabulary[token];
const context = (position) => reading.tokens.slice(0, position + 1).map(shown).join("");

function showName() {
  const problem = read(at("name-text").value);
  at("name-problem").textContent = problem;
  if (!reading.tokens.length) return;
  reading.logits = models[reading.stage].logits(reading.tokens.slice(0, -1));
  reading.prices = reading.logits.map((z, n) => nll(z, reading.tokens[n + 1]));
  const slider = at("name-position");
  slider.max = reading.prices.length;
  showPosition();
  const letters = reading.tokens.filter((token) => token !== END).length, n = reading.prices.length;
  const whole = sum(reading.prices), loss = whole / n;
  formulas(at("name-formulas"), [
    ["loss, nats per token", [frac("sum of −ln p", "positions")], [frac(number(whole), String(n))], [number(loss)]],
    ["perplexity", [i("e"), sup("loss")], [i("e"), sup(number(loss))], [number(Math.exp(loss), 3)]],
    ["bits per token", [frac("loss", "ln 2")], [frac(number(loss), number(Math.LN2))], [number(loss / Math.LN2)]],
    ["bits per character", [frac("sum of −ln p", "ln 2 · letters")], [frac(number(whole), [number(Math.LN2), ` · ${letters}`])], [number(whole / Math.LN2 / letters)]],
  ]);
}

function showPosition() {
  const { position, tokens, logits, prices } = reading, n = prices.length;
  const z = logits[position], target = tokens[position + 1], p = softmax(z);
  const slider = at("name-position");
  slider.value = position + 1;
  slider.setAttribute("aria-valuetext", `${position + 1} of ${n}: after ${context(position)} came ${shown(target)}`);
  at("name-chips").replaceChildren(...prices.map((price, k) => make("button", {
    type: "button", "aria-pressed": String(k === position), "aria-label": `after ${context(k)} came ${shown(tokens[k + 1])}, ${plain(price, 2)} nats`,
    onclick: () => { reading.position = k; showPosition(); at("name-chips").children[k].focus(); },
  }, make("b", {}, make("bdi", {}, shown(tokens[k + 1]))), make("small", {}, plain(price, 2)))));
  at("name-said").replaceChildren("After ", make("b", {}, make("bdi", {}, context(position))), " came ", make("b", {}, make("bdi", {}, shown(target))), ", which costs ",
    make("span", { class: "big" }, number(prices[position])), " nats");
  showLetters(p, target);
  showOthers();
  formulas(at("position-formulas"), [
    ["probability", [frac([i("e"), sup("z")], ["Σ ", i("e"), sup("z")])], [frac(number(Math.exp(z[target])), number(sum(z.map(Math.exp))))], [number(p[target])]],
    ["price", ["−ln ", i("p")], ["−ln ", number(p[target])], [number(prices[position])]],
    ["gradient of its logit", [frac([i("p"), " − 1"], "positions")], [frac([number(p[target]), " − 1"], String(n))], [number((p[target] - 1) / n)]],
  ]);
  rows(at("name-table"), prices.map((price, k) => {
    const q = softmax(logits[k]), best = q.indexOf(highest(q)), y = tokens[k + 1];
    return [make("bdi", {}, context(k)), make("bdi", {}, shown(y)), number(q[y]), number(price), number((q[y] - 1) / n), [make("bdi", {}, shown(best)), " ", number(q[best], 2)]];
  }), position);
}

// the name under each of the four losses
function showOthers() {
  const { position, tokens, logits, prices } = reading, n = prices.length;
  const name = tokens.filter((token) => token !== END).map(shown).join(""), steps = DATA.stages[reading.stage].step;
  at("others-caption").replaceChildren(make("b", {}, make("bdi", {}, name)), ` under the model after ${steps.toLocaleString("en")} steps, `,
    `gradients at position ${position + 1} of ${n}`);
  rows(at("others-table"), Object.entries(LOSSES).map(([key, loss]) => {
    const slopes = logits.map((z, k) => loss.gradient(z, tokens[k + 1]).map((slope) => slope / n));
    return [DATA.losses[key].label, number(mean(logits.map((z, k) => loss.value(z, tokens[k + 1])))),
      number(slopes[position][tokens[position + 1]]), number(length(slopes.flat()))];
  }));
}

// a column for each token: its probability above the line, the pull on its logit below
function showLetters(p, target) {
  let tokens = p.map((_, token) => token);
  if (tokens.length > MOST_BARS) {
    const likely = new Set(tokens.slice().sort((a, b) => p[b] - p[a]).slice(0, MOST_BARS - 1)).add(target);
    tokens = tokens.filter((token) => likely.has(token));
  }
  const most = highest(p), digits = Math.max(1, -Math.floor(Math.log10(most)));
  const top = Math.min(1, Math.ceil(most * 10 ** digits) / 10 ** digits);
  at("full-height").textContent = top.toFixed(digits);
  at("name-letters").replaceChildren(...tokens.map((token) => {
    const slope = p[token] - came(token, target);
    const up = make("span", { class: "up" }, make("span", { class: "column" })), down = make("span", { class: "down" }, make("span", { class: "column" }));
    up.firstChild.style.height = `${(100 * p[token]) / top}%`;
    down.firstChild.style.height = `${100 * Math.abs(slope)}%`;
    down.firstChild.classList.toggle("raised", slope < 0);
    return make("span", { class: token === target ? "letter came" : "letter" }, up, make("b", {}, shown(token)), down);
  }));
}

function startName() {
  at("name-text").value = DATA.example;
  at("name-text").addEventListener("input", showName);
  at("name-position").addEventListener("input", (event) => { reading.position = Number(event.target.value) - 1; showPosition(); });
  choices(at("stage-choice"), "stage", DATA.stages.map((stage, n) => [n, stage.step ? `${stage.step.toLocaleString("en")} steps` : "0 steps"]), 0,
    (n) => { reading.stage = n; showName(); });
  showName();
}

// --- training ----------------------------------------------------------------------------------

const WINDOW = 50;

function startTraining() {
  const { nll: losses } = DATA, V = DATA.vocabulary.length, uniform = Math.log(V);
  const rolling = losses.map((_, n) => mean(losses.slice(Math.max(0, n - WINDOW + 1), n + 1)));
  formulas(at("training-formulas"), [
    ["knowing nothing", ["−ln ", frac("1", "V"), " = ln V"], [`ln ${V.toLocaleString("en")}`], [number(uniform)]],
    ...(losses.length ? [["first loss", ["mean of −ln ", i("p")], ["over the positions of the first name"], [number(losses[0])]],
      ["at the end of training", ["mean of the losses"], [`over steps ${Math.max(1, losses.length - WINDOW + 1).toLocaleString("en")} to ${losses.length.toLocaleString("en")}`], [number(rolling[rolling.length - 1])]]] : []),
  ]);
  if (losses.length) {
    drawn(at("training-curve"), (width) => {
      const most = Math.ceil(Math.max(uniform, highest(losses)) + 0.2);
      const { svg, sx, sy, box } = axes(width, 320, {
        x: { domain: [1, Math.max(2, losses.length)], ticks: [...new Set([1, Math.ceil(losses.length / 2), losses.length])] },
        y: { domain: [0, most], ticks: Array.from({ length: most + 1 }, (_, n) => n).filter((n) => most < 8 || n % 2 === 0) },
        label: `loss against step, from ${plain(losses[0], 2)} to a mean of ${plain(rolling[rolling.length - 1], 2)} over the last steps`,
        xTitle: "step", yTitle: "−ln p, nats per token",
      });
      svg.append(make("g", { class: "cloud" }, ...losses.map((loss, n) => make("circle", { cx: sx(n + 1), cy: sy(loss), r: 1.6 }))),
        make("line", { class: "uniform", x1: box.left, x2: box.right, y1: sy(uniform), y2: sy(uniform) }),
        make("path", { class: "curve", d: path(rolling.map((loss, n) => [sx(n + 1), sy(loss)])) }),
        make("text", { class: "strong halo", x: box.right, y: sy(uniform) - 7, "text-anchor": "end" }, `ln ${V.toLocaleString("en")} = ${plain(uniform, 3)}`));
      return svg;
    });
  }
  at("samples").replaceChildren(...DATA.samples.map((name) => make("bdi", {}, name || "(nothing)")));
  rows(at("rest-table"), Object.values(DATA.losses).map((loss) =>
    [loss.label, typeset(loss.value), typeset(loss.rest), ...loss.at_rest.map((p) => (p === 1 ? ["toward ", number(p)] : number(p)))]));
  for (const row of at("rest-table").tBodies[0].rows) for (const n of [1, 2]) row.cells[n].className = "words";
}

startBench();
startPrice();
startName();
startTraining();
