// The probabilities after every step, and the step from which the answer stays the same.

import { argmax, settledAt } from "./reading.js";

const SVG = "http://www.w3.org/2000/svg";
const MIN_NAMED = 0.2; // A class whose peak is lower has a line, but no label.

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

    this.#svg.setAttribute("viewBox", `0 0 ${steps} 1`); // A step is 1 wide; 100 % is 1 high.
    const answer = argmax(probabilities.at(-1));
    const peaks = probabilities[0].map((_, c) => peakOf(probabilities.map((p) => p[c])));
    const order = [...peaks.keys()].sort((a, b) => peaks[a].share - peaks[b].share);
    const rival = order.findLast((c) => c !== answer && peaks[c].share >= MIN_NAMED);
    // The answer comes last, so that its line lies above the others.
    for (const c of [...order.filter((c) => c !== answer), answer]) {
      const kind = c === answer ? "winner" : c === rival ? "rival" : "";
      this.#svg.append(line(probabilities.map((p) => p[c]), kind));
      if (c === answer || peaks[c].share >= MIN_NAMED) {
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
  const step = argmax(shares);
  return { step, share: shares[step] };
}

function line(shares, kind) {
  const path = document.createElementNS(SVG, "path");
  const points = shares.map((share, step) => `${step + 0.5} ${(1 - share).toFixed(4)}`);
  path.setAttribute("d", `M${points.join("L")}`);
  path.setAttribute("class", kind);
  return path;
}

function label(name, { step, share }, steps, kind) {
  const text = document.createElement("span");
  text.textContent = name;
  text.className = kind;
  text.style.left = `${(100 * (step + 0.5)) / steps}%`;
  text.style.top = `${100 * (1 - share)}%`;
  return text;
}
