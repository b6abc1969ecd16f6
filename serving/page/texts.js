// The place for models that read text: the text, the panels of two models, and the writer.

import { distribute } from "./pickers.js";
import { TextPanel } from "./text_panel.js";
import { percent, symbolName, symbolSign } from "./words.js";
import { Writer } from "./writer.js";

const MAX_LENGTH = 20_000; // Symbols that the page reads.
const BOX_PAUSE = 200; // Milliseconds: laying out a long text in the box takes 50.

const EXAMPLES = {
  "A story": `It was late, and the rain had stopped. "Who is there?" she asked, and nobody answered.
Then a voice said, "It is only the wind in the old trees."
`,
  Python: `def area(width, height):
    """Return the area of a rectangle."""
    return width * height
`,
  Русский: "Сеть читает текст буква за буквой и угадывает следующую.\n",
  中文: "网络逐字阅读文本，并猜测下一个字。🙂\n",
};

const at = (id) => document.getElementById(id);

let onError; // Called with the error of each request that fails.
let wasShown = false;
let step = Infinity; // The symbol that the panels show: at first the last one.
let announcing; // A timer.
let begun = 0; // The length of the text when the writing began.
let text = ""; // The text in the box, and the characters that are written since it was shown.
let shownAt = 0; // The time when the box got the text.

const panels = [];
for (const name of ["one", "another"]) {
  const article = at("text-panel").content.cloneNode(true).firstElementChild;
  at("text-panels").append(article);
  const panel = new TextPanel(article, {
    step: (own) => go(Math.round((own * steps()) / panel.steps)),
    change: onReading,
    pick: () => writer.stop(),
    error: (error) => onError(error),
  }, `text panel ${name}`);
  panels.push(panel);
}

const writer = new Writer({
  settings: () => {
    const one = panels[Number(at("who").value)];
    return {
      writer: one,
      // A model of words cannot read characters.
      readers: panels.filter((panel) => panel.canWrite && panel.word === one.word),
      temperature: Number(at("temperature").value),
      perSecond: Number(at("speed").value),
      text,
      maxLength: MAX_LENGTH,
    };
  },
  write: onWritten,
  change: onWriting,
  error: (error) => onError(error),
});

function steps() {
  return Math.max(1, ...panels.map((panel) => panel.steps));
}

/** Show a symbol in both panels. */
function go(to) {
  if (writer.isRunning) return; // Then the panels show the last symbol.
  step = to;
  showStep();
}

function showStep() {
  panels.forEach((panel) => panel.showStep(Math.min(step, steps()), steps()));
}

function onReading() {
  if (panels.length < 2) return; // They are being made.
  showStep();
  offer();
}

/** Read the text in the box. */
function read() {
  const isShown = !at("texts").hidden;
  text = at("text").value.toWellFormed();
  const symbols = [...text];
  const isCut = symbols.length > MAX_LENGTH;
  const count = symbols.length.toLocaleString("en");
  at("counted").textContent = isCut
    ? `${count} characters; the page reads the first ${MAX_LENGTH.toLocaleString("en")}`
    : `${count} characters`;
  const part = isCut ? symbols.slice(0, MAX_LENGTH).join("") : text;
  panels.forEach((panel) => panel.show(isShown ? part : null));
}

/** Offer the likeliest next symbols of the model that writes. */
function offer() {
  const who = at("who");
  const able = panels.filter((panel) => panel.canWrite);
  const options = able.map((panel) => new Option(panel.target.model, panels.indexOf(panel)));
  const inWords = (all) => [...all].map((option) => `${option.value} ${option.text}`).join();
  // Change the picker only if the models have changed, because a change closes an open picker.
  if (inWords(options) !== inWords(who.options)) {
    const before = who.value;
    who.replaceChildren(...options);
    const isThere = [...who.options].some(({ value }) => value === before);
    if (isThere) who.value = before;
  }
  const { likeliest } = panels[Number(who.value)];
  [...at("steer").children].forEach((item, n) => {
    const [button] = item.children;
    const [, name, share] = button.children;
    const choice = likeliest[n];
    button.disabled = !choice?.isKnown;
    button.symbol = choice?.isKnown ? choice.symbol : undefined;
    name.textContent = choice ? symbolSign(choice.symbol) : "–";
    share.textContent = choice ? percent(choice.share, 0) : "";
    button.ariaLabel = choice ? `Write ${symbolName(choice.symbol)}` : null;
  });
  at("write").disabled = !able.length;
}

function onWritten(longer) {
  text = longer;
  if (performance.now() - shownAt > BOX_PAUSE) fillBox();
  step = Infinity;
  showStep();
  offer();
}

function fillBox() {
  const box = at("text");
  box.value = text;
  box.scrollTop = box.scrollHeight;
  shownAt = performance.now();
}

function onWriting(isRunning) {
  const [sign, word] = at("write").children;
  sign.textContent = isRunning ? "❚❚" : "▶";
  word.textContent = isRunning ? "Stop" : "Write on";
  at("writer").classList.toggle("running", isRunning);
  clearTimeout(announcing);
  if (isRunning) {
    begun = text.length;
    at("live").textContent = "writing";
    return;
  }
  if (text !== at("text").value.toWellFormed()) fillBox();
  const written = text.slice(begun);
  announcing = setTimeout(() => (at("live").textContent = `written: ${written}`), 300);
  read(); // Now with the values of the units.
}

/** Write the symbol of a button; `number` is 1 to 5. */
function steer(number) {
  const { symbol } = at("steer").children[number - 1].firstElementChild;
  if (symbol !== undefined) writer.steer(symbol);
}

function setText(other) {
  stop();
  at("text").value = other;
  step = Infinity;
  read();
}

/** Begin: `report` is called with the error of each request that fails. */
export function start(report) {
  onError = report;
  if (!at("text").value) at("text").value = EXAMPLES["A story"];
}

/** Set the models to choose from. */
export function setModels(models) {
  distribute(panels, models);
}

/** Read the text, because this place is shown now; or stop, because another one is. */
export function show(isShown) {
  if (isShown === wasShown) return;
  wasShown = isShown;
  stop();
  read();
}

/** Go on after the list of models came: see `TextPanel`. */
export function refresh(isForced) {
  if (!at("texts").hidden && !writer.isRunning) panels.forEach((panel) => panel.retry(isForced));
}

function stop() {
  writer.stop();
}

at("examples").append(
  ...Object.entries(EXAMPLES).map(([name, example]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => setText(example));
    return button;
  }),
);
at("steer").append(
  ...Array.from({ length: 5 }, (_, n) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    const key = document.createElement("kbd");
    key.textContent = n + 1;
    button.append(key, document.createElement("span"), document.createElement("span"));
    button.addEventListener("click", () => steer(n + 1));
    item.append(button);
    return item;
  }),
);
at("text").addEventListener("input", () => {
  stop();
  step = Infinity;
  read();
});
at("write").addEventListener("click", () => writer.toggle());
at("who").addEventListener("change", () => {
  stop();
  offer();
});
at("temperature").addEventListener("input", ({ target }) => {
  target.nextElementSibling.textContent = Number(target.value).toFixed(1);
});

at("text").addEventListener("keydown", (event) => {
  if (event.key === "Escape") stop();
  else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("write").click();
  else return;
  event.preventDefault();
});
// Only these elements have the other keys, so that typing elsewhere triggers nothing.
for (const element of [at("writer"), ...document.querySelectorAll("#text-panels .text")]) {
  element.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const isButton = event.target.tagName === "BUTTON"; // It has its own Space and Enter.
    if (event.key === "Escape") stop();
    else if (/^[1-5]$/.test(event.key)) steer(Number(event.key));
    else if ([" ", "Enter"].includes(event.key) && !isButton && !event.repeat) at("write").click();
    else return;
    event.preventDefault();
  });
}
for (const kind of ["dragover", "drop"]) {
  document.addEventListener(kind, async (event) => {
    if (at("texts").hidden || !event.dataTransfer.types.includes("Files")) return;
    event.preventDefault(); // Otherwise the browser would open the file in place of the page.
    if (kind === "drop") setText(await event.dataTransfer.files[0].text());
  });
}
