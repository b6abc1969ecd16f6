// One model: which it is, what it answers, and how it came to it.

import { ApiError, read } from "./api.js";
import { Bars } from "./bars.js";
import { Chart } from "./chart.js";
import { HeatMap } from "./heatmap.js";
import { Picture } from "./picture.js";
import { argmax, settledAt } from "./reading.js";
import { about, percent, stepOf } from "./words.js";

const PAUSE = 60; // Milliseconds between two questions at least, while someone draws.

export class Panel {
  #root;
  #parts = {};
  #views;
  #onStep;
  #onChange;
  #onError;
  #models = [];
  #wanted; // What was chosen, also while it is not served: `{model, version}`, null if not chosen.
  #minProbability = 0;
  #image = null;
  #reading = null;
  #error = null;
  #question = null;
  #isAsking = false;
  #isNew = false;
  #key;

  /**
   * @param {HTMLElement} root - A copy of the template in index.html.
   * @param {object} on
   * @param {(step: number) => void} on.step - Someone points to a step of this model's.
   * @param {() => void} on.change - There is another reading, or none.
   * @param {(error: ApiError) => void} on.error - There was no answer.
   * @param {string} key - The place in the tab's storage of the model that was chosen.
   */
  constructor(root, on, key) {
    this.#root = root;
    this.#key = key;
    this.#wanted = { model: null, version: null, ...JSON.parse(sessionStorage.getItem(key)) };
    for (const name of ["model", "version", "about", "digit", "share", "since"]) {
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
    const { model, version } = this.#parts;
    model.addEventListener("change", () => {
      this.#want({ model: model.value, version: null });
      this.#pickModel();
    });
    version.addEventListener("change", () => {
      this.#want({ model: model.value, version: version.value });
      this.#pickVersion();
    });
    const curves = root.querySelector(".chart .map");
    for (const name of ["pointerdown", "pointermove"]) {
      curves.addEventListener(name, (event) => this.#scrub(curves, event));
    }
    this.#show();
  }

  /** How many steps its reading has; 0 if it cannot be followed. */
  get steps() {
    return this.#target?.hasTrace ? (this.#reading?.probabilities.length ?? 0) : 0;
  }

  /** What a step is called. */
  get word() {
    return stepOf(this.#target?.card ?? {});
  }

  /** What it shows in words, or nothing. */
  get answer() {
    const { digit, share, since } = this.#parts;
    if (!this.#target || !this.#image) return "";
    if (this.#error) return `${this.#target.model}: ${since.textContent}`;
    if (!this.#reading) return "";
    const doubt = this.#root.classList.contains("unsure") ? ", not sure" : "";
    return `${this.#target.model}: ${digit.textContent}, ${share.textContent}${doubt}`;
  }

  /** The model that was chosen, also while it is not served; null if none was. */
  get wanted() {
    return this.#wanted.model;
  }

  /** What is asked: `{model, version, hasTrace, signatures, card}`, or null. */
  get target() {
    return this.#target;
  }

  /**
   * Say which models there are.
   *
   * @param {object[]} models - As `listModels` gives them.
   * @param {string} other - The one to take if none was chosen, or that one is not there.
   */
  setModels(models, other) {
    const { model } = this.#parts;
    const before = JSON.stringify(this.#target);
    this.#models = models;
    const options = models.map(({ name }) => new Option(name, name));
    model.replaceChildren(...options, new Option("no model", ""));
    const isThere = this.wanted === "" || models.some(({ name }) => name === this.wanted);
    model.value = isThere ? this.wanted : other;
    // What it began with it comes back to, as if it had been chosen.
    if (this.wanted === null && model.value) this.#wanted.model = model.value;
    this.#offerVersions();
    if (JSON.stringify(this.#target) !== before) this.#pickVersion();
  }

  /** Say below which probability an answer is not sure. */
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

  /** Ask again: if the last answer did not come for a reason that may have passed, or anyhow. */
  retry(isAnyhow = false) {
    if (isAnyhow || (this.#error && this.#error.status !== 400)) this.#ask();
  }

  /** Show what there was at a share of the reading. */
  showStep(step, steps) {
    const own = this.steps || 1;
    const at = Math.max(1, Math.ceil((step * own) / steps));
    for (const view of Object.values(this.#views)) view.showStep(at, own);
    const { digit, share, since } = this.#parts;
    const shares = this.#reading?.probabilities[at - 1];
    const top = shares && argmax(shares);
    digit.textContent = shares ? top : "–";
    share.textContent = shares ? percent(shares[top]) : "";
    // Before the last step a network need not be sure.
    const isUnsure = Boolean(shares) && at === own && !(shares[top] >= this.#minProbability);
    this.#root.classList.toggle("unsure", isUnsure);
    since.textContent = `${isUnsure ? "not sure · " : ""}${this.#story(at, own)}`;
  }

  /** What is to be said of the answer at a step, or why there is none. */
  #story(at, own) {
    // Without a server or a token the whole page has no answers, and says so.
    if (this.#error) return [0, 401].includes(this.#error.status) ? "no answer" : this.#error.message;
    if (!this.#target) return "no version of this model is served";
    if (!this.#reading) return this.#image ? "" : "nothing drawn";
    if (!this.steps) return "after the whole image";
    if (at < own) return `after ${this.word} ${at} of ${own}`;
    const settled = settledAt(this.#reading.probabilities);
    return settled === own ? `only since the last ${this.word}` : `since ${this.word} ${settled}`;
  }

  get #target() {
    const { model, version } = this.#parts;
    const found = this.#models
      .find(({ name }) => name === model.value)
      ?.versions.find((each) => each.version === version.value);
    if (!found) return null;
    const hasTrace = found.signatures.includes("trace");
    const { signatures, card } = found;
    return { model: model.value, version: version.value, hasTrace, signatures, card };
  }

  #want(choice) {
    this.#wanted = choice;
    sessionStorage.setItem(this.#key, JSON.stringify(choice));
  }

  #pickModel() {
    this.#offerVersions();
    this.#pickVersion();
  }

  /** Offer the versions of the model, and take the chosen one, the last one or the newest served. */
  #offerVersions() {
    const { model, version } = this.#parts;
    const versions = this.#models.find(({ name }) => name === model.value)?.versions ?? [];
    const before = version.value;
    const served = versions.filter(({ state }) => state === "AVAILABLE").map((v) => v.version);
    version.replaceChildren(
      ...versions.map(({ version: number, state }) => {
        const isServed = state === "AVAILABLE";
        const option = new Option(isServed ? number : `${number}, ${state.toLowerCase()}`, number);
        option.disabled = !isServed;
        return option;
      }),
    );
    const chosen = model.value === this.wanted ? this.#wanted.version : null;
    version.value = [chosen, before].find((each) => served.includes(each)) ?? served[0] ?? "";
    version.disabled = !versions.length;
  }

  /** Begin with another model: what the last one said is nothing of this one's. */
  #pickVersion() {
    const target = this.#target;
    this.#parts.about.textContent = target ? about(target.card) : "";
    this.#root.classList.toggle("untraced", target !== null && !target.hasTrace);
    this.#question?.abort();
    this.#reading = this.#error = null;
    this.#show();
    this.#ask();
  }

  /**
   * Have the newest image answered: one question at a time, and after it the newest again.
   *
   * So the answers follow the pen as fast as the server is, and never queue up there.
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
        const reading =
          this.#image && this.#target ? await read(this.#target, this.#image, signal) : null;
        // Of another model, or of what is wiped out again, the answer is not wanted any more.
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
    const isFollowed = this.#target?.hasTrace ?? false;
    const { picture, bars, chart, heatMap } = this.#views;
    picture.show(this.#image, isFollowed ? scanOf(this.#target.card) : null);
    bars.show(probabilities);
    chart.show(isFollowed ? probabilities : null, this.word);
    heatMap.show(isFollowed ? quantities : {}, this.word);
    this.#root.classList.toggle("none", !this.#parts.model.value);
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

/** In which order the image is read, if that is known and can be shown. */
function scanOf({ config }) {
  return config && config.permute_seed == null ? config.scan : null;
}
