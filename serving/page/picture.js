// The image that the network reads: the parts that it has read are bright, the others are dim.

import { SIZE } from "./normalise.js";
import { asCanvas } from "./drawing.js";

/** The parts of the image that a step reads, in pixels: `[left, top, width, height]` each. */
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

  /** @param {HTMLElement} root - Holds a canvas and two marks for the parts that a step reads. */
  constructor(root) {
    this.#canvas = root.querySelector("canvas");
    this.#marks = root.querySelectorAll(".mark");
  }

  /** Show a 28×28 image, or none. `scan` is the reading order; null if it is not known. */
  show(image, scan) {
    this.#image = image && asCanvas(image);
    this.#scan = scan;
  }

  /** Show a step. At the last step all is bright. A single step has no mark. */
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
    this.#marks.forEach((mark, index) => {
      mark.hidden = index >= parts.length;
      if (!mark.hidden) position(mark, parts[index]);
    });
  }
}

function position(mark, part) {
  ["left", "top", "width", "height"].forEach((side, index) => {
    mark.style[side] = `${(100 * part[index]) / SIZE}%`;
  });
}
