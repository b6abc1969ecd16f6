// A text, symbol by symbol. Each symbol has a colour: its surprise, or the value of a unit.

import { symbolName } from "./words.js";

export const MAX_BITS = 8; // A symbol of this surprise or more has the strongest colour.
const MAX_OPACITY = 0.75; // The text stays readable on the strongest colour.

export class ColouredText {
  #root;
  #onStep;
  #symbols = [];
  #step = 1;

  /**
   * @param {HTMLElement} root
   * @param {(step: number) => void} onStep - Called with the symbol, counted from 1, that the user
   *   points to.
   */
  constructor(root, onStep) {
    this.#root = root;
    this.#onStep = onStep;
    for (const name of ["pointerdown", "pointermove"]) {
      root.addEventListener(name, ({ target }) => target.step && onStep(target.step));
    }
    root.addEventListener("keydown", (event) => this.#key(event));
  }

  /**
   * Show symbols.
   *
   * @param {string[]} symbols
   * @param {number[]} ids - 0 for a symbol that the model does not know.
   * @param {string} separator - Between two symbols.
   */
  show(symbols, ids, separator) {
    this.#symbols = [];
    this.#root.replaceChildren();
    this.append(symbols, ids, separator);
  }

  /** Show further symbols at the end. */
  append(symbols, ids, separator) {
    // A block for each line, so that a further symbol lays out only its own line again.
    let line = this.#root.lastElementChild;
    symbols.forEach((symbol, index) => {
      const part = document.createElement("span");
      const isEnd = symbol === "\n" || symbol === "<eos>";
      part.textContent = isEnd ? "↵\n" : symbol + separator;
      if (isEnd) part.className = "end";
      if (ids[index] === 0) part.classList.add("unknown");
      part.step = this.#symbols.length + 1;
      this.#symbols.push(part);
      if (!line || line.lastElementChild?.classList.contains("end")) {
        line = document.createElement("div");
        this.#root.append(line);
      }
      line.append(part);
    });
  }

  /** Colour the symbols from one on by their surprise in bits. */
  colourByBits(bits, from = 0) {
    bits.forEach((value, index) => {
      const opacity = MAX_OPACITY * Math.max(0, Math.min(1, value / MAX_BITS));
      const { style } = this.#symbols[from + index];
      style.backgroundColor = `rgb(var(--surprise) / ${opacity.toFixed(3)})`;
      style.color = "";
    });
  }

  /** Give each symbol a colour `[red, green, blue]`. */
  colour(colours) {
    this.#symbols.forEach(({ style }, index) => {
      const rgb = colours[index];
      style.backgroundColor = rgb ? `rgb(${rgb})` : "";
      style.color = rgb ? (isBright(rgb) ? "#000" : "#fff") : "";
    });
  }

  /** Mark a symbol, and say it with a description. */
  showStep(step, description) {
    this.#symbols[this.#step - 1]?.classList.remove("here");
    this.#step = step;
    const part = this.#symbols[step - 1];
    part?.classList.add("here");
    this.#root.setAttribute("aria-valuemax", Math.max(1, this.#symbols.length));
    this.#root.setAttribute("aria-valuenow", step);
    this.#root.setAttribute("aria-valuetext", description);
    if (part) this.#scrollTo(part);
  }

  /** Scroll within the text only: `scrollIntoView` would move the page, too. */
  #scrollTo(part) {
    const { offsetTop: top, offsetHeight: height } = part;
    const { scrollTop, clientHeight } = this.#root;
    if (top < scrollTop) this.#root.scrollTop = top - 4;
    else if (top + height > scrollTop + clientHeight) {
      this.#root.scrollTop = top + height - clientHeight + 4;
    }
  }

  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || !this.#symbols.length) return;
    const last = this.#symbols.length;
    const moves = {
      ArrowLeft: () => this.#step - 1,
      ArrowRight: () => this.#step + 1,
      ArrowUp: () => this.#onNextLine(-1),
      ArrowDown: () => this.#onNextLine(1),
      Home: () => 1,
      End: () => last,
    };
    if (!moves[event.key]) return;
    event.preventDefault();
    this.#onStep(Math.max(1, Math.min(last, moves[event.key]())));
  }

  /** The symbol above or below this one. */
  #onNextLine(direction) {
    const here = this.#symbols[this.#step - 1];
    let best = this.#step;
    let line = null; // The top of the next line.
    for (let n = this.#step - 1 + direction; this.#symbols[n]; n += direction) {
      const { offsetTop: top, offsetLeft: left } = this.#symbols[n];
      if (top === here.offsetTop) continue;
      line ??= top;
      if (top !== line) break;
      const isNearer = best === this.#step || Math.abs(left - here.offsetLeft) <
        Math.abs(this.#symbols[best - 1].offsetLeft - here.offsetLeft);
      if (isNearer) best = n + 1;
    }
    return best;
  }
}

/** A symbol, its surprise and the probability that it had, in words. */
export function describe(symbol, id, bits, isFirst) {
  const name = id === 0 ? `${symbolName(symbol)} (unknown)` : symbolName(symbol);
  if (isFirst) return `${name}: the first`;
  return `${name}: ${bits.toFixed(2)} bits`;
}

function isBright([red, green, blue]) {
  return 0.2126 * red ** 2.2 + 0.7152 * green ** 2.2 + 0.0722 * blue ** 2.2 > 0.18 * 255 ** 2.2;
}
