"use strict";
const page = JSON.parse(document.getElementById("document").textContent);
const by = (id) => document.getElementById(id);
const key = "losslab-votes-" + page.id;
const store = {  // where a file may keep nothing, the votes live as long as the page is open
  get() { try { return JSON.parse(localStorage.getItem(key)) || {}; } catch { return {}; } },
  set(votes) { try { localStorage.setItem(key, JSON.stringify(votes)); return true; } catch { return false; } },
};
const votes = {};
for (const [item, vote] of Object.entries(store.get()))
  if (page.items[item] && ["left", "right", "tie"].includes(vote)) votes[item] = vote;
let at = page.items.findIndex((_, i) => !(i in votes));
if (at < 0) at = page.items.length - 1;

function show() {
  const item = page.items[at], done = Object.keys(votes).length, all = page.items.length;
  by("prompt").textContent = item.prompt;
  by("left").textContent = item.left;
  by("right").textContent = item.right;
  by("count").textContent = `Pair ${at + 1} of ${all}, ${done} voted.`;
  by("done").style.width = `${100 * done / all}%`;
  by("bar").setAttribute("aria-valuemax", all);
  by("bar").setAttribute("aria-valuenow", done);
  for (const side of ["left", "right"]) by(`${side}-side`).classList.toggle("chosen", votes[at] === side);
  for (const vote of ["left", "right", "tie"]) {
    by(`vote-${vote}`).classList.toggle("chosen", votes[at] === vote);
    by(`vote-${vote}`).setAttribute("aria-pressed", votes[at] === vote);
  }
}

function vote(choice) {
  votes[at] = choice;
  by("saved").textContent = store.set(votes) ? "Kept in this browser." : "Not kept by this browser: export before you close the page.";
  const left = page.items.findIndex((_, i) => i > at && !(i in votes));
  const any = left >= 0 ? left : page.items.findIndex((_, i) => !(i in votes));
  if (any >= 0) { at = any; scrollTo(0, 0); }
  show();
  if (any < 0) exported();
}

function move(by_) {
  at = Math.min(page.items.length - 1, Math.max(0, at + by_));
  show();
}

function exported() {
  const given = Object.keys(votes).map(Number).sort((a, b) => a - b).map((item) => ({ item, vote: votes[item] }));
  const text = JSON.stringify({ format: page.format, id: page.id, hidden: page.hidden, votes: given }, null, 1);
  const name = `votes-${page.id}.json`;
  by("out").hidden = false;
  by("text").value = text;
  by("file").textContent = by("file2").textContent = name;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  by("out").scrollIntoView();
}

const keys = {
  1: () => vote("left"), ArrowLeft: () => vote("left"), 2: () => vote("right"), ArrowRight: () => vote("right"),
  0: () => vote("tie"), ArrowDown: () => vote("tie"), Backspace: () => move(-1), s: () => move(1), S: () => move(1),
  e: exported, E: exported,
};
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.id === "text") return;
  const action = keys[event.key];
  if (action) { event.preventDefault(); action(); }
});
for (const choice of ["left", "right", "tie"]) by(`vote-${choice}`).addEventListener("click", () => vote(choice));
by("back").addEventListener("click", () => move(-1));
by("skip").addEventListener("click", () => move(1));
by("export").addEventListener("click", exported);
show();
