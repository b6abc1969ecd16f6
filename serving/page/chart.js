// The probabilities after every step: when was the mind made up?

import { argmax, settledAt } from "./reading.js";

const SVG = "http://www.w3.org/2000/svg";
const NAMED = 0.2; // A class that never was as likely has a line, but no name.

export class Chart {
  #svg;
  #labels;
  #settled;
  #cursor;
  #pace;

  /** @param {HTMLElement} root - Holds an svg, `.labels`, `.settled` and `.cursor`. */
  constructor(root) {
    this.#svg = root.querySelector("svg");
    this.#labels = root.querySelector(".labels");
    this.#settled = root.querySelector(".settled");
    this.#pace = root.querySelector(".pace");
    this.#cursor = root.querySelector(".cursor");
  }

  /** Show `(steps, classes)`, or nothing; `word` is what a step is called. */
  show(probabilities, word) {
    this.#svg.replaceChildren();
    this.#labels.replaceChildren();
    const steps = probabilities?.length ?? 0;
    this.#settled.hidden = this.#cursor.hidden = !steps;
    this.#svg.setAttribute("aria-label", "Probability of each class after each step");
    this.#pace.textContent = word;
    if (!steps) return;

    this.#svg.setAttribute("viewBox", `0 0 ${steps} 1`); // A step wide is 1, and 100 % is high.
    const answer = argmax(probabilities.at(-1));
    const peaks = probabilities[0].map((_, c) => peakOf(probabilities.map((p) => p[c])));
    const order = [...peaks.keys()].sort((a, b) => peaks[a].share - peaks[b].share);
    const rival = order.findLast((c) => c !== answer && peaks[c].share >= NAMED);
    // The answer last of all: its line lies above the others.
    for (const c of [...order.filter((c) => c !== answer), answer]) {
      const kind = c === answer ? "winner" : c === rival ? "rival" : "";
      this.#svg.append(line(probabilities.map((p) => p[c]), kind));
      if (c === answer || peaks[c].share >= NAMED) {
        this.#labels.append(label(c, peaks[c], steps, kind));
      }
    }
    const settled = settledAt(probabilities);
    this.#settled.style.left = `${(100 * (settled - 0.5)) / steps}%`;
    this.#svg.setAttribute(
      "aria-label",
      `Probability of each class after each ${word}; ${answer} leads from ${word} ${settled} on`,
    );
  }

  showStep(step, steps) {
    this.#cursor.style.left = `${(100 * (step - 1)) / steps}%`;
    this.#cursor.style.width = `${100 / steps}%`;
  }
}

function peakOf(shares) {
  const at = argmax(shares);
  return { at, share: shares[at] };
}

function line(shares, kind) {
  const path = document.createElementNS(SVG, "path");
  const points = shares.map((share, at) => `${at + 0.5} ${(1 - share).toFixed(4)}`);
  path.setAttribute("d", `M${points.join("L")}`);
  path.setAttribute("class", kind);
  return path;
}

function label(name, { at, share }, steps, kind) {
  const text = document.createElement("span");
  text.textContent = name;
  text.className = kind;
  text.style.left = `${(100 * (at + 0.5)) / steps}%`;
  text.style.top = `${100 * (1 - share)}%`;
  return text;
}
