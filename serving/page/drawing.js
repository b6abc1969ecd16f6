// The canvas to draw on, by mouse, pen, touch or keyboard, with undo.

import { SIZE, normalise } from "./normalise.js";

// The width of the pen. In MNIST lines are two to three pixels wide, and digits twenty high.
const PEN = 2.6;

/**
 * The canvas to draw on.
 *
 * It shows a list of marks: strokes, `{points}`, and images, `{image}`. Every change makes a new
 * list, and undo goes back to the list before.
 */
export class Drawing {
  #canvas;
  #context;
  #cursor;
  #onChange;
  #history = [[]];
  #stroke = null;
  #pointer = null;
  #pen = { x: SIZE / 2, y: SIZE / 4 };
  #held = new Set();

  /**
   * @param {HTMLCanvasElement} canvas - Square; a pixel of MNIST's is a 28th of its side.
   * @param {HTMLElement} cursor - Shows the position of the keyboard's pen.
   * @param {() => void} onChange - Called when the drawing changes.
   */
  constructor(canvas, cursor, onChange) {
    this.#canvas = canvas;
    // The pixels are read after every move of the pen.
    this.#context = canvas.getContext("2d", { willReadFrequently: true });
    this.#cursor = cursor;
    this.#onChange = onChange;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, (event) => this.#up(event));
    }
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("keyup", (event) => this.#held.delete(event.key));
    canvas.addEventListener("blur", () => this.liftPen());
    this.#showCursor();
  }

  /** Whether there is nothing to undo. */
  get isNew() {
    return this.#history.length === 1;
  }

  /** Whether nothing is drawn. */
  get isEmpty() {
    return this.#marks.length === 0;
  }

  /** Whether the keyboard's pen draws. */
  get isPenDown() {
    return this.#stroke !== null && this.#pointer === null;
  }

  /** The drawing in MNIST's form: 28 rows of 28 values 0 to 255; null if it is empty. */
  get image() {
    const [first, ...others] = this.#marks;
    if (first?.rows && !others.length) return first.rows;
    const { width, height } = this.#canvas;
    const { data } = this.#context.getImageData(0, 0, width, height);
    return normalise(
      Uint8Array.from({ length: width * height }, (_, pixel) => data[4 * pixel + 3]),
      width,
      height,
    );
  }

  /**
   * Replace the drawing by a 28×28 image of values 0 to 255.
   *
   * A prepared image is not normalised again until something is drawn on it.
   */
  load(image, isPrepared = false) {
    this.#become([{ image: asCanvas(image), rows: isPrepared ? image : null }]);
  }

  clear() {
    if (!this.isEmpty) this.#become([]);
  }

  /** Take back the last stroke, image or clearing. */
  undo() {
    this.liftPen();
    if (this.isNew) return;
    this.#history.pop();
    this.#show();
  }

  /** End the keyboard's stroke. */
  liftPen() {
    this.#held.clear();
    if (this.isPenDown) this.#stroke = null;
    this.#showCursor();
  }

  get #marks() {
    return this.#history.at(-1);
  }

  #become(marks) {
    this.liftPen();
    this.#history.push(marks);
    this.#show();
  }

  #begin(point) {
    this.#stroke = { points: [point] };
    this.#history.push([...this.#marks, this.#stroke]);
    this.#show();
  }

  #down(event) {
    // Only the first finger and the main mouse button draw.
    if (!event.isPrimary || event.button !== 0) return;
    this.liftPen();
    this.#canvas.setPointerCapture(event.pointerId);
    this.#pointer = event.pointerId;
    this.#begin(this.#locate(event));
  }

  #move(event) {
    if (event.pointerId !== this.#pointer) return;
    // A fast pen visits more points than there are events.
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) {
      this.#stroke.points.push(this.#locate(each));
    }
    this.#show();
  }

  #up(event) {
    if (event.pointerId !== this.#pointer) return;
    this.#pointer = this.#stroke = null;
  }

  /** The position of an event in pixels of MNIST. */
  #locate(event) {
    const { left, top, width, height } = this.#canvas.getBoundingClientRect();
    const x = ((event.clientX - left) / width) * SIZE;
    return { x, y: ((event.clientY - top) / height) * SIZE };
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " ") {
      if (event.repeat) return event.preventDefault();
      if (this.isPenDown) this.liftPen();
      else this.#begin({ ...this.#pen });
    } else if (event.key === "Escape") {
      this.liftPen();
    } else if (event.key.startsWith("Arrow")) {
      // Two arrow keys together move the pen diagonally.
      this.#held.add(event.key);
      const along = (more, less) => this.#held.has(more) - this.#held.has(less);
      this.#movePen(along("ArrowRight", "ArrowLeft"), along("ArrowDown", "ArrowUp"));
    } else {
      return;
    }
    event.preventDefault();
    this.#showCursor();
  }

  #movePen(dx, dy) {
    const within = (value) => Math.max(0, Math.min(SIZE, value));
    this.#pen = { x: within(this.#pen.x + dx), y: within(this.#pen.y + dy) };
    if (this.isPenDown) {
      this.#stroke.points.push({ ...this.#pen });
      this.#show();
    }
  }

  #showCursor() {
    this.#cursor.style.left = `${(100 * this.#pen.x) / SIZE}%`;
    this.#cursor.style.top = `${(100 * this.#pen.y) / SIZE}%`;
    this.#cursor.classList.toggle("down", this.isPenDown);
  }

  #show() {
    const context = this.#context;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    context.scale(this.#canvas.width / SIZE, this.#canvas.height / SIZE);
    context.lineWidth = PEN;
    context.lineCap = context.lineJoin = "round";
    context.strokeStyle = context.fillStyle = "white";
    context.imageSmoothingEnabled = false; // Keep the pixels of an image sharp.
    for (const { image, points } of this.#marks) {
      if (image) context.drawImage(image, 0, 0);
      else drawStroke(context, points);
    }
    this.#onChange();
  }
}

function drawStroke(context, points) {
  const [first, ...others] = points;
  context.beginPath();
  if (others.length) {
    context.moveTo(first.x, first.y);
    for (const { x, y } of others) context.lineTo(x, y);
    context.stroke();
  } else {
    context.arc(first.x, first.y, PEN / 2, 0, 2 * Math.PI);
    context.fill();
  }
}

/** A 28×28 image as a canvas of white ink. */
export function asCanvas(image) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIZE;
  const pixels = new ImageData(SIZE, SIZE);
  image.flat().forEach((ink, pixel) => pixels.data.set([255, 255, 255, ink], 4 * pixel));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}
