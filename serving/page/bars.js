// The probabilities after a step: one bar for each class.

import { percent } from "./words.js";

const MAX_BARS = 10;

export class Bars {
  #list;
  #probabilities = null;
  #classes = [];

  /** @param {HTMLElement} list */
  constructor(list) {
    this.#list = list;
  }

  /** Show `(steps, classes)`, or nothing: at most 10 classes, by their peak over all steps. */
  show(probabilities) {
    this.#probabilities = probabilities;
    const peaks = probabilities?.[0].map((_, c) => Math.max(...probabilities.map((p) => p[c])));
    this.#classes = [...(peaks ?? []).keys()]
      .sort((a, b) => peaks[b] - peaks[a])
      .slice(0, MAX_BARS)
      .sort((a, b) => a - b);
    while (this.#list.children.length > this.#classes.length) this.#list.lastChild.remove();
    while (this.#list.children.length < this.#classes.length) this.#list.append(bar());
  }

  showStep(step) {
    const now = this.#probabilities?.[step - 1];
    const top = now && Math.max(...now);
    this.#classes.forEach((name, index) => {
      const item = this.#list.children[index];
      const [label, track, share] = item.children;
      item.classList.toggle("top", now[name] === top);
      label.textContent = name;
      track.firstChild.style.width = `${100 * now[name]}%`;
      share.textContent = percent(now[name]);
    });
  }
}

/** An element of the list, with a label, a track and a share. */
export function bar() {
  const item = document.createElement("li");
  for (const name of ["label", "track", "share"]) {
    const part = document.createElement("span");
    part.className = name;
    item.append(part);
  }
  item.children[1].append(document.createElement("span"));
  return item;
}
