// The place for models that read images: the drawing, the player, and the panels of two models.

import { ApiError, readFile } from "./api.js";
import { Drawing } from "./drawing.js";
import { encode } from "./files.js";
import { SIZE } from "./normalise.js";
import { Panel } from "./panel.js";
import { distribute } from "./pickers.js";
import { Player } from "./player.js";
import { argmax } from "./reading.js";
import { Samples } from "./samples.js";
import { percent } from "./words.js";

let announcing; // A timer.
let minProbability = 0;
let opening = null; // The AbortController of the file that is being read.
let onError; // Called with the error of each request that fails.

const at = (id) => document.getElementById(id);

// Exported so that tests can draw.
export const drawing = new Drawing(at("canvas"), at("pen"), onDrawn);
const player = new Player(at("player"), onStep);
const panels = [];
for (const name of ["one", "another"]) {
  const article = at("panel").content.cloneNode(true).firstElementChild;
  at("panels").append(article);
  const panel = new Panel(article, {
    step: (step) => player.go(Math.round((step * player.steps) / panel.steps)),
    change: onReading,
    error: (error) => onError(error),
  }, `panel ${name}`);
  panels.push(panel);
}
const legend = document.querySelector(".samples legend");
const samples = new Samples(at("samples"), legend, (image) => drawing.load(image));

function onDrawn() {
  const { image } = drawing;
  stopOpening(); // Drop the answer to a file that is still being read.
  at("undo").disabled = drawing.isNew;
  at("clear").disabled = drawing.isEmpty;
  at("draw").classList.toggle("empty", drawing.isEmpty);
  player.go(player.steps); // Show the answer to the whole drawing.
  panels.forEach((panel) => panel.show(image));
}

function onStep(step, steps) {
  panels.forEach((panel) => panel.showStep(step, steps));
  const answers = panels.map((panel) => panel.answer).filter(Boolean);
  document.querySelector("#player .summary").textContent = answers.join(" · ");
  announce(answers.join("; "));
}

/** Set the number of steps of the player to that of the readings. */
function onReading() {
  const steps = Math.max(0, ...panels.map((panel) => panel.steps)) || player.steps;
  const words = new Set(panels.filter((panel) => panel.steps).map((panel) => panel.word));
  player.setSteps(steps, words.size === 1 ? [...words][0] : "step");
}

/** Make a screen reader say the answers when they stop changing, and at once that all is cleared. */
function announce(text) {
  clearTimeout(announcing);
  const live = at("live");
  if (!drawing.isEmpty) announcing = setTimeout(() => (live.textContent = text), 700);
  else if (live.textContent) live.textContent = "nothing drawn";
}

/** Begin: `report` is called with the error of each request that fails. */
export function start(report) {
  onError = report;
  samples.fetch().catch(() => {}); // `refresh` tries again.
  onDrawn();
}

/** Set the models to choose from. */
export function setModels(models) {
  distribute(panels, models, (version) => version.reads_images);
}

/** Go on after the list of models came: see `Panel`. */
export function refresh(probability, isForced) {
  samples.fetch().catch(() => {}); // The next refresh tries again.
  minProbability = probability;
  panels.forEach((panel) => panel.setMinProbability(probability));
  panels.forEach((panel) => panel.retry(isForced));
}

/** Read a picture file: the server prepares it, and the prepared image is shown on the canvas. */
async function open(file) {
  stopOpening();
  opening = new AbortController();
  const { signal } = opening;
  const say = (text) => {
    if (!signal.aborted) at("said").textContent = `${file.name}: ${text}`;
  };
  say("reading …");
  try {
    const text = await encode(file);
    if (signal.aborted) return;
    const targets = panels
      .map(({ target }) => target)
      .filter((target) => target?.signatures.includes("serving_bytes"));
    if (!targets.length) return say("no model on this page has the signature serving_bytes.");
    let answer = "";
    for (const target of targets) {
      const { probabilities, rows } = await readFile(target, text, signal);
      if (signal.aborted) return;
      if (rows?.length === SIZE && rows[0].length === SIZE) {
        const isBlank = !rows.flat().some((ink) => ink > 0);
        if (isBlank) drawing.clear();
        else drawing.load(rows, true);
        at("said").textContent = isBlank
          ? `${file.name}: nothing is drawn on it.`
          : `${file.name}, as the network reads it`;
        return;
      }
      const top = argmax(probabilities);
      const doubt = probabilities[top] >= minProbability ? "" : ", not sure";
      answer ||= `${target.model} answers ${top}, ${percent(probabilities[top])}${doubt}`;
    }
    // None of the models returns the prepared image.
    drawing.clear();
    at("said").textContent = `${file.name}: ${answer}`;
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

/** Read the first of the files that were chosen, dropped or pasted. */
function openFirst(files) {
  if (files?.length) open(files[0]);
}

at("open").addEventListener("click", () => at("file").click());
at("file").addEventListener("change", ({ target }) => {
  openFirst([...target.files]);
  target.value = ""; // The same file may be chosen again.
});
const isShown = () => !at("images").hidden;
document.addEventListener("paste", (event) => isShown() && openFirst(event.clipboardData.files));
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    if (!isShown()) return;
    event.preventDefault(); // Otherwise the browser would open the file in place of the page.
    at("draw").classList.toggle("dropping", kind === "dragover");
  });
}
document.addEventListener("drop", ({ dataTransfer }) => {
  if (!isShown()) return;
  if (dataTransfer.files.length) openFirst(dataTransfer.files);
  else at("said").textContent = "This is not a file: save the picture, and drop its file.";
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

// Only these elements have keys, so that speech input and typing elsewhere trigger nothing.
for (const element of [at("canvas"), at("player")]) {
  element.addEventListener("keydown", (event) => {
    const key = event.key.toLowerCase();
    if (event.altKey || ((event.ctrlKey || event.metaKey) && key !== "z")) return;
    const action = event.ctrlKey || event.metaKey ? KEYS.u : KEYS[key];
    if (action) action();
    else if (/^\d$/.test(key)) samples.load(Number(key));
    else return;
    event.preventDefault();
  });
}
