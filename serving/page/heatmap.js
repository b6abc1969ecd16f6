// A heat map of one quantity: steps on the x-axis, units on the y-axis. It shows a part of many
// steps at a time.

import { indexIn, limitsOf, palette, scaleOf } from "./colours.js";
import { quantity, signed } from "./words.js";

export class HeatMap {
  #parts;
  #onStep;
  #onUnit;
  #onQuantity;
  #maxSteps;
  #first = 0; // The index of the first step in the map.
  #order = null; // The units from top to bottom; null for their own order.
  #follows = []; // The correlation of each unit with a property of the text.
  #readings = {};
  #word = "row";
  #wanted = null; // The quantity that the user chose, also while there is nothing to show.
  #scale = null;
  #step = 1;
  #row = 0; // The row of the unit in the readout.

  /**
   * @param {HTMLElement} root
   * @param {(step: number) => void} onStep - Called with the step that the user points to.
   * @param {object} options
   * @param {number} options.maxSteps - The map shows at most so many steps.
   * @param {(unit: number) => void} options.onUnit - Called with the unit that the user chooses.
   * @param {(name: string) => void} options.onQuantity - Called with the chosen quantity.
   */
  constructor(root, onStep, { maxSteps = Infinity, onUnit, onQuantity } = {}) {
    const find = (name) => root.querySelector(`.${name}`);
    this.#parts = {
      root,
      picker: find("quantity"),
      map: find("map"),
      canvas: root.querySelector(".map canvas"),
      cursor: find("cursor"),
      veil: find("veil"),
      probe: find("probe"),
      units: find("units"),
      readout: find("readout"),
      legend: root.querySelector(".legend canvas"),
      min: find("min"),
      max: find("max"),
      first: find("first"),
      last: find("last"),
    };
    this.#onStep = onStep;
    this.#onUnit = onUnit;
    this.#onQuantity = onQuantity;
    this.#maxSteps = maxSteps;
    const { picker, map } = this.#parts;
    picker.addEventListener("change", () => {
      this.#wanted = picker.value;
      this.#show();
      this.#onQuantity?.(picker.value);
    });
    map.addEventListener("pointerdown", (event) => {
      if (!this.#values) return;
      map.setPointerCapture(event.pointerId);
      this.#point(event, true);
      this.#onUnit?.(this.#unit);
    });
    map.addEventListener("pointermove", (event) => this.#point(event, event.buttons > 0));
    map.addEventListener("pointerleave", () => this.#probe(false));
    map.addEventListener("keydown", (event) => this.#key(event));
    map.addEventListener("blur", () => this.#probe(false));
  }

  /**
   * Show quantities by name, `(steps, units)` each, or null for values that are not known yet;
   * `word` is what a step is called.
   */
  show(readings, word) {
    this.#readings = readings;
    this.#word = word;
    const { picker } = this.#parts;
    const names = Object.keys(readings).sort(byKind);
    if (names.join() !== [...picker.options].map((option) => option.value).join()) {
      picker.replaceChildren(...names.map((name) => new Option(quantity(name), name)));
      picker.value = names.includes(this.#wanted) ? this.#wanted : (names[0] ?? "");
    }
    picker.disabled = names.length < 2;
    this.#show();
  }

  showStep(step) {
    this.#step = step;
    const { map, cursor, veil } = this.#parts;
    const steps = this.#values?.length;
    cursor.hidden = veil.hidden = !steps;
    if (!steps) return;
    const count = this.#count;
    if (step <= this.#first || step > this.#first + count) {
      const part = Math.floor((step - 1) / count) * count;
      this.#first = Math.max(0, Math.min(part, steps - count));
      this.#draw();
    }
    const place = step - 1 - this.#first;
    cursor.style.left = `${(100 * place) / count}%`;
    cursor.style.width = `${100 / count}%`;
    veil.style.left = `${(100 * (place + 1)) / count}%`;
    // A backward direction starts at the end: it has read the steps right of the cursor.
    veil.hidden = this.#parts.picker.value.startsWith("backward");
    map.setAttribute("aria-valuenow", step);
    map.setAttribute("aria-valuemax", steps);
    this.#say();
  }

  /** The quantity in the map. */
  get quantity() {
    return this.#parts.picker.value;
  }

  /**
   * Set the order of the units.
   *
   * @param {?number[]} order - The units from top to bottom; null for their own order.
   * @param {number[]} follows - The correlation of each unit, for the readout.
   */
  sort(order, follows = []) {
    const unit = this.#unit;
    this.#follows = follows;
    this.#order = order;
    this.#row = Math.max(0, order ? order.indexOf(unit) : unit);
    this.#draw();
    this.showStep(this.#step);
  }

  /** The values of a unit at each step. */
  valuesOf(unit) {
    return (this.#values ?? []).map((row) => row[unit]);
  }

  get #values() {
    return this.#readings[this.#parts.picker.value];
  }

  /** The number of steps in the map. */
  get #count() {
    return Math.min(this.#values?.length ?? 1, this.#maxSteps);
  }

  /** The unit in the readout. */
  get #unit() {
    return this.#order?.[this.#row] ?? this.#row;
  }

  #show() {
    const { picker, units, min, max } = this.#parts;
    const values = this.#values;
    const [steps, count] = [values?.length ?? 1, values?.[0].length ?? 1];
    this.#scale = scaleOf(picker.value, values ?? []);
    if (this.#order?.length !== count) this.#order = null;
    this.#row = Math.min(this.#row, count - 1);
    this.#first = Math.max(0, Math.min(this.#first, steps - this.#count));
    const { name } = this.#scale;
    this.#parts.root.classList.toggle("empty", !values);
    units.textContent = values ? `${count} units` : "";
    [min.textContent, max.textContent] = limitsOf(this.#scale);
    this.#showLegend(palette(name));
    this.#draw();
    this.#probe(false);
    this.showStep(Math.min(this.#step, steps));
  }

  /** Draw the steps from the first one on. */
  #draw() {
    const { canvas, first, last } = this.#parts;
    const steps = this.#count;
    const values = this.#values?.slice(this.#first, this.#first + steps);
    const count = values?.[0].length ?? 1;
    const colours = palette(this.#scale.name);
    canvas.width = steps;
    canvas.height = count;
    const pixels = new ImageData(steps, count);
    const order = this.#order ?? [...Array(count).keys()];
    values?.forEach((row, step) =>
      order.forEach((unit, place) => {
        const colour = colours[indexIn(this.#scale, row[unit])];
        pixels.data.set([...colour, 255], 4 * (place * steps + step));
      }),
    );
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    first.textContent = values ? `${this.#word} ${this.#first + 1}` : "";
    last.textContent = values ? `${this.#word} ${this.#first + steps}` : "";
  }

  #showLegend(colours) {
    const { legend } = this.#parts;
    legend.width = colours.length;
    legend.height = 1;
    const pixels = new ImageData(colours.length, 1);
    colours.forEach((colour, index) => pixels.data.set([...colour, 255], 4 * index));
    legend.getContext("2d").putImageData(pixels, 0, 0);
  }

  #point(event, isScrubbing) {
    if (!this.#values) return;
    const { left, top, width, height } = this.#parts.map.getBoundingClientRect();
    const index = (share, count) => Math.max(0, Math.min(count - 1, Math.floor(share * count)));
    const step = 1 + this.#first + index((event.clientX - left) / width, this.#count);
    this.#row = index((event.clientY - top) / height, this.#values[0].length);
    if (isScrubbing) this.#onStep(step);
    this.#probe(true, step);
  }

  #key(event) {
    if (!this.#values) return;
    const { length: steps } = this.#values;
    const units = this.#values[0].length;
    const moves = {
      ArrowLeft: () => this.#onStep(Math.max(1, this.#step - 1)),
      ArrowRight: () => this.#onStep(Math.min(steps, this.#step + 1)),
      Home: () => this.#onStep(1),
      End: () => this.#onStep(steps),
      ArrowUp: () => (this.#row = Math.max(0, this.#row - 1)),
      ArrowDown: () => (this.#row = Math.min(units - 1, this.#row + 1)),
      Enter: () => this.#onUnit?.(this.#unit),
    };
    if (!moves[event.key]) return;
    event.preventDefault();
    moves[event.key]();
    this.#probe(true);
  }

  /** Show or hide the ring around the value in the readout. */
  #probe(isShown, step = this.#step) {
    const { probe } = this.#parts;
    probe.hidden = !isShown || !this.#values;
    if (!probe.hidden) {
      probe.style.left = `${(100 * (step - this.#first - 0.5)) / this.#count}%`;
      probe.style.top = `${(100 * (this.#row + 0.5)) / this.#values[0].length}%`;
    }
    this.#say(step);
  }

  #say(step = this.#step) {
    const { map, probe, readout } = this.#parts;
    const value = this.#values?.[step - 1]?.[this.#unit];
    const text =
      value === undefined
        ? ""
        : `unit ${this.#unit + 1}, ${this.#word} ${step}: ${signed(value).replace(/^\+/, "")}`;
    map.setAttribute("aria-valuetext", text || "nothing yet");
    const follows = this.#follows[this.#unit];
    const correlation = follows === undefined ? "" : ` (follows ${signed(follows)})`;
    readout.textContent = probe.hidden ? "" : text + correlation;
  }
}

/** Order: the cell state, the hidden state, the other quantities; forward before backward. */
function byKind(a, b) {
  const rank = (name) => (name.endsWith("cell") ? 0 : name.endsWith("hidden") ? 1 : 2);
  const key = (name) => `${rank(name)}${name.startsWith("backward") ? 1 : 0}${name}`;
  return key(a).localeCompare(key(b));
}
