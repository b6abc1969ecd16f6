// The page: what is drawn, the step that is looked at, and two models that read it.

import { ApiError, hasToken, listModels, readFile, setToken } from "./api.js";
import { Drawing } from "./drawing.js";
import { encode } from "./files.js";
import { SIZE } from "./normalise.js";
import { Panel } from "./panel.js";
import { Player } from "./player.js";
import { argmax } from "./reading.js";
import { Samples } from "./samples.js";
import { percent } from "./words.js";

const LOOK = 5000; // Milliseconds between two looks at which models there are,
const LOOK_AGAIN = 1000; // after one that failed,
const LOOK_SOON = 200; // and after a version went that was asked.

let announcing, looking; // Timers.
let known = ""; // The models, as text.
let wasAway = false; // Whether there was no server, or no token for it, since the last look.
let minProbability = 0;
let opening = null; // The AbortController of the file that is being read.

const at = (id) => document.getElementById(id);

// Exported for whoever wants to draw from elsewhere, such as the tests.
export const drawing = new Drawing(at("canvas"), at("pen"), onDrawn);
const player = new Player(at("player"), onStep);
const panels = [];
for (const name of ["one", "another"]) {
  const article = at("panel").content.cloneNode(true).firstElementChild;
  at("panels").append(article);
  const panel = new Panel(article, {
    step: (step) => player.go(Math.round((step * player.steps) / panel.steps)),
    change: onReading,
    error: onError,
  }, `panel ${name}`);
  panels.push(panel);
}
const legend = document.querySelector(".samples legend");
const samples = new Samples(at("samples"), legend, (image) => drawing.load(image));

function onDrawn() {
  const { image } = drawing;
  stopOpening(); // Of a file that is still being read, the answer is not wanted any more.
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

/** Have a screen reader say the answers when they come to rest; at once, that all is wiped out. */
function announce(text) {
  clearTimeout(announcing);
  const live = at("live");
  if (!drawing.isEmpty) announcing = setTimeout(() => (live.textContent = text), 700);
  else if (live.textContent) live.textContent = "nothing drawn";
}

/** See which models there are, and whether the server is there, again and again. */
async function look() {
  clearTimeout(looking);
  let wait = LOOK;
  samples.fetch().catch(() => {}); // They are tried again with the next look.
  try {
    const { models, min_probability: least } = await listModels();
    minProbability = least ?? 0;
    notice(models.length ? "" : "The server has no models yet.");
    // What is open in a picker is not to close for nothing.
    if (JSON.stringify(models) !== known) {
      known = JSON.stringify(models);
      const others = freeModels(models);
      panels.forEach((panel) => {
        const isThere = panel.wanted === "" || models.some(({ name }) => name === panel.wanted);
        panel.setModels(models, isThere ? "" : (others.shift() ?? ""));
      });
    }
    panels.forEach((panel) => panel.setMinProbability(minProbability));
    // Another server may have come in its place, with other weights under the same names.
    panels.forEach((panel) => panel.retry(wasAway));
    wasAway = false;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    onError(error);
    wait = LOOK_AGAIN;
  }
  lookIn(wait);
}

function lookIn(milliseconds) {
  clearTimeout(looking);
  looking = setTimeout(look, milliseconds);
}

/** The models that no panel was given, as they are to be taken: an LSTM, a basic RNN, others. */
function freeModels(models) {
  const rank = (name) => (name === "lstm" ? 0 : name === "basic_rnn" ? 1 : 2);
  return models
    .filter(isServed)
    .map(({ name }) => name)
    .filter((name) => !panels.some((panel) => panel.wanted === name))
    .sort((a, b) => rank(a) - rank(b));
}

function isServed({ versions }) {
  return versions.some(({ state }) => state === "AVAILABLE");
}

function onError(error) {
  wasAway ||= [0, 401].includes(error.status);
  if (error.status === 401) {
    const problem = hasToken() ? "The server refuses this token." : "The server asks for a token.";
    notice(`${problem} It says: ${error.message}`, true);
  } else if (error.status === 0) {
    notice("The server does not answer. The page asks again every second.");
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

/**
 * Read a picture file: the server prepares it, and what the network is shown comes to the canvas.
 */
async function open(file) {
  stopOpening();
  opening = new AbortController();
  const { signal } = opening;
  const say = (text) => {
    if (!signal.aborted) at("said").textContent = `${file.name}: ${text}`;
  };
  say("is being read …");
  try {
    const text = await encode(file);
    if (signal.aborted) return;
    const targets = panels
      .map(({ target }) => target)
      .filter((target) => target?.signatures.includes("serving_bytes"));
    if (!targets.length) return say("no model on this page has the signature serving_bytes.");
    let said = "";
    for (const target of targets) {
      const { probabilities, rows } = await readFile(target, text, signal);
      if (signal.aborted) return;
      if (rows?.length === SIZE && rows[0].length === SIZE) {
        const isBlank = !rows.flat().some((ink) => ink > 0);
        if (isBlank) drawing.clear();
        else drawing.load(rows, true);
        at("said").textContent = isBlank
          ? `${file.name}: nothing is drawn on it.`
          : `${file.name}, as the network gets it`;
        return;
      }
      const top = argmax(probabilities);
      const doubt = probabilities[top] >= minProbability ? "" : ", not sure";
      said ||= `${target.model} answers ${top}, ${percent(probabilities[top])}${doubt}`;
    }
    // Models of old do not tell what they were shown.
    drawing.clear();
    at("said").textContent = `${file.name}: ${said}`;
  } catch (error) {
    if (error.name === "AbortError") return;
    say(error.message);
    if (error instanceof ApiError) onError(error);
  }
}

function stopOpening() {
  opening?.abort();
  opening = null;
  at("said").textContent = "";
}

/** Read the first file of some that were chosen, dropped or pasted. */
function openFirst(files) {
  if (files?.length) open(files[0]);
}

at("open").addEventListener("click", () => at("file").click());
at("file").addEventListener("change", ({ target }) => {
  openFirst([...target.files]);
  target.value = ""; // The same file may be chosen again.
});
document.addEventListener("paste", (event) => openFirst(event.clipboardData.files));
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault(); // A browser would leave the page for the file.
    at("draw").classList.toggle("dropping", kind === "dragover");
  });
}
document.addEventListener("drop", ({ dataTransfer }) => {
  if (dataTransfer.files.length) openFirst(dataTransfer.files);
  else at("said").textContent = "That is not a file: save the picture, and drop its file.";
});
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
  o: () => at("file").click(),
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
look();
