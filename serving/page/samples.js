// Sample digits, drawn by serving/samples.py.

import { SIZE } from "./normalise.js";
import { asCanvas } from "./drawing.js";

export class Samples {
  #root;
  #legend;
  #onPick;
  #sets = [];
  #shown = 0;

  /**
   * @param {HTMLElement} root - Receives a button for each digit.
   * @param {HTMLElement} legend - Receives the title of the samples.
   * @param {(image: number[][]) => void} onPick
   */
  constructor(root, legend, onPick) {
    this.#root = root;
    this.#legend = legend;
    this.#onPick = onPick;
  }

  /** Fetch the samples once. */
  async fetch() {
    if (this.#sets.length) return;
    const response = await fetch(new URL("samples.json", import.meta.url));
    this.#sets = (await response.json()).map((digits) =>
      digits.map(({ image, hard }) => ({ image: decode(image), hard })),
    );
    this.#show();
  }

  /** Load the sample of a class in the set that is shown. */
  load(digit) {
    const sample = this.#sets[this.#shown]?.[digit];
    if (sample) this.#onPick(sample.image);
  }

  showOthers() {
    if (!this.#sets.length) return;
    this.#shown = (this.#shown + 1) % this.#sets.length;
    this.#show();
  }

  #show() {
    const isHard = this.#sets[this.#shown].some(({ hard }) => hard);
    this.#legend.textContent = `or choose one of these${isHard ? " hard ones" : ""}`;
    const buttons = this.#sets[this.#shown].map(({ image, hard }, digit) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-label", `Load a ${digit}${hard ? ", a hard one" : ""}`);
      button.append(asCanvas(image));
      button.addEventListener("click", () => this.load(digit));
      return button;
    });
    this.#root.replaceChildren(...buttons);
  }
}

/** Decode an image of 28×28 bytes in base64. */
function decode(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const row = (index) => Array.from(bytes.subarray(index * SIZE, (index + 1) * SIZE));
  return Array.from({ length: SIZE }, (_, index) => row(index));
}
