// The pickers of a panel: a model, and one of its versions.

/** The version of a model to ask. */
export class Pickers {
  #parts;
  #key;
  #onPick;
  #models = [];
  // The user's choice, also while it is not served: `{model, version}`, with null for none.
  #wanted;

  /**
   * @param {HTMLElement} root - Holds `.model` and `.version`.
   * @param {string} key - The key of the user's choice in the tab's storage.
   * @param {() => void} onPick - Called when another model or version is to be asked.
   */
  constructor(root, key, onPick) {
    this.#key = key;
    this.#onPick = onPick;
    this.#wanted = { model: null, version: null, ...JSON.parse(sessionStorage.getItem(key)) };
    this.#parts = { model: root.querySelector(".model"), version: root.querySelector(".version") };
    const { model, version } = this.#parts;
    model.addEventListener("change", () => {
      this.#want({ model: model.value, version: null });
      this.#offerVersions();
      this.#onPick();
    });
    version.addEventListener("change", () => {
      this.#want({ model: model.value, version: version.value });
      this.#onPick();
    });
  }

  /** Whether the user chose no model, or no model is served. */
  get isNone() {
    return !this.#parts.model.value;
  }

  /** The model that the user chose, also while it is not served; null if none. */
  get wanted() {
    return this.#wanted.model;
  }

  /** The version to ask: `{model, version, hasTrace, readsImages, signatures, card}`, or null. */
  get target() {
    const { model, version } = this.#parts;
    const chosen = this.#models
      .find(({ name }) => name === model.value)
      ?.versions.find((each) => each.version === version.value);
    if (!chosen) return null;
    const { signatures, reads_images: readsImages, card } = chosen;
    const hasTrace = signatures.includes("trace");
    return { model: model.value, version: version.value, hasTrace, readsImages, signatures, card };
  }

  /**
   * Set the models to choose from.
   *
   * @param {object[]} models - The models of `listModels`.
   * @param {string} other - The model to choose if the user chose none, or one that does not exist.
   */
  setModels(models, other) {
    const { model } = this.#parts;
    const before = JSON.stringify(this.target);
    this.#models = models;
    const options = models.map(({ name }) => new Option(name, name));
    model.replaceChildren(...options, new Option("no model", ""));
    const isThere = this.wanted === "" || models.some(({ name }) => name === this.wanted);
    model.value = isThere ? this.wanted : other;
    // The panel returns to its first model as if the user had chosen it.
    if (this.wanted === null && model.value) this.#wanted.model = model.value;
    this.#offerVersions();
    if (JSON.stringify(this.target) !== before) this.#onPick();
  }

  #want(choice) {
    this.#wanted = choice;
    sessionStorage.setItem(this.#key, JSON.stringify(choice));
  }

  /** Offer the versions of the model. Select the chosen one, else the last one, else the newest. */
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
}

/**
 * Give the models to choose from to panels, and to each panel without a model a free one: an LSTM,
 * a basic RNN, others that `canAsk` accepts, the rest.
 *
 * @param {{wanted: ?string, setModels: (models: object[], other: string) => void}[]} panels
 * @param {object[]} models - The models of `listModels`.
 * @param {(version: object) => boolean} canAsk
 */
export function distribute(panels, models, canAsk = () => true) {
  const served = models.map(({ name, versions }) => ({
    name,
    versions: versions.filter(({ state }) => state === "AVAILABLE"),
  }));
  const rank = ({ name, versions }) => {
    if (!canAsk(versions[0])) return 3;
    return name === "lstm" ? 0 : name === "basic_rnn" ? 1 : 2;
  };
  const free = served
    .filter(({ versions }) => versions.length)
    .filter(({ name }) => !panels.some((panel) => panel.wanted === name))
    .sort((a, b) => rank(a) - rank(b))
    .map(({ name }) => name);
  panels.forEach((panel) => {
    const isThere = panel.wanted === "" || models.some(({ name }) => name === panel.wanted);
    panel.setModels(models, isThere ? "" : (free.shift() ?? ""));
  });
}
