// The page: what is drawn, the step that is looked at, and two models that read it.

import { listModels, setToken } from "./api.js";
import { Drawing } from "./drawing.js";
import { Panel } from "./panel.js";
import { Player } from "./player.js";
import { Samples } from "./samples.js";

const LOOK = 5000; // Milliseconds between two looks at which models there are,
const LOOK_AGAIN = 1000; // after one that failed,
const LOOK_SOON = 200; // and after a version went that was asked.

let announcing, looking; // Timers.
let known = ""; // The models, as text.

const at = (id) => document.getElementById(id);

// Exported for whoever wants to draw from elsewhere, such as the tests.
export const drawing = new Drawing(at("canvas"), at("pen"), onDrawn);
const player = new Player(at("player"), onStep);
const panels = [];
for (const _ of ["one", "another"]) {
  const article = at("panel").content.cloneNode(true).firstElementChild;
  at("panels").append(article);
  const panel = new Panel(article, {
    step: (step) => player.go(Math.round((step * player.steps) / panel.steps)),
    change: onReading,
    error: onError,
  });
  panels.push(panel);
}
const samples = new Samples(at("samples"), (image) => drawing.load(image));

function onDrawn() {
  const { image } = drawing;
  at("undo").disabled = drawing.isNew;
  at("clear").disabled = drawing.isEmpty;
  at("draw").classList.toggle("empty", drawing.isEmpty);
  player.go(player.steps); // What was drawn last is asked about as a whole.
  panels.forEach((panel) => panel.show(image));
}

function onStep(step, steps) {
  panels.forEach((panel) => panel.showStep(step, steps));
  const answers = panels.map((panel) => panel.answer).filter(Boolean);
  document.querySelector("#player .summary").textContent = answers.join(" · ");
  announce(answers.join("; "));
}

/** Bring the slider into line with what there is to look at. */
function onReading() {
  const steps = Math.max(0, ...panels.map((panel) => panel.steps)) || player.steps;
  const words = new Set(panels.filter((panel) => panel.steps).map((panel) => panel.word));
  player.setSteps(steps, words.size === 1 ? [...words][0] : "step");
}

/** Have a screen reader say the answers, once they have come to rest. */
function announce(text) {
  clearTimeout(announcing);
  announcing = setTimeout(() => (at("live").textContent = text), 700);
}

/** See which models there are, and whether the server is there, again and again. */
async function look() {
  clearTimeout(looking);
  let wait = LOOK;
  try {
    const models = await listModels();
    notice(models.length ? "" : "The server has no models yet.");
    // What is open in a picker is not to close for nothing.
    if (JSON.stringify(models) !== known) {
      known = JSON.stringify(models);
      const [first, second] = firstModels(models);
      panels[0].setModels(models, first);
      panels[1].setModels(models, second);
    }
    panels.forEach((panel) => panel.retry());
  } catch (error) {
    onError(error);
    wait = LOOK_AGAIN;
  }
  lookIn(wait);
}

function lookIn(milliseconds) {
  clearTimeout(looking);
  looking = setTimeout(look, milliseconds);
}

/** Which models to begin with: an LSTM beside a basic RNN, if both are there. */
function firstModels(models) {
  const names = models.filter(isServed).map(({ name }) => name);
  const first = names.find((name) => name === "lstm") ?? names[0] ?? "";
  const others = names.filter((name) => name !== first);
  return [first, others.find((name) => name === "basic_rnn") ?? others[0] ?? ""];
}

function isServed({ versions }) {
  return versions.some(({ state }) => state === "AVAILABLE");
}

function onError(error) {
  if (error.status === 401) {
    notice("The server asks for a token.", true);
  } else if (error.status === 0) {
    notice("The server does not answer. It is asked again every second.");
    lookIn(LOOK_AGAIN);
  } else if (error.status === 404) {
    lookIn(LOOK_SOON);
  }
}

function notice(text, wantsToken = false) {
  const box = at("notice");
  const form = at("token");
  if (box.firstElementChild.textContent !== text) box.firstElementChild.textContent = text;
  if (form.hidden === wantsToken) form.hidden = !wantsToken;
  box.hidden = !text;
}

at("token").addEventListener("submit", (event) => {
  event.preventDefault();
  const [input] = event.target.elements;
  setToken(input.value);
  input.value = "";
  look();
});
at("undo").addEventListener("click", () => drawing.undo());
at("clear").addEventListener("click", () => drawing.clear());
at("others").addEventListener("click", () => samples.showOthers());

const KEYS = {
  u: () => drawing.undo(),
  c: () => drawing.clear(),
  p: () => player.toggle(),
  ",": () => player.move(-1),
  ".": () => player.move(1),
};

// Only there, so that no one who speaks to the page, or types elsewhere, sets anything off.
for (const place of [at("canvas"), at("player")]) {
  place.addEventListener("keydown", (event) => {
    const key = event.key.toLowerCase();
    if (event.altKey || ((event.ctrlKey || event.metaKey) && key !== "z")) return;
    const action = event.ctrlKey || event.metaKey ? KEYS.u : KEYS[key];
    if (action) action();
    else if (/^\d$/.test(key)) samples.load(Number(key));
    else return;
    event.preventDefault();
  });
}

// A page that no one sees asks nothing.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(looking);
  else look();
});

onDrawn();
await samples.fetch();
look();
