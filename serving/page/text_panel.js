// The panel of one model that reads text: the coloured text, what comes next, and its units.

import { ApiError, quantitiesOf, readText, statesAfter, stepOn, vocabularyOf } from "./api.js";
import { bar } from "./bars.js";
import { indexIn, limitsOf, palette, scaleOf } from "./colours.js";
import { PROPERTIES, correlations } from "./following.js";
import { HeatMap } from "./heatmap.js";
import { Pickers } from "./pickers.js";
import { drawFrom } from "./reading.js";
import { ColouredText, MAX_BITS, describe } from "./surprise.js";
import { about, percent, quantity, stepOf, symbolName } from "./words.js";

const PAUSE = 150; // Minimum milliseconds between two requests while the user types.
const MAX_STEPS = 160; // In the heat map at a time.
const LIKELIEST = 5;

export class TextPanel {
  #root;
  #parts = {};
  #pickers;
  #text;
  #heatMap;
  #on;
  #input = null; // The text to read; null while the page shows another place.
  #reading = null;
  #error = null;
  #question = null;
  #asking = null; // A promise: until the newest text is read.
  #isAsking = false;
  #isNew = false;
  #facts = null; // A promise of `{quantities, symbols, ids}` of the target.
  #known = null; // The same when it is there.
  #cursor = null; // `{text, probabilities, states}`: the model after a text, to write on.
  #unit = 0;
  #step = 1;

  /**
   * @param {HTMLElement} root - A copy of the template in index.html.
   * @param {object} on
   * @param {(step: number) => void} on.step - Called with the step that the user points to.
   * @param {() => void} on.change - Called when the reading changes.
   * @param {() => void} on.pick - Called when another model or version is to be asked.
   * @param {(error: ApiError) => void} on.error - Called when a request fails.
   * @param {string} key - The key of the user's choice in the tab's storage.
   */
  constructor(root, on, key) {
    this.#root = root;
    this.#on = on;
    for (const name of ["about", "since", "next", "follows", "colours", "after", "limits"]) {
      this.#parts[name] = root.querySelector(`.${name}`);
    }
    this.#parts.next.replaceChildren(...Array.from({ length: LIKELIEST }, bar));
    this.#text = new ColouredText(root.querySelector(".text"), on.step);
    this.#heatMap = new HeatMap(root.querySelector(".heat"), on.step, {
      maxSteps: MAX_STEPS,
      onUnit: (unit) => this.#paint(unit),
      onQuantity: () => this.#ask(),
    });
    const { follows, colours } = this.#parts;
    const names = Object.keys(PROPERTIES).map((name) => new Option(`by ${name}`, name));
    follows.replaceChildren(new Option("by number", ""), ...names);
    follows.addEventListener("change", () => this.#sort());
    colours.addEventListener("change", () => this.#colour());
    this.#pickers = new Pickers(root, key, () => this.#pick());
    this.#show();
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

  /** The number of symbols of the reading. */
  get steps() {
    return this.#reading?.symbols.length ?? 0;
  }

  /** The word for a symbol, such as "character". */
  get word() {
    return stepOf(this.target?.card ?? {});
  }

  /** Whether the model can write on after the text. */
  get canWrite() {
    const signatures = this.target?.signatures ?? [];
    return ["step", "decode"].every((name) => signatures.includes(name));
  }

  /** The likeliest next symbols after the text: `[{symbol, share, isKnown}]`. */
  get likeliest() {
    const { likeliest, shares } = this.#reading ?? {};
    if (!this.steps || !this.#known) return [];
    return likeliest.at(-1).map((id, n) => ({
      symbol: this.#known.symbols[id],
      share: shares.at(-1)[n],
      isKnown: id !== 0,
    }));
  }

  /** Read a text, or nothing if it is null. */
  show(text) {
    this.#input = text;
    if (!text) {
      this.#question?.abort();
      this.#reading = this.#error = null;
      this.#show();
    }
    this.#ask();
  }

  /** Ask again, if the last request failed with an error that may have passed, or if forced. */
  retry(isForced = false) {
    if (isForced) this.#facts = this.#cursor = null;
    if (isForced || (this.#error && this.#error.status !== 400)) this.#ask();
  }

  /** Show a symbol of `steps`, or the same share of the reading's own symbols. */
  showStep(step, steps) {
    const own = this.steps;
    this.#step = Math.max(1, own === steps ? step : Math.ceil((step * own) / steps));
    const { since, next, after } = this.#parts;
    const { symbols, ids, bits, likeliest, shares } = this.#reading ?? {};
    const now = this.#step - 1;
    const symbol = symbols?.[now];
    if (symbol === undefined) {
      since.textContent = this.#explain();
      after.textContent = "";
    } else {
      since.textContent = describe(symbol, ids[now], bits[now], now === 0);
      after.textContent = `Likeliest after ${this.word} ${this.#step.toLocaleString("en")}`;
    }
    const comes = ids?.[now + 1];
    [...next.children].forEach((item, n) => {
      const id = likeliest?.[now][n];
      item.hidden = id === undefined || !this.#known;
      if (item.hidden) return;
      const [label, track, share] = item.children;
      item.classList.toggle("top", id === comes);
      label.textContent = symbolName(this.#known.symbols[id]);
      track.firstChild.style.width = `${100 * shares[now][n]}%`;
      share.textContent = percent(shares[now][n]);
    });
    const then = likeliest && this.#known ? this.#said(likeliest[now], shares[now]) : "";
    this.#text.showStep(this.#step, symbol === undefined ? "no text" : since.textContent + then);
    this.#heatMap.showStep(Math.min(this.#step, this.#values?.length ?? 1));
  }

  #said(likeliest = [], shares = []) {
    const names = likeliest.map((id, n) => {
      return `${symbolName(this.#known.symbols[id])} ${percent(shares[n], 0)}`;
    });
    return `; likeliest next: ${names.join(", ")}`;
  }

  /** Prepare to write on after a text. */
  async prepare(text, signal) {
    this.#known = await this.#askFacts();
    if (this.#reading?.text === text) this.#cancel();
    else await this.#asking;
    if (this.#error) throw this.#error;
    if (this.#cursor?.text === text) return;
    const { target } = this;
    this.#cursor = { text, ...(await statesAfter(target, text, signal)) };
  }

  /** Draw the next symbol; see `drawFrom`. */
  draw(temperature) {
    return this.#known.symbols[drawFrom(this.#cursor.probabilities, temperature)];
  }

  /** Read one more symbol; `text` is the text with it. */
  async take(symbol, text) {
    const id = this.#known.ids.get(symbol) ?? 0;
    const cursor = this.#cursor;
    const { probabilities, states } = cursor;
    const after = await stepOn(this.target, id, states);
    if (this.#cursor !== cursor) return; // Another model was chosen meanwhile.
    this.#cursor = { text, ...after };
    const best = [...after.probabilities.keys()]
      .sort((a, b) => after.probabilities[b] - after.probabilities[a])
      .slice(0, LIKELIEST);
    const isFirst = !this.#reading;
    this.#reading ??= { symbols: [], ids: [], bits: [], likeliest: [], shares: [] };
    this.#reading.text = text;
    const { symbols, ids, bits, likeliest, shares } = this.#reading;
    symbols.push(symbol);
    ids.push(id);
    bits.push(isFirst ? 0 : -Math.log2(probabilities[id]));
    likeliest.push(best);
    shares.push(best.map((each) => after.probabilities[each]));
    this.#text.append([symbol], [id], this.#separator);
    if (!this.#isPainted) this.#text.colourByBits(bits.slice(-1), bits.length - 1);
  }

  /** The text after one more symbol. */
  join(text, symbol) {
    if (this.word !== "word") return text + symbol;
    if (symbol === "<eos>") return `${text}\n`;
    return text === "" || /\s$/.test(text) ? text + symbol : `${text} ${symbol}`;
  }

  get #separator() {
    return this.word === "word" ? " " : "";
  }

  get #values() {
    return this.#reading?.[this.#heatMap.quantity];
  }

  get #isPainted() {
    return this.#parts.colours.value === "unit";
  }

  #explain() {
    const status = this.#error?.status;
    if (this.#error) return [0, 401].includes(status) ? "no answer" : this.#error.message;
    if (!this.target) return "no version of this model is served";
    return this.#input ? "" : "no text";
  }

  /** Start with another model or version. */
  #pick() {
    const { target } = this;
    this.#parts.about.textContent = target ? about(target.card, false) : "";
    this.#root.classList.toggle("untraced", target !== null && !target.hasTrace);
    this.#on.pick();
    this.#question?.abort();
    this.#reading = this.#error = this.#facts = this.#known = this.#cursor = null;
    this.#show();
    this.#ask();
  }

  /** The quantities and the vocabulary of the target, asked once. */
  #askFacts() {
    if (!this.#facts) {
      const facts = this.#fetchFacts(this.target);
      this.#facts = facts;
      facts.catch(() => {
        if (this.#facts === facts) this.#facts = null;
      });
    }
    return this.#facts;
  }

  async #fetchFacts(target) {
    const [quantities, symbols] = await Promise.all([
      quantitiesOf(target),
      this.canWrite ? vocabularyOf(target) : [],
    ]);
    return { quantities, symbols, ids: new Map(symbols.map((symbol, id) => [symbol, id])) };
  }

  /** Read the newest text. One request runs at a time; after it the newest text is read again. */
  #ask() {
    this.#isNew = true;
    if (this.#input !== null) this.#root.setAttribute("aria-busy", "true");
    if (!this.#isAsking) this.#asking = this.#askUntilRead();
  }

  async #askUntilRead() {
    this.#isAsking = true;
    while (this.#isNew) {
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
      if (!this.#isNew) break; // It was cancelled.
      this.#isNew = false;
      this.#question = new AbortController();
      const { signal } = this.#question;
      try {
        const isAsked = this.#input && this.target?.hasTrace;
        const reading = isAsked ? await this.#read(signal) : null;
        // Drop an answer of another model, or to a text that was removed meanwhile.
        if (signal.aborted || (reading && !this.#input)) continue;
        [this.#reading, this.#error] = [reading, null];
      } catch (error) {
        if (signal.aborted) continue;
        if (!(error instanceof ApiError)) throw error;
        [this.#reading, this.#error] = [null, error];
        this.#on.error(error);
      }
      this.#show();
    }
    this.#isAsking = false;
    this.#root.setAttribute("aria-busy", "false");
  }

  /** Do not read the text again: the reading has it already. */
  #cancel() {
    this.#isNew = false;
    this.#question?.abort();
  }

  async #read(signal) {
    const known = await this.#askFacts();
    if (signal.aborted) return null;
    this.#known = known;
    // Only the quantity in the heat map, because all of them would be many numbers.
    if (!known.quantities.includes(this.#heatMap.quantity)) {
      const unread = Object.fromEntries(known.quantities.map((name) => [name, null]));
      this.#heatMap.show(unread, this.word);
    }
    const text = this.#input;
    return { text, ...(await readText(this.target, text, [this.#heatMap.quantity], signal)) };
  }

  #show() {
    const { symbols = [], ids = [] } = this.#reading ?? {};
    this.#root.classList.toggle("none", this.#pickers.isNone);
    this.#root.classList.toggle("failed", this.#error !== null);
    this.#text.show(symbols, ids, this.#separator);
    const names = this.#known?.quantities ?? [];
    const values = Object.fromEntries(names.map((name) => [name, this.#reading?.[name] ?? null]));
    this.#heatMap.show(values, this.word);
    this.#unit = Math.min(this.#unit, (this.#values?.[0].length ?? Infinity) - 1);
    this.#sort();
    this.#colour();
    this.#on.change();
  }

  /** Sort the units by how much they follow a property of the text. */
  #sort() {
    const property = PROPERTIES[this.#parts.follows.value];
    const values = this.#values;
    if (!property || !values) return this.#heatMap.sort(null);
    const follows = correlations(values, property(this.#reading.symbols));
    const order = [...follows.keys()].sort((a, b) => Math.abs(follows[b]) - Math.abs(follows[a]));
    this.#heatMap.sort(order, follows);
  }

  /** Colour the text by the values of a unit. */
  #paint(unit) {
    this.#unit = unit;
    this.#parts.colours.value = "unit";
    this.#colour();
  }

  #colour() {
    const { colours } = this.#parts;
    const ofUnit = colours.querySelector("[value=unit]");
    ofUnit.textContent = `unit ${this.#unit + 1}, ${quantity(this.#heatMap.quantity)}`;
    ofUnit.disabled = !this.#values;
    const [min, gradient, max] = this.#parts.limits.children;
    if (this.#isPainted && this.#values) {
      // Its own scale, because one unit may have much smaller values than others.
      const values = this.#heatMap.valuesOf(this.#unit);
      const scale = scaleOf(this.#heatMap.quantity, values);
      const all = palette(scale.name);
      this.#text.colour(values.map((value) => all[indexIn(scale, value)]));
      [min.textContent, max.textContent] = limitsOf(scale);
      const stops = all.filter((_, index) => index % 51 === 0).map((rgb) => `rgb(${rgb})`);
      gradient.style.background = `linear-gradient(to right, ${stops})`;
    } else {
      this.#text.colourByBits(this.#reading?.bits ?? []);
      [min.textContent, max.textContent] = ["0 bits", `${MAX_BITS} or more`];
      gradient.style.background = "";
    }
  }
}
