// Write on after the text, one symbol at a time. The user starts, stops and steers it.

import { ApiError } from "./api.js";

export class Writer {
  #on;
  #running = null; // The AbortController of the writing.
  #chosen = null; // The symbol that the user chose in place of the drawn one.
  #wake = () => {}; // Ends the pause between two symbols.

  /**
   * @param {object} on
   * @param {() => object} on.settings - The panel `writer` that writes, all panels `readers` that
   *   read each symbol, the `text`, its `maxLength`, the `temperature` and the rate `perSecond`.
   * @param {(text: string) => void} on.write - Called with the text after each symbol.
   * @param {(isRunning: boolean) => void} on.change - Called at the start and at the end.
   * @param {(error: ApiError) => void} on.error - Called when a request fails.
   */
  constructor(on) {
    this.#on = on;
  }

  get isRunning() {
    return this.#running !== null;
  }

  /** Start, or stop. */
  toggle() {
    if (this.isRunning) this.stop();
    else this.#run(true);
  }

  /** Write a symbol that the user chose: the next one, while the model writes. */
  steer(symbol) {
    this.#chosen = symbol;
    if (this.isRunning) this.#wake();
    else this.#run(false);
  }

  stop() {
    this.#running?.abort();
    this.#wake();
  }

  async #run(isEndless) {
    const control = new AbortController();
    const { signal } = control;
    this.#running = control;
    this.#on.change(true);
    try {
      let { text } = this.#on.settings();
      const { writer, readers, maxLength } = this.#on.settings();
      await Promise.all(readers.map((panel) => panel.prepare(text, signal)));
      while (!signal.aborted && text.length < maxLength) {
        const { temperature, perSecond } = this.#on.settings();
        const begun = performance.now();
        const symbol = this.#chosen ?? writer.draw(temperature);
        this.#chosen = null;
        const longer = writer.join(text, symbol);
        await Promise.all(readers.map((panel) => panel.take(symbol, longer)));
        // The user may have changed the text meanwhile.
        if (this.#on.settings().text !== text) break;
        this.#on.write((text = longer));
        if (!isEndless && this.#chosen === null) break;
        await this.#pause(begun + 1000 / perSecond - performance.now());
      }
    } catch (error) {
      if (!(error instanceof ApiError) && error.name !== "AbortError") throw error;
      if (error instanceof ApiError) this.#on.error(error);
    } finally {
      this.#running = this.#chosen = null;
      this.#on.change(false);
    }
  }

  #pause(milliseconds) {
    if (this.#running.signal.aborted) return null;
    return new Promise((resolve) => {
      this.#wake = resolve;
      setTimeout(resolve, milliseconds);
    });
  }
}
