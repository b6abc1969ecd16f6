// A heat map of one quantity: steps on the x-axis, units on the y-axis.

import { palette, scaleOf } from "./colours.js";
import { quantity, signed } from "./words.js";

export class HeatMap {
  #parts;
  #onStep;
  #readings = {};
  #word = "row";
  #wanted = null; // The quantity that the user chose, also while there is nothing to show.
  #scale = null;
  #step = 1;
  #unit = 0;

  /**
   * @param {HTMLElement} root
   * @param {(step: number) => void} onStep - Called with the step that the user points to.
   */
  constructor(root, onStep) {
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
    const { picker, map } = this.#parts;
    picker.addEventListener("change", () => {
      this.#wanted = picker.value;
      this.#show();
    });
    map.addEventListener("pointerdown", (event) => {
      if (!this.#values) return;
      map.setPointerCapture(event.pointerId);
      this.#point(event, true);
    });
    map.addEventListener("pointermove", (event) => this.#point(event, event.buttons > 0));
    map.addEventListener("pointerleave", () => this.#probe(false));
    map.addEventListener("keydown", (event) => this.#key(event));
    map.addEventListener("blur", () => this.#probe(false));
  }

  /** Show quantities by name, `(steps, units)` each; `word` is what a step is called. */
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
    cursor.style.left = `${(100 * (step - 1)) / steps}%`;
    cursor.style.width = `${100 / steps}%`;
    veil.style.left = `${(100 * step) / steps}%`;
    // A backward direction starts at the end: it has read the steps right of the cursor.
    veil.hidden = this.#parts.picker.value.startsWith("backward");
    map.setAttribute("aria-valuenow", step);
    map.setAttribute("aria-valuemax", steps);
    this.#say();
  }

  get #values() {
    return this.#readings[this.#parts.picker.value];
  }

  #show() {
    const { picker, canvas, units, min, max, first, last } = this.#parts;
    const values = this.#values;
    const [steps, count] = [values?.length ?? 1, values?.[0].length ?? 1];
    this.#scale = scaleOf(picker.value, values ?? []);
    this.#unit = Math.min(this.#unit, count - 1);
    const { name } = this.#scale;
    const colours = palette(name);
    canvas.width = steps;
    canvas.height = count;
    const pixels = new ImageData(steps, count);
    values?.forEach((row, step) =>
      row.forEach((value, unit) => {
        pixels.data.set([...colours[this.#indexOf(value)], 255], 4 * (unit * steps + step));
      }),
    );
    canvas.getContext("2d").putImageData(pixels, 0, 0);

    this.#parts.root.classList.toggle("empty", !values);
    units.textContent = values ? `${count} units` : "";
    first.textContent = values ? `${this.#word} 1` : "";
    last.textContent = values ? `${this.#word} ${steps}` : "";
    const isGate = name === "sequential";
    min.textContent = isGate ? "0 closed" : `−${this.#scale.max}`;
    max.textContent = isGate ? "1 open" : `+${this.#scale.max}`;
    this.#showLegend(colours);
    this.#probe(false);
    this.showStep(Math.min(this.#step, steps));
  }

  #showLegend(colours) {
    const { legend } = this.#parts;
    legend.width = colours.length;
    legend.height = 1;
    const pixels = new ImageData(colours.length, 1);
    colours.forEach((colour, index) => pixels.data.set([...colour, 255], 4 * index));
    legend.getContext("2d").putImageData(pixels, 0, 0);
  }

  /** The index of a value's colour among the 256 colours. */
  #indexOf(value) {
    const { min, max } = this.#scale;
    return Math.max(0, Math.min(255, Math.round((255 * (value - min)) / (max - min))));
  }

  #point(event, isScrubbing) {
    if (!this.#values) return;
    const { left, top, width, height } = this.#parts.map.getBoundingClientRect();
    const index = (share, count) => Math.max(0, Math.min(count - 1, Math.floor(share * count)));
    const step = 1 + index((event.clientX - left) / width, this.#values.length);
    this.#unit = index((event.clientY - top) / height, this.#values[0].length);
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
      ArrowUp: () => (this.#unit = Math.max(0, this.#unit - 1)),
      ArrowDown: () => (this.#unit = Math.min(units - 1, this.#unit + 1)),
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
      probe.style.left = `${(100 * (step - 0.5)) / this.#values.length}%`;
      probe.style.top = `${(100 * (this.#unit + 0.5)) / this.#values[0].length}%`;
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
    readout.textContent = probe.hidden ? "" : text;
  }
}

/** Order: the cell state, the hidden state, the other quantities; forward before backward. */
function byKind(a, b) {
  const rank = (name) => (name.endsWith("cell") ? 0 : name.endsWith("hidden") ? 1 : 2);
  const key = (name) => `${rank(name)}${name.startsWith("backward") ? 1 : 0}${name}`;
  return key(a).localeCompare(key(b));
}
