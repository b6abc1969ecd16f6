// Digits to load: scikit-learn's in MNIST's form, see serving/samples.py.

import { SIZE } from "./normalise.js";
import { asCanvas } from "./drawing.js";

export class Samples {
  #root;
  #onPick;
  #sets = [];
  #shown = 0;

  /**
   * @param {HTMLElement} root - Gets a button for each digit.
   * @param {(image: number[][]) => void} onPick
   */
  constructor(root, onPick) {
    this.#root = root;
    this.#onPick = onPick;
  }

  async fetch() {
    const response = await fetch(new URL("samples.json", import.meta.url));
    this.#sets = (await response.json()).map((digits) => digits.map(decode));
    this.#show();
  }

  /** Load the digit that is shown of a class. */
  load(digit) {
    this.#onPick(this.#sets[this.#shown][digit]);
  }

  showOthers() {
    this.#shown = (this.#shown + 1) % this.#sets.length;
    this.#show();
  }

  #show() {
    const buttons = this.#sets[this.#shown].map((image, digit) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-label", `Load a ${digit}`);
      button.append(asCanvas(image));
      button.addEventListener("click", () => this.load(digit));
      return button;
    });
    this.#root.replaceChildren(...buttons);
  }
}

/** An image of 28×28 bytes in base64. */
function decode(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const row = (at) => Array.from(bytes.subarray(at * SIZE, (at + 1) * SIZE));
  return Array.from({ length: SIZE }, (_, at) => row(at));
}
