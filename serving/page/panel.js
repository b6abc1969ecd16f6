// The panel of one model: its name, its answer, and its quantities at every step.

import { ApiError, read } from "./api.js";
import { Bars } from "./bars.js";
import { Chart } from "./chart.js";
import { HeatMap } from "./heatmap.js";
import { Pickers } from "./pickers.js";
import { Picture } from "./picture.js";
import { argmax, settledAt } from "./reading.js";
import { about, percent, stepOf } from "./words.js";

const PAUSE = 60; // Minimum milliseconds between two requests while the user draws.

export class Panel {
  #root;
  #parts = {};
  #views;
  #onStep;
  #onChange;
  #onError;
  #pickers;
  #minProbability = 0;
  #image = null;
  #reading = null;
  #error = null;
  #question = null;
  #isAsking = false;
  #isNew = false;

  /**
   * @param {HTMLElement} root - A copy of the template in index.html.
   * @param {object} on
   * @param {(step: number) => void} on.step - Called with the step that the user points to.
   * @param {() => void} on.change - Called when the reading changes.
   * @param {(error: ApiError) => void} on.error - Called when a request fails.
   * @param {string} key - The key of the user's choice in the tab's storage.
   */
  constructor(root, on, key) {
    this.#root = root;
    for (const name of ["about", "digit", "share", "since"]) {
      this.#parts[name] = root.querySelector(`.${name}`);
    }
    this.#views = {
      picture: new Picture(root.querySelector(".picture")),
      bars: new Bars(root.querySelector(".bars")),
      chart: new Chart(root.querySelector(".chart")),
      heatMap: new HeatMap(root.querySelector(".heat"), on.step),
    };
    this.#onStep = on.step;
    this.#onChange = on.change;
    this.#onError = on.error;
    this.#pickers = new Pickers(root, key, () => this.#pickVersion());
    const curves = root.querySelector(".chart .map");
    for (const name of ["pointerdown", "pointermove"]) {
      curves.addEventListener(name, (event) => this.#scrub(curves, event));
    }
    this.#show();
  }

  /** The number of steps of the reading; 0 if the model has no trace. */
  get steps() {
    return this.target?.hasTrace ? (this.#reading?.probabilities.length ?? 0) : 0;
  }

  /** The word for a step. */
  get word() {
    return stepOf(this.target?.card ?? {});
  }

  /** The answer in words; empty if there is none. */
  get answer() {
    const { digit, share, since } = this.#parts;
    if (!this.target || !this.#image) return "";
    if (this.#error) return `${this.target.model}: ${since.textContent}`;
    if (!this.#reading) return "";
    const doubt = this.#root.classList.contains("unsure") ? ", not sure" : "";
    return `${this.target.model}: ${digit.textContent}, ${share.textContent}${doubt}`;
  }

  /** The model that the user chose, also while it is not served; null if none. */
  get wanted() {
    return this.#pickers.wanted;
  }

  /** The version to ask; see `Pickers`. */
  get target() {
    return this.#pickers.target;
  }

  /** Set the models to choose from; see `Pickers`. */
  setModels(models, other) {
    this.#pickers.setModels(models, other);
  }

  /** Set the probability below which an answer is not sure. */
  setMinProbability(probability) {
    if (probability === this.#minProbability) return;
    this.#minProbability = probability;
    this.#onChange();
  }

  /** Read an image, or none. */
  show(image) {
    this.#image = image;
    if (!image) {
      this.#question?.abort();
      this.#reading = this.#error = null;
      this.#show();
    }
    this.#ask();
  }

  /** Ask again, if the last request failed with an error that may have passed, or if forced. */
  retry(isForced = false) {
    if (isForced || (this.#error && this.#error.status !== 400)) this.#ask();
  }

  /** Show a step of the player's `steps`, or the same share of the reading's own steps. */
  showStep(step, steps) {
    const own = this.steps || 1;
    const ownStep = Math.max(1, Math.ceil((step * own) / steps));
    for (const view of Object.values(this.#views)) view.showStep(ownStep, own);
    const { digit, share, since } = this.#parts;
    const shares = this.#reading?.probabilities[ownStep - 1];
    const top = shares && argmax(shares);
    digit.textContent = shares ? top : "–";
    share.textContent = shares ? percent(shares[top]) : "";
    // Only the answer after the last step is marked as not sure.
    const isLast = ownStep === own;
    const isUnsure = Boolean(shares) && isLast && !(shares[top] >= this.#minProbability);
    this.#root.classList.toggle("unsure", isUnsure);
    since.textContent = `${isUnsure ? "not sure · " : ""}${this.#explain(ownStep, own)}`;
  }

  /** The text beside the answer: since when it is the same, or why it is missing. */
  #explain(step, steps) {
    // The notice of the page explains a missing server or token.
    const status = this.#error?.status;
    if (this.#error) return [0, 401].includes(status) ? "no answer" : this.#error.message;
    if (!this.target) return "no version of this model is served";
    if (!this.#reading) return this.#image ? "" : "nothing drawn";
    if (!this.steps) return "after the whole image";
    if (step < steps) return `after ${this.word} ${step} of ${steps}`;
    const settled = settledAt(this.#reading.probabilities);
    return settled === steps ? `only since the last ${this.word}` : `since ${this.word} ${settled}`;
  }

  /** Start with another model or version: drop the reading of the last one. */
  #pickVersion() {
    const target = this.target;
    this.#parts.about.textContent = target ? about(target.card, target.readsImages) : "";
    this.#root.classList.toggle("imageless", target !== null && !target.readsImages);
    this.#root.classList.toggle("untraced", target !== null && !target.hasTrace);
    this.#question?.abort();
    this.#reading = this.#error = null;
    this.#show();
    this.#ask();
  }

  /**
   * Send the newest image. One request runs at a time; after it the newest image is sent again.
   *
   * So the answers follow the pen as fast as the server allows, and requests never queue up.
   */
  async #ask() {
    this.#isNew = true;
    this.#root.setAttribute("aria-busy", "true");
    if (this.#isAsking) return;
    this.#isAsking = true;
    while (this.#isNew) {
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
      this.#isNew = false;
      this.#question = new AbortController();
      const { signal } = this.#question;
      try {
        const isAsked = this.#image && this.target?.readsImages;
        const reading = isAsked ? await read(this.target, this.#image, signal) : null;
        // Drop an answer of another model, or to a drawing that was cleared meanwhile.
        if (signal.aborted || (reading && !this.#image)) continue;
        [this.#reading, this.#error] = [reading, null];
      } catch (error) {
        if (signal.aborted) continue;
        if (!(error instanceof ApiError)) throw error;
        [this.#reading, this.#error] = [null, error];
        this.#onError(error);
      }
      this.#show();
    }
    this.#isAsking = false;
    this.#root.setAttribute("aria-busy", "false");
    this.#onChange();
  }

  #show() {
    const { probabilities = null, ...quantities } = this.#reading ?? {};
    const hasTrace = this.target?.hasTrace ?? false;
    const { picture, bars, chart, heatMap } = this.#views;
    picture.show(this.#image, hasTrace ? scanOf(this.target.card) : null);
    bars.show(probabilities);
    chart.show(hasTrace ? probabilities : null, this.word);
    heatMap.show(hasTrace ? quantities : {}, this.word);
    this.#root.classList.toggle("none", this.#pickers.isNone);
    this.#root.classList.toggle("failed", this.#error !== null);
    this.#onChange();
  }

  #scrub(curves, event) {
    if (!this.steps || (event.type === "pointermove" && !event.buttons)) return;
    const { left, width } = curves.getBoundingClientRect();
    const step = 1 + Math.floor(((event.clientX - left) / width) * this.steps);
    this.#onStep(Math.max(1, Math.min(this.steps, step)));
  }
}

/** The order in which the model reads the image, if the page can show it. */
function scanOf({ config }) {
  return config && config.permute_seed == null ? config.scan : null;
}
