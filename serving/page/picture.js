// The image as the network gets it: bright what it has read, dim what is to come.

import { SIZE } from "./normalise.js";
import { asCanvas } from "./drawing.js";

/** What of the image, in its pixels, a step reads: `[left, top, width, height]` of each part. */
function partsOf(scan, step) {
  const row = [0, step - 1, SIZE, 1];
  const column = [step - 1, 0, 1, SIZE];
  if (scan === "rows") return [row];
  if (scan === "columns") return [column];
  if (scan === "rows_and_columns") return [row, column];
  if (scan === "pixels") return [[(step - 1) % SIZE, Math.floor((step - 1) / SIZE), 1, 1]];
  return [];
}

export class Picture {
  #canvas;
  #marks;
  #image = null;
  #scan = null;

  /** @param {HTMLElement} root - Holds a canvas and two marks for what is being read. */
  constructor(root) {
    this.#canvas = root.querySelector("canvas");
    this.#marks = root.querySelectorAll(".mark");
  }

  /** Show a 28×28 image, or none, that is read in an order; null if that is not known. */
  show(image, scan) {
    this.#image = image && asCanvas(image);
    this.#scan = scan;
  }

  /** Show it at a step; at the last all of it is bright, and nothing marked if it is the only one. */
  showStep(step, steps) {
    const context = this.#canvas.getContext("2d");
    context.clearRect(0, 0, SIZE, SIZE);
    const isAll = step === steps || !partsOf(this.#scan, 1).length;
    if (this.#image) {
      context.globalAlpha = isAll ? 1 : 0.25;
      context.drawImage(this.#image, 0, 0);
      context.globalAlpha = 1;
      for (let read = 1; read <= step && !isAll; read++) {
        for (const [x, y, width, height] of partsOf(this.#scan, read)) {
          context.clearRect(x, y, width, height);
          context.drawImage(this.#image, x, y, width, height, x, y, width, height);
        }
      }
    }
    const parts = this.#image && steps > 1 ? partsOf(this.#scan, step) : [];
    this.#marks.forEach((mark, at) => {
      mark.hidden = at >= parts.length;
      if (!mark.hidden) place(mark, parts[at]);
    });
  }
}

function place(mark, part) {
  ["left", "top", "width", "height"].forEach((side, at) => {
    mark.style[side] = `${(100 * part[at]) / SIZE}%`;
  });
}
