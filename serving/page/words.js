// Numbers and names as the page writes them.

/** A share in percent, rounded down so that only 1 is written as 100 %. */
export function percent(share, digits = 1) {
  const unit = 10 ** digits;
  return `${(Math.floor(share * 100 * unit + 1e-6) / unit).toFixed(digits)} %`;
}

/** A value with its sign. The minus sign is as wide as the plus sign. */
export function signed(value) {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
}

/** The name of a quantity in words: `forward_1_input_gate` is "input gate, layer 1 forward". */
export function quantity(name) {
  const [, direction, layer, rest] = /^(forward|backward)_(\d+)_(.+)$/.exec(name) ?? [];
  const words = (rest ?? name).replaceAll("_", " ");
  return layer ? `${words}, layer ${layer} ${direction}` : words;
}

const STEPS = { rows: "row", columns: "column", pixels: "pixel" };

/** The word for a step of a model, by its card, such as "row" or "character"; else "step". */
export function stepOf(card) {
  const { reads, step } = card.dataset?.spec ?? {};
  if (reads === "tokens") return step;
  const { scan, permute_seed: seed } = card.config ?? {};
  return (seed == null && STEPS[scan]) || "step";
}

const NAMES = {
  " ": "space",
  "\n": "new line",
  "\t": "tab",
  "<unk>": "unknown",
  "<eos>": "new line",
};

/** The name of a symbol in a list: itself, if it can be seen. */
export function symbolName(symbol) {
  if (NAMES[symbol]) return NAMES[symbol];
  return symbol.trim() ? symbol : `U+${symbol.codePointAt(0).toString(16).padStart(4, "0")}`;
}

const SIGNS = { " ": "␣", "\n": "↵", "\t": "⇥", "<eos>": "↵" };

/** The shortest name of a symbol, for a button. */
export function symbolSign(symbol) {
  return SIGNS[symbol] ?? symbolName(symbol);
}

/** The facts in a model card, in one line. The scan is a fact only of models that read images. */
export function about({ config, metrics }, readsImages) {
  const parts = [];
  if (config?.units) parts.push(`${config.units} units`);
  if (config?.layers > 1) parts.push(`${config.layers} layers`);
  if (readsImages && config?.scan) parts.push(`reads ${config.scan.replaceAll("_", " ")}`);
  if (readsImages && config?.permute_seed != null) parts.push("pixels shuffled");
  if (metrics?.perplexity) {
    const [, word, bits] = Object.entries(metrics)
      .map(([name, value]) => [...(/^bits_per_(.+)$/.exec(name) ?? []), value])
      .find(({ length }) => length === 3) ?? [];
    if (bits) parts.push(`${bits.toFixed(2)} bits for each test ${word}`);
  } else if (metrics?.accuracy) {
    const images = metrics.images ? ` on ${metrics.images.toLocaleString("en")} test images` : "";
    parts.push(`${percent(metrics.accuracy, 2)} accuracy${images}`);
  }
  return parts.join(" · ") || "no model card";
}
